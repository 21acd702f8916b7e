//! One HTTP/1.1 connection: a task that reads requests and runs their exchanges one after the other, in order.
//!
//! The task is the only reader. Responses may be written from any task of the worker through [`Exchange`]; the state is
//! borrowed for the length of one call, never across an await.

use std::any::Any;
use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use std::future::poll_fn;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::bandwidth::{Bandwidth, Whose};
use crate::h1::encode::Asked;
use crate::h1::handle::Handle;
use crate::h1::head::{self, Head, Parsed};
use crate::h1::report::{Held, Running};
use crate::h1::state::{Reply, State, reason_of};
use crate::h2::PREFACE_HEAD;
use crate::limits::{Limits, Timeouts};
use crate::reason::Reason;
use crate::request::{ConnectionInfo, Handler, Request, TlsInfo};
use crate::target;
use crate::transport::Transport;
use crate::upgraded::{Continuation, Upgraded};
use crate::worker::Worker;

/// When there is no deadline.
const FAR: Duration = Duration::from_secs(30 * 86_400);

pub(crate) struct Conn {
    worker: Rc<Worker>,
    info: ConnectionInfo,
    tls: Option<Rc<TlsInfo>>,
    alt_svc: Option<u16>,
    state: RefCell<State>,
    /// What the handler keeps for as long as the connection lives.
    attachment: RefCell<Option<Rc<dyn Any>>>,
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
    /// The client speaks HTTP/2. What it has sent is in the input.
    Http2,
}

/// Who goes on with a connection that is no longer one of HTTP/1.1.
pub(crate) enum Next {
    /// It turned out to be one of HTTP/2: its socket, and what was read from it.
    Http2(Transport, BytesMut),
    Upgraded(Upgraded, Continuation),
}

impl Conn {
    pub(crate) fn new(worker: Rc<Worker>, transport: Transport, info: ConnectionInfo, tls: Option<Rc<TlsInfo>>) -> Rc<Self> {
        let timeouts = RefCell::new(worker.timeouts());
        let alt_svc = worker.alt_svc(&info);
        Rc::new(Self {
            worker,
            info,
            tls,
            alt_svc,
            state: RefCell::new(State::new(transport)),
            attachment: RefCell::default(),
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

    /// The state, for the length of a few statements. The journal is told what happened in them when they are over.
    #[inline]
    pub(crate) fn state(&self) -> Held<'_> {
        Held::new(self.state.borrow_mut(), self)
    }

    /// The state, for the one who tells the journal.
    pub(crate) fn free_state(&self) -> RefMut<'_, State> {
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

    pub(crate) fn worker_timeouts_are(&self, timeouts: &Rc<Timeouts>) {
        if !self.own_timeouts.get() {
            *self.timeouts.borrow_mut() = Rc::clone(timeouts);
        }
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

    /// The connection's task is over.
    pub(crate) fn gone(&self, reason: Reason) {
        // Nobody else can hold it here but a task that panics.
        if let Ok(state) = self.state.try_borrow_mut() {
            let mut state = Held::new(state, self);
            if state.reply != Reply::Complete || state.noted.is_some() || !state.output.is_empty() {
                state.break_off(reason);
            }
            state.transport.close();
        }
        self.attach(None);
    }

    pub(crate) fn attachment(&self) -> Option<Rc<dyn Any>> {
        self.attachment.borrow().clone()
    }

    pub(crate) fn attach(&self, attachment: Option<Rc<dyn Any>>) {
        // The old one may do anything when it goes.
        let _old = self.attachment.replace(attachment);
    }

    /// Paces this connection's output, or no longer.
    pub(crate) fn pace(&self, whose: Whose, bandwidth: Option<&Arc<Bandwidth>>) {
        let mut state = self.state();
        if state.pace.is_none() && bandwidth.is_none() {
            return;
        }
        let now = self.now();
        let pace = state.pace.get_or_insert_default();
        pace.set(whose, bandwidth, now);
        if pace.is_empty() {
            state.pace = None;
        }
        let waits = !state.output.is_empty();
        drop(state);
        if waits {
            self.nudge();
        }
    }

    /// Ends the connection now, whatever it does.
    pub(crate) fn kill(&self) {
        self.state().break_off(Reason::AppShutdown);
        self.nudge();
    }

    /// Serves the connection until it ends, unless another engine has to.
    pub(crate) async fn run<H: Handler>(self: Rc<Self>, handler: Rc<H>) -> Option<Next> {
        let _running = Running(&self);
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
        if self.state().is_http2 {
            let mut state = self.state();
            let input = std::mem::take(&mut state.input);
            return Some(Next::Http2(state.transport.take(), input));
        }
        let continuation = self.state().continuation.take();
        if let Some(continuation) = continuation {
            if !poll_fn(|cx| self.poll_written(cx, timer.as_mut())).await {
                return None;
            }
            let mut state = self.state();
            let (transport, early) = (state.transport.take(), std::mem::take(&mut state.input));
            return Some(Next::Upgraded(Upgraded::new(Rc::clone(&self.worker), transport, early), continuation));
        }
        poll_fn(|cx| self.poll_close(cx, timer.as_mut())).await;
        None
    }

    #[inline]
    pub(crate) fn leave(&self) {
        self.in_task.set(false);
    }

    #[inline]
    pub(crate) fn enter(&self, cx: &Context<'_>) {
        self.in_task.set(true);
        let mut state = self.state();
        if !state.waker.will_wake(cx.waker()) {
            state.waker = cx.waker().clone();
        }
    }

    /// The deadline that has passed, if one has. Keeps `timer` armed for the earliest.
    #[inline]
    pub(crate) fn poll_deadlines(&self, cx: &mut Context<'_>, timer: Pin<&mut Sleep>, state: &mut State) -> Option<Reason> {
        if state.deadlines.timer_is_right() && !timer.is_elapsed() { None } else { self.rearm(cx, timer, state) }
    }

    #[cold]
    fn rearm(&self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>, state: &mut State) -> Option<Reason> {
        // A connection that is still being written to is not idle.
        if state.deadlines.reading() == Some(Reason::TimerConnectionIdle) && !state.output.is_empty() {
            state.deadlines.read_without_limit();
        }
        if let Some(reason) = state.deadlines.expired(self.now()) {
            return Some(reason);
        }
        if state.deadlines.turn_has_come(self.now()) {
            cx.waker().wake_by_ref();
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
    pub(crate) fn flush(&self, cx: &mut Context<'_>, state: &mut State) -> bool {
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
                    let head = std::mem::take(&mut state.input);
                    self.refuse_outside(state, Reason::TimerHeaderWait, &head);
                    break Poll::Ready(None);
                }
                Some(reason) => {
                    state.timed_out(reason);
                    break Poll::Ready(None);
                }
                None => {}
            }
            // A client that sends requests and takes no responses is to wait, not to fill the memory.
            if state.output.is_full() {
                let progressed = self.flush(cx, &mut state);
                if state.broken.is_none() && state.output.is_full() {
                    if progressed {
                        continue;
                    }
                    if self.poll_deadlines(cx, timer.as_mut(), &mut state).is_some() {
                        cx.waker().wake_by_ref();
                    }
                    break Poll::Pending;
                }
                continue;
            }
            if state.input.len() > state.scanned {
                drop(state);
                match self.begin_from_input(handler) {
                    Begun::Exchange(future) => break Poll::Ready(Some(future)),
                    Begun::Refused | Begun::Http2 => break Poll::Ready(None),
                    Begun::Partial => {}
                }
                state = self.state();
            }
            // Responses to pipelined requests were held back until here, to leave in one write.
            self.flush(cx, &mut state);
            // A file may turn out shorter long after its response was complete.
            if state.read_closed || state.broken.is_some() {
                break Poll::Ready(None);
            }
            let mut buffer = self.worker.take_read_buffer();
            let read = state.transport.poll_read(cx, &mut buffer);
            let begun = match read {
                Poll::Ready(Ok(0)) => {
                    state.read_closed = true;
                    if !state.input.is_empty() {
                        state.refused_with(Reason::ConnectionDropped, None);
                    }
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
                Begun::Refused | Begun::Http2 => break Poll::Ready(None),
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
            self.refuse_outside(self.state(), Reason::InvalidCrLf, b"");
            return Begun::Refused;
        }
        self.begin(handler, &mut head)
    }

    fn keep_partial<F>(&self, input: BytesMut, scanned: usize) -> Begun<F> {
        let mut slots = head::slots();
        if let Parsed::Refused(reason) = head::parse(&input, scanned, &mut slots, &self.worker.limits()) {
            self.refuse_outside(self.state(), reason, &input);
            return Begun::Refused;
        }
        let mut state = self.state();
        if scanned == 0 && !input.is_empty() {
            state.first_byte = Some(self.now());
        }
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
        if buffer.starts_with(PREFACE_HEAD) && limits.http2 && self.state().epoch == 0 && self.tls.is_none() {
            let mut state = self.state();
            let mut input = BytesMut::from(&*buffer);
            input.extend_from_slice(&state.input);
            state.input = input;
            state.is_http2 = true;
            return Begun::Http2;
        }
        let mut slots = head::slots();
        match head::parse(buffer, 0, &mut slots, &limits) {
            Parsed::Complete(head) => {
                let rest = &buffer[head.raw.len()..];
                if !rest.is_empty() {
                    self.state().input.extend_from_slice(rest);
                }
                self.exchange(handler, &head, &limits)
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
                self.refuse_outside(self.state(), reason, buffer);
                Begun::Refused
            }
        }
    }

    fn exchange<H: Handler>(self: &Rc<Self>, handler: &H, head: &Head<'_, '_>, limits: &Limits) -> Begun<H::Future> {
        // The app that had the last request may have had timers of its own.
        if self.own_timeouts.replace(false) {
            *self.timeouts.borrow_mut() = self.worker.timeouts();
        }
        let client = self.worker.client_of(&self.info, head.headers);
        let id = self.worker.identify(&self.info, head.headers);
        let epoch = {
            let mut state = self.state();
            if state.noted.is_some() {
                drop(state);
                self.report_last();
                state = self.state();
            }
            state.head_length = u32::try_from(head.raw.len()).unwrap_or(u32::MAX);
            if self.worker.is_journaled() {
                state.keep_line(head.raw);
            }
            let persistent = head.persistent && !self.worker.is_retiring();
            let asked = Asked { version: head.version, head_only: head.method == "HEAD", persistent, alt_svc: self.alt_svc };
            state.begin(asked, head.body, head.expects_continue, limits.max_body);
            state.client.clone_from(&client);
            state.id.clone_from(&id);
            state.epoch
        };
        let (cooked, authority) = match target::judge(head, &self.worker, limits) {
            Ok(judged) => judged,
            Err(reason) => {
                self.refuse(self.state(), reason);
                return Begun::Refused;
            }
        };
        let host = authority.as_ref().or(head.host.as_ref());
        if self.tls.is_some()
            && let Err(reason) = target::check_binding(host, &self.info, self.tls.as_deref(), &self.worker)
        {
            self.refuse(self.state(), reason);
            return Begun::Refused;
        }
        let request = Request {
            raw: head.raw,
            method: head.method,
            target: head.target,
            cooked: &cooked,
            host,
            version: head.version,
            body: head.body,
            expects_continue: head.expects_continue,
            wants_upgrade: head.wants_upgrade,
            id: id.as_ref(),
            connection: client.as_deref().unwrap_or(&self.info),
            tls: self.tls.as_deref(),
            headers: head.headers,
        };
        self.worker.count_request();
        Begun::Exchange(handler.handle(request, Handle::new(Rc::clone(self), epoch).into()))
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
            let mut state = self.state();
            if let Some(reason) = self.poll_deadlines(cx, timer.as_mut(), &mut state) {
                self.refuse(state, reason);
                state = self.state();
            }
            if state.reply == Reply::Complete {
                break Poll::Ready(());
            }
            state.body_awaited = false;
            drop(state);
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
            let abandoned = ended && self.handles.get() == 0;
            if abandoned && !state.write_closed {
                self.refuse(state, Reason::Internal);
                continue;
            }
            if progressed && !ended {
                // There is room again: the future may have been waiting for it.
                continue;
            }
            if self.poll_tunnel_end(cx, &mut state, abandoned) {
                break Poll::Ready(());
            }
            let was_closed = state.read_closed;
            let arrived = self.poll_ahead(cx, &mut state);
            if state.reply == Reply::Complete {
                break Poll::Ready(());
            }
            let closed = state.read_closed && !was_closed;
            if !ended && (closed || arrived && !state.body_is_done()) {
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
}
