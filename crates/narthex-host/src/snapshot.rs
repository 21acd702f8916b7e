//! What the data plane reads: an immutable picture of who serves what, replaced as a whole after every change.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use narthex_http::{Bandwidth, Timeouts};
use narthex_proto::routing::Table;
use narthex_proto::wire::{Principal, Verbosity};

use crate::acme::HttpAnswers;
use crate::admin::Grant;
use crate::cache::CachingHabit;
use crate::log::Log;

/// An app's number, for as long as the host runs.
pub(crate) type AppId = u64;

/// Who may do what below a prefix, whether an app is there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) grants: Vec<Grant>,
}

pub(crate) type Routes = Table<Reservation, Registration>;

/// A prefix that a live app has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) id: u32,
    /// An index into [`Snapshot::groups`].
    pub(crate) group: usize,
}

/// A URL group, its inheritance resolved.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) app: AppId,
    /// Where its requests wait: an index into [`Snapshot::queues`].
    pub(crate) queue: usize,
    pub(crate) active: bool,
    /// The longest request body.
    pub(crate) max_body: Option<u64>,
    /// The group's timers, if they differ from the host's.
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) response_cache: bool,
    /// Its requests may be handed to other queues.
    pub(crate) delegates: bool,
    /// What paces its clients' connections together.
    pub(crate) bandwidth: Option<Arc<Bandwidth>>,
    pub(crate) log: Option<Arc<Log>>,
    pub(crate) counters: Arc<GroupCounters>,
}

/// What outlives a change of a group's settings.
#[derive(Debug, Default)]
pub(crate) struct GroupCounters {
    /// Client connections whose last request was for the group. Counted only while it has a limit.
    pub(crate) connections: AtomicUsize,
    pub(crate) bandwidth: OnceLock<Arc<Bandwidth>>,
}

/// A request queue as all workers see it: what outlives a change of its settings.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) id: u64,
    pub(crate) name: Option<String>,
    /// The user who made it.
    pub(crate) uid: u32,
    waiting: AtomicUsize,
    pub(crate) rejected: AtomicU64,
    /// Whether its apps' responses ask to be cached; while that is out of the question no request is looked up.
    pub(crate) habit: CachingHabit,
}

impl Queue {
    pub(crate) fn new(id: u64, name: Option<String>, uid: u32) -> Self {
        Self { id, name, uid, waiting: AtomicUsize::new(0), rejected: AtomicU64::new(0), habit: CachingHabit::default() }
    }

    /// Takes one of `length` places, unless all are taken. Touched only by requests that have to wait.
    pub(crate) fn enter(&self, length: usize) -> bool {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < length {
            return true;
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.rejected.fetch_add(1, Ordering::Relaxed);
        false
    }

    pub(crate) fn leave(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a place whether there is one or not: for a request that had left the queue and comes back.
    pub(crate) fn enter_again(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// What of a queue can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueRules {
    pub(crate) length: usize,
    pub(crate) active: bool,
    pub(crate) verbosity: Verbosity,
    pub(crate) accepts_delegation: bool,
    /// How long it waits for its next process.
    pub(crate) restart_grace: Duration,
}

/// A queue, its settings, and the apps that take requests from it.
#[derive(Clone, Debug)]
pub(crate) struct QueueEntry {
    pub(crate) queue: Arc<Queue>,
    /// What its app says. See [`in_force`](Self::in_force).
    pub(crate) rules: QueueRules,
    /// An operator has stopped it: that goes before what its app says.
    pub(crate) stopped: bool,
    /// Its length is what the host's configuration says.
    pub(crate) inherits_length: bool,
    /// So is how long it waits for its next process.
    pub(crate) inherits_grace: bool,
    /// Who may open it besides its user.
    pub(crate) openers: Arc<[Principal]>,
    /// The groups of its user.
    pub(crate) gids: Arc<[u32]>,
    pub(crate) apps: Vec<AppId>,
}

impl QueueEntry {
    /// The rules that its requests meet.
    pub(crate) fn in_force(&self) -> QueueRules {
        // Nobody could find a queue without a name again.
        let restart_grace = if self.queue.name.is_some() { self.rules.restart_grace } else { Duration::ZERO };
        QueueRules { active: self.rules.active && !self.stopped, restart_grace, ..self.rules }
    }
}

/// The picture.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) routes: Routes,
    /// By index; a gap is a group that is gone.
    pub(crate) groups: Vec<Option<Arc<Group>>>,
    /// By index; a gap is a queue that is gone.
    pub(crate) queues: Vec<Option<QueueEntry>>,
    pub(crate) acme: HttpAnswers,
}

impl Snapshot {
    pub(crate) fn empty() -> Self {
        Self { routes: Table::new(), groups: Vec::new(), queues: Vec::new(), acme: HttpAnswers::default() }
    }

    /// The group of a registration.
    pub(crate) fn group(&self, index: usize) -> Option<&Arc<Group>> {
        self.groups.get(index)?.as_ref()
    }

    pub(crate) fn queue(&self, index: usize) -> Option<&QueueEntry> {
        self.queues.get(index)?.as_ref()
    }

    /// The queue of that name, and its index.
    pub(crate) fn queue_named(&self, name: &str) -> Option<(usize, &QueueEntry)> {
        let mut queues = self.queues.iter().enumerate().filter_map(|(index, slot)| Some((index, slot.as_ref()?)));
        queues.find(|(_, entry)| entry.queue.name.as_deref() == Some(name))
    }
}

/// Where [`fill_gap`] would put something.
pub(crate) fn first_gap<T>(slots: &[Option<T>]) -> usize {
    slots.iter().position(Option::is_none).unwrap_or(slots.len())
}

/// Puts `value` into the first gap of `slots`, and says where that is.
pub(crate) fn fill_gap<T>(slots: &mut Vec<Option<T>>, value: T) -> usize {
    let index = first_gap(slots);
    if index == slots.len() {
        slots.push(None);
    }
    if let Some(slot) = slots.get_mut(index) {
        *slot = Some(value);
    }
    index
}

/// Removes the gaps at the end.
pub(crate) fn trim_gaps<T>(slots: &mut Vec<Option<T>>) {
    let last = slots.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    slots.truncate(last);
}
