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
#[cfg(target_os = "linux")]
use crate::reactor::{Key, Reactor};
use crate::transport::Transport;
use crate::worker::Worker;

/// What becomes of an upgraded connection: a future that has it, and with which it ends. It is dropped if the worker ends first. Nothing
/// else may use the connection, and it only while it is polled.
pub type Continuation = Box<dyn FnOnce(Upgraded) -> Pin<Box<dyn Future<Output = ()>>>>;

/// The connection, for the one who goes on with it. Dropped, it is closed.
pub struct Upgraded {
    worker: Rc<Worker>,
    transport: Transport,
    /// What was read before.
    early: Option<Box<BytesMut>>,
    /// What the transport has not taken.
    output: Option<Box<BytesMut>>,
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
        f.debug_struct("Upgraded").field("unsent", &self.output.as_ref().map_or(0, |output| output.len())).finish_non_exhaustive()
    }
}

impl Upgraded {
    pub(crate) fn new(worker: Rc<Worker>, transport: Transport, early: BytesMut) -> Self {
        let early = Some(early).filter(|early| !early.is_empty()).map(Box::new);
        Self { worker, transport, early, output: None }
    }

    /// Moves it to the worker's reactor. `Err`: it stays where it is, since it has TLS, or is closed, since the system watches no more.
    #[cfg(target_os = "linux")]
    pub(crate) fn rest_in(mut self, worker: &Worker) -> Result<(Self, Rc<Reactor>, Key), Self> {
        let Some(reactor) = self.transport.is_tcp().then(|| worker.reactor()).flatten() else { return Err(self) };
        match reactor.watch(&mut self.transport) {
            Ok(key) => Ok((self, reactor, key)),
            Err(error) => {
                tracing::warn!(%error, "an upgraded connection is lost");
                Err(self)
            }
        }
    }

    /// Hands over what has come, in the worker's own buffer. `None`: the client sends nothing more, or the connection is broken.
    pub fn poll_receive<R>(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&mut [u8]) -> R) -> Poll<Option<R>> {
        if !self.may_have_more() {
            return Poll::Pending;
        }
        if let Some(mut early) = self.early.take() {
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

    /// Whether [`poll_receive`](Self::poll_receive) can have something. If not, it need not be asked for its task to be woken.
    #[inline]
    #[must_use]
    pub fn may_have_more(&self) -> bool {
        self.early.is_some() || self.transport.may_have_more()
    }

    /// Sends bytes, now as far as possible. Who sends much waits for [`poll_flush`](Self::poll_flush) first.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn send(&mut self, cx: &mut Context<'_>, piece: &Piece<'_>) -> io::Result<()> {
        let mut bytes = piece.as_slice();
        while self.output.is_none() && !bytes.is_empty() {
            match self.transport.poll_write(cx, bytes) {
                Poll::Ready(Ok(written)) => bytes = bytes.get(written..).unwrap_or_default(),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        if !bytes.is_empty() {
            self.output.get_or_insert_default().extend_from_slice(bytes);
        }
        if self.transport.keeps_some()
            && let Poll::Ready(Err(error)) = self.transport.poll_flush(cx)
        {
            return Err(error);
        }
        Ok(())
    }

    /// Whether the transport has everything.
    #[inline]
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.output.is_none() && !self.transport.keeps_some()
    }

    /// Ready when the transport has everything.
    ///
    /// # Errors
    /// If the connection is broken.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_flushed() { Poll::Ready(Ok(())) } else { self.poll_flush_rest(cx) }
    }

    fn poll_flush_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(output) = &mut self.output {
            let written = ready!(self.transport.poll_write(cx, output))?;
            output.advance(written);
            if output.is_empty() {
                // A connection that rests holds no memory for it.
                self.output = None;
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
        self.output = None;
    }
}
