//! The transport as the `h2` crate reads and writes it, with the meter between.
//!
//! The crate flushes after every request that it has given out and after every large frame. While the connection's task runs, what it
//! writes is gathered instead: all that a turn has to say leaves in one write, and in few TLS records.

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
/// Frames are copied together up to the size of a TLS record.
const GATHER: usize = 16 * 1024;

pub(super) struct Socket {
    wire: Rc<Wire>,
    /// What was read before it was known that this is HTTP/2.
    early: BytesMut,
    meter: Rc<RefCell<Meter>>,
    /// Runs when everything is written.
    linger: Option<Pin<Box<Sleep>>>,
}

/// What the `h2` crate and the connection's task share.
pub(super) struct Wire(RefCell<Outgoing>);

struct Outgoing {
    transport: Transport,
    gathered: BytesMut,
    /// The connection's task runs, and will flush when it has done what there is to do.
    held: bool,
}

impl Wire {
    pub(super) fn new(transport: Transport) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Outgoing { transport, gathered: BytesMut::new(), held: false })))
    }

    /// Gathers what is written from now on.
    pub(super) fn hold(&self) {
        self.0.borrow_mut().held = true;
    }

    /// Writes what was gathered. If the client takes it only later, the next turn goes on with it.
    pub(super) fn poll_release(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outgoing = self.0.borrow_mut();
        outgoing.held = false;
        outgoing.poll_flush(cx)
    }
}

impl Outgoing {
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if !self.held {
            ready!(self.poll_pass_on(cx))?;
            return self.transport.poll_write_vectored(cx, slices);
        }
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.gathered.len() + length > GATHER {
            ready!(self.poll_pass_on(cx))?;
        }
        if length >= GATHER {
            return self.transport.poll_put(cx, slices);
        }
        slices.iter().for_each(|slice| self.gathered.extend_from_slice(slice));
        Poll::Ready(Ok(length))
    }

    /// The transport has it, and may keep it for a while.
    fn poll_pass_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let written = ready!(self.transport.poll_put(cx, &[IoSlice::new(&self.gathered)]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pass_on(cx))?;
        self.transport.poll_flush(cx)
    }
}

impl Socket {
    pub(super) fn new(wire: Rc<Wire>, early: BytesMut, meter: Rc<RefCell<Meter>>) -> Self {
        Self { wire, early, meter, linger: None }
    }

    fn poll_write_slices(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = ready!(self.wire.0.borrow_mut().poll_write(cx, slices))?;
        self.meter.borrow_mut().sent(written);
        Poll::Ready(Ok(written))
    }

    /// Reads and discards until the client has closed, or has had its time.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let over = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut discarded = [0; DISCARD];
        while let Ok(1..) = ready!(self.wire.0.borrow_mut().transport.poll_read(cx, &mut discarded)) {}
        Poll::Ready(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if this.early.is_empty() {
            ready!(this.wire.0.borrow_mut().transport.poll_read_buf(cx, buffer))?;
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
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outgoing = self.wire.0.borrow_mut();
        if outgoing.held { Poll::Ready(Ok(())) } else { outgoing.poll_flush(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let mut outgoing = self.wire.0.borrow_mut();
            ready!(outgoing.poll_pass_on(cx))?;
            ready!(outgoing.transport.poll_shutdown(cx))?;
        }
        self.poll_linger(cx).map(Ok)
    }
}
