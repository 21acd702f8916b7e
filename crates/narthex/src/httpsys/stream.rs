//! An exchange of HTTP.sys as the code that calls the app uses it.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use narthex_http::{BodyLength, Piece};
use narthex_httpsys::{BodyFailure, Chunk, Exchange, Fields, Head, Length};
use narthex_proto::wire;

use super::worker::warn_once;
use crate::body::BodyError;
use crate::cache::CachePolicy;
use crate::delegation::Delegation;
use crate::downstream::{Closed, Downstream, Fate};
use crate::offer::FilePart;

/// The client of one request.
pub(super) struct Stream {
    exchange: Rc<Exchange>,
    /// HTTP.sys may keep the response.
    may_cache: bool,
    /// HTTP.sys sends files.
    sends_files: bool,
}

impl Stream {
    pub(super) fn new(exchange: Rc<Exchange>, may_cache: bool, sends_files: bool) -> Self {
        Self { exchange, may_cache, sends_files }
    }

    /// The head, without what HTTP.sys or the exchange says itself.
    fn head(&self, head: &Parts, keeps: impl Fn(&HeaderName) -> bool) -> Head {
        if head.headers.get_all(CONNECTION).iter().any(|value| has_option(value.as_bytes(), b"close")) {
            self.exchange.close_behind();
        }
        let kept = head.headers.iter().filter(|(name, _)| keeps(name));
        let fields = kept.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect();
        Head { status: head.status.as_u16(), reason: head.status.canonical_reason().unwrap_or_default(), fields }
    }

    fn cache_policy(&self, head: &Parts) -> Option<narthex_httpsys::CachePolicy> {
        match CachePolicy::of(head).filter(|_| self.may_cache)? {
            wire::CachePolicy::UntilFlushed => Some(narthex_httpsys::CachePolicy::UntilFlushed),
            wire::CachePolicy::TimeToLive(seconds) => Some(narthex_httpsys::CachePolicy::TimeToLive(seconds)),
        }
    }
}

static NO_INTERIM: AtomicBool = AtomicBool::new(false);

impl Downstream for Stream {
    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.exchange.poll_body(cx).map_err(|failure| match failure {
            BodyFailure::Disconnected => BodyError::Disconnected,
            BodyFailure::TooLarge => BodyError::TooLarge,
        })
    }

    fn take_trailers(&self) -> Option<Bytes> {
        // HTTP.sys does not give any out.
        None
    }

    fn longest_whole(&self) -> usize {
        usize::MAX
    }

    fn inform(&self, _: StatusCode, _: &HeaderMap) -> Result<(), Closed> {
        warn_once(&NO_INTERIM, "interim responses");
        Ok(())
    }

    fn send(&self, head: &Parts, body: Bytes) -> Result<(), Closed> {
        // Of a body that is not sent, to HEAD or with 304, only the app knows the length.
        let tells_length = body.is_empty();
        let raw = self.head(head, |name| !is_framing(name) && (tells_length || name != CONTENT_LENGTH));
        Ok(self.exchange.send(raw, body, self.cache_policy(head))?)
    }

    fn start(&self, head: &Parts, length: BodyLength) -> Result<(), Closed> {
        let length = match length {
            BodyLength::Exact(length) => Length::Exact(length),
            BodyLength::Unknown => Length::Unknown,
        };
        let head = self.head(head, |name| !is_framing(name) && name != CONTENT_LENGTH);
        Ok(self.exchange.start(head, length)?)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<usize, Closed>> {
        self.exchange.poll_ready(cx).map(|ready| Ok(ready.map(|()| usize::MAX)?))
    }

    fn data(&self, bytes: Piece<'_>, end: bool) -> Result<(), Closed> {
        let bytes = match bytes {
            Piece::Slice(bytes) => Bytes::copy_from_slice(bytes),
            Piece::Shared(bytes) => bytes,
        };
        Ok(self.exchange.data(Chunk::Memory(bytes), end)?)
    }

    fn takes_offers(&self) -> bool {
        // Of fragments HTTP.sys has a cache too, which the app does not use.
        cfg!(feature = "files") && self.sends_files
    }

    fn file(&self, part: &FilePart) -> Result<Fate, Closed> {
        let FilePart { ref file, offset, length } = *part;
        self.exchange.data(Chunk::File { file: Arc::clone(file), offset, length }, true)?;
        Ok(Fate::Sent)
    }

    fn trailers(&self, lines: &[u8]) -> Result<(), Closed> {
        Ok(self.exchange.trailers(fields_of(lines))?)
    }

    fn upgrade(&self, head: &Parts) -> Result<(), Closed> {
        Ok(self.exchange.upgrade(self.head(head, |name| name != CONTENT_LENGTH && name != TRANSFER_ENCODING))?)
    }

    fn delegate(&self, delegation: &Delegation) -> Result<(), Closed> {
        let queue = &delegation.queue;
        tracing::error!(queue, "a request cannot be delegated: on HTTP.sys apps have no other queues (docs/windows.md)");
        self.exchange.refuse(503, "Service Unavailable");
        Ok(())
    }

    fn client_has_closed(&self) -> bool {
        self.exchange.client_has_gone()
    }

    fn cancel(&self) {
        self.exchange.cancel();
    }

    fn fail(&self) {
        self.exchange.refuse(500, "Internal Server Error");
    }
}

impl From<narthex_httpsys::Closed> for Closed {
    fn from(_: narthex_httpsys::Closed) -> Self {
        Self
    }
}

/// What says how a message is framed, or concerns the connection: HTTP.sys and the exchange say that.
fn is_framing(name: &HeaderName) -> bool {
    [CONNECTION, TRANSFER_ENCODING, UPGRADE, TE].contains(name) || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}

fn has_option(value: &[u8], option: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|named| named.trim_ascii().eq_ignore_ascii_case(option))
}

/// The fields of lines such as `name: value\r\n`.
fn fields_of(lines: &[u8]) -> Fields {
    let lines = lines.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut fields = Fields::default();
    for line in lines {
        if let Some((name, value)) = memchr::memchr(b':', line).and_then(|colon| line.split_at_checked(colon)) {
            fields.push(name, value.get(1..).unwrap_or_default().trim_ascii());
        }
    }
    fields
}
