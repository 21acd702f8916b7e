//! A worker's part of a request queue: requests that found no credit, and the sessions that may grant some.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use narthex_http::{Exchange, Reason};
use narthex_proto::wire::{self, BodyLength, HttpVersion, OpenError, StreamId};

use crate::cache::{Collector, Watch};
use crate::snapshot::{Queue, QueueRules};
use crate::worker::session::Session;

/// How often a request may be delegated. What goes on for longer goes in circles.
const MOST_HOPS: u8 = 16;

/// Where a request is on its way to an app.
pub(crate) enum Place {
    /// In the queue.
    Waiting,
    /// With an app, which the connection's task does not know yet.
    Open(Rc<Session>, StreamId),
    /// With the app that the connection's task knows; or answered by the host, or given up by its client.
    Over,
}

/// What of a request's body an app was sent.
#[derive(Clone)]
pub(crate) enum Sent {
    Data(BytesMut),
    Trailers(Bytes),
    End,
}

/// A request that waits, copied out of its connection's buffer; or one that an app has, but may not have read: it comes back
/// if the app dies, and goes on if the app delegates it.
pub(crate) struct Waiting {
    pub(crate) place: RefCell<Place>,
    pub(crate) exchange: Exchange,
    /// The queue that it waits in, or was taken from.
    pub(crate) shard: RefCell<Rc<Shard>>,
    /// It may be needed again: no app has asked for the body yet.
    kept: Cell<bool>,
    /// How often it was delegated.
    hops: Cell<u8>,
    /// An app that had read it has died before it answered.
    asked_again: Cell<bool>,
    /// For the cache, until an app has it.
    watch: RefCell<Option<Box<Watch>>>,
    /// What to send again then. Bounded by a stream's first window.
    sent: RefCell<Vec<Sent>>,
    registration: Cell<u32>,
    version: HttpVersion,
    tls: bool,
    upgrade: bool,
    expect_continue: bool,
    length: BodyLength,
    peer: SocketAddr,
    local: SocketAddr,
    path_base: RefCell<Box<[u8]>>,
    target: RefCell<Box<[u8]>>,
    certificate: Box<[u8]>,
    pub(crate) head: Box<[u8]>,
}

impl Waiting {
    fn new(request: &wire::Request<'_>, exchange: &Exchange, shard: &Rc<Shard>, place: Place) -> Rc<Self> {
        Rc::new(Self {
            place: RefCell::new(place),
            exchange: exchange.clone(),
            shard: RefCell::new(Rc::clone(shard)),
            kept: Cell::new(false),
            hops: Cell::new(0),
            asked_again: Cell::new(false),
            watch: RefCell::default(),
            sent: RefCell::default(),
            registration: Cell::new(request.registration),
            version: request.version,
            tls: request.tls,
            upgrade: request.upgrade,
            expect_continue: request.expect_continue,
            length: request.length,
            peer: request.peer,
            local: request.local,
            path_base: RefCell::new(request.path_base.into()),
            target: RefCell::new(request.target.into()),
            certificate: request.certificate.into(),
            head: request.head.into(),
        })
    }

    /// Gives the request to `session`.
    fn open(self: &Rc<Self>, session: &Session, shard: &Rc<Shard>) -> Result<StreamId, OpenError> {
        self.kept.set(shard.keeps() || self.kept.get());
        let kept = self.kept.get().then(|| Rc::clone(self));
        let (path_base, target) = (self.path_base.borrow(), self.target.borrow());
        let request = wire::Request {
            registration: self.registration.get(),
            version: self.version,
            tls: self.tls,
            upgrade: self.upgrade,
            expect_continue: self.expect_continue,
            length: self.length,
            peer: self.peer,
            local: self.local,
            path_base: &path_base,
            target: &target,
            certificate: &self.certificate,
            head: &self.head,
        };
        session.open(&request, InProgress::new(&self.exchange, shard, kept, self.watch.take()))
    }

    /// The app that has it has begun on it: it cannot come back any more.
    pub(crate) fn let_go(&self) {
        self.kept.set(false);
        // An app may be so quick that the connection's task has not yet sent it what the one before it was sent.
        if matches!(*self.place.borrow(), Place::Over) {
            self.sent.take();
        }
    }

    /// Whether it may come back.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.get()
    }

    /// Whether another app may be asked although one has read the request and died: its method is safe (RFC 9110 section 9.2.1), nothing
    /// of an answer has come, and it is the first time. What kills every app that reads it must not go round.
    pub(crate) fn may_be_asked_again(&self) -> bool {
        let safe = [&b"GET "[..], b"HEAD ", b"OPTIONS ", b"TRACE "];
        let head = self.head.strip_prefix(b"\r\n").unwrap_or(&self.head);
        self.is_kept()
            && self.length == BodyLength::None
            && safe.iter().any(|method| head.starts_with(method))
            && !self.asked_again.replace(true)
    }

    /// Notes what else the app was sent of the body.
    pub(crate) fn note(&self, sent: Sent) {
        if self.kept.get() {
            self.sent.borrow_mut().push(sent);
        }
    }

    /// Notes body bytes that the app was sent. As copies, all in one: pieces would each hold on to what they were read into.
    pub(crate) fn note_data(&self, bytes: &[u8]) {
        if !self.kept.get() {
            return;
        }
        let mut sent = self.sent.borrow_mut();
        match sent.last_mut() {
            Some(Sent::Data(before)) => before.extend_from_slice(bytes),
            _ => sent.push(Sent::Data(bytes.into())),
        }
    }

    /// What the next app is to be sent of the body first.
    pub(crate) fn take_sent(&self) -> Vec<Sent> {
        self.sent.take()
    }

    /// Counts one more delegation. Returns whether it may be.
    pub(crate) fn hop(&self) -> bool {
        self.hops.set(self.hops.get().saturating_add(1));
        self.hops.get() <= MOST_HOPS
    }

    /// For another app: under another registration.
    pub(crate) fn readdress(&self, registration: u32, path_base: &str, target: &str) {
        self.registration.set(registration);
        *self.path_base.borrow_mut() = path_base.as_bytes().into();
        *self.target.borrow_mut() = target.as_bytes().into();
    }
}

/// What became of a request that was given to a queue.
pub(crate) enum Taken {
    /// An app has it. Kept, if it may come back.
    Open(Rc<Session>, StreamId, Option<Rc<Waiting>>),
    /// It waits.
    Waiting(Rc<Waiting>),
    /// The host has answered it.
    Refused,
}

/// A request that an app works on, as its session keeps it.
pub(crate) struct InProgress {
    pub(crate) exchange: Exchange,
    pub(crate) shard: Rc<Shard>,
    /// The request, if it may come back.
    pub(crate) kept: Option<Rc<Waiting>>,
    /// Where in the session's stream its head ends. Set if it is kept.
    pub(crate) ends_at: u64,
    pub(crate) caching: CachingOf,
}

/// What the cache has to do with a request in progress.
pub(crate) enum CachingOf {
    Nothing,
    /// Its answer may be stored.
    Watched(Box<Watch>),
    /// Its answer is being gathered.
    Gathered(Box<Collector>),
}

impl InProgress {
    fn new(exchange: &Exchange, shard: &Rc<Shard>, kept: Option<Rc<Waiting>>, watch: Option<Box<Watch>>) -> Self {
        shard.working.set(shard.working.get() + 1);
        let caching = watch.map_or(CachingOf::Nothing, CachingOf::Watched);
        Self { exchange: exchange.clone(), shard: Rc::clone(shard), kept, ends_at: u64::MAX, caching }
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
    /// More than one app takes requests: what one of them has not read when it dies goes to another.
    shared: Cell<bool>,
    /// Nobody will come any more.
    closed: Cell<bool>,
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
            shared: Cell::new(false),
            closed: Cell::new(false),
        })
    }

    pub(crate) fn set_rules(&self, rules: QueueRules) {
        self.rules.set(rules);
    }

    pub(crate) fn rules(&self) -> QueueRules {
        self.rules.get()
    }

    fn keeps(&self) -> bool {
        self.shared.get() || !self.rules.get().restart_grace.is_zero()
    }

    pub(crate) fn set_sessions(&self, sessions: Vec<Rc<Session>>) {
        self.shared.set(sessions.windows(2).any(|pair| matches!(pair, [one, other] if one.app != other.app)));
        *self.sessions.borrow_mut() = sessions;
    }

    /// Requests that apps work on.
    pub(crate) fn in_progress(&self) -> usize {
        self.working.get()
    }

    /// Gives a request to the session with most credit, or lets it wait for one. `keep`: the app may delegate it. `watch`: the
    /// cache wants to see the answer.
    pub(crate) fn take(
        self: &Rc<Self>,
        request: &wire::Request<'_>,
        exchange: &Exchange,
        keep: bool,
        mut watch: Option<Box<Watch>>,
    ) -> Taken {
        let first_in_line = self.waiting.borrow().is_empty();
        if let Some(session) = first_in_line.then(|| self.most_credit()).flatten() {
            let kept = (keep || self.keeps()).then(|| {
                let kept = Waiting::new(request, exchange, self, Place::Over);
                kept.kept.set(true);
                kept
            });
            match session.open(request, InProgress::new(exchange, self, kept.clone(), watch.take())) {
                Ok(id) => return Taken::Open(session, id, kept),
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
        let waiting = Waiting::new(request, exchange, self, Place::Waiting);
        waiting.kept.set(keep);
        waiting.watch.replace(watch);
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
            match waiting.open(session, self) {
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

    /// A request comes back, before all others: the app that had it has died without reading it.
    pub(crate) fn take_back(&self, waiting: Rc<Waiting>) {
        if self.closed.get() {
            return waiting.exchange.refuse(Reason::NotAvailable);
        }
        waiting.place.replace(Place::Waiting);
        self.queue.enter_again();
        let exchange = waiting.exchange.clone();
        self.waiting.borrow_mut().push_front(waiting);
        exchange.queued();
        exchange.wake();
    }

    /// A request comes from another queue. It waits its turn.
    pub(crate) fn take_over(self: &Rc<Self>, waiting: Rc<Waiting>) {
        if self.closed.get() {
            return waiting.exchange.refuse(Reason::NotAvailable);
        }
        if !self.queue.enter(self.rules.get().length) {
            return waiting.exchange.refuse(Reason::QueueFull);
        }
        *waiting.shard.borrow_mut() = Rc::clone(self);
        waiting.place.replace(Place::Waiting);
        let exchange = waiting.exchange.clone();
        self.waiting.borrow_mut().push_back(waiting);
        exchange.queued();
        exchange.wake();
        self.pump_all();
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
        self.closed.set(true);
        while let Some(waiting) = self.next() {
            waiting.place.replace(Place::Over);
            waiting.exchange.refuse(Reason::NotAvailable);
        }
    }
}
