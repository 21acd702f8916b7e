//! What all cached bytes of the host may take together. Shared by the workers, touched when an entry comes or goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The room for entries, in bytes, and how much of it is taken.
#[derive(Debug)]
pub(crate) struct CacheBudget {
    limit: AtomicU64,
    used: AtomicU64,
    last_id: AtomicU64,
}

impl CacheBudget {
    /// Room for `limit` bytes (`max_cache_size`).
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0), last_id: AtomicU64::new(0) })
    }

    /// Changes the limit. Entries that are there stay until they go by themselves.
    pub(crate) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes that entries and collections take.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes room for `bytes`, if there is that much.
    pub(super) fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reserved> {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Reserved { budget: Arc::clone(self), bytes })
    }

    /// A number that no other entry of the host has.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Room that was taken. Goes back when this is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    budget: Arc<CacheBudget>,
    bytes: u64,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_and_is_never_given_twice() {
        let budget = CacheBudget::new(100);
        let first = budget.reserve(60).unwrap();
        assert!(budget.reserve(41).is_none());
        assert!(budget.reserve(u64::MAX).is_none());
        let second = budget.reserve(40).unwrap();
        assert_eq!(budget.used(), 100);
        drop(first);
        assert_eq!(budget.used(), 40);
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_smaller_limit_refuses_what_comes_and_keeps_what_is_there() {
        let budget = CacheBudget::new(100);
        let kept = budget.reserve(60).unwrap();
        budget.set_limit(50);
        assert!(budget.reserve(1).is_none());
        drop(kept);
        assert!(budget.reserve(50).is_some());
    }
}
