//! The transport as the `h2` crate reads and writes it, with the meter between.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::h2::meter::Meter;
use crate::transport::Transport;

/// After the last frame the client gets this long to stop sending: a socket that is closed with bytes unread would destroy what
/// is on its way, GOAWAY and its reason too.
const LINGER: Duration = Duration::from_secs(2);
/// One read of what nobody wants any more.
const DISCARD: usize = 4 * 1024;

pub(super) struct Socket {
    transport: Transport,
    /// What was read before it was known that this is HTTP/2.
    early: BytesMut,
    meter: Rc<RefCell<Meter>>,
    /// Runs when everything is written.
    linger: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(transport: Transport, early: BytesMut, meter: Rc<RefCell<Meter>>) -> Self {
        Self { transport, early, meter, linger: None }
    }

    /// Reads and discards until the client has closed, or has had its time.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let over = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut discarded = [0; DISCARD];
        while let Ok(1..) = ready!(self.transport.poll_read(cx, &mut discarded)) {}
        Poll::Ready(())
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
        let passed = this.meter.borrow_mut().received(buffer.filled().get(before..).unwrap_or_default());
        if passed == 0 && buffer.filled().len() > before {
            // What begins with a frame that ends the connection is not shown to the `h2` crate, and nothing after it is read.
            buffer.set_filled(before);
            return Poll::Pending;
        }
        buffer.set_filled(before + passed);
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
        if self.linger.is_none() {
            ready!(self.transport.poll_shutdown(cx))?;
        }
        self.poll_linger(cx).map(Ok)
    }
}
