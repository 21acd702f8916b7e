//! One stream of a protocol: what differs between HTTP/2 and HTTP/3.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::reason::Reason;

/// How a stream is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server failed.
    Internal,
    /// It does not want the rest, or its app took the answer back.
    Cancel,
    /// The request was not processed: it can be sent again.
    Refused,
}

/// The stream beneath an exchange.
pub(crate) enum Carrier {
    Http2(crate::h2::Carrier),
    Http3(Box<crate::h3::Carrier>),
    /// The stream is over, whichever way.
    Gone,
}

impl Carrier {
    /// Whether more can be sent now.
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        match self {
            Self::Http2(_) => Poll::Ready(Ok(())),
            Self::Http3(stream) => stream.poll_idle(cx),
            Self::Gone => Poll::Ready(Err(Reason::ConnectionDropped)),
        }
    }

    /// How much of `want` bytes, at least one, the client has room for.
    pub(crate) fn poll_capacity(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<Result<usize, Reason>> {
        match self {
            Self::Http2(stream) => stream.poll_capacity(cx, want),
            // Its sending half waits for room by itself.
            Self::Http3(_) => Poll::Ready(Ok(want)),
            Self::Gone => Poll::Ready(Err(Reason::ConnectionDropped)),
        }
    }

    /// Sends an interim response.
    pub(crate) fn send_interim(&mut self, head: Response<()>) -> Result<(), Reason> {
        match self {
            Self::Http2(stream) => stream.send_interim(head),
            Self::Http3(stream) => stream.send_head(head, false),
            Self::Gone => Err(Reason::ConnectionDropped),
        }
    }

    pub(crate) fn send_head(&mut self, head: Response<()>, end: bool) -> Result<(), Reason> {
        match self {
            Self::Http2(stream) => stream.send_head(head, end),
            Self::Http3(stream) => stream.send_head(head, end),
            Self::Gone => Err(Reason::ConnectionDropped),
        }
    }

    pub(crate) fn send_data(&mut self, bytes: Bytes, end: bool) -> Result<(), Reason> {
        match self {
            Self::Http2(stream) => stream.send_data(bytes, end),
            Self::Http3(stream) => stream.send_data(bytes, end),
            Self::Gone => Err(Reason::ConnectionDropped),
        }
    }

    /// Ends the response with trailers.
    pub(crate) fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Reason> {
        match self {
            Self::Http2(stream) => stream.send_trailers(trailers),
            Self::Http3(stream) => stream.send_trailers(trailers),
            Self::Gone => Err(Reason::ConnectionDropped),
        }
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Reason>>> {
        match self {
            Self::Http2(stream) => stream.poll_data(cx),
            Self::Http3(stream) => stream.poll_data(cx),
            Self::Gone => Poll::Ready(Some(Err(Reason::ConnectionDropped))),
        }
    }

    /// The request's trailers, once [`poll_data`](Self::poll_data) has returned `None`.
    pub(crate) fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Reason>> {
        match self {
            Self::Http2(stream) => stream.poll_trailers(cx),
            Self::Http3(stream) => stream.poll_trailers(cx),
            Self::Gone => Poll::Ready(Err(Reason::ConnectionDropped)),
        }
    }

    /// Ready when the client has reset the stream, or the connection is gone.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        match self {
            Self::Http2(stream) => stream.poll_reset(cx),
            Self::Http3(stream) => stream.poll_reset(cx),
            Self::Gone => Poll::Ready(Reason::ConnectionDropped),
        }
    }

    /// Breaks the stream off.
    pub(crate) fn reset(&mut self, fault: Fault) {
        match self {
            Self::Http2(stream) => stream.reset(fault),
            Self::Http3(stream) => stream.reset(fault),
            Self::Gone => {}
        }
        *self = Self::Gone;
    }
}
