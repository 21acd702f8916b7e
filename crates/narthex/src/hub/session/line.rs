//! The client's end of a session: a socket of its own, or an exchange that has become a tunnel.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use narthex_http::{Piece, Upgraded};

use crate::downstream::{Closed, Downstream};

pub(super) trait Line {
    /// Hands over what has come. `None`: nothing more will.
    fn poll_receive<R>(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&mut [u8]) -> R) -> Poll<Option<R>>;
    /// Whether there can be more to receive. If not, the session is polled when there is, without having asked.
    fn may_have_more(&self) -> bool {
        true
    }
    /// How much may be sent now; never 0.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Closed>>;
    fn send(&mut self, cx: &mut Context<'_>, bytes: Piece<'_>) -> Result<(), Closed>;
    /// Whether all that was sent is known to be with the transport, without [`poll_ready`](Self::poll_ready).
    fn is_flushed(&self) -> bool {
        false
    }
    /// Closes this direction. Not to be asked again when it is done.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>>;
    /// Breaks it off.
    fn cancel(&mut self);
}

/// An exchange, or a stream of a host, that has become a tunnel.
pub(super) struct Tunnel<'d, D>(pub(super) &'d D);

impl<D: Downstream> Line for Tunnel<'_, D> {
    fn poll_receive<R>(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&mut [u8]) -> R) -> Poll<Option<R>> {
        self.0.poll_body(cx).map(|read| match read {
            Some(Ok(bytes)) => Some(take(&mut BytesMut::from(bytes))),
            Some(Err(_)) | None => None,
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Closed>> {
        self.0.poll_ready(cx)
    }

    fn send(&mut self, _: &mut Context<'_>, bytes: Piece<'_>) -> Result<(), Closed> {
        self.0.data(bytes, false)
    }

    fn poll_end(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(self.0.data(Piece::EMPTY, true))
    }

    fn cancel(&mut self) {
        self.0.cancel();
    }
}

impl Line for Upgraded {
    fn poll_receive<R>(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&mut [u8]) -> R) -> Poll<Option<R>> {
        self.poll_receive(cx, take)
    }

    fn may_have_more(&self) -> bool {
        self.may_have_more()
    }

    fn is_flushed(&self) -> bool {
        self.is_flushed()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Closed>> {
        ready!(self.poll_flush(cx)).map_err(closed)?;
        Poll::Ready(Ok(usize::MAX))
    }

    fn send(&mut self, cx: &mut Context<'_>, bytes: Piece<'_>) -> Result<(), Closed> {
        self.send(cx, &bytes).map_err(closed)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.poll_end(cx).map_err(closed)
    }

    fn cancel(&mut self) {
        self.reset();
    }
}

fn closed(_: io::Error) -> Closed {
    Closed
}
