//! The clients of the HTTP.sys in memory.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;

use super::Fake;
use super::state::Exchanged;
use crate::api::{ConnectionId, RequestId};
use crate::fields::Fields;
use crate::request::{Facts, Request, Version};
use crate::response::{CachePolicy, Head};

/// A client with a connection.
pub struct Client {
    fake: Fake,
    port: u16,
    connection: ConnectionId,
    /// What it speaks.
    pub version: Version,
}

/// What a client has got.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// Status and fields.
    pub head: Option<Head>,
    /// Body bytes as they were sent, chunks of HTTP/1.1 and all.
    pub body: Vec<u8>,
    /// Bytes that HTTP.sys has sent from files.
    pub from_files: u64,
    /// Trailer fields of HTTP/2 and HTTP/3.
    pub trailers: Option<Fields>,
    /// It has its end.
    pub complete: bool,
    /// The connection was closed behind it.
    pub closes: bool,
    /// The connection has left HTTP.
    pub opaque: bool,
    /// It was broken off.
    pub broken_off: bool,
    /// How long it may be kept.
    pub cache: Option<CachePolicy>,
    /// Calls that have sent it.
    pub calls: usize,
    /// Pieces that the last of them had.
    pub chunks: usize,
}

impl Reply {
    /// The status, 0 if there is none yet.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |head| head.status)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The only value of a field as text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let value = self.head.as_ref()?.fields.only(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

impl Client {
    pub(super) fn new(fake: Fake, port: u16) -> Self {
        let connection = ConnectionId(fake.state().next_id());
        Self { fake, port, connection, version: Version::Http11 }
    }

    /// Sends a request without a body. Returns its number, or `None` if nobody has registered a prefix for it.
    pub fn request(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Option<RequestId> {
        self.begin(method, target, fields, false)
    }

    /// Sends the head of a request whose body follows.
    pub fn begin(&self, method: &str, target: &str, fields: &[(&str, &str)], has_body: bool) -> Option<RequestId> {
        let mut state = self.fake.state();
        let (queue, context) = state.route(self.port, target)?;
        let id = RequestId(state.next_id());
        let facts = Facts {
            id,
            connection: self.connection,
            context,
            version: self.version,
            peer: SocketAddr::from(([127, 0, 0, 1], 50_000)),
            local: SocketAddr::from(([127, 0, 0, 1], self.port)),
            secure: false,
            certificate: None,
            has_body,
        };
        let mut request = Request::new(facts, method.as_bytes(), target.as_bytes());
        request.push(b"Host", format!("127.0.0.1:{}", self.port).as_bytes());
        fields.iter().for_each(|(name, value)| request.push(name.as_bytes(), value.as_bytes()));
        let exchanged = Exchanged {
            connection: self.connection,
            request: request.clone(),
            body: VecDeque::new(),
            body_ended: !has_body,
            body_wanted: None,
            continued: false,
            reply: Reply::default(),
        };
        state.requests.insert(id, exchanged);
        state.deliver(queue, request);
        Some(id)
    }

    /// Sends a piece of a body.
    pub fn body(&self, id: RequestId, piece: &[u8]) {
        self.feed(id, |exchanged| exchanged.body.push_back(Bytes::copy_from_slice(piece)));
    }

    /// Ends a body.
    pub fn end(&self, id: RequestId) {
        self.feed(id, |exchanged| exchanged.body_ended = true);
    }

    fn feed(&self, id: RequestId, change: impl FnOnce(&mut Exchanged)) {
        if let Some(exchanged) = self.fake.state().requests.get_mut(&id) {
            change(exchanged);
            exchanged.feed();
        }
    }

    /// Whether it was told to go on with the body.
    #[must_use]
    pub fn was_continued(&self, id: RequestId) -> bool {
        self.fake.state().requests.get(&id).is_some_and(|exchanged| exchanged.continued)
    }

    /// What it has got so far.
    #[must_use]
    pub fn reply(&self, id: RequestId) -> Reply {
        self.fake.state().requests.get(&id).map(|exchanged| exchanged.reply.clone()).unwrap_or_default()
    }

    /// Closes the connection.
    pub fn leave(&self) {
        let mut state = self.fake.state();
        state.gone.push(self.connection);
        let waits = std::mem::take(&mut state.waits);
        for (connection, done) in waits {
            if connection == self.connection {
                let _ = done.send(Ok(()));
            } else {
                state.waits.push((connection, done));
            }
        }
    }
}

impl Exchanged {
    /// Gives what has come to who waits for it.
    pub(super) fn feed(&mut self) {
        if self.body.is_empty() && !self.body_ended {
            return;
        }
        let Some((room, done)) = self.body_wanted.take() else { return };
        let piece = self.body.pop_front().map(|mut piece| {
            let now = piece.split_to(room.min(piece.len()));
            if !piece.is_empty() {
                self.body.push_front(piece);
            }
            now
        });
        let _ = done.send(Ok(piece));
    }
}
