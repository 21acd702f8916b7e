//! A worker's part of a request queue: requests that found no credit, and the sessions that may grant some.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use narthex_http::{Exchange, Reason};
use narthex_proto::wire::{self, BodyLength, HttpVersion, OpenError, StreamId};

use crate::snapshot::{Queue, QueueRules};
use crate::worker::session::Session;

/// Where a request is on its way to an app.
pub(crate) enum Place {
    /// In the queue.
    Waiting,
    /// With an app.
    Open(Rc<Session>, StreamId),
    /// Answered by the host, or given up by its client.
    Over,
}

/// A request that waits, copied out of its connection's buffer.
pub(crate) struct Waiting {
    pub(crate) place: RefCell<Place>,
    pub(crate) exchange: Exchange,
    registration: u32,
    version: HttpVersion,
    tls: bool,
    upgrade: bool,
    expect_continue: bool,
    length: BodyLength,
    peer: SocketAddr,
    local: SocketAddr,
    path_base: Box<[u8]>,
    target: Box<[u8]>,
    head: Box<[u8]>,
}

impl Waiting {
    fn new(request: &wire::Request<'_>, exchange: Exchange) -> Rc<Self> {
        Rc::new(Self {
            place: RefCell::new(Place::Waiting),
            exchange,
            registration: request.registration,
            version: request.version,
            tls: request.tls,
            upgrade: request.upgrade,
            expect_continue: request.expect_continue,
            length: request.length,
            peer: request.peer,
            local: request.local,
            path_base: request.path_base.into(),
            target: request.target.into(),
            head: request.head.into(),
        })
    }

    fn request(&self) -> wire::Request<'_> {
        wire::Request {
            registration: self.registration,
            version: self.version,
            tls: self.tls,
            upgrade: self.upgrade,
            expect_continue: self.expect_continue,
            length: self.length,
            peer: self.peer,
            local: self.local,
            path_base: &self.path_base,
            target: &self.target,
            head: &self.head,
        }
    }
}

/// What became of a request that was given to a queue.
pub(crate) enum Taken {
    /// An app has it.
    Open(Rc<Session>, StreamId),
    /// It waits.
    Waiting(Rc<Waiting>),
    /// The host has answered it.
    Refused,
}

/// A request that an app works on, as its session keeps it.
pub(crate) struct InProgress {
    pub(crate) exchange: Exchange,
    shard: Rc<Shard>,
}

impl InProgress {
    fn new(exchange: &Exchange, shard: &Rc<Shard>) -> Self {
        shard.working.set(shard.working.get() + 1);
        Self { exchange: exchange.clone(), shard: Rc::clone(shard) }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.shard.working.set(self.shard.working.get().saturating_sub(1));
    }
}

/// One worker's part of a queue.
pub(crate) struct Shard {
    pub(crate) queue: Arc<Queue>,
    rules: Cell<QueueRules>,
    sessions: RefCell<Vec<Rc<Session>>>,
    waiting: RefCell<VecDeque<Rc<Waiting>>>,
    /// The session after the one that got the last request.
    turn: Cell<usize>,
    /// Requests that apps have.
    working: Cell<usize>,
}

impl Shard {
    pub(crate) fn new(queue: Arc<Queue>, rules: QueueRules) -> Rc<Self> {
        Rc::new(Self {
            queue,
            rules: Cell::new(rules),
            sessions: RefCell::default(),
            waiting: RefCell::default(),
            turn: Cell::new(0),
            working: Cell::new(0),
        })
    }

    pub(crate) fn set_rules(&self, rules: QueueRules) {
        self.rules.set(rules);
    }

    pub(crate) fn rules(&self) -> QueueRules {
        self.rules.get()
    }

    pub(crate) fn set_sessions(&self, sessions: Vec<Rc<Session>>) {
        *self.sessions.borrow_mut() = sessions;
    }

    /// Requests that apps work on.
    pub(crate) fn in_progress(&self) -> usize {
        self.working.get()
    }

    /// Gives a request to the session with most credit, or lets it wait for one.
    pub(crate) fn take(self: &Rc<Self>, request: &wire::Request<'_>, exchange: &Exchange) -> Taken {
        let first_in_line = self.waiting.borrow().is_empty();
        if let Some(session) = first_in_line.then(|| self.most_credit()).flatten() {
            match session.open(request, InProgress::new(exchange, self)) {
                Ok(id) => return Taken::Open(session, id),
                Err(OpenError::TooLarge) => {
                    exchange.refuse(Reason::RequestLength);
                    return Taken::Refused;
                }
                Err(error) => tracing::debug!(%error, "a session takes no request although it has credit"),
            }
        }
        if !self.queue.enter(self.rules.get().length) {
            exchange.refuse(Reason::QueueFull);
            return Taken::Refused;
        }
        let waiting = Waiting::new(request, exchange.clone());
        self.waiting.borrow_mut().push_back(Rc::clone(&waiting));
        exchange.queued();
        Taken::Waiting(waiting)
    }

    fn most_credit(&self) -> Option<Rc<Session>> {
        let sessions = self.sessions.borrow();
        if let [only] = sessions.as_slice() {
            return (only.credit() > 0).then(|| Rc::clone(only));
        }
        // Equals take turns, so that one worker of an idle app does not get everything.
        let count = sessions.len();
        let start = self.turn.get();
        let mut best: Option<(u32, usize)> = None;
        for step in 0..count {
            let index = (start + step) % count;
            let credit = sessions.get(index)?.credit();
            if credit > best.map_or(0, |(most, _)| most) {
                best = Some((credit, index));
            }
        }
        let (_, index) = best?;
        self.turn.set((index + 1) % count);
        sessions.get(index).map(Rc::clone)
    }

    /// `session` has credit: it gets the requests that have waited longest.
    pub(crate) fn pump(self: &Rc<Self>, session: &Rc<Session>) {
        while session.credit() > 0 {
            let Some(waiting) = self.next() else { return };
            match session.open(&waiting.request(), InProgress::new(&waiting.exchange, self)) {
                Ok(id) => {
                    waiting.place.replace(Place::Open(Rc::clone(session), id));
                    waiting.exchange.dequeued();
                    // Its future starts on the body.
                    waiting.exchange.wake();
                }
                Err(error) => {
                    tracing::debug!(%error, "a request that waited cannot be passed on");
                    waiting.place.replace(Place::Over);
                    waiting.exchange.refuse(Reason::Internal);
                }
            }
        }
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Passes on what waits, as far as there is credit.
    pub(crate) fn pump_all(self: &Rc<Self>) {
        while self.has_waiting() {
            let Some(session) = self.most_credit() else { return };
            self.pump(&session);
        }
    }

    /// The next in line that is still wanted.
    fn next(&self) -> Option<Rc<Waiting>> {
        loop {
            let waiting = self.waiting.borrow_mut().pop_front()?;
            if matches!(*waiting.place.borrow(), Place::Waiting) {
                self.queue.leave();
                return Some(waiting);
            }
        }
    }

    /// A waiting request's client is gone, or its time is over.
    pub(crate) fn forget(&self, waiting: &Rc<Waiting>) {
        waiting.place.replace(Place::Over);
        self.queue.leave();
        let mut line = self.waiting.borrow_mut();
        if let Some(at) = line.iter().position(|other| Rc::ptr_eq(other, waiting)) {
            line.remove(at);
        }
    }

    /// The queue's last app has gone: nobody will come for those who wait.
    pub(crate) fn close(&self) {
        while let Some(waiting) = self.next() {
            waiting.place.replace(Place::Over);
            waiting.exchange.refuse(Reason::NotAvailable);
        }
    }
}
