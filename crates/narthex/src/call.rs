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
use http::header::{CONTENT_LENGTH, TRAILER};
use http::response::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use narthex_http::{BodyLength, Piece};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::BoxError;
use crate::body::{Body, Feed};
use crate::delegation::Delegation;
use crate::downstream::{Closed, Downstream, Fate, lines};
use crate::hub::{Session, Switch};
use crate::offer::{self, Claim, Offering};
use crate::panic_text::panic_text;
use crate::request_control::Watched;
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
    // The fields are dropped in this order: what is the app's first.
    #[project = CallProjection]
    struct Call<S, D>
    where
        S: App,
    {
        #[pin]
        phase: Phase<S>,
        feed: Option<Feed>,
        donor: Option<Donor>,
        watched: Option<Watched>,
        downstream: D,
        head_only: bool,
    }
}

pin_project! {
    #[project = PhaseProjection]
    enum Phase<S>
    where
        S: App,
    {
        /// The service was not ready at once, or was not asked yet.
        Waiting { waiting: Option<Box<(S, Request<Body>)>> },
        Calling { #[pin] future: S::Future },
        Responding { #[pin] body: S::ResponseBody, response: Responding },
        Tunnel { tunnel: Tunnel },
        WebSocket { session: Box<Session> },
        /// Nothing to do, or nothing yet.
        Idle,
    }
}

/// How far a response is.
struct Responding {
    /// Without its fields once it is sent, except by [`Downstream::send`], which ends the response.
    head: Parts,
    begun: bool,
    /// Body bytes that the client has no room for yet.
    pending: Bytes,
    /// They are the last.
    last: bool,
    /// What comes after them, of a body that has said it while it was asked for its end.
    trailers: Option<HeaderMap>,
    /// What the host is asked to send.
    claim: Option<Claim>,
}

/// Header maps that have room for more fields than this are not kept.
const MOST_SPARE_FIELDS: usize = 64;

/// Where a call is, or one was.
type Room<S, D> = Pin<Box<Option<Call<S, D>>>>;

/// A call that did not end where it began. It can be moved to where it goes on.
pub(crate) struct Running<S: App, D: Downstream> {
    room: Room<S, D>,
    gives_way: bool,
}

impl<S: App, D: Downstream> Running<S, D> {
    /// Lets what already waits have its turn before the first step: for who goes on with a call in the task that began it.
    pub(crate) fn giving_way(mut self) -> Self {
        self.gives_way = true;
        self
    }
}

impl<S: App, D: Downstream> Future for Running<S, D> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.gives_way) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(call) = self.room.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        ready!(call.poll(cx));
        self.room.set(None);
        Poll::Ready(())
    }
}

/// Where the calls of a worker begin.
pub(crate) struct Calls<S: App, D: Downstream> {
    service: RefCell<S>,
    inline: bool,
    /// Room for a call. A call is too large to be moved around, and most end where they began.
    room: Cell<Option<Room<S, D>>>,
    /// The header map of an earlier response: empty, with room for some fields. Swapped in and out, not moved: making an
    /// empty one to take its place and dropping that again costs as much as a header field.
    headers: RefCell<HeaderMap>,
}

impl<S: App, D: Downstream> Calls<S, D> {
    /// `inline`: calls take their first step where they begin.
    pub(crate) fn new(service: S, inline: bool) -> Self {
        Self { service: RefCell::new(service), inline, room: Cell::new(None), headers: RefCell::default() }
    }

    /// A request to be filled in, whose empty header map has room if possible.
    pub(crate) fn request(&self, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        std::mem::swap(request.headers_mut(), &mut self.headers.borrow_mut());
        request
    }

    /// Calls the app. `None` if it has answered already.
    pub(crate) fn begin(&self, request: Request<Body>, means: Means<D>) -> Option<Running<S, D>> {
        let Means { downstream, feed, donor, watched } = means;
        let head_only = request.method() == Method::HEAD;
        let mut room = self.room.take().unwrap_or_else(|| Box::pin(None));
        room.set(Some(Call { phase: Phase::Idle, feed, donor, watched, downstream, head_only }));
        if let Some(mut call) = room.as_mut().as_pin_mut() {
            if !self.inline {
                call.put_off(&self.service.borrow(), request);
                return Some(Running { room, gives_way: false });
            }
            call.as_mut().start(&mut *self.service.borrow_mut(), request);
            // Nothing is lost by a waker that wakes nobody: whoever goes on with the call polls it first of all.
            if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                return Some(Running { room, gives_way: false });
            }
            if let PhaseProjection::Responding { response, .. } = call.project().phase.project() {
                self.keep(&mut response.head.headers);
            }
        }
        room.set(None);
        self.room.set(Some(room));
        None
    }

    /// Keeps a header map for a later request.
    fn keep(&self, headers: &mut HeaderMap) {
        if headers.capacity() <= MOST_SPARE_FIELDS {
            headers.clear();
            std::mem::swap(headers, &mut self.headers.borrow_mut());
        }
    }
}

/// What a call needs besides the request.
pub(crate) struct Means<D> {
    pub(crate) downstream: D,
    pub(crate) feed: Option<Feed>,
    pub(crate) donor: Option<Donor>,
    /// The other end of the request's control, if it has one.
    pub(crate) watched: Option<Watched>,
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
    fn start(self: Pin<&mut Self>, service: &mut S, request: Request<Body>) {
        let mut this = self.project();
        // The closure borrows what it takes, since its captures are moved more than once on the way through the guard.
        let mut request = Some(request);
        let begun = guarded(|| {
            let Some(request) = request.take() else { return Ok(()) };
            match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => this.phase.set(Phase::Calling { future: service.call(request) }),
                Poll::Ready(Err(error)) => return Err(Failure::Error(error.into())),
                Poll::Pending => {
                    // Whoever asked may hold a place in some line, so it is the one that asked that has to wait.
                    let fresh = service.clone();
                    let service = std::mem::replace(service, fresh);
                    this.phase.set(Phase::Waiting { waiting: Some(Box::new((service, request))) });
                }
            }
            Ok(())
        });
        if let Err(failure) = begun.and_then(|begun| begun) {
            fail(this.downstream, failure);
        }
    }

    /// Leaves the start on a request to the first step.
    fn put_off(self: Pin<&mut Self>, service: &S, request: Request<Body>) {
        let mut this = self.project();
        match guarded(|| service.clone()) {
            Ok(service) => this.phase.set(Phase::Waiting { waiting: Some(Box::new((service, request))) }),
            Err(failure) => fail(this.downstream, failure),
        }
    }

    /// One step. `Ready`: the exchange is over.
    fn step(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut this = self.project();
        loop {
            match this.phase.as_mut().project() {
                PhaseProjection::Waiting { waiting } => {
                    let Some(both) = waiting.as_mut() else { return Poll::Ready(Err(Failure::Closed)) };
                    ready!(both.0.poll_ready(cx)).map_err(|error| Failure::Error(error.into()))?;
                    let Some(both) = waiting.take() else { return Poll::Ready(Err(Failure::Closed)) };
                    let (mut service, request) = *both;
                    this.phase.set(Phase::Calling { future: service.call(request) });
                }
                PhaseProjection::Calling { future } => {
                    let response = ready!(future.poll(cx)).map_err(|error| Failure::Error(error.into()))?;
                    if answered(&mut this, response)? {
                        return Poll::Ready(Ok(()));
                    }
                }
                PhaseProjection::Responding { body, response } => return response.poll(body, this.downstream, cx),
                PhaseProjection::Tunnel { tunnel } => return tunnel.poll(this.downstream, cx).map(Ok),
                PhaseProjection::WebSocket { session } => return session.poll(this.downstream, cx).map(Ok),
                PhaseProjection::Idle => return Poll::Ready(Ok(())),
            }
        }
    }

    /// `Ready`: the exchange is over. What is left of the call is the caller's to drop.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let this = self.as_mut().project();
            if this.watched.as_mut().is_some_and(|watched| watched.look(cx, this.downstream)) {
                this.downstream.cancel();
                return Poll::Ready(());
            }
            let stepped = guarded(|| self.as_mut().step(cx));
            let failure = match stepped {
                Ok(Poll::Ready(Ok(()))) => {
                    if let Some(watched) = self.as_mut().project().watched.take() {
                        watched.over();
                    }
                    return Poll::Ready(());
                }
                Ok(Poll::Pending) => {
                    let this = self.as_mut().project();
                    if this.feed.as_ref().is_some_and(|feed| feed.pump(cx, this.downstream)) {
                        continue;
                    }
                    return Poll::Pending;
                }
                Ok(Poll::Ready(Err(failure))) | Err(failure) => failure,
            };
            let mut this = self.as_mut().project();
            this.phase.set(Phase::Idle);
            *this.feed = None;
            if let Some(watched) = this.watched.take()
                && !matches!(failure, Failure::Closed)
            {
                watched.over();
            }
            fail(this.downstream, failure);
            return Poll::Ready(());
        }
    }
}

/// Goes on with the service's response. Returns whether it was all sent.
fn answered<S, D>(this: &mut CallProjection<'_, S, D>, response: Response<S::ResponseBody>) -> Result<bool, Failure>
where
    S: App,
    D: Downstream,
{
    if this.watched.as_ref().is_some_and(Watched::is_cancelled) {
        this.downstream.cancel();
        return Ok(true);
    }
    if let Some(watched) = this.watched {
        watched.answers(this.downstream);
    }
    let (head, body) = response.into_parts();
    if let Some(delegation) = head.extensions.get::<Delegation>() {
        if this.feed.as_ref().is_some_and(Feed::was_read) {
            return Err(Failure::Invalid("the delegation of a request whose body it had begun to read"));
        }
        this.downstream.delegate(delegation)?;
        return Ok(true);
    }
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        if let Some(session) = head.extensions.get::<Switch>().and_then(Switch::begin) {
            *this.donor = None;
            *this.feed = None;
            let Some(session) = this.downstream.hand_over(&head, session)? else { return Ok(true) };
            this.downstream.upgrade(&head)?;
            this.phase.set(Phase::WebSocket { session });
            return Ok(false);
        }
        let donor = this.donor.take().ok_or(Failure::Invalid("101 without an upgrade that was asked for"))?;
        this.downstream.upgrade(&head)?;
        this.phase.set(Phase::Tunnel { tunnel: donor.accept().ok_or(Failure::Closed)? });
        return Ok(false);
    }
    *this.donor = None;
    if head.status.is_informational() {
        return Err(Failure::Invalid("an informational status as the final one"));
    }
    if *this.head_only || body.is_end_stream() {
        send_bodiless(this.downstream, *this.head_only, &head, &body)?;
        return Ok(true);
    }
    this.phase.set(Phase::Responding {
        body,
        response: Responding { head, begun: false, pending: Bytes::new(), last: false, trailers: None, claim: None },
    });
    Ok(false)
}

impl Responding {
    fn poll<B>(&mut self, mut body: Pin<&mut B>, downstream: &impl Downstream, cx: &mut Context<'_>) -> Poll<Result<(), Failure>>
    where
        B: HttpBody<Error: Into<BoxError>>,
    {
        loop {
            while !self.pending.is_empty() {
                let room = ready!(downstream.poll_ready(cx))?;
                let now = self.pending.split_to(room.min(self.pending.len()));
                let end = self.last && self.pending.is_empty();
                downstream.data(Piece::Shared(now), end)?;
            }
            if self.last {
                return Poll::Ready(Ok(()));
            }
            if let Some(trailers) = self.trailers.take() {
                downstream.trailers(&lines(&trailers))?;
                return Poll::Ready(Ok(()));
            }
            if self.claim.is_some() {
                let is_file = self.claim.as_ref().is_some_and(|claim| matches!(claim.what(), Offering::File(_)));
                let sent = ready!(if is_file { downstream.poll_file() } else { downstream.poll_fragment() });
                self.claim.take().into_iter().for_each(|claim| claim.settle(sent));
                if is_file && sent {
                    return Poll::Ready(Ok(()));
                }
            }
            let mut exact = None;
            if self.begun {
                // A body is not asked for what the client has no room for.
                ready!(downstream.poll_ready(cx))?;
            } else {
                exact = body.size_hint().exact();
            }
            let (polled, offer) = match downstream.takes_offers() {
                true => offer::watch(|| body.as_mut().poll_frame(cx)),
                false => (body.as_mut().poll_frame(cx), None),
            };
            let Poll::Ready(frame) = polled else {
                self.start(downstream, exact)?;
                return Poll::Pending;
            };
            let Some(frame) = frame.transpose().map_err(|error| Failure::Error(error.into()))? else {
                return Poll::Ready(self.send_last(downstream, Bytes::new()).map_err(Failure::from));
            };
            match frame.into_data() {
                Ok(mut data) => {
                    if let Some(claim) = offer.and_then(|offer| offer.take(&data)) {
                        let fresh = !self.begun;
                        self.start(downstream, exact)?;
                        if self.ask(claim, downstream, exact.filter(|_| fresh))? {
                            return Poll::Ready(Ok(()));
                        }
                        continue;
                    }
                    let mut bytes = data.copy_to_bytes(data.remaining());
                    // Some bodies know their length and yet not their end.
                    self.last = body.is_end_stream();
                    if !self.last && exact == Some(bytes.len() as u64) {
                        self.last = self.has_ended(body.as_mut(), &mut bytes, cx)?;
                    }
                    let length = bytes.len() as u64;
                    if self.last && (bytes.is_empty() || !self.begun && bytes.len() <= downstream.longest_whole()) {
                        return Poll::Ready(self.send_last(downstream, bytes).map_err(Failure::from));
                    }
                    self.start(downstream, if self.last { Some(length) } else { exact })?;
                    self.pending = bytes;
                }
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    if !self.begun {
                        downstream.start(&self.head, BodyLength::Unknown)?;
                    }
                    downstream.trailers(&lines(&trailers))?;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Whether a body that has given as much as it said has nothing more to give. If it has, that is kept.
    fn has_ended<B>(&mut self, body: Pin<&mut B>, bytes: &mut Bytes, cx: &mut Context<'_>) -> Result<bool, Failure>
    where
        B: HttpBody<Error: Into<BoxError>>,
    {
        let Poll::Ready(frame) = body.poll_frame(cx) else { return Ok(false) };
        let Some(frame) = frame.transpose().map_err(|error| Failure::Error(error.into()))? else { return Ok(true) };
        match frame.into_trailers() {
            Ok(trailers) => self.trailers = Some(trailers),
            Err(frame) => {
                // More than was said: whoever frames the body judges that.
                if let Ok(mut data) = frame.into_data()
                    && data.has_remaining()
                {
                    *bytes = [&**bytes, &data.copy_to_bytes(data.remaining())].concat().into();
                }
            }
        }
        Ok(false)
    }

    /// Takes up an offer. `whole` is the body's length, if it is known and nothing of it was sent. Returns whether the response is
    /// complete.
    fn ask(&mut self, claim: Claim, downstream: &impl Downstream, whole: Option<u64>) -> Result<bool, Closed> {
        let fate = match claim.what() {
            Offering::Fragment(part) if downstream.fragment(part)? => Fate::Asked,
            // A body around it may have more to say.
            Offering::File(part) if whole == Some(part.length) => downstream.file(part)?,
            _ => Fate::Refused,
        };
        match fate {
            Fate::Refused => claim.settle(false),
            Fate::Asked => self.claim = Some(claim),
            Fate::Sent => claim.settle(true),
        }
        Ok(fate == Fate::Sent)
    }

    /// Sends the head, if that is still to be done.
    fn start(&mut self, downstream: &impl Downstream, exact: Option<u64>) -> Result<(), Closed> {
        if !self.begun {
            self.begun = true;
            downstream.start(&self.head, announced(&self.head.headers, exact))?;
            // A long response need not keep them.
            self.head.headers = HeaderMap::new();
        }
        Ok(())
    }

    /// Sends what ends the response: all of it, or the empty end of one that was begun.
    fn send_last(&self, downstream: &impl Downstream, bytes: Bytes) -> Result<(), Closed> {
        if self.begun { downstream.data(Piece::EMPTY, true) } else { downstream.send(&self.head, bytes) }
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

/// The body's length: what the body says of itself, else what the app says of it. Where there are to be trailers nothing is said: in
/// HTTP/1.1, only what comes in chunks has some.
fn announced(headers: &HeaderMap, exact: Option<u64>) -> BodyLength {
    if headers.contains_key(TRAILER) {
        return BodyLength::Unknown;
    }
    let declared = || {
        let mut values = headers.get_all(CONTENT_LENGTH).iter();
        let only = values.next().filter(|_| values.next().is_none())?;
        let digits = only.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse().ok()
    };
    exact.or_else(declared).map_or(BodyLength::Unknown, BodyLength::Exact)
}

/// Runs the app's code so that its panic ends its own request only. What panicked is not used again.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(run)).map_err(Failure::Panicked)
}

#[cold]
fn fail(downstream: &impl Downstream, failure: Failure) {
    let log = |why: &dyn Display| tracing::error!("the app failed to answer a request: {why}");
    match failure {
        Failure::Panicked(payload) => log(&format_args!("it panicked: {}", panic_text(&*payload))),
        Failure::Error(error) => log(&error),
        Failure::Invalid(what) => log(&format_args!("it responded with {what}")),
        // Ends the exchange where that is still to be done; else does nothing.
        Failure::Closed => {}
    }
    downstream.fail();
}
