//! The body of a response, from a server or of one's own.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::fields;
use super::outgoing::Progress;
use super::pool::Lease;
use super::server::{InFlight, Server};
use crate::BoxError;

/// The body of a forwarded response, streamed from the server as the client takes it; or one that a hook has made.
///
/// If the server breaks off, or stops for longer than
/// [`body_timeout`](super::Upstream::body_timeout), this is an error, and the client's response is broken off too.
pub struct ResponseBody(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Streamed(Box<Streamed>),
    Other(UnsyncBoxBody<Bytes, BoxError>),
}

/// A body that comes from a server.
pub(super) struct Streamed {
    pub(super) incoming: Incoming,
    /// There is no body, but the response says what there would be, and does not know its length: an answer to HEAD.
    pub(super) of_unknown_length: bool,
    /// Until the body has ended.
    pub(super) lease: Option<Lease>,
    pub(super) server: Arc<Server>,
    pub(super) in_flight: Option<InFlight>,
    /// Of the request's body: a connection on which that is still on its way is not used again.
    pub(super) progress: Arc<Progress>,
    pub(super) limit: Duration,
    pub(super) most_idle: usize,
    /// Runs while the server is waited for.
    pub(super) timer: Option<Pin<Box<Sleep>>>,
    pub(super) waiting: bool,
}

/// A server has stopped in the middle of a response.
#[derive(Debug, thiserror::Error)]
#[error("the server has sent nothing of the response's body for {0:?}")]
struct Stopped(Duration);

impl Streamed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting = false;
                if self.incoming.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(fields::without_forbidden_trailers(frame))))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(self.fail(error.into())))),
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let limit = self.limit;
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
                if !std::mem::replace(&mut self.waiting, true) {
                    timer.as_mut().reset(Instant::now() + limit);
                }
                match timer.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(self.fail(Stopped(limit).into())))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn end(&mut self) {
        self.in_flight = None;
        if let Some(lease) = self.lease.take()
            && self.progress.has_ended()
        {
            lease.done(self.most_idle);
        }
    }

    fn fail(&mut self, error: BoxError) -> BoxError {
        let server = &self.server;
        if self.progress.has_failed() {
            tracing::debug!(server = %server.address, "a response was broken off, as its request was by the client: {error}");
        } else {
            server.failed();
            tracing::warn!(server = %server.address, "a response was broken off: {error}");
        }
        self.in_flight = None;
        self.lease = None;
        error
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if self.incoming.is_end_stream() {
            self.end();
        }
    }
}

impl ResponseBody {
    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Whole(None))
    }

    /// Any body, for hooks.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self(Kind::Other(body.map_err(Into::into).boxed_unsync()))
    }

    pub(super) fn streamed(streamed: Streamed) -> Self {
        Self(Kind::Streamed(Box::new(streamed)))
    }
}

impl<T: Into<Bytes>> From<T> for ResponseBody {
    fn from(bytes: T) -> Self {
        Self(Kind::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("size", &self.size_hint()).finish_non_exhaustive()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Streamed(streamed) => streamed.poll(cx),
            Kind::Other(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Streamed(streamed) => streamed.incoming.is_end_stream(),
            Kind::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Streamed(streamed) if streamed.of_unknown_length => SizeHint::default(),
            Kind::Streamed(streamed) => streamed.incoming.size_hint(),
            Kind::Other(body) => body.size_hint(),
        }
    }
}
