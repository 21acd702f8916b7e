//! One connection: what was sent, byte for byte, and what has come of it, stream by stream.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::frame::{self, Frame};
use super::hpack::{self, Field};
use crate::client::PATIENCE;
use crate::transport::Transport;

/// Why there is no next frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The server closed the connection.
    Closed,
    /// It reset the connection.
    Reset,
    /// Nothing came in time.
    TimedOut,
    /// What came is not HTTP/2.
    Malformed(String),
}

/// What has come on a stream.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Interim responses' statuses.
    pub interim: Vec<u16>,
    /// Their fields, one after the other.
    pub interim_fields: Vec<Field>,
    /// The final status; 0 before it is there.
    pub status: u16,
    /// The final response's fields.
    pub headers: Vec<Field>,
    /// The body so far.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Vec<Field>,
    /// The server has ended its side.
    pub ended: bool,
    /// The server has reset the stream with this code.
    pub reset: Option<u32>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A field's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Nothing more comes.
    pub fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    stream: Transport,
    buffer: Vec<u8>,
    authority: String,
    decoder: hpack::Decoder,
    /// A field block whose end has not come.
    unfinished: Option<(u32, bool, Vec<u8>)>,
    /// What has come, by stream.
    pub answers: HashMap<u32, Answer>,
    /// The server's settings.
    pub settings: HashMap<u16, u32>,
    /// Last stream and code of each GOAWAY.
    pub goaways: Vec<(u32, u32)>,
    /// The room that the server has given by `WINDOW_UPDATE`, by stream; 0 is the connection.
    pub room: HashMap<u32, u64>,
    /// Gives room for all that is read at once.
    pub replenish: bool,
    /// Answers the server's SETTINGS and PING.
    pub acknowledge: bool,
}

impl Connection {
    /// Connects, and says nothing yet.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn silent(address: SocketAddr) -> Self {
        Self::over(Transport::connect(address).expect("the server accepts connections"), address)
    }

    /// As `silent`, with TLS by this authority.
    ///
    /// # Panics
    /// When nobody listens, or the server does not speak HTTP/2.
    pub fn silent_tls(address: SocketAddr, authority: &Path) -> Self {
        let stream = Transport::connect(address).expect("the server accepts connections");
        Self::over(stream.with_tls(authority, b"h2").expect("the server shows its certificate"), address)
    }

    fn over(stream: Transport, address: SocketAddr) -> Self {
        stream.tcp().set_write_timeout(Some(PATIENCE / 4)).expect("the socket has options");
        Self {
            stream,
            buffer: Vec::new(),
            authority: address.to_string(),
            decoder: hpack::Decoder::default(),
            unfinished: None,
            answers: HashMap::new(),
            settings: HashMap::new(),
            goaways: Vec::new(),
            room: HashMap::new(),
            replenish: true,
            acknowledge: true,
        }
    }

    /// Connects and exchanges settings.
    ///
    /// # Panics
    /// When the server does not.
    pub fn open(address: SocketAddr) -> Self {
        Self::open_with(address, &[])
    }

    /// As `open`, with these settings.
    ///
    /// # Panics
    /// When the server does not.
    pub fn open_with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut connection = Self::silent(address);
        connection.begin(settings);
        connection
    }

    /// As `open_with`, with TLS by this authority.
    ///
    /// # Panics
    /// When the server does not.
    pub fn open_tls(address: SocketAddr, authority: &Path, settings: &[(u16, u32)]) -> Self {
        let mut connection = Self::silent_tls(address, authority);
        connection.begin(settings);
        connection
    }

    /// Exchanges settings.
    ///
    /// # Panics
    /// When the server does not.
    pub fn begin(&mut self, settings: &[(u16, u32)]) {
        self.send(frame::PREFACE);
        self.send(&frame::settings(settings));
        let acknowledged = |frame: &Frame| frame.kind == frame::SETTINGS && frame.has(frame::ACK);
        let problem = self.until(PATIENCE, acknowledged).err();
        assert_eq!(problem, None, "settings are not exchanged");
    }

    /// Sends bytes as they are. That the server no longer takes them is seen when reading.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Ends the sending side.
    pub fn finish(&mut self) {
        let _ = self.stream.finish();
    }

    /// A second handle, to send with while this one reads.
    ///
    /// # Panics
    /// When the process has no more descriptors, or with TLS.
    pub fn sender(&self) -> TcpStream {
        self.stream.sender().expect("a socket can be shared")
    }

    /// What goes into `:authority`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The block of a request with further fields.
    pub fn request(&self, method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let scheme = if matches!(self.stream, Transport::Plain(_)) { "http" } else { "https" };
        let head = [(":method", method), (":scheme", scheme), (":path", path), (":authority", &self.authority)];
        hpack::block(head.iter().chain(more).copied())
    }

    /// Sends a request without a body.
    pub fn get(&mut self, stream: u32, path: &str) {
        let block = self.request("GET", path, &[]);
        self.send(&frame::headers(stream, frame::END_STREAM, block));
    }

    /// Sends a request's head; its body is to follow.
    pub fn post(&mut self, stream: u32, path: &str, more: &[(&str, &str)]) {
        let block = self.request("POST", path, more);
        self.send(&frame::headers(stream, 0, block));
    }

    /// The next frame. Whatever it is, it is noted as well.
    ///
    /// # Errors
    /// When none comes within `wait`.
    pub fn next(&mut self, wait: Duration) -> Result<Frame, End> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(frame) = self.buffered() {
                self.note(&frame)?;
                return Ok(frame);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(End::TimedOut);
            }
            let _ = self.stream.tcp().set_read_timeout(Some(left.max(Duration::from_millis(1))));
            let mut chunk = [0; 64 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(End::Closed),
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Err(End::TimedOut),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Reset),
            }
        }
    }

    /// Reads until a frame is what is looked for.
    ///
    /// # Errors
    /// When none comes within `wait`.
    pub fn until(&mut self, wait: Duration, mut wanted: impl FnMut(&Frame) -> bool) -> Result<Frame, End> {
        let deadline = Instant::now() + wait;
        loop {
            let frame = self.next(deadline.saturating_duration_since(Instant::now()))?;
            if wanted(&frame) {
                return Ok(frame);
            }
        }
    }

    /// Reads until a stream is over.
    ///
    /// # Errors
    /// When it does not come to its end.
    pub fn answer(&mut self, stream: u32) -> Result<Answer, End> {
        let deadline = Instant::now() + PATIENCE;
        while !self.answers.get(&stream).is_some_and(Answer::is_over) {
            self.next(deadline.saturating_duration_since(Instant::now()))?;
        }
        Ok(self.answers.remove(&stream).unwrap_or_default())
    }

    /// Reads until the connection ends, and says how.
    pub fn ending(&mut self, wait: Duration) -> End {
        self.until(wait, |_| false).expect_err("no frame is looked for")
    }

    /// Makes sure that the connection serves: a GET on this stream is answered.
    ///
    /// # Errors
    /// When it is not.
    pub fn serves(&mut self, stream: u32) -> Result<(), String> {
        self.replenish = true;
        self.get(stream, "/");
        let answer = self.answer(stream).map_err(|end| format!("the connection does not serve: {end:?}, {:?}", self.goaways))?;
        if answer.status == 200 && answer.body == b"OK" { Ok(()) } else { Err(format!("the next request gets {answer:?}")) }
    }

    fn buffered(&mut self) -> Option<Frame> {
        let header: [u8; 9] = self.buffer.get(..9)?.try_into().ok()?;
        let [a, b, c, kind, flags, s, t, u, v] = header;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let payload = self.buffer.get(9..9 + length)?.to_vec();
        self.buffer.drain(..9 + length);
        Some(Frame { kind, flags, stream: u32::from_be_bytes([s & 0x7f, t, u, v]), payload })
    }

    fn note(&mut self, frame: &Frame) -> Result<(), End> {
        let stream = frame.stream;
        match frame.kind {
            frame::SETTINGS if !frame.has(frame::ACK) => {
                for setting in frame.payload.chunks_exact(6) {
                    let [a, b, c, d, e, f] = setting.try_into().expect("chunks have this length");
                    self.settings.insert(u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]));
                }
                if self.acknowledge {
                    self.send(&frame::frame(frame::SETTINGS, frame::ACK, 0, []));
                }
            }
            frame::PING if !frame.has(frame::ACK) && self.acknowledge => {
                let payload = frame.payload.clone();
                self.send(&frame::frame(frame::PING, frame::ACK, 0, payload));
            }
            frame::RST_STREAM => self.answers.entry(stream).or_default().reset = frame.number(0),
            frame::GOAWAY => {
                let (Some(last), Some(code)) = (frame.number(0), frame.number(4)) else { return Err(bad("GOAWAY")) };
                self.goaways.push((last, code));
            }
            frame::WINDOW_UPDATE => *self.room.entry(stream).or_default() += u64::from(frame.number(0).unwrap_or_default()),
            frame::DATA => {
                if frame.has(frame::PADDED) {
                    return Err(bad("padding, which nobody here asks for"));
                }
                let answer = self.answers.entry(stream).or_default();
                answer.body.extend_from_slice(&frame.payload);
                answer.ended |= frame.has(frame::END_STREAM);
                let over = answer.ended;
                let more = u32::try_from(frame.payload.len()).expect("a frame is short");
                if self.replenish && more > 0 {
                    self.send(&frame::window_update(0, more));
                    if !over {
                        self.send(&frame::window_update(stream, more));
                    }
                }
            }
            frame::HEADERS => {
                self.unfinished = Some((stream, frame.has(frame::END_STREAM), frame.payload.clone()));
                self.end_block(frame.has(frame::END_HEADERS))?;
            }
            frame::CONTINUATION => {
                let (_, _, block) = self.unfinished.as_mut().ok_or_else(|| bad("CONTINUATION of nothing"))?;
                block.extend_from_slice(&frame.payload);
                self.end_block(frame.has(frame::END_HEADERS))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn end_block(&mut self, is_end: bool) -> Result<(), End> {
        let Some((stream, ends, block)) = self.unfinished.take_if(|_| is_end) else { return Ok(()) };
        let fields = self.decoder.decode(&block).ok_or_else(|| bad("a field block"))?;
        let answer = self.answers.entry(stream).or_default();
        answer.ended |= ends;
        let status = fields.iter().find(|(name, _)| name == ":status").and_then(|(_, status)| status.parse().ok());
        match status {
            Some(interim @ 100..200) => {
                answer.interim.push(interim);
                answer.interim_fields.extend(fields);
            }
            Some(status) if answer.status == 0 => {
                answer.status = status;
                answer.headers = fields;
            }
            Some(_) => return Err(bad("a second response")),
            None if answer.status == 0 => return Err(bad("no status")),
            None => answer.trailers = fields,
        }
        Ok(())
    }
}

fn bad(what: &str) -> End {
    End::Malformed(what.to_owned())
}
