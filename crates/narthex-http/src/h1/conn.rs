//! One HTTP/1.1 connection: a task that reads requests and runs their exchanges one after the other, in order.
//!
//! The task is the only reader. Responses may be written from any task of the worker through [`Exchange`]; the state is
//! borrowed for the length of one call, never across an await.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use narthex_proto::cooked;
use narthex_proto::host::RequestHost;
use std::future::poll_fn;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::exchange::Exchange;
use crate::h1::encode::{Asked, Framing};
use crate::h1::head::{self, Head, Parsed};
use crate::h1::state::{Body, Reply, State, reason_of};
use crate::limits::Timeouts;
use crate::reason::Reason;
use crate::request::{ConnectionInfo, Handler, Request};
use crate::transport::Transport;
use crate::worker::Worker;

/// Bytes of later requests that are read while one is in progress.
pub(crate) const READ_AHEAD: usize = 64 * 1024;
/// The most body bytes that are read and thrown away to keep a connection after an early response.
const DRAIN_MOST: u64 = 1 << 20;
/// After an error the client gets this long to stop sending, so that the close does not destroy the answer on its way
/// (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
/// When there is no deadline.
const FAR: Duration = Duration::from_secs(30 * 86_400);

pub(crate) struct Conn {
    worker: Rc<Worker>,
    info: ConnectionInfo,
    state: RefCell<State>,
    timeouts: RefCell<Rc<Timeouts>>,
    /// The timers are those of the exchange in progress, not the worker's.
    own_timeouts: Cell<bool>,
    /// The connection's task is running, and will look at everything before it sleeps.
    in_task: Cell<bool>,
    handles: Cell<usize>,
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("info", &self.info).finish_non_exhaustive()
    }
}

enum Begun<F> {
    Exchange(Option<F>),
    Partial,
    Refused,
}

impl Conn {
    pub(crate) fn new(worker: Rc<Worker>, transport: Transport, info: ConnectionInfo) -> Rc<Self> {
        let timeouts = RefCell::new(worker.timeouts());
        Rc::new(Self {
            worker,
            info,
            state: RefCell::new(State::new(transport)),
            timeouts,
            own_timeouts: Cell::new(false),
            in_task: Cell::new(false),
            handles: Cell::new(0),
        })
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    pub(crate) fn is_in_task(&self) -> bool {
        self.in_task.get()
    }

    pub(crate) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    pub(crate) fn now(&self) -> Instant {
        self.worker.clock().now()
    }

    pub(crate) fn timeouts(&self) -> Rc<Timeouts> {
        Rc::clone(&self.timeouts.borrow())
    }

    pub(crate) fn set_timeouts(&self, timeouts: Rc<Timeouts>) {
        *self.timeouts.borrow_mut() = timeouts;
        self.own_timeouts.set(true);
    }

    pub(crate) fn add_handle(&self) {
        self.handles.set(self.handles.get() + 1);
    }

    pub(crate) fn release_handle(&self) {
        self.handles.set(self.handles.get() - 1);
        if self.handles.get() == 0 && !self.in_task.get() && self.state.borrow().reply != Reply::Complete {
            self.nudge();
        }
    }

    /// Makes the connection's task look at what has changed.
    pub(crate) fn nudge(&self) {
        if !self.in_task.get() {
            self.state.borrow().waker.wake_by_ref();
        }
    }

    /// Ends the connection now, whatever it does.
    pub(crate) fn kill(&self) {
        self.state().break_off(Reason::AppShutdown);
        self.nudge();
    }

    /// Serves the connection until it ends.
    pub(crate) async fn run<H: Handler>(self: Rc<Self>, handler: Rc<H>) {
        let now = self.now();
        self.state().deadlines.read_within(now, self.timeouts().header_wait, Reason::TimerHeaderWait);
        let mut timer = pin!(sleep_until(now + FAR));
        loop {
            let Some(future) = poll_fn(|cx| self.poll_request(cx, timer.as_mut(), &*handler)).await else { break };
            {
                let mut future = pin!(future);
                poll_fn(|cx| self.poll_exchange(cx, timer.as_mut(), future.as_mut())).await;
            }
            if !poll_fn(|cx| self.poll_settle(cx, timer.as_mut())).await {
                break;
            }
        }
        poll_fn(|cx| self.poll_close(cx, timer.as_mut())).await;
    }

    fn enter(&self, cx: &Context<'_>) {
        self.in_task.set(true);
        let mut state = self.state();
        if !state.waker.will_wake(cx.waker()) {
            state.waker = cx.waker().clone();
        }
    }

    /// The deadline that has passed, if one has. Keeps `timer` armed for the earliest.
    #[inline]
    fn poll_deadlines(&self, cx: &mut Context<'_>, timer: Pin<&mut Sleep>, state: &mut State) -> Option<Reason> {
        if state.deadlines.timer_is_right() && !timer.is_elapsed() { None } else { self.rearm(cx, timer, state) }
    }

    #[cold]
    fn rearm(&self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>, state: &mut State) -> Option<Reason> {
        if let Some(reason) = state.deadlines.expired(self.now()) {
            return Some(reason);
        }
        let next = state.deadlines.next();
        state.deadlines.armed(next);
        timer.as_mut().reset(next.unwrap_or_else(|| self.now() + FAR));
        // Registers the task; it is ready only if the deadline passed in between, which the next poll sees.
        if timer.poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        None
    }

    /// Writes what waits. Returns whether anything was written.
    #[inline]
    fn flush(&self, cx: &mut Context<'_>, state: &mut State) -> bool {
        !state.output.is_empty() && state.flush(cx, || self.now(), &self.timeouts())
    }

    /// Waits for the next request and hands it to `handler`. The outer `None`: the connection is to be closed.
    fn poll_request<H: Handler>(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        handler: &H,
    ) -> Poll<Option<Option<H::Future>>> {
        self.enter(cx);
        let polled = loop {
            let mut state = self.state();
            if state.broken.is_some() || self.worker.is_draining() && state.input.is_empty() {
                break Poll::Ready(None);
            }
            match self.poll_deadlines(cx, timer.as_mut(), &mut state) {
                Some(Reason::TimerHeaderWait) if !state.input.is_empty() => {
                    self.refuse_outside(state, Reason::TimerHeaderWait);
                    break Poll::Ready(None);
                }
                Some(_) => break Poll::Ready(None),
                None => {}
            }
            if state.input.len() > state.scanned {
                drop(state);
                match self.begin_from_input(handler) {
                    Begun::Exchange(future) => break Poll::Ready(Some(future)),
                    Begun::Refused => break Poll::Ready(None),
                    Begun::Partial => {}
                }
                state = self.state();
            }
            // Responses to pipelined requests were held back until here, to leave in one write.
            self.flush(cx, &mut state);
            if state.read_closed {
                break Poll::Ready(None);
            }
            let mut buffer = self.worker.take_read_buffer();
            let read = state.transport.poll_read(cx, &mut buffer);
            let begun = match read {
                Poll::Ready(Ok(0)) => {
                    state.read_closed = true;
                    Begun::Refused
                }
                Poll::Ready(Ok(length)) if state.input.is_empty() => {
                    drop(state);
                    // In the usual case this is one whole request, and nothing is copied.
                    self.begin(handler, &mut buffer[..length])
                }
                Poll::Ready(Ok(length)) => {
                    state.input.extend_from_slice(&buffer[..length]);
                    Begun::Partial
                }
                Poll::Ready(Err(error)) => {
                    state.break_off(reason_of(&error));
                    Begun::Refused
                }
                Poll::Pending => {
                    let now = || self.now();
                    if state.output.is_empty() && state.deadlines.reading().is_none() {
                        state.deadlines.read_within(now(), self.timeouts().idle_connection, Reason::TimerConnectionIdle);
                    }
                    if self.poll_deadlines(cx, timer.as_mut(), &mut state).is_some() {
                        cx.waker().wake_by_ref();
                    }
                    self.worker.return_read_buffer(buffer);
                    break Poll::Pending;
                }
            };
            self.worker.return_read_buffer(buffer);
            match begun {
                Begun::Exchange(future) => break Poll::Ready(Some(future)),
                Begun::Refused => break Poll::Ready(None),
                Begun::Partial => {}
            }
        };
        self.in_task.set(false);
        polled
    }

    /// Parses bytes that were kept: the rest of an earlier read, or a head that came in pieces.
    fn begin_from_input<H: Handler>(self: &Rc<Self>, handler: &H) -> Begun<H::Future> {
        let (mut head, rest) = {
            let mut state = self.state();
            let from = state.scanned.saturating_sub(3);
            let mut input = std::mem::take(&mut state.input);
            match memchr::memmem::find(&input[from..], b"\r\n\r\n") {
                Some(at) => (input.split_to(from + at + 4), input),
                None => {
                    let scanned = state.scanned;
                    drop(state);
                    return self.keep_partial(input, scanned);
                }
            }
        };
        self.state().input = rest;
        // RFC 9112 section 2.2: one empty line before a request line is skipped, and this is more.
        if head.as_ref() == b"\r\n\r\n" {
            self.refuse_outside(self.state(), Reason::InvalidCrLf);
            return Begun::Refused;
        }
        self.begin(handler, &mut head)
    }

    fn keep_partial<F>(&self, input: BytesMut, scanned: usize) -> Begun<F> {
        let mut slots = head::slots();
        if let Parsed::Refused(reason) = head::parse(&input, scanned, &mut slots, &self.worker.limits()) {
            self.refuse_outside(self.state(), reason);
            return Begun::Refused;
        }
        let mut state = self.state();
        if scanned == 0 && !input.is_empty() && state.deadlines.reading() != Some(Reason::TimerHeaderWait) {
            let now = self.now();
            state.deadlines.read_within(now, self.timeouts().header_wait, Reason::TimerHeaderWait);
        }
        state.scanned = input.len();
        state.input = input;
        Begun::Partial
    }

    /// Starts the exchange of the request at the start of `buffer`, and keeps what comes after its head.
    fn begin<H: Handler>(self: &Rc<Self>, handler: &H, buffer: &mut [u8]) -> Begun<H::Future> {
        let limits = self.worker.limits();
        let mut slots = head::slots();
        match head::parse(buffer, 0, &mut slots, &limits) {
            Parsed::Complete(head) => {
                let rest = &buffer[head.raw.len()..];
                if !rest.is_empty() {
                    self.state().input.extend_from_slice(rest);
                }
                self.exchange(handler, &head, limits.max_body)
            }
            Parsed::Partial => {
                let input = BytesMut::from(&*buffer);
                self.keep_partial(input, 0)
            }
            Parsed::NewerMinor(at) => {
                buffer[at] = b'1';
                self.begin(handler, buffer)
            }
            Parsed::Refused(reason) => {
                self.refuse_outside(self.state(), reason);
                Begun::Refused
            }
        }
    }

    fn exchange<H: Handler>(self: &Rc<Self>, handler: &H, head: &Head<'_, '_>, max_body: Option<u64>) -> Begun<H::Future> {
        // The app that had the last request may have had timers of its own.
        if self.own_timeouts.replace(false) {
            *self.timeouts.borrow_mut() = self.worker.timeouts();
        }
        let epoch = {
            let mut state = self.state();
            let persistent = head.persistent && !self.worker.is_draining();
            let asked = Asked { version: head.version, head_only: head.method == "HEAD", persistent };
            state.begin(asked, head.body, head.expects_continue, max_body);
            state.epoch
        };
        let cooked = match cooked::cook(head.target, self.worker.cooking()) {
            Ok(cooked) => cooked,
            Err(error) => {
                let reason = if head.method == "CONNECT" { Reason::NotImplemented } else { Reason::Url };
                tracing::debug!(%error, target = head.target, "the request target is refused");
                self.refuse(self.state(), reason);
                return Begun::Refused;
            }
        };
        if cooked.is_asterisk() && head.method != "OPTIONS" {
            self.refuse(self.state(), Reason::Url);
            return Begun::Refused;
        }
        // RFC 9112 section 3.2.2: the authority of an absolute-form target replaces Host.
        let authority = match cooked.authority().map(|text| RequestHost::parse(text.as_bytes())) {
            Some(Err(_)) => {
                self.refuse(self.state(), Reason::Hostname);
                return Begun::Refused;
            }
            Some(Ok(host)) => Some(host),
            None => None,
        };
        let request = Request {
            raw: head.raw,
            method: head.method,
            target: head.target,
            cooked: &cooked,
            host: authority.as_ref().or(head.host.as_ref()),
            version: head.version,
            body: head.body,
            expects_continue: head.expects_continue,
            wants_upgrade: head.wants_upgrade,
            connection: &self.info,
            headers: head.headers,
        };
        self.worker.count_request();
        Begun::Exchange(handler.handle(request, Exchange::new(Rc::clone(self), epoch)))
    }

    /// Runs one exchange: the handler's future, the client's bytes, the unwritten output and the deadlines.
    fn poll_exchange<F: Future<Output = ()>>(
        &self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        mut future: Pin<&mut Option<F>>,
    ) -> Poll<()> {
        self.enter(cx);
        let polled = loop {
            let expired = self.poll_deadlines(cx, timer.as_mut(), &mut self.state());
            if let Some(reason) = expired {
                self.refuse(self.state(), reason);
            }
            if self.state().reply == Reply::Complete {
                break Poll::Ready(());
            }
            self.state().body_awaited = false;
            if let Some(running) = future.as_mut().as_pin_mut()
                && running.poll(cx).is_ready()
            {
                future.set(None);
            }
            let ended = future.is_none();
            let mut state = self.state();
            if !state.body_awaited && state.deadlines.reading() == Some(Reason::TimerEntityBody) {
                state.deadlines.read_without_limit();
            }
            if state.reply == Reply::Complete {
                break Poll::Ready(());
            }
            let progressed = self.flush(cx, &mut state);
            if state.reply == Reply::Complete {
                break Poll::Ready(());
            }
            if ended && self.handles.get() == 0 {
                self.refuse(state, Reason::Internal);
                continue;
            }
            if progressed && !ended {
                // There is room again: the future may have been waiting for it.
                continue;
            }
            if self.poll_tunnel_end(cx, &mut state) {
                break Poll::Ready(());
            }
            let arrived = self.poll_ahead(cx, &mut state);
            if state.reply == Reply::Complete {
                break Poll::Ready(());
            }
            if arrived && !ended && !state.body_is_done() {
                // The future may have been waiting for it.
                continue;
            }
            if self.poll_deadlines(cx, timer.as_mut(), &mut state).is_none() {
                break Poll::Pending;
            }
        };
        self.in_task.set(false);
        polled
    }

    /// Ends an upgraded connection when both sides have ended theirs.
    fn poll_tunnel_end(&self, cx: &mut Context<'_>, state: &mut State) -> bool {
        if state.reply != Reply::Streaming(Framing::Raw) || !state.write_closed || !state.output.is_empty() {
            return false;
        }
        if state.read_closed {
            state.reply = Reply::Complete;
            return true;
        }
        let _ = state.transport.poll_shutdown(cx);
        if state.deadlines.reading().is_none() {
            let now = self.now();
            state.deadlines.read_within(now, self.timeouts().drain_entity_body, Reason::TimerDrainEntityBody);
        }
        false
    }

    /// Watches the client while its request is in progress: for what it sends, which is kept within a bound, and for its
    /// going away. Returns whether anything came.
    fn poll_ahead(&self, cx: &mut Context<'_>, state: &mut State) -> bool {
        let mut arrived = false;
        while !state.read_closed && state.broken.is_none() && state.input.len() < READ_AHEAD {
            let mut buffer = self.worker.take_read_buffer();
            let read = state.transport.poll_read(cx, &mut buffer);
            match read {
                Poll::Ready(Ok(0)) => {
                    arrived = true;
                    state.read_closed = true;
                    match state.body {
                        Body::Raw => {}
                        _ if !state.rest_of_body_is_here() => state.break_off(Reason::ConnectionDropped),
                        _ => {
                            let now = self.now();
                            state.deadlines.half_closed(now);
                        }
                    }
                }
                Poll::Ready(Ok(length)) => {
                    arrived = true;
                    state.input.extend_from_slice(&buffer[..length]);
                }
                Poll::Ready(Err(error)) => state.break_off(reason_of(&error)),
                Poll::Pending => {
                    self.worker.return_read_buffer(buffer);
                    return arrived;
                }
            }
            self.worker.return_read_buffer(buffer);
        }
        arrived
    }

    /// After a response: reads what is left of the body, so that the next request can be found. `false`: close instead.
    fn poll_settle(&self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<bool> {
        self.enter(cx);
        let polled = loop {
            let mut state = self.state();
            if !state.asked.persistent || state.broken.is_some() {
                state.linger |= !state.body_is_done();
                break Poll::Ready(false);
            }
            if state.body_is_done() {
                break Poll::Ready(true);
            }
            let left = if let Body::Length(left) = state.body { left } else { 0 };
            let drained = if state.deadlines.reading() == Some(Reason::TimerDrainEntityBody) { state.body_read } else { 0 };
            if state.continue_owed || left > DRAIN_MOST || drained > DRAIN_MOST {
                state.linger = true;
                break Poll::Ready(false);
            }
            if self.poll_deadlines(cx, timer.as_mut(), &mut state).is_some() {
                break Poll::Ready(false);
            }
            self.flush(cx, &mut state);
            state.max_body = None;
            if state.deadlines.reading() != Some(Reason::TimerDrainEntityBody) {
                let now = self.now();
                state.deadlines.read_within(now, self.timeouts().drain_entity_body, Reason::TimerDrainEntityBody);
                state.body_read = 0;
            }
            let deadline = state.deadlines.clone();
            match state.poll_body(cx, || self.now(), &self.timeouts()) {
                Poll::Ready(None) => {}
                // One limit for all that is left, not one for each piece.
                Poll::Ready(Some(Ok(_))) => state.deadlines = deadline,
                Poll::Ready(Some(Err(_))) => {
                    state.linger = true;
                    break Poll::Ready(false);
                }
                Poll::Pending => {
                    if self.poll_deadlines(cx, timer.as_mut(), &mut state).is_none() {
                        break Poll::Pending;
                    }
                }
            }
        };
        self.in_task.set(false);
        polled
    }

    /// Writes what waits, then closes without destroying it.
    fn poll_close(&self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<()> {
        self.enter(cx);
        let mut state = self.state();
        let polled = loop {
            if state.broken.is_some() {
                break Poll::Ready(());
            }
            self.flush(cx, &mut state);
            if !state.output.is_empty() {
                state.deadlines.read_without_limit();
                match self.poll_deadlines(cx, timer.as_mut(), &mut state) {
                    Some(_) => break Poll::Ready(()),
                    None => break Poll::Pending,
                }
            }
            if !state.linger || state.read_closed {
                break Poll::Ready(());
            }
            if !state.write_closed {
                state.write_closed = true;
                let now = self.now();
                state.deadlines.read_within(now, Some(LINGER), Reason::TimerDrainEntityBody);
                let _ = state.transport.poll_shutdown(cx);
            }
            if self.poll_deadlines(cx, timer.as_mut(), &mut state).is_some() {
                break Poll::Ready(());
            }
            let mut buffer = self.worker.take_read_buffer();
            let read = state.transport.poll_read(cx, &mut buffer);
            self.worker.return_read_buffer(buffer);
            match read {
                Poll::Ready(Ok(length)) if length > 0 => {}
                Poll::Ready(_) => break Poll::Ready(()),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.in_task.set(false);
        polled
    }
}
