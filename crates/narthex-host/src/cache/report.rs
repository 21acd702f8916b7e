//! What the cache holds, for `show cachestate`.

use std::time::Duration;

use super::Stored;
use super::entry::Entry;
use crate::admin::CachedState;

/// An entry as one worker has it. Workers share entries and count their own hits: add those of the same `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    /// The entry's number.
    pub(crate) id: u64,
    /// Whose it is. Says what the queue's name is, which the cache does not know.
    pub(crate) registration: u32,
    /// The rest. `queue_name` is `None`.
    pub(crate) state: CachedState,
}

pub(super) fn report(stored: &Stored, now: Duration) -> Reported {
    let entry = &*stored.entry;
    let text = |name| entry.block.value(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let left = |lifetime: Duration| lifetime.saturating_sub(now.saturating_sub(entry.stored)).as_secs();
    let state = CachedState {
        url: entry.url.to_string(),
        status: entry.status,
        method: if entry.fragment { String::new() } else { "GET".to_owned() },
        policy: if entry.lifetime.is_some() { "time to live" } else { "until flushed" }.to_owned(),
        time_to_live: entry.lifetime.map(left),
        created: created(entry),
        queue_name: None,
        content_type: text("content-type"),
        content_encoding: text("content-encoding"),
        vary: entry.vary.iter().map(|selecting| selecting.name.to_string()).collect(),
        headers_length: entry.block.lines().len() as u64,
        content_length: entry.body.len() as u64,
        hits: stored.hits.get(),
        fragment: entry.fragment,
    };
    Reported { id: entry.id, registration: entry.registration, state }
}

/// RFC 3339, to the second.
fn created(entry: &Entry) -> String {
    let stamp = jiff::Timestamp::try_from(entry.created).ok();
    stamp.and_then(|stamp| jiff::Timestamp::from_second(stamp.as_second()).ok()).map_or_else(String::new, |at| at.to_string())
}
