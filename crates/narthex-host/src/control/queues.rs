//! Request queues: found by name, shared by the processes of one user, gone with the last of them.
//!
//! Anybody can take a name first. So two users share a queue only if each lets the other in: its owner by the queue's
//! openers, who comes later by its own, unless the owner is an operator.

use std::sync::Arc;

use narthex_proto::wire::{Principal, QueueSettings, RefusalCode};

use super::reservations::is_operator;
use super::settings::{Defaults, queue_rules};
use super::state::Refusal;
use crate::config::accounts;
use crate::snapshot::{AppId, Queue, QueueEntry, Snapshot, fill_gap, trim_gaps};

/// Who opens a queue.
#[derive(Clone, Copy)]
pub(crate) struct Opener<'a> {
    pub(crate) uid: u32,
    /// The groups of the user.
    pub(crate) gids: &'a [u32],
}

impl Opener<'_> {
    fn is_among(self, principals: &[Principal]) -> bool {
        principals.iter().any(|principal| match principal {
            Principal::User(uid) => *uid == self.uid,
            Principal::Group(gid) => self.gids.contains(gid),
            Principal::Everyone => true,
        })
    }
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
            if !trusts(opener, &settings.openers, entry) {
                let whose = accounts::described(Principal::User(entry.queue.uid));
                let message = format!(
                    "the request queue {name:?} belongs to {whose}, whose programs would get this app's requests: name that user \
                     among the queue's openers if they may, or choose another name"
                );
                return Err(Refusal::new(RefusalCode::AccessDenied, message));
            }
            return Ok(Found::Open(index));
        }
    }
    Ok(Found::New(QueueEntry {
        queue: Arc::new(Queue::new(id, settings.name.clone(), opener.uid)),
        rules: queue_rules(settings, defaults),
        stopped: false,
        inherits_length: settings.length.is_none(),
        inherits_grace: settings.restart_grace.is_none(),
        openers: settings.openers.as_slice().into(),
        gids: opener.gids.into(),
        apps: Vec::new(),
    }))
}

/// Whether `opener` may take requests from the queue.
pub(crate) fn may_open(entry: &QueueEntry, opener: Opener<'_>) -> bool {
    opener.uid == entry.queue.uid || opener.is_among(&entry.openers)
}

/// Whether the queue's owner may have the requests of `opener`, who names these `openers`.
fn trusts(opener: Opener<'_>, openers: &[Principal], entry: &QueueEntry) -> bool {
    let owner = Opener { uid: entry.queue.uid, gids: &entry.gids };
    owner.uid == opener.uid || is_operator(owner.uid) || owner.is_among(openers)
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
