//! A stream's task, and the handle to its exchange.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::h1::encode::Framing;
use crate::h1::state::Reply;
use crate::limits::Timeouts;
use crate::mux::Connection;
use crate::mux::carrier::{Carrier, Fault};
use crate::mux::report::Held;
use crate::mux::state::{Body, State};
use crate::reason::Reason;

/// A handle to the exchange of a stream. What the methods do, [`Exchange`](crate::Exchange) says.
#[derive(Clone)]
pub(crate) struct Stream(pub(super) Rc<Inner>);

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("connection", &self.0.connection).finish_non_exhaustive()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The task has the only one that is left: it has to answer, if nobody has.
        if Rc::strong_count(&self.0) == 2 && !self.0.in_task.get() {
            self.0.nudge();
        }
    }
}

pub(super) struct Inner {
    pub(super) connection: Rc<Connection>,
    pub(super) state: RefCell<State>,
    pub(super) timeouts: RefCell<Rc<Timeouts>>,
    pub(super) attachment: RefCell<Option<Rc<dyn Any>>>,
    /// The stream's task is running, and will look at everything before it sleeps.
    pub(super) in_task: Cell<bool>,
}

impl Inner {
    pub(super) fn new(connection: Rc<Connection>, state: State) -> Rc<Self> {
        let timeouts = RefCell::new(connection.worker.timeouts());
        connection.streams.set(connection.streams.get() + 1);
        Rc::new(Self {
            connection,
            state: RefCell::new(state),
            timeouts,
            attachment: RefCell::default(),
            in_task: Cell::new(false),
        })
    }

    pub(super) fn state(&self) -> Held<'_> {
        Held::new(self.state.borrow_mut(), self)
    }

    pub(super) fn now(&self) -> Instant {
        self.connection.worker.clock().now()
    }

    /// Makes the stream's task look at what has changed.
    pub(super) fn nudge(&self) {
        if !self.in_task.get() {
            self.state.borrow().waker.wake_by_ref();
        }
    }

    /// Runs the exchange until it is over and all of the response is with the carrier.
    pub(super) async fn run<F: Future<Output = ()>>(self: Rc<Self>, future: Option<F>) {
        let _running = Running(&self);
        let mut future = pin!(future);
        let mut timer = None;
        poll_fn(|cx| self.poll(cx, &mut timer, future.as_mut())).await;
    }

    fn poll<F: Future<Output = ()>>(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        timer: &mut Option<Pin<Box<Sleep>>>,
        mut future: Pin<&mut Option<F>>,
    ) -> Poll<()> {
        self.in_task.set(true);
        {
            let mut state = self.state.borrow_mut();
            if !state.waker.will_wake(cx.waker()) {
                state.waker = cx.waker().clone();
            }
        }
        let polled = loop {
            let mut state = self.state();
            if let Some(reason) = self.poll_deadlines(cx, timer, &mut state) {
                self.refuse(state, reason);
                state = self.state();
            }
            if state.reply == Reply::Complete {
                drop(state);
                // The exchange is over, whatever the client takes of it.
                future.set(None);
                break self.poll_rest(cx, timer);
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
                continue;
            }
            let progressed = state.pump(cx, self.now(), &self.timeouts.borrow());
            if state.reply == Reply::Complete {
                continue;
            }
            if ended && Rc::strong_count(self) == 1 && !state.write_closed {
                self.refuse(state, Reason::Internal);
                continue;
            }
            if progressed && !ended {
                // There is room again: the future may have been waiting for it.
                continue;
            }
            if self.poll_gone(cx, &mut state) || self.poll_tunnel_end(&mut state, ended) {
                continue;
            }
            if self.poll_deadlines(cx, timer, &mut state).is_none() {
                break Poll::Pending;
            }
        };
        self.in_task.set(false);
        polled
    }

    /// Whether the client has reset the stream, or is gone.
    fn poll_gone(&self, cx: &mut Context<'_>, state: &mut State) -> bool {
        let Poll::Ready(reason) = state.carrier.poll_reset(cx) else { return false };
        state.break_off(reason, Fault::Cancel);
        true
    }

    /// After the response: what is left of it is sent.
    fn poll_rest(&self, cx: &mut Context<'_>, timer: &mut Option<Pin<Box<Sleep>>>) -> Poll<()> {
        loop {
            let mut state = self.state();
            state.pump(cx, self.now(), &self.timeouts.borrow());
            if state.all_is_sent() {
                let completed = &self.connection.completed;
                completed.set(completed.get() + u64::from(state.broken.is_none()));
                return Poll::Ready(());
            }
            if self.poll_gone(cx, &mut state) {
                continue;
            }
            match self.poll_deadlines(cx, timer, &mut state) {
                Some(reason) => state.break_off(reason, Fault::Cancel),
                None => return Poll::Pending,
            }
        }
    }

    /// A tunnel ends when both sides have ended theirs, or the app has and nobody reads what the client sends.
    fn poll_tunnel_end(&self, state: &mut State, abandoned: bool) -> bool {
        if state.reply != Reply::Streaming(Framing::Raw) || !state.write_closed || !state.all_is_sent() {
            return false;
        }
        if state.body == Body::Done || abandoned {
            state.reply = Reply::Complete;
            self.over(state);
            return true;
        }
        if state.deadlines.reading().is_none() {
            let limit = self.timeouts.borrow().drain_entity_body;
            state.deadlines.read_within(self.now(), limit, Reason::TimerDrainEntityBody);
        }
        false
    }

    /// The deadline that has passed, if one has. Most exchanges never have one, and so no timer.
    fn poll_deadlines(&self, cx: &mut Context<'_>, timer: &mut Option<Pin<Box<Sleep>>>, state: &mut State) -> Option<Reason> {
        let elapsed = timer.as_ref().is_some_and(|timer| timer.is_elapsed());
        if state.deadlines.timer_is_right() && !elapsed {
            return None;
        }
        let now = self.now();
        if let Some(reason) = state.deadlines.expired(now) {
            return Some(reason);
        }
        if state.deadlines.turn_has_come(now) {
            cx.waker().wake_by_ref();
        }
        let next = state.deadlines.next();
        state.deadlines.armed(next);
        let Some(next) = next else {
            *timer = None;
            return None;
        };
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(next)));
        timer.as_mut().reset(next);
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        None
    }
}

/// The stream's task has ended, or was dropped in the middle: whatever is unfinished ends with it.
struct Running<'a>(&'a Rc<Inner>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let inner = self.0;
        let reason = if std::thread::panicking() { Reason::Internal } else { Reason::AppShutdown };
        // Nobody else can hold it here but a task that panics.
        if let Ok(state) = inner.state.try_borrow_mut() {
            let mut state = Held::new(state, inner);
            if state.reply != Reply::Complete || state.noted.is_some() || !state.all_is_sent() {
                state.break_off(reason, Fault::Internal);
            }
            // An unread rest of the body is told to the client by this.
            state.carrier = Carrier::Gone;
        }
        let _attached = inner.attachment.take();
        let connection = &inner.connection;
        connection.streams.set(connection.streams.get().saturating_sub(1));
        if connection.streams.get() == 0 {
            connection.nudge();
        }
    }
}
