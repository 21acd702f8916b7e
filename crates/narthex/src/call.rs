//! One request through the app: the service's future, the request body that it reads, the response that it gives.
//!
//! One future does all three, and it is polled where the request arrived. Dropping it cancels the app's work.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use narthex_http::{BodyLength, Piece};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::BoxError;
use crate::body::{Body, Feed};
use crate::downstream::{Closed, Downstream};
use crate::upgrade::{Donor, Tunnel};

/// What Narthex serves: any cloneable tower service from requests to responses. Its futures need not be `Send`.
pub(crate) trait App:
    Service<Request<Body>, Response = Response<Self::ResponseBody>, Error: Into<BoxError>> + Clone + Send + 'static
{
    type ResponseBody: HttpBody<Error: Into<BoxError>> + 'static;
}

impl<S, B> App for S
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>> + Clone + Send + 'static,
    B: HttpBody<Error: Into<BoxError>> + 'static,
{
    type ResponseBody = B;
}

pin_project! {
    /// Calls `S` with one request and sends its response to `D`.
    struct Call<S, D>
    where
        S: App,
    {
        downstream: D,
        feed: Option<Feed>,
        donor: Option<Donor>,
        head_only: bool,
        // The header map of the response that was sent, for a later request.
        spare: HeaderMap,
        #[pin]
        phase: Phase<S>,
    }
}

pin_project! {
    #[project = PhaseProjection]
    enum Phase<S>
    where
        S: App,
    {
        /// The service was not ready at once.
        Waiting { waiting: Option<Box<(S, Request<Body>)>> },
        Calling { #[pin] future: S::Future },
        Responding { #[pin] body: S::ResponseBody, response: Responding },
        Tunnel { tunnel: Tunnel },
        Done,
    }
}

/// How far a response is.
struct Responding {
    /// The head, until it is sent.
    head: Option<Parts>,
    /// Body bytes that the client has no room for yet.
    pending: Bytes,
    /// They are the last.
    last: bool,
}

/// Header maps that have room for more fields than this are not kept.
const MOST_SPARE_FIELDS: usize = 64;

/// Where a call is, or one was.
type Room<S, D> = Pin<Box<Option<Call<S, D>>>>;

/// A call that did not end where it began. It can be moved to where it goes on.
pub(crate) struct Running<S: App, D: Downstream>(Room<S, D>);

impl<S: App, D: Downstream> Future for Running<S, D> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.0.as_mut().as_pin_mut() {
            Some(call) => call.poll(cx),
            None => Poll::Ready(()),
        }
    }
}

/// Where the calls of a worker begin.
pub(crate) struct Calls<S: App, D: Downstream> {
    service: RefCell<S>,
    /// Room for a call. A call is too large to be moved around, and most end where they began.
    room: Cell<Option<Room<S, D>>>,
    /// An empty header map that has room for some fields.
    headers: Cell<HeaderMap>,
}

impl<S: App, D: Downstream> Calls<S, D> {
    pub(crate) fn new(service: S) -> Self {
        Self { service: RefCell::new(service), room: Cell::new(None), headers: Cell::new(HeaderMap::new()) }
    }

    /// An empty header map for a request, if possible one that need not grow.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.headers.take()
    }

    /// Calls the app. `None` if it has answered already.
    pub(crate) fn begin(&self, request: Request<Body>, means: Means<D>) -> Option<Running<S, D>> {
        let mut room = self.room.take().unwrap_or_else(|| Box::pin(None));
        room.set(Some(Call::new(&mut *self.service.borrow_mut(), request, means)));
        let mut running = Running(room);
        // Nothing is lost by a waker that wakes nobody: whoever goes on with the call polls it first of all.
        if Pin::new(&mut running).poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            return Some(running);
        }
        if let Some(call) = running.0.as_mut().as_pin_mut() {
            let mut spare = std::mem::take(call.project().spare);
            if spare.capacity() <= MOST_SPARE_FIELDS {
                spare.clear();
                self.headers.set(spare);
            }
        }
        running.0.set(None);
        self.room.set(Some(running.0));
        None
    }
}

/// What a call needs besides the request.
pub(crate) struct Means<D> {
    pub(crate) downstream: D,
    pub(crate) feed: Option<Feed>,
    pub(crate) donor: Option<Donor>,
}

/// Why an app has no response to give.
enum Failure {
    Panicked(Box<dyn Any + Send>),
    Error(BoxError),
    Invalid(&'static str),
    /// Nobody is there to be told.
    Closed,
}

impl From<Closed> for Failure {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl<S: App, D: Downstream> Call<S, D> {
    /// Starts on a request. `service` stays the worker's: it is called here if it is ready, and replaced by a clone if not.
    fn new(service: &mut S, request: Request<Body>, means: Means<D>) -> Self {
        let Means { downstream, feed, donor } = means;
        let head_only = request.method() == Method::HEAD;
        let begun = guarded(|| match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Ok(Phase::Calling { future: service.call(request) }),
            Poll::Ready(Err(error)) => Err(Failure::Error(error.into())),
            Poll::Pending => {
                // Whoever asked may hold a place in some line, so it is the one that asked that has to wait.
                let fresh = service.clone();
                let service = std::mem::replace(service, fresh);
                Ok(Phase::Waiting { waiting: Some(Box::new((service, request))) })
            }
        });
        let phase = begun.and_then(|begun| begun).unwrap_or_else(|failure| {
            fail(&downstream, failure);
            Phase::Done
        });
        Self { downstream, feed, donor, head_only, spare: HeaderMap::new(), phase }
    }

    /// One step. `Ready`: the exchange is over.
    fn step(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut this = self.project();
        loop {
            let next = match this.phase.as_mut().project() {
                PhaseProjection::Waiting { waiting } => {
                    let Some(both) = waiting.as_mut() else { return Poll::Ready(Err(Failure::Closed)) };
                    ready!(guarded(|| both.0.poll_ready(cx))?).map_err(|error| Failure::Error(error.into()))?;
                    let Some(both) = waiting.take() else { return Poll::Ready(Err(Failure::Closed)) };
                    let (mut service, request) = *both;
                    Phase::Calling { future: guarded(|| service.call(request))? }
                }
                PhaseProjection::Calling { future } => match guarded(|| future.poll(cx))? {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Error(error.into()))),
                    Poll::Ready(Ok(response)) => {
                        let (head, body) = response.into_parts();
                        if head.status == StatusCode::SWITCHING_PROTOCOLS {
                            let donor = this.donor.take().ok_or(Failure::Invalid("101 without an upgrade that was asked for"))?;
                            this.downstream.upgrade(&head)?;
                            Phase::Tunnel { tunnel: donor.accept().ok_or(Failure::Closed)? }
                        } else {
                            *this.donor = None;
                            if head.status.is_informational() {
                                return Poll::Ready(Err(Failure::Invalid("an informational status as the final one")));
                            }
                            if *this.head_only || body.is_end_stream() {
                                return Poll::Ready(send_bodiless(this.downstream, *this.head_only, &head, &body));
                            }
                            let response = Responding { head: Some(head), pending: Bytes::new(), last: false };
                            Phase::Responding { body, response }
                        }
                    }
                },
                PhaseProjection::Responding { body, response } => return response.poll(body, this.downstream, this.spare, cx),
                PhaseProjection::Tunnel { tunnel } => return tunnel.poll(this.downstream, cx).map(Ok),
                PhaseProjection::Done => return Poll::Ready(Ok(())),
            };
            this.phase.set(next);
        }
    }
}

impl<S: App, D: Downstream> Future for Call<S, D> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let polled = self.as_mut().step(cx);
            let mut this = self.as_mut().project();
            match polled {
                Poll::Pending => {
                    if this.feed.as_ref().is_some_and(|feed| feed.pump(cx, this.downstream)) {
                        continue;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(result) => {
                    this.phase.set(Phase::Done);
                    *this.feed = None;
                    if let Err(failure) = result {
                        fail(this.downstream, failure);
                    }
                    return Poll::Ready(());
                }
            }
        }
    }
}

impl Responding {
    fn poll<B>(
        &mut self,
        mut body: Pin<&mut B>,
        downstream: &impl Downstream,
        spare: &mut HeaderMap,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>>
    where
        B: HttpBody<Error: Into<BoxError>>,
    {
        loop {
            if !self.pending.is_empty() {
                let room = ready!(downstream.poll_ready(cx))?;
                let now = self.pending.split_to(room.min(self.pending.len()));
                let end = self.last && self.pending.is_empty();
                downstream.data(Piece::Shared(now), end)?;
            }
            if !self.pending.is_empty() {
                continue;
            }
            if self.last {
                return Poll::Ready(Ok(()));
            }
            if self.head.is_none() {
                // A body is not asked for what the client has no room for.
                ready!(downstream.poll_ready(cx))?;
            }
            let exact = body.size_hint().exact();
            let frame = match guarded(|| body.as_mut().poll_frame(cx))? {
                Poll::Ready(frame) => frame.transpose().map_err(|error| Failure::Error(error.into()))?,
                Poll::Pending => {
                    if let Some(head) = self.head.take() {
                        downstream.start(&head, announced(&head.headers, exact))?;
                    }
                    return Poll::Pending;
                }
            };
            let Some(frame) = frame else {
                match self.head.take() {
                    Some(head) => downstream.send(&head, Bytes::new())?,
                    None => downstream.data(Piece::EMPTY, true)?,
                }
                return Poll::Ready(Ok(()));
            };
            match frame.into_data() {
                Ok(mut data) => {
                    let bytes = data.copy_to_bytes(data.remaining());
                    self.last = body.is_end_stream();
                    if let Some(head) = self.head.take() {
                        if !self.last && exact == Some(bytes.len() as u64) {
                            // Some bodies know their length and yet not their end.
                            self.last = matches!(guarded(|| body.as_mut().poll_frame(cx))?, Poll::Ready(None));
                        }
                        let whole = self.last && bytes.len() <= downstream.longest_whole();
                        if whole {
                            downstream.send(&head, bytes)?;
                            *spare = head.headers;
                            return Poll::Ready(Ok(()));
                        }
                        let exact = if self.last { Some(bytes.len() as u64) } else { exact };
                        downstream.start(&head, announced(&head.headers, exact))?;
                    }
                    if bytes.is_empty() && self.last {
                        downstream.data(Piece::EMPTY, true)?;
                    }
                    self.pending = bytes;
                }
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    if let Some(head) = self.head.take() {
                        downstream.start(&head, BodyLength::Unknown)?;
                    }
                    downstream.trailers(&lines(&trailers))?;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

/// The answer to HEAD, or one whose body is known to be empty.
fn send_bodiless<B: HttpBody>(downstream: &impl Downstream, head_only: bool, head: &Parts, body: &B) -> Result<(), Failure> {
    match body.size_hint().exact() {
        Some(length) if head_only && length > 0 => {
            downstream.start(head, BodyLength::Exact(length))?;
            downstream.data(Piece::EMPTY, true)?;
        }
        None if head_only && !head.headers.contains_key(CONTENT_LENGTH) => {
            downstream.start(head, BodyLength::Unknown)?;
            downstream.data(Piece::EMPTY, true)?;
        }
        _ => downstream.send(head, Bytes::new())?,
    }
    Ok(())
}

/// The body's length: what the body says of itself, else what the app says of it.
fn announced(headers: &HeaderMap, exact: Option<u64>) -> BodyLength {
    let declared = || {
        let mut values = headers.get_all(CONTENT_LENGTH).iter();
        let only = values.next().filter(|_| values.next().is_none())?;
        let digits = only.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse().ok()
    };
    exact.or_else(declared).map_or(BodyLength::Unknown, BodyLength::Exact)
}

fn lines(trailers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in trailers {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

/// Runs the app's code so that its panic ends its own request only. What panicked is not used again.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(run)).map_err(Failure::Panicked)
}

#[cold]
fn fail(downstream: &impl Downstream, failure: Failure) {
    let log = |why: &dyn Display| tracing::error!("the app failed to answer a request: {why}");
    match failure {
        Failure::Panicked(payload) => {
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            log(&format_args!("it panicked: {}", text.unwrap_or("(no message)")));
        }
        Failure::Error(error) => log(&error),
        Failure::Invalid(what) => log(&format_args!("it responded with {what}")),
        // Ends the exchange where that is still to be done; else does nothing.
        Failure::Closed => {}
    }
    downstream.fail();
}
