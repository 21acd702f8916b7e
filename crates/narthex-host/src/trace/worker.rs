//! Traces on a worker: which requests are recorded, and how their spans leave.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime};

use narthex_http::{Ended, Request};
use narthex_otlp::Outlet;
use narthex_proto::prefix::UrlPrefix;
use narthex_proto::trace::TraceContext;
use slab::Slab;
use tokio::sync::Notify;

use super::context::{self, Context};
use super::span::{Begun, Finished, LONGEST_PATH, Spans};
use super::{Share, Traces};

/// Spans that leave together.
const FULL: usize = 64;
/// How long a span waits in a batch that does not fill up.
const INTERVAL: Duration = Duration::from_millis(250);

/// A worker's part of the traces. It stays on its thread.
pub(crate) struct WorkerTraces {
    traces: Traces,
    /// The share of traces that are recorded; `None` if there are none at all.
    sample: Cell<Option<Share>>,
    outlet: RefCell<Option<Outlet<Spans>>>,
    /// What is recorded and has not ended.
    open: RefCell<Slab<Box<Begun>>>,
    finished: RefCell<Spans>,
    /// A span has come into an empty batch.
    started: Notify,
}

/// Where a worker finds the span of a request that has not ended; nowhere if it is not recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept(u32);

impl Kept {
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    fn slot(self) -> Option<usize> {
        usize::try_from(self.0).ok()?.checked_sub(1)
    }
}

impl From<[u8; 4]> for Kept {
    fn from(bytes: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(bytes))
    }
}

/// What was decided about a request.
pub(crate) struct Traced {
    pub(crate) context: Context,
    begun: Option<Box<Begun>>,
}

impl WorkerTraces {
    /// The part of the calling worker.
    pub(crate) fn new(traces: Traces) -> Self {
        let worker = Self {
            traces,
            sample: Cell::new(None),
            outlet: RefCell::default(),
            open: RefCell::default(),
            finished: RefCell::default(),
            started: Notify::new(),
        };
        worker.renew();
        worker
    }

    /// Goes by what the configuration says now.
    pub(crate) fn renew(&self) {
        self.hand_over();
        let open = self.traces.current();
        self.sample.set(open.as_ref().map(|open| open.settings.sample));
        *self.outlet.borrow_mut() = open.map(|open| open.outlet);
    }

    /// Hands over every batch in time. Runs as a task of the worker for as long as it lives; sleeps while there are no spans.
    pub(crate) async fn run(&self) {
        loop {
            self.started.notified().await;
            tokio::time::sleep(INTERVAL).await;
            self.hand_over();
        }
    }

    /// Decides about a request. `None` if there are no traces.
    #[inline]
    pub(crate) fn begin(&self, request: &Request<'_>, prefix: &UrlPrefix) -> Option<Traced> {
        Some(self.decide(self.sample.get()?, request, prefix))
    }

    fn decide(&self, sample: Share, request: &Request<'_>, prefix: &UrlPrefix) -> Traced {
        let client = context::of_client(request.headers());
        let context = match client {
            // Nobody records it, and so there is no span of ours to stand between client and app.
            Some(client) if !client.sampled => client,
            Some(client) => TraceContext { span: random(), ..client },
            None => {
                let trace = random();
                TraceContext { trace, span: random(), sampled: sample.has(&trace) }
            }
        };
        let begun = context.sampled.then(|| Box::new(begin(context, client, request, prefix)));
        Traced { context: Context { traceparent: context.to_text(), goes_on: client.is_some() }, begun }
    }

    /// Keeps a request that is recorded until it [ends](Self::end).
    pub(crate) fn keep(&self, traced: Option<Traced>) -> Kept {
        let Some(begun) = traced.and_then(|traced| traced.begun) else { return Kept::default() };
        let slot = self.open.borrow_mut().insert(begun);
        // There are never so many exchanges that it does not fit.
        Kept(u32::try_from(slot + 1).unwrap_or_default())
    }

    /// A request that was kept is over.
    pub(crate) fn end(&self, kept: Kept, ended: &Ended<'_>) {
        let Some(begun) = kept.slot().and_then(|slot| self.open.borrow_mut().try_remove(slot)) else { return };
        let end = now();
        let finished = Finished {
            begun,
            start: end.checked_sub(ended.taken).unwrap_or(end),
            end,
            status: ended.status,
            reason: ended.reason.map(|reason| reason.token()),
            peer: ended.connection.peer,
            local: ended.connection.local,
            scheme: ended.connection.scheme,
        };
        let mut batch = self.finished.borrow_mut();
        batch.0.push(finished);
        match batch.0.len() {
            1 => self.started.notify_one(),
            FULL => {
                drop(batch);
                self.hand_over();
            }
            _ => {}
        }
    }

    /// Gives away what has ended. If it cannot be sent as fast as it comes, it is lost: a worker does not wait.
    fn hand_over(&self) {
        let batch = self.finished.take();
        if let Some(outlet) = self.outlet.borrow().as_ref().filter(|_| !batch.0.is_empty()) {
            outlet.give(batch);
        }
    }
}

impl Drop for WorkerTraces {
    fn drop(&mut self) {
        self.hand_over();
    }
}

fn begin(context: TraceContext, client: Option<TraceContext>, request: &Request<'_>, prefix: &UrlPrefix) -> Begun {
    let path = if request.cooked.is_asterisk() { "*" } else { request.cooked.raw_path() };
    // Its end, where that would cut a character, too: it has a limit of its own.
    let path = path.get(..LONGEST_PATH).unwrap_or(path);
    Begun {
        context,
        parent: client.map(|client| client.span),
        method: request.method.into(),
        path: path.into(),
        route: prefix.path().into(),
        host: request.host.map(|host| host.name().into()),
        version: request.version,
        id: request.id.cloned(),
    }
}

/// Never all zeros, which is no id.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    while bytes == [0; N] {
        fastrand::fill(&mut bytes);
    }
    bytes
}

#[expect(clippy::disallowed_methods, reason = "a span says when it was, which is no decision that a test could want to repeat")]
fn now() -> SystemTime {
    SystemTime::now()
}
