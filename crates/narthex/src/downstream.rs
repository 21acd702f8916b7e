//! The client's end of one request, as the code that calls the app sees it. The two of them are an exchange of the app's
//! own HTTP engine and a stream of the wire protocol to the host.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use narthex_http::{BodyLength, Exchange, ExchangeClosed, Piece, Reason};

use crate::body::BodyError;
use crate::delegation::Delegation;
use crate::hub::Session;
use crate::offer::{FilePart, Part};

/// One request's client. Calls after its end fail with [`Closed`] and do nothing.
pub(crate) trait Downstream: 'static {
    /// The next piece of the request body, or of the client's bytes after [`upgrade`](Self::upgrade).
    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>>;
    /// The trailer lines, once `poll_body` has returned `None`.
    fn take_trailers(&self) -> Option<Bytes>;
    /// The longest body that [`send`](Self::send) takes.
    fn longest_whole(&self) -> usize;
    /// Sends an interim response.
    fn inform(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), Closed>;
    /// Sends a whole response.
    fn send(&self, head: &Parts, body: Bytes) -> Result<(), Closed>;
    /// Sends a head whose body follows.
    fn start(&self, head: &Parts, length: BodyLength) -> Result<(), Closed>;
    /// How much [`data`](Self::data) may be given now; never 0.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<usize, Closed>>;
    /// Sends body or tunnel bytes, and with `end` the end of this direction.
    fn data(&self, bytes: Piece<'_>, end: bool) -> Result<(), Closed>;
    /// Whether there is a point in what bodies offer.
    fn takes_offers(&self) -> bool;
    /// Sends a part of a fragment as [`data`](Self::data). `false`: it cannot be had. Otherwise
    /// [`poll_fragment`](Self::poll_fragment) says whether it was sent, and nothing else is to be sent before.
    fn fragment(&self, _: &Part) -> Result<bool, Closed> {
        Ok(false)
    }
    /// Whether the part was sent.
    fn poll_fragment(&self) -> Poll<bool> {
        Poll::Ready(false)
    }
    /// Sends a part of a file as all of a body whose length was announced.
    fn file(&self, part: &FilePart) -> Result<Fate, Closed>;
    /// Whether the file that was [asked](Fate::Asked) about is sent. If so, the response is complete.
    fn poll_file(&self) -> Poll<bool> {
        Poll::Ready(false)
    }
    /// Ends the body with trailer lines.
    fn trailers(&self, lines: &[u8]) -> Result<(), Closed>;
    /// Accepts the upgrade that the client asked for.
    fn upgrade(&self, head: &Parts) -> Result<(), Closed>;
    /// Accepts the upgrade, and leaves the connection to the session. Gives it back where connections have to stay what they are.
    fn hand_over(&self, _: &Parts, session: Box<Session>) -> Result<Option<Box<Session>>, Closed> {
        Ok(Some(session))
    }
    /// Leaves the answer to another request queue.
    fn delegate(&self, delegation: &Delegation) -> Result<(), Closed>;
    /// Whether the client sends no more, and may have gone. The call is polled when that comes to pass.
    fn client_has_closed(&self) -> bool;
    /// Breaks the client's connection off.
    fn cancel(&self);
    /// The app failed: 500, or a broken connection if the response was begun.
    fn fail(&self);
}

/// What becomes of what a body offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The bytes have to be sent.
    Refused,
    /// The response is complete.
    Sent,
    /// [`poll_file`](Downstream::poll_file) will tell.
    Asked,
}

/// The client is gone, or its response is complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed;

impl From<ExchangeClosed> for Closed {
    fn from(_: ExchangeClosed) -> Self {
        Self
    }
}

impl Downstream for Exchange {
    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.poll_body(cx).map_err(|reason| match reason {
            Reason::EntityTooLarge => BodyError::TooLarge,
            Reason::TimerEntityBody => BodyError::TimedOut,
            Reason::BadRequest | Reason::Number | Reason::InvalidCrLf | Reason::Header | Reason::RequestLength => {
                BodyError::Malformed
            }
            _ => BodyError::Disconnected,
        })
    }

    fn take_trailers(&self) -> Option<Bytes> {
        self.take_trailers()
    }

    fn longest_whole(&self) -> usize {
        usize::MAX
    }

    fn inform(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), Closed> {
        let fields = headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        Ok(self.inform(status.as_u16(), fields)?)
    }

    fn send(&self, head: &Parts, body: Bytes) -> Result<(), Closed> {
        Ok(self.send(head.status.as_u16(), fields(head), Piece::Shared(body))?)
    }

    fn start(&self, head: &Parts, length: BodyLength) -> Result<(), Closed> {
        Ok(self.start(head.status.as_u16(), fields(head), length)?)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<usize, Closed>> {
        self.poll_ready(cx).map(|ready| Ok(ready.map(|()| usize::MAX)?))
    }

    fn data(&self, bytes: Piece<'_>, end: bool) -> Result<(), Closed> {
        Ok(self.data(bytes, end)?)
    }

    fn takes_offers(&self) -> bool {
        // There is no host that could have fragments.
        cfg!(feature = "files")
    }

    fn file(&self, part: &FilePart) -> Result<Fate, Closed> {
        self.file(Arc::clone(&part.file), part.offset, part.length)?;
        Ok(Fate::Sent)
    }

    fn trailers(&self, lines: &[u8]) -> Result<(), Closed> {
        Ok(self.trailers(lines)?)
    }

    fn upgrade(&self, head: &Parts) -> Result<(), Closed> {
        Ok(self.upgrade(fields(head))?)
    }

    fn hand_over(&self, head: &Parts, session: Box<Session>) -> Result<Option<Box<Session>>, Closed> {
        if !self.may_hand_over() {
            return Ok(Some(session));
        }
        self.hand_over(fields(head), session.on_its_own())?;
        Ok(None)
    }

    fn delegate(&self, delegation: &Delegation) -> Result<(), Closed> {
        let queue = &delegation.queue;
        tracing::error!(
            queue,
            "a request cannot be delegated: only a host has other queues, and this app has a listener of its own"
        );
        self.refuse(Reason::NotAvailable);
        Ok(())
    }

    fn client_has_closed(&self) -> bool {
        self.client_has_closed()
    }

    fn cancel(&self) {
        self.reset(Reason::RequestCancelled);
    }

    fn fail(&self) {
        self.refuse(Reason::Internal);
    }
}

/// Header fields as lines.
pub(crate) fn lines(headers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in headers {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

/// The header fields as bytes.
pub(crate) fn fields(head: &Parts) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
}
