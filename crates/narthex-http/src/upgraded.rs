//! A connection that speaks something else than HTTP from now on, such as WebSocket, and has left the engine: what it needs to rest
//! for hours is a fraction of what a request needs.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};

use crate::piece::Piece;
use crate::transport::Transport;
use crate::worker::Worker;

/// What becomes of an upgraded connection: a future that has it, and with which it ends. It is dropped if the worker ends first.
pub type Continuation = Box<dyn FnOnce(Upgraded) -> Pin<Box<dyn Future<Output = ()>>>>;

/// The connection, for the one who goes on with it. Dropped, it is closed.
pub struct Upgraded {
    worker: Rc<Worker>,
    transport: Transport,
    /// What was read before.
    early: BytesMut,
    /// What the transport has not taken.
    output: BytesMut,
}

/// How the worker ends it.
#[derive(Debug)]
pub(crate) struct Switch {
    killed: Cell<bool>,
    waker: RefCell<Waker>,
}

impl Default for Switch {
    fn default() -> Self {
        Self { killed: Cell::new(false), waker: RefCell::new(Waker::noop().clone()) }
    }
}

impl Switch {
    pub(crate) fn kill(&self) {
        self.killed.set(true);
        self.waker.borrow().wake_by_ref();
    }

    /// Runs what has the connection, until it ends or the worker ends it.
    pub(crate) async fn run(&self, mut rest: Pin<Box<dyn Future<Output = ()>>>) {
        poll_fn(|cx| {
            if self.killed.get() {
                return Poll::Ready(());
            }
            if !self.waker.borrow().will_wake(cx.waker()) {
                *self.waker.borrow_mut() = cx.waker().clone();
            }
            rest.as_mut().poll(cx)
        })
        .await;
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").field("unsent", &self.output.len()).finish_non_exhaustive()
    }
}

impl Upgraded {
    pub(crate) fn new(worker: Rc<Worker>, transport: Transport, early: BytesMut) -> Self {
        Self { worker, transport, early, output: BytesMut::new() }
    }

    /// Hands over what has come, in the worker's own buffer. `None`: the client sends nothing more, or the connection is broken.
    pub fn poll_receive<R>(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&mut [u8]) -> R) -> Poll<Option<R>> {
        if !self.early.is_empty() {
            let mut early = std::mem::take(&mut self.early);
            return Poll::Ready(Some(take(&mut early)));
        }
        let mut buffer = self.worker.take_read_buffer();
        let read = self.transport.poll_read(cx, &mut buffer);
        let polled = read.map(|read| match read {
            Ok(length @ 1..) => buffer.get_mut(..length).map(take),
            Ok(0) | Err(_) => None,
        });
        self.worker.return_read_buffer(buffer);
        polled
    }

    /// Sends bytes, now as far as possible. Who sends much waits for [`poll_flush`](Self::poll_flush) first.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn send(&mut self, cx: &mut Context<'_>, piece: &Piece<'_>) -> io::Result<()> {
        let mut bytes = piece.as_slice();
        while self.output.is_empty() && !bytes.is_empty() {
            match self.transport.poll_write(cx, bytes) {
                Poll::Ready(Ok(written)) => bytes = bytes.get(written..).unwrap_or_default(),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        self.output.extend_from_slice(bytes);
        if self.transport.keeps_some()
            && let Poll::Ready(Err(error)) = self.transport.poll_flush(cx)
        {
            return Err(error);
        }
        Ok(())
    }

    /// Ready when the transport has everything.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(self.transport.poll_write(cx, &self.output))?;
            self.output.advance(written);
            if self.output.is_empty() {
                // A connection that rests holds no memory for it.
                self.output = BytesMut::new();
            }
        }
        if self.transport.keeps_some() {
            ready!(self.transport.poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Closes this direction once everything is sent. Ready when that is done; nothing is to be sent after.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        self.transport.poll_shutdown(cx)
    }

    /// Breaks the connection off: the client sees a reset when this is dropped.
    pub fn reset(&mut self) {
        self.transport.reset_on_close();
        self.output.clear();
    }
}
