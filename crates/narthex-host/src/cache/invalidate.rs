//! What was removed from the cache lately: a response that was under way meanwhile must not be stored afterwards, since
//! it may have been made before the change.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use super::request::Key;
use super::url::UrlFilter;

/// An app accepted an unsafe request: what is stored for its URL is out of date. For [`Cache::invalidate`](super::Cache)
/// of every other worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalidation {
    pub(super) key: Key,
    pub(super) at: Duration,
}

/// What is to be removed. For [`Cache::flush`](super::Cache) of every worker.
#[derive(Clone, Debug)]
pub(crate) struct Flush {
    /// `None` is everything.
    pub(crate) url: Option<UrlFilter>,
    /// Only what belongs to these registrations: an app may flush only its own. `None` for the operator.
    pub(crate) registrations: Option<Vec<u32>>,
    /// When it was asked for.
    pub(crate) at: Duration,
}

impl Flush {
    pub(super) fn concerns(&self, entry: &super::entry::Entry) -> bool {
        self.registrations.as_ref().is_none_or(|own| own.contains(&entry.registration))
            && self.url.as_ref().is_none_or(|url| url.matches(&entry.url))
    }
}

/// When things were removed, by hashes of what they were. Different things that share a slot only keep a response from being
/// stored; so this needs no more room, however much is removed.
#[derive(Debug, Default)]
pub(super) struct Recent {
    hasher: RandomState,
    all: Option<Duration>,
    /// Empty until there is something in it.
    slots: Vec<Option<Duration>>,
}

const SLOTS: usize = 2048;

/// What was removed.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Removed<'k> {
    Key(&'k [u8]),
    Registration(u32),
}

impl Recent {
    pub(super) fn push(&mut self, at: Duration, removed: Removed<'_>) {
        self.slots.resize(SLOTS, None);
        let slot = self.slot(removed);
        if let Some(last) = self.slots.get_mut(slot) {
            *last = (*last).max(Some(at));
        }
    }

    pub(super) fn push_all(&mut self, at: Duration) {
        self.all = self.all.max(Some(at));
    }

    /// Whether what lies under this key, and belongs to this registration, was removed since `asked`.
    pub(super) fn since(&self, asked: Duration, key: &[u8], registration: u32) -> bool {
        let asked = Some(asked);
        if self.all >= asked {
            return true;
        }
        let last = |removed| self.slots.get(self.slot(removed)).copied().flatten();
        !self.slots.is_empty() && (last(Removed::Key(key)) >= asked || last(Removed::Registration(registration)) >= asked)
    }

    fn slot(&self, removed: Removed<'_>) -> usize {
        self.hasher.hash_one(removed) as usize % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_is_known_by_its_key_its_registration_or_altogether() {
        let at = Duration::from_secs;
        let mut recent = Recent::default();
        assert!(!recent.since(at(0), b"a", 7));
        recent.push(at(5), Removed::Key(b"a"));
        recent.push(at(4), Removed::Key(b"a"));
        assert!(recent.since(at(5), b"a", 7) && !recent.since(at(6), b"a", 7));
        recent.push(at(6), Removed::Registration(7));
        assert!(recent.since(at(6), b"a", 7) && !recent.since(at(7), b"a", 7));
        recent.push_all(at(8));
        assert!(recent.since(at(8), b"z", 9) && !recent.since(at(9), b"z", 9));
    }
}
