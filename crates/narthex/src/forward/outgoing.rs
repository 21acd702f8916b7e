//! The request's body on its way to a server.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::Notify;

use super::fields;
use super::moment::{Moment, now};
use crate::{BodyError, BoxError};

/// How long a server may take to say that it wants a body, where the client wants to know that first. Then it gets the body: it
/// may not know of that (RFC 9110 section 10.1.1).
const DECISION: Duration = Duration::from_secs(1);

/// The body of a request.
#[derive(Default)]
pub(super) struct Outgoing {
    inner: Option<UnsyncBoxBody<Bytes, BoxError>>,
    progress: Arc<Progress>,
    /// Until then nothing is taken of the client.
    gate: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// How far a body is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    last: Moment,
    ended: AtomicBool,
    /// The server would take more, and the client has not sent it yet.
    awaits_client: AtomicBool,
    /// The client has not sent all of it, and perhaps why.
    failed: OnceLock<Option<BodyError>>,
}

impl Progress {
    /// When the server last took a piece.
    pub(super) fn last(&self) -> u64 {
        self.last.get()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// The client is waited for, and not the server.
    pub(super) fn awaits_client(&self) -> bool {
        self.awaits_client.load(Ordering::Relaxed)
    }

    /// The client has not sent all of it.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.get().is_some()
    }

    /// Why the client has not sent all of it, if that is known.
    pub(super) fn failure(&self) -> Option<BodyError> {
        self.failed.get().copied().flatten()
    }
}

impl Outgoing {
    pub(super) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        if body.is_end_stream() {
            return Self::empty();
        }
        Self { inner: Some(body.map_err(Into::into).boxed_unsync()), ..Self::default() }
    }

    pub(super) fn empty() -> Self {
        let empty = Self::default();
        empty.progress.ended.store(true, Ordering::Relaxed);
        empty
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inner.is_none()
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Holds the body back until `wanted`, but not for long.
    pub(super) fn hold_until(&mut self, wanted: Arc<Notify>) {
        self.gate = Some(Box::pin(async move {
            let _ = tokio::time::timeout(DECISION, wanted.notified()).await;
        }));
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        if let Some(gate) = &mut this.gate {
            ready!(gate.as_mut().poll(cx));
            this.gate = None;
        }
        let polled = Pin::new(inner).poll_frame(cx);
        this.progress.awaits_client.store(polled.is_pending(), Ordering::Relaxed);
        let frame = ready!(polled);
        this.progress.last.set(now());
        match &frame {
            None => this.progress.ended.store(true, Ordering::Relaxed),
            Some(Err(error)) => {
                let _ = this.progress.failed.set(BodyError::within(error.as_ref()));
            }
            Some(Ok(_)) if this.inner.as_ref().is_some_and(Body::is_end_stream) => {
                this.progress.ended.store(true, Ordering::Relaxed);
            }
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame.map(|frame| frame.map(fields::without_forbidden_trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
