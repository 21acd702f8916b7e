//! One client for HTTP/1.1 and HTTP/2: what is asked, and what comes back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Client, PATIENCE};
use crate::h2::frame::{self, END_STREAM, INITIAL_WINDOW_SIZE};
use crate::h2::{Connection, End};

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    chunked: bool,
}

impl Ask {
    /// A request without a body.
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self { method: method.to_owned(), target: target.into(), fields: Vec::new(), body: None, chunked: false }
    }

    /// `GET target`.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// `POST target` with a body.
    pub fn post(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// Adds a field; its name is in lower case.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a body, whose length is told.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Does not tell the body's length.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    fn length(&self) -> Option<String> {
        self.body.as_ref().filter(|_| !self.chunked).map(|body| body.len().to_string())
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The fields in order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Vec<(String, String)>,
    /// The statuses of the interim responses before it.
    pub interim: Vec<u16>,
    /// Their fields, one after the other.
    pub interim_fields: Vec<(String, String)>,
}

impl Reply {
    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of a field; `None` if it is missing or repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        match *self.all(name) {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, of an answer with status 200.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value, String> {
        let value = serde_json::from_slice(&self.body).ok().filter(|_| self.status == 200);
        value.ok_or_else(|| format!("no JSON with status 200: {} {:?}", self.status, self.text()))
    }
}

/// A request that was sent.
#[derive(Debug)]
#[must_use = "it has an answer"]
pub struct Sent {
    stream: u32,
    head: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Wire(Kind);

#[derive(Debug)]
enum Kind {
    Http1 { client: Client, authority: String },
    Http2(Box<Streams>),
}

#[derive(Debug)]
struct Streams {
    connection: Connection,
    next: u32,
    /// Bytes of bodies on all streams.
    sent: u64,
}

impl Wire {
    pub(super) fn http1(client: Client, address: SocketAddr) -> Self {
        Self(Kind::Http1 { client, authority: address.to_string() })
    }

    pub(super) fn http2(connection: Connection) -> Self {
        Self(Kind::Http2(Box::new(Streams { connection, next: 1, sent: 0 })))
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When there is none.
    pub fn ask(&mut self, ask: &Ask) -> Result<Reply, String> {
        let sent = self.send(ask);
        self.reply(sent)
    }

    /// Sends a request. That it cannot be sent is seen when its answer is read.
    pub fn send(&mut self, ask: &Ask) -> Sent {
        let head = ask.method == "HEAD";
        match &mut self.0 {
            Kind::Http1 { client, authority } => {
                let _ = client.send(&as_http1(ask, authority));
                Sent { stream: 0, head }
            }
            Kind::Http2(streams) => Sent { stream: streams.send(ask), head },
        }
    }

    /// Reads the answer. Over HTTP/1.1 they come in the order in which requests were sent.
    ///
    /// # Errors
    /// When there is none.
    pub fn reply(&mut self, sent: Sent) -> Result<Reply, String> {
        match &mut self.0 {
            Kind::Http1 { client, .. } => {
                let (mut interim, mut interim_fields) = (Vec::new(), Vec::new());
                let response = loop {
                    let response = client.response(sent.head).map_err(|error| error.to_string())?;
                    if !(100..200).contains(&response.status) {
                        break response;
                    }
                    interim.push(response.status);
                    interim_fields.extend(response.headers);
                };
                let crate::Response { status, headers: fields, body, trailers, .. } = response;
                Ok(Reply { status, fields, body, trailers, interim, interim_fields })
            }
            Kind::Http2(streams) => {
                let answer = streams.connection.answer(sent.stream).map_err(|end| format!("{end:?}"))?;
                if !answer.ended {
                    return Err(format!("the stream was reset: {answer:?}"));
                }
                let (mut fields, mut interim_fields) = (answer.headers, answer.interim_fields);
                for fields in [&mut fields, &mut interim_fields] {
                    fields.retain(|(name, _)| !name.starts_with(':'));
                }
                let crate::h2::Answer { status, body, trailers, interim, .. } = answer;
                Ok(Reply { status, fields, body, trailers, interim, interim_fields })
            }
        }
    }

    /// Reads until the answer's body has this text, and says when that was. Over HTTP/1.1 what was read is gone then.
    ///
    /// # Errors
    /// When it does not come.
    pub fn until(&mut self, sent: &Sent, text: &str) -> Result<Instant, String> {
        let problem = |error: &dyn std::fmt::Debug| format!("{text:?} does not come: {error:?}");
        match &mut self.0 {
            Kind::Http1 { client, .. } => {
                let mut seen = Vec::new();
                while !seen.ends_with(text.as_bytes()) {
                    seen.extend(client.bytes(1).map_err(|error| problem(&error))?);
                }
            }
            Kind::Http2(streams) => {
                let connection = &mut streams.connection;
                while !connection.answers.get(&sent.stream).is_some_and(|answer| answer.text().contains(text)) {
                    connection.next(PATIENCE).map_err(|end| problem(&end))?;
                }
            }
        }
        Ok(Instant::now())
    }

    /// Whether the connection ends within this time, or a stream on it is no longer served.
    pub fn ends(&mut self, wait: Duration) -> bool {
        match &mut self.0 {
            Kind::Http1 { client, .. } => client.ending(wait) != crate::Ending::Open,
            Kind::Http2(streams) => streams.connection.ending(wait) != End::TimedOut,
        }
    }
}

fn as_http1(ask: &Ask, authority: &str) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\nhost: {authority}\r\n", ask.method, ask.target);
    for (name, value) in &ask.fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = ask.length() {
        text.push_str(&format!("content-length: {length}\r\n"));
    }
    let Some(body) = &ask.body else { return (text + "\r\n").into_bytes() };
    if !ask.chunked {
        return [(text + "\r\n").as_bytes(), body].concat();
    }
    let mut bytes = (text + "transfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(10_000) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

impl Streams {
    fn send(&mut self, ask: &Ask) -> u32 {
        let stream = self.next;
        self.next += 2;
        let length = ask.length();
        let mut fields: Vec<(&str, &str)> = ask.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.extend(length.as_deref().map(|length| ("content-length", length)));
        let block = self.connection.request(&ask.method, &ask.target, &fields);
        let Some(body) = ask.body.as_deref().filter(|body| !body.is_empty()) else {
            self.connection.send(&frame::headers(stream, END_STREAM, block));
            return stream;
        };
        self.connection.send(&frame::headers(stream, 0, block));
        let mut done = 0;
        while done < body.len() {
            let room = self.room(stream, done as u64);
            if room == 0 {
                // An answer may come before the server has read the body, and then wants no more of it.
                let over = self.connection.answers.get(&stream).is_some_and(crate::h2::Answer::is_over);
                if over || self.connection.next(PATIENCE).is_err() {
                    return stream;
                }
                continue;
            }
            let end = body.len().min(done + usize::try_from(room).unwrap_or(usize::MAX).min(16_384));
            let flags = if end == body.len() { END_STREAM } else { 0 };
            self.connection.send(&frame::data(stream, flags, &body[done..end]));
            self.sent += (end - done) as u64;
            done = end;
        }
        stream
    }

    /// How many bytes the server takes now.
    fn room(&self, stream: u32, done: u64) -> u64 {
        let given = |stream| self.connection.room.get(&stream).copied().unwrap_or_default();
        let of_stream = self.connection.settings.get(&INITIAL_WINDOW_SIZE).map_or(65_535, |size| u64::from(*size));
        (of_stream + given(stream)).saturating_sub(done).min((65_535 + given(0)).saturating_sub(self.sent))
    }
}
