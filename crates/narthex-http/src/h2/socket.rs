//! The transport as the `h2` crate reads and writes it, with the meter between.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::h2::meter::Meter;
use crate::transport::Transport;

pub(super) struct Socket {
    transport: Transport,
    /// What was read before it was known that this is HTTP/2.
    early: BytesMut,
    meter: Rc<RefCell<Meter>>,
}

impl Socket {
    pub(super) fn new(transport: Transport, early: BytesMut, meter: Rc<RefCell<Meter>>) -> Self {
        Self { transport, early, meter }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if this.early.is_empty() {
            let read = ready!(this.transport.poll_read(cx, buffer.initialize_unfilled()))?;
            buffer.advance(read);
        } else {
            let take = this.early.len().min(buffer.remaining());
            buffer.put_slice(this.early.get(..take).unwrap_or_default());
            this.early.advance(take);
        }
        let mut meter = this.meter.borrow_mut();
        meter.received(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.transport.poll_write(cx, bytes))?;
        self.meter.borrow_mut().sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = ready!(self.transport.poll_write_vectored(cx, slices))?;
        self.meter.borrow_mut().sent(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_shutdown(cx)
    }
}
