//! The host's handler: routes a request, hands it to an app's session, and moves its body.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use narthex_http::{BodyLength, Exchange, Handler, Reason, Request, Version};
use narthex_proto::prefix::Scheme;
use narthex_proto::routing::Route;
use narthex_proto::wire::{self, HttpVersion, StreamId};

use crate::worker::queue::{Place, Shard, Taken, Waiting};
use crate::worker::session::Session;
use crate::worker::{LocalGroup, WorkerState};

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
        Some(Relayed { stage, body, exchange, tunnel: request.wants_upgrade })
    }
}

impl Relay {
    fn route(&self, request: &Request<'_>, exchange: &Exchange) -> Option<Stage> {
        let snapshot = self.state.snapshot.borrow();
        let connection = request.connection;
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
        if !group.active || !shard.rules().active {
            return refused(exchange, Reason::NotAvailable);
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
        let relative = request.cooked.relative_to(prefix.path());
        let unchanged = *relative.path_and_query == *request.target;
        let forwarded = wire::Request {
            registration: registration.id,
            version: match request.version {
                Version::Http10 => HttpVersion::Http10,
                Version::Http11 => HttpVersion::Http11,
            },
            tls: connection.scheme == Scheme::Https,
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
            head: request.raw,
        };
        match shard.take(&forwarded, exchange) {
            Taken::Open(session, id) => Some(Stage::Open(session, id)),
            Taken::Waiting(waiting) => Some(Stage::Waiting(Rc::clone(shard), waiting)),
            Taken::Refused => None,
        }
    }
}

fn refused(exchange: &Exchange, reason: Reason) -> Option<Stage> {
    exchange.refuse(reason);
    None
}

enum Stage {
    Waiting(Rc<Shard>, Rc<Waiting>),
    Open(Rc<Session>, StreamId),
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
    body: Pump,
    exchange: Exchange,
    /// The request may become a tunnel; until the app accepts, there is nothing to read.
    tunnel: bool,
}

impl Future for Relayed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Stage::Waiting(_, waiting) = &this.stage {
            let place = waiting.place.replace(Place::Over);
            match place {
                Place::Open(session, id) => this.stage = Stage::Open(session, id),
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
        let Stage::Open(session, id) = &this.stage else { return Poll::Ready(()) };
        let (session, id) = (Rc::clone(session), *id);
        if this.tunnel && this.exchange.is_upgraded() {
            this.tunnel = false;
            this.body = Pump::Body(Bytes::new());
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
    fn pump(&mut self, cx: &mut Context<'_>, session: &Session, id: StreamId) {
        while let Pump::Body(held) = &mut self.body {
            let window = session.poll_window(cx, id);
            if !held.is_empty() {
                if window == 0 {
                    return;
                }
                let take = held.len().min(window);
                session.send_data(id, &held[..take], false);
                held.advance(take);
                continue;
            }
            // Reading sends 100 Continue, so it waits until the app wants the body, even its first byte.
            if window == 0 && !self.exchange.body_is_at_end() {
                return;
            }
            match self.exchange.poll_body(cx) {
                Poll::Ready(Some(Ok(bytes))) => *held = bytes,
                Poll::Ready(None) => {
                    match self.exchange.take_trailers() {
                        Some(lines) => session.send_trailers(id, &lines),
                        None => session.send_data(id, &[], true),
                    }
                    self.body = Pump::Done;
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
            Stage::Open(session, id) => session.cancel(*id),
            Stage::Waiting(shard, waiting) => {
                let place = waiting.place.replace(Place::Over);
                match place {
                    Place::Waiting => shard.forget(waiting),
                    Place::Open(session, id) => session.cancel(id),
                    Place::Over => {}
                }
            }
            Stage::Over => {}
        }
    }
}
