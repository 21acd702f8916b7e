//! The host's handler: routes a request, hands it to an app's session, and moves its body.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use narthex_http::{BodyLength, Exchange, Handler, Piece, Reason, Request, Rules, Version};
use narthex_proto::routing::Route;
use narthex_proto::wire::{self, HttpVersion, StreamId};

use crate::snapshot::{Group, GroupCounters};
use crate::trace::Passed;
use crate::worker::caching::Found;
use crate::worker::queue::{Place, Sent, Taken, Waiting};
use crate::worker::session::Session;
use crate::worker::{LocalGroup, WorkerState, whose};

/// The handler of every connection of a worker.
pub(crate) struct Relay {
    pub(crate) state: Rc<WorkerState>,
}

impl Handler for Relay {
    type Future = Relayed;

    fn handle(&self, request: Request<'_>, exchange: Exchange) -> Option<Relayed> {
        let stage = self.route(&request, &exchange)?;
        let body = match request.body {
            BodyLength::Exact(0) => Pump::Done,
            _ => Pump::Body(Bytes::new()),
        };
        Some(Relayed { stage, again: VecDeque::new(), body, exchange, told_closed: false, tunnel: request.wants_upgrade })
    }
}

impl Relay {
    fn route(&self, request: &Request<'_>, exchange: &Exchange) -> Option<Stage> {
        let snapshot = self.state.snapshot.borrow();
        let connection = request.connection;
        if let Some(answer) = snapshot.acme.find(request.target, request.host) {
            answer_ca(exchange, answer);
            return None;
        }
        let route = snapshot.routes.route(connection.scheme, connection.local, request.host, request.cooked.path());
        let (prefix, registration) = match route {
            Route::Registered { prefix, value, .. } => (prefix, value),
            Route::Reserved { .. } => return refused(exchange, Reason::NotAvailable),
            Route::NoPath => return refused(exchange, Reason::NotFound),
            Route::NoHost => return refused(exchange, Reason::UnknownHost),
        };
        let groups = self.state.groups.borrow();
        let Some(Some(LocalGroup { group, timeouts, shard })) = groups.get(registration.group) else {
            return refused(exchange, Reason::NotAvailable);
        };
        let rules = shard.rules();
        let tag = whose::tag(group);
        exchange.settle(Rules { tag, verbosity: rules.verbosity, bandwidth: group.bandwidth.as_ref() });
        let traced = self.state.traces.begin(request, prefix);
        let passed = Passed { id: request.id, context: traced.as_ref().map(|traced| traced.context) };
        // Counted in any case.
        self.state.note(exchange, group, traced, request);
        if !group.active || !rules.active {
            return refused(exchange, Reason::Disabled);
        }
        if !Slot::take(exchange, group) {
            return refused(exchange, Reason::ConnLimit);
        }
        if !request.body.is_empty() {
            exchange.set_max_body(group.max_body);
            if !exchange.is_open() {
                return None;
            }
        }
        if let Some(timeouts) = timeouts {
            exchange.set_timeouts(Rc::clone(timeouts));
        }
        let mut watch = None;
        if group.response_cache && shard.queue.habit.is_watched() {
            match self.state.caching.look(request, registration.id, exchange) {
                Found::Answered => return None,
                Found::Watch(watched) => watch = Some(watched),
                Found::Nothing => {}
            }
        }
        let relative = request.cooked.relative_to(prefix.path());
        let unchanged = *relative.path_and_query == *request.target;
        let mut head = self.state.head.take();
        head.clear();
        if !passed.is_nothing() {
            passed.write(request, &mut head);
        }
        let forwarded = wire::Request {
            registration: registration.id,
            version: match request.version {
                Version::Http10 => HttpVersion::Http10,
                Version::Http11 => HttpVersion::Http11,
                Version::Http2 => HttpVersion::Http2,
                Version::Http3 => HttpVersion::Http3,
            },
            tls: connection.secure,
            upgrade: request.wants_upgrade,
            expect_continue: request.expects_continue,
            length: match request.body {
                BodyLength::Exact(0) => wire::BodyLength::None,
                BodyLength::Exact(length) => wire::BodyLength::Exact(length),
                BodyLength::Unknown => wire::BodyLength::Unknown,
            },
            peer: connection.peer,
            local: connection.local,
            path_base: relative.path_base.as_bytes(),
            target: if unchanged { b"" } else { relative.path_and_query.as_bytes() },
            certificate: request.tls.and_then(|tls| tls.client_certificate.as_deref()).unwrap_or_default(),
            head: if passed.is_nothing() { request.raw } else { &head },
        };
        let taken = shard.take(&forwarded, exchange, group.delegates, watch);
        self.state.head.replace(head);
        match taken {
            Taken::Open(session, id, kept) => Some(Stage::Open(session, id, kept)),
            Taken::Waiting(waiting) => Some(Stage::Waiting(waiting)),
            Taken::Refused => None,
        }
    }
}

/// A CA asks whether a host is this machine's: nobody's registration is in its way.
fn answer_ca(exchange: &Exchange, answer: &[u8]) {
    let fields = [("content-type", "application/octet-stream"), ("cache-control", "no-store")];
    let fields = fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    // One that has gone asks again.
    let _ = exchange.send(200, fields.into_iter(), Piece::Slice(answer));
}

fn refused(exchange: &Exchange, reason: Reason) -> Option<Stage> {
    exchange.refuse(reason);
    None
}

/// A connection's place among those that a group may have at a time.
struct Slot(Arc<GroupCounters>);

impl Slot {
    /// Takes a place for the connection, unless it has one, or the group has no limit. `false` if there is none left. The
    /// connection's place in another group becomes free.
    fn take(exchange: &Exchange, group: &Group) -> bool {
        let attached = exchange.attachment();
        let Some(most) = group.max_connections else {
            if attached.is_some() {
                exchange.attach(None);
            }
            return true;
        };
        if let Some(slot) = attached.and_then(|attached| attached.downcast::<Self>().ok())
            && Arc::ptr_eq(&slot.0, &group.counters)
        {
            return true;
        }
        let taken = group.counters.connections.fetch_add(1, Ordering::Relaxed);
        let slot = Self(Arc::clone(&group.counters));
        let free = taken < most;
        if free {
            exchange.attach(Some(Rc::new(slot)));
        }
        free
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Stage {
    Waiting(Rc<Waiting>),
    /// With the request, if it may come back.
    Open(Rc<Session>, StreamId, Option<Rc<Waiting>>),
    Over,
}

enum Pump {
    /// What the app's window had no room for yet.
    Body(Bytes),
    Done,
}

/// The part of a relayed request that needs its connection's task: reading the body, and reporting what the client took.
pub(crate) struct Relayed {
    stage: Stage,
    /// What an earlier app was sent of the body without reading it.
    again: VecDeque<Sent>,
    body: Pump,
    exchange: Exchange,
    /// The app that has it was told that the client sends no more.
    told_closed: bool,
    /// The request may become a tunnel; until the app accepts, there is nothing to read.
    tunnel: bool,
}

impl Future for Relayed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Stage::Open(_, _, Some(kept)) = &this.stage
            && !matches!(*kept.place.borrow(), Place::Over)
        {
            // It has come back, or was delegated.
            // Behind what this app was sent comes what an earlier one was sent, and this one not yet.
            let mut again = VecDeque::from(kept.take_sent());
            again.append(&mut this.again);
            this.again = again;
            this.stage = Stage::Waiting(Rc::clone(kept));
        }
        if let Stage::Waiting(waiting) = &this.stage {
            let place = waiting.place.replace(Place::Over);
            match place {
                Place::Open(session, id) => {
                    let kept = waiting.is_kept().then(|| Rc::clone(waiting));
                    this.stage = Stage::Open(session, id, kept);
                    this.told_closed = false;
                }
                Place::Waiting => {
                    waiting.place.replace(Place::Waiting);
                    return Poll::Pending;
                }
                Place::Over => {
                    this.stage = Stage::Over;
                    return Poll::Ready(());
                }
            }
        }
        let Stage::Open(session, id, _) = &this.stage else { return Poll::Ready(()) };
        let (session, id) = (Rc::clone(session), *id);
        if this.tunnel && this.exchange.is_upgraded() {
            this.tunnel = false;
            // It is answered and does not come back: what may live for days need not keep its request.
            this.stage = Stage::Open(Rc::clone(&session), id, None);
            session.has_tunnel(this.exchange.tagged().unwrap_or_default());
            this.body = Pump::Body(Bytes::new());
        }
        if !this.told_closed && this.exchange.client_has_closed() {
            this.told_closed = true;
            session.client_closed(id);
        }
        this.pump(cx, &session, id);
        let drained = this.exchange.take_drained();
        if drained > 0 {
            session.consumed(id, drained);
        }
        // The response, which comes by the session, ends the exchange and with it this future.
        Poll::Pending
    }
}

impl Relayed {
    fn note_data(&self, bytes: &[u8]) {
        if let Stage::Open(_, _, Some(kept)) = &self.stage {
            kept.note_data(bytes);
        }
    }

    fn note(&self, sent: Sent) {
        if let Stage::Open(_, _, Some(kept)) = &self.stage {
            kept.note(sent);
        }
    }

    /// Sends again what an earlier app was sent. Returns whether all of it is sent.
    fn pump_again(&mut self, cx: &Context<'_>, session: &Session, id: StreamId) -> bool {
        while let Some(next) = self.again.pop_front() {
            match next {
                Sent::Data(mut bytes) => {
                    let window = session.poll_window(cx, id);
                    let now = bytes.split_to(bytes.len().min(window));
                    if !bytes.is_empty() {
                        self.again.push_front(Sent::Data(bytes));
                    }
                    if window == 0 {
                        return false;
                    }
                    session.send_data(id, &now, false);
                    self.note_data(&now);
                }
                Sent::Trailers(lines) => {
                    session.send_trailers(id, &lines);
                    self.note(Sent::Trailers(lines));
                }
                Sent::End => {
                    session.send_data(id, &[], true);
                    self.note(Sent::End);
                }
            }
        }
        true
    }

    fn pump(&mut self, cx: &mut Context<'_>, session: &Session, id: StreamId) {
        if !self.pump_again(cx, session, id) {
            return;
        }
        while let Pump::Body(held) = &mut self.body {
            let window = session.poll_window(cx, id);
            if !held.is_empty() {
                if window == 0 {
                    return;
                }
                let now = held.split_to(held.len().min(window));
                session.send_data(id, &now, false);
                self.note_data(&now);
                continue;
            }
            // Reading sends 100 Continue, so it waits until the app wants the body, even its first byte.
            if window == 0 && !self.exchange.body_is_at_end() {
                return;
            }
            match self.exchange.poll_body(cx) {
                Poll::Ready(Some(Ok(bytes))) => *held = bytes,
                Poll::Ready(None) => {
                    let sent = match self.exchange.take_trailers() {
                        Some(lines) => {
                            session.send_trailers(id, &lines);
                            Sent::Trailers(lines)
                        }
                        None => {
                            session.send_data(id, &[], true);
                            Sent::End
                        }
                    };
                    self.body = Pump::Done;
                    self.note(sent);
                }
                // Answered by the engine; the stream is cancelled when this is dropped.
                Poll::Ready(Some(Err(_))) => self.body = Pump::Done,
                Poll::Pending => {
                    // What was passed on lies unread at the app: it does not wait for more, so the client is not late.
                    if window < wire::INITIAL_WINDOW as usize {
                        self.exchange.body_may_rest();
                    }
                    return;
                }
            }
        }
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        match &self.stage {
            Stage::Open(session, id, kept) => {
                session.cancel(*id);
                kept.as_ref().map(forget);
            }
            Stage::Waiting(waiting) => forget(waiting),
            Stage::Over => {}
        }
    }
}

/// Nobody wants the answer to a request that waits, or that an app was just given.
fn forget(waiting: &Rc<Waiting>) {
    let place = waiting.place.replace(Place::Over);
    match place {
        Place::Waiting => {
            let shard = Rc::clone(&waiting.shard.borrow());
            shard.forget(waiting);
        }
        Place::Open(session, id) => session.cancel(id),
        Place::Over => {}
    }
}
