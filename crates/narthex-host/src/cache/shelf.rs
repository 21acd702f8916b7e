//! Where one worker's entries lie: by key, and under a key by what selected them.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Stored;
use super::entry::Entry;
use super::request::{Key, RequestHead};

/// The most variants of one URL. One more replaces the one that was used least lately.
const MOST_VARIANTS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// No list is empty; the newest is last.
    lists: HashMap<Key, Vec<Rc<Stored>>>,
    entries: usize,
}

impl Shelf {
    pub(super) fn len(&self) -> usize {
        self.entries
    }

    /// The newest that is fresh and fits the request.
    pub(super) fn find(&self, key: &[u8], request: &impl RequestHead, cookie: bool, now: Duration) -> Option<Rc<Stored>> {
        let list = self.lists.get(key)?;
        let fits = |stored: &&Rc<Stored>| {
            let entry = &stored.entry;
            (entry.public || !cookie)
                && entry.is_fresh(now)
                && entry.vary.iter().all(|one| one.matches(request.fields().map(|(name, value)| (name.as_bytes(), value))))
        };
        list.iter().rev().find(fits).map(Rc::clone)
    }

    /// The one under a key that has no variants.
    pub(super) fn any(&self, key: &[u8], now: Duration) -> Option<Rc<Stored>> {
        self.lists.get(key)?.iter().find(|stored| stored.entry.is_fresh(now)).map(Rc::clone)
    }

    /// Adds an entry in place of the one with the same selecting fields. A second insertion of the same entry, or of an older
    /// one, changes nothing: workers may tell each other in any order.
    pub(super) fn put(&mut self, entry: Arc<Entry>, now: Duration) {
        let list = self.lists.entry(entry.key.clone()).or_default();
        let before = list.len();
        let newer = |other: &Entry| (other.stored, other.id) >= (entry.stored, entry.id);
        if !list.iter().any(|stored| stored.entry.vary == entry.vary && newer(&stored.entry)) {
            list.retain(|stored| stored.entry.vary != entry.vary && stored.entry.is_fresh(now));
            if list.len() >= MOST_VARIANTS {
                let oldest = list.iter().enumerate().min_by_key(|(_, stored)| stored.entry.last_hit.get());
                if let Some((index, _)) = oldest {
                    list.remove(index);
                }
            }
            list.push(Rc::new(Stored { entry, hits: Cell::new(0) }));
        }
        self.entries = (self.entries + list.len()).saturating_sub(before);
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        let removed = self.lists.remove(key).map_or(0, |list| list.len());
        self.entries = self.entries.saturating_sub(removed);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.lists.retain(|_, list| {
            list.retain(|stored| keep(&stored.entry));
            !list.is_empty()
        });
        self.entries = self.lists.values().map(Vec::len).sum();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stored> {
        self.lists.values().flatten().map(|stored| &**stored)
    }
}
