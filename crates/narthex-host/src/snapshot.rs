//! What the data plane reads: an immutable picture of who serves what, replaced as a whole after every change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use narthex_http::Timeouts;
use narthex_proto::routing::Table;

use crate::admin::Grant;

/// An app's number, for as long as the host runs.
pub(crate) type AppId = u64;

/// Who may do what under a reserved prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) grants: Vec<Grant>,
}

pub(crate) type Routes = Table<Reservation, Arc<Registration>>;

/// A prefix that a live app has.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) id: u32,
    pub(crate) app: AppId,
    /// Where its requests wait: an index into [`Snapshot::queues`].
    pub(crate) queue: usize,
    pub(crate) max_body: MaxBody,
    /// The group's timers, if they differ from the host's.
    pub(crate) timeouts: Option<Timeouts>,
}

/// The longest request body that a group takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaxBody {
    Inherited,
    Most(u64),
}

/// A request queue as all workers see it: its settings, and how many requests wait in it on any of them.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) id: u64,
    pub(crate) name: Option<String>,
    /// The user whose processes may open it.
    pub(crate) uid: u32,
    pub(crate) length: usize,
    waiting: AtomicUsize,
    pub(crate) rejected: AtomicU64,
}

impl Queue {
    pub(crate) fn new(id: u64, name: Option<String>, uid: u32, length: usize) -> Self {
        Self { id, name, uid, length, waiting: AtomicUsize::new(0), rejected: AtomicU64::new(0) }
    }

    /// Takes one of the places, unless all are taken. Touched only by requests that have to wait.
    pub(crate) fn enter(&self) -> bool {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < self.length {
            return true;
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.rejected.fetch_add(1, Ordering::Relaxed);
        false
    }

    pub(crate) fn leave(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A queue and the apps that take requests from it.
#[derive(Clone, Debug)]
pub(crate) struct QueueEntry {
    pub(crate) queue: Arc<Queue>,
    pub(crate) apps: Vec<AppId>,
}

/// The picture.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) routes: Routes,
    /// By index; a gap is a queue that is gone.
    pub(crate) queues: Vec<Option<QueueEntry>>,
}

impl Snapshot {
    pub(crate) fn empty() -> Self {
        Self { routes: Table::new(), queues: Vec::new() }
    }
}
