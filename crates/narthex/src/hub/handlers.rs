//! What an app does when something happens.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use narthex_ws::ProtocolError;
use pin_project_lite::pin_project;
use thread_local::ThreadLocal;

use super::broadcast::Reached;
use super::connect::{Connect, Refusal};
use super::message::Fragment;
use super::outbox::Sent;
use super::peer::Peer;
use crate::BoxError;

/// What a handler's future may give: nothing, what sending gives, or a result whose error goes to
/// [`Hub::on_error`](super::Hub::on_error).
pub trait Outcome {
    /// # Errors
    /// If the handler has failed.
    fn into_result(self) -> Result<(), BoxError>;
}

impl Outcome for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Outcome for Reached {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Outcome for Sent {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Outcome for bool {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<T: Outcome, E: Into<BoxError>> Outcome for Result<T, E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into).and_then(T::into_result)
    }
}

/// Something went wrong on a connection. Others are not touched by it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The peer broke the protocol or a limit. It is told so, and the connection ends.
    #[error("the client broke the WebSocket protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// A handler gave an error. The connection goes on.
    #[error("a handler failed: {0}")]
    Handler(BoxError),
    /// A handler panicked. The connection is closed with 1011.
    #[error("a handler panicked: {0}")]
    Panicked(String),
    /// No pong and nothing else came in time. The connection is cut.
    #[error("the client did not answer a ping in time")]
    PongTimeout,
    /// The peer did not read in time. The connection is cut.
    #[error("the client did not read in time")]
    WriteTimeout,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnected {
    /// The close code: the peer's if it has closed, else the server's. 1005: it gave none; 1006: the connection was cut or lost.
    pub code: u16,
    /// The reason that goes with it; may be empty.
    pub reason: String,
    /// The client has begun it, or has gone.
    pub by_client: bool,
}

impl Disconnected {
    /// Whether both sides have closed in order.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.code != 1006
    }
}

/// What is to be done when a ping is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beat {
    /// A ping is sent, and has to be answered in time.
    #[default]
    Ping,
    /// None is sent: the app has sent something of its own, or does not want one now.
    Skip,
}

pub(super) type Running = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
/// How far a handler has come at once.
pub(super) enum Started {
    Done(Result<(), BoxError>),
    /// It was polled.
    Running(Running),
}

impl Started {
    pub(super) fn now(mut running: Running, cx: &mut Context<'_>) -> Self {
        match running.as_mut().poll(cx) {
            Poll::Ready(result) => Self::Done(result),
            Poll::Pending => Self::Running(running),
        }
    }
}

pub(super) type Connecting = Pin<Box<dyn Future<Output = Result<Connect, Refusal>> + Send>>;
type Beating = Box<dyn Fn(&Peer) -> Beat + Send + Sync>;
type Moving = Box<dyn Fn(&Peer, &str) + Send + Sync>;
type Handler<A> = Box<dyn Fn(Peer, A, &mut Context<'_>) -> Started + Send + Sync>;
type ConnectHandler = Box<dyn Fn(Connect) -> Connecting + Send + Sync>;

/// A handler that is set once. What is asked for it before it is set does as if it never were.
pub(super) struct Slot<T>(OnceLock<T>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "set" } else { "unset" })
    }
}

impl<T> Slot<T> {
    pub(super) fn get(&self) -> Option<&T> {
        self.0.get()
    }

    #[track_caller]
    pub(super) fn set(&self, name: &str, handler: T) {
        assert!(self.0.set(handler).is_ok(), "{name} has a handler already: set it once, and decide inside it");
    }
}

#[derive(Debug, Default)]
pub(super) struct Handlers {
    pub(super) connect: Slot<ConnectHandler>,
    pub(super) open: Slot<Handler<()>>,
    pub(super) message: Slot<Handler<String>>,
    pub(super) binary: Slot<Handler<Bytes>>,
    pub(super) fragment: Slot<Handler<Fragment>>,
    pub(super) ping: Slot<Handler<Bytes>>,
    pub(super) pong: Slot<Handler<Bytes>>,
    pub(super) error: Slot<Handler<PeerError>>,
    pub(super) disconnect: Slot<Handler<Disconnected>>,
    pub(super) heartbeat: Slot<Beating>,
    pub(super) joined: Slot<Moving>,
    pub(super) left: Slot<Moving>,
}

pin_project! {
    /// Where the future of a handler is while it runs. Most run through at once, so that each thread keeps one place for the next.
    struct Place<Fut> {
        #[pin]
        future: Option<Fut>,
    }
}

impl<Fut: Future<Output: Outcome>> Future for Place<Fut> {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut future = self.project().future;
        let Some(running) = future.as_mut().as_pin_mut() else { return Poll::Ready(Ok(())) };
        let outcome = ready!(running.poll(cx));
        future.set(None);
        Poll::Ready(outcome.into_result())
    }
}

/// A thread's place for the next future.
type Spare<Fut> = Option<Pin<Box<Place<Fut>>>>;

/// Erases what a handler is.
pub(super) fn boxed<A, F, Fut>(handler: F) -> Handler<A>
where
    A: 'static,
    F: Fn(Peer, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    let spares = ThreadLocal::<Cell<Spare<Fut>>>::new();
    Box::new(move |peer, argument, cx| {
        let future = handler(peer, argument);
        let spare = spares.get_or_default();
        let mut place = spare.take().unwrap_or_else(|| Box::pin(Place { future: None }));
        place.as_mut().project().future.set(Some(future));
        match place.as_mut().poll(cx) {
            Poll::Ready(result) => {
                spare.set(Some(place));
                Started::Done(result)
            }
            Poll::Pending => Started::Running(place),
        }
    })
}
