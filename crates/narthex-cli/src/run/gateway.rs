//! The app of the host that a program is: each request goes to one of its processes, and to another one if that has died before
//! it could do anything.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use narthex::forward::{Forward, ForwardError, ResponseBody};
use narthex::{Body, BodyError, BoxError};
use tokio::time::Instant;
use tower_service::Service;

use super::fleet::{Fleet, Ticket};
use crate::prefix;

/// How often a request is sent in all. A program that dies of a request must not die of it for ever.
const ATTEMPTS: usize = 4;
/// When it may be worth to ask again for a program that is not there.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A program as a service.
#[derive(Clone)]
pub(super) struct Gateway {
    program: Arc<str>,
    fleet: Arc<Fleet>,
    forward: Forward,
    keep_prefix: bool,
}

impl Gateway {
    pub(super) fn new(program: &str, fleet: Arc<Fleet>, keep_prefix: bool) -> Self {
        let forward = Forward::new().after(|_, outcome| async move {
            outcome.unwrap_or_else(|error| {
                let mut response = error.response();
                response.extensions_mut().insert(Failure(Arc::new(error)));
                response
            })
        });
        Self { program: program.into(), fleet, forward, keep_prefix }
    }

    async fn answer(self, request: Request<Body>) -> Response<Answer> {
        let (mut parts, body) = request.into_parts();
        if self.keep_prefix {
            prefix::put_back(&mut parts);
        } else if let Some(inside) = prefix::inside(&parts) {
            return prefix::moved(&inside).map(|body| Answer { body, _ticket: None });
        }
        let body = Lent::new(body);
        let deadline = self.fleet.deadline();
        let mut avoid = None;
        for attempt in 1.. {
            let ticket = match self.fleet.admit(avoid, deadline).await {
                Ok(ticket) => ticket,
                Err(refused) => {
                    tracing::warn!(program = %self.program, method = %parts.method, "a request is answered 503: {refused}");
                    return unavailable();
                }
            };
            let mut request = Request::from_parts(parts.clone(), body.lend());
            request.extensions_mut().insert(ticket.instance.upstream.clone());
            let mut forward = self.forward.clone();
            let Ok(mut response) = forward.call(request).await;
            let Some(Failure(error)) = response.extensions_mut().remove() else {
                // What was upgraded is no request any more.
                let ticket = (response.status() != StatusCode::SWITCHING_PROTOCOLS).then_some(ticket);
                return response.map(|body| Answer { body, _ticket: ticket });
            };
            let again = attempt < ATTEMPTS && is_harmless(&error, &parts.method, body.was_empty) && body.is_back();
            if !again || Instant::now() >= deadline {
                if error.status().is_server_error() {
                    tracing::warn!(program = %self.program, method = %parts.method, "a request has failed: {error}");
                }
                return response.map(|body| Answer { body, _ticket: None });
            }
            avoid = Some(ticket.instance.id);
        }
        unavailable()
    }
}

impl Service<Request<Body>> for Gateway {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.answer(request).await) })
    }
}

/// Why there is no answer from the process.
#[derive(Clone)]
struct Failure(Arc<ForwardError>);

/// Whether a request may be sent again: nothing has arrived, or the same twice is as once (RFC 9110 section 9.2.2).
fn is_harmless(error: &ForwardError, method: &Method, bodiless: bool) -> bool {
    match error {
        // `Forward` itself has judged the attempts before this one.
        ForwardError::Unreachable { .. } | ForwardError::ConnectTimeout { .. } | ForwardError::Unavailable { .. } => true,
        ForwardError::BadResponse { .. } => bodiless && method.is_idempotent(),
        _ => false,
    }
}

/// As whatever is forwarded is answered when there is nobody to forward it to.
fn unavailable() -> Response<Answer> {
    let error = ForwardError::Unavailable { retry_after: RETRY_AFTER };
    error.response().map(|body| Answer { body, _ticket: None })
}

/// A response's body. Its request has ended when it goes.
pub(super) struct Answer {
    body: ResponseBody,
    _ticket: Option<Ticket>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body that comes back if nobody has read of it.
struct Lent {
    was_empty: bool,
    home: Arc<Mutex<Option<Body>>>,
}

impl Lent {
    fn new(body: Body) -> Self {
        Self { was_empty: body.is_end_stream(), home: Arc::new(Mutex::new(Some(body))) }
    }

    fn lend(&self) -> Loan {
        let body = self.home.lock().unwrap_or_else(PoisonError::into_inner).take();
        Loan { body: body.unwrap_or_else(Body::empty), untouched: true, home: Arc::clone(&self.home) }
    }

    fn is_back(&self) -> bool {
        self.was_empty || self.home.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

struct Loan {
    body: Body,
    untouched: bool,
    home: Arc<Mutex<Option<Body>>>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.untouched {
            let body = std::mem::take(&mut self.body);
            *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

impl http_body::Body for Loan {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.untouched = false;
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> ForwardError {
        ForwardError::Unreachable { server: "s".into(), source: "refused".into() }
    }

    fn broken() -> ForwardError {
        ForwardError::BadResponse { server: "s".into(), source: "reset".into() }
    }

    #[test]
    fn only_what_does_no_harm_is_sent_again() {
        assert!(is_harmless(&refused(), &Method::POST, false));
        assert!(is_harmless(&broken(), &Method::GET, true));
        assert!(!is_harmless(&broken(), &Method::POST, true));
        assert!(!is_harmless(&broken(), &Method::PUT, false));
        assert!(!is_harmless(&ForwardError::HeadTimeout { server: "s".into() }, &Method::GET, true));
    }

    #[tokio::test]
    async fn a_body_comes_back_unless_somebody_has_read_of_it() {
        let lent = Lent::new(Body::empty());
        assert!(lent.was_empty && lent.is_back());
        let lent = Lent { was_empty: false, home: lent.home };
        drop(lent.lend());
        assert!(lent.is_back());
        let mut loan = lent.lend();
        assert!(!lent.is_back());
        let _ = std::future::poll_fn(|cx| Pin::new(&mut loan).poll_frame(cx)).await;
        drop(loan);
        assert!(!lent.is_back());
    }
}
