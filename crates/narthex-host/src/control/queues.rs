//! Request queues: found by name, shared by the processes of one user, gone with the last of them.

use std::sync::Arc;

use narthex_proto::wire::{Principal, QueueSettings, RefusalCode};

use super::settings::{Defaults, queue_rules};
use super::state::Refusal;
use crate::snapshot::{AppId, Queue, QueueEntry, Snapshot, fill_gap, trim_gaps};

/// Who opens a queue.
#[derive(Clone, Copy)]
pub(crate) struct Opener<'a> {
    pub(crate) uid: u32,
    /// The groups of the user.
    pub(crate) gids: &'a [u32],
}

/// Where a group's requests will wait: a queue that is there, or one that is to be made.
pub(crate) enum Found {
    Open(usize),
    New(QueueEntry),
}

/// The queue that these settings mean: the named one if it is there and lets `opener` in, else a new one with `id`.
pub(crate) fn find(
    snapshot: &Snapshot,
    settings: &QueueSettings,
    opener: Opener<'_>,
    id: u64,
    defaults: &Defaults,
) -> Result<Found, Refusal> {
    if let Some(name) = &settings.name {
        let named = |entry: &QueueEntry| entry.queue.name.as_ref() == Some(name);
        let found =
            snapshot.queues.iter().enumerate().find_map(|(index, slot)| Some((index, slot.as_ref().filter(|e| named(e))?)));
        if let Some((index, entry)) = found {
            if !may_open(entry, opener) {
                let message = format!("the request queue {name:?} belongs to another user; choose another name");
                return Err(Refusal::new(RefusalCode::AccessDenied, message));
            }
            return Ok(Found::Open(index));
        }
    }
    Ok(Found::New(QueueEntry {
        queue: Arc::new(Queue::new(id, settings.name.clone(), opener.uid)),
        rules: queue_rules(settings, defaults),
        inherits_length: settings.length.is_none(),
        openers: settings.openers.as_slice().into(),
        apps: Vec::new(),
    }))
}

/// Whether `opener` may take requests from the queue.
pub(crate) fn may_open(entry: &QueueEntry, opener: Opener<'_>) -> bool {
    opener.uid == entry.queue.uid
        || entry.openers.iter().any(|principal| match principal {
            Principal::User(uid) => *uid == opener.uid,
            Principal::Group(gid) => opener.gids.contains(gid),
            Principal::Everyone => true,
        })
}

/// Puts `app` on the queue, and says where the queue is.
pub(crate) fn join(snapshot: &mut Snapshot, found: Found, app: AppId) -> usize {
    let index = match found {
        Found::Open(index) => index,
        Found::New(entry) => fill_gap(&mut snapshot.queues, entry),
    };
    if let Some(Some(entry)) = snapshot.queues.get_mut(index)
        && !entry.apps.contains(&app)
    {
        entry.apps.push(app);
    }
    index
}

/// Takes `app` off the queues that none of its groups uses. A queue without apps is gone.
pub(crate) fn leave_unused(snapshot: &mut Snapshot, app: AppId, used: &[usize]) {
    for (index, slot) in snapshot.queues.iter_mut().enumerate() {
        let Some(entry) = slot.as_mut().filter(|_| !used.contains(&index)) else { continue };
        entry.apps.retain(|other| *other != app);
        if entry.apps.is_empty() {
            *slot = None;
        }
    }
    trim_gaps(&mut snapshot.queues);
}
