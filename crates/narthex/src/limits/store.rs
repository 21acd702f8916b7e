//! What is remembered of each client, for so many clients and no more.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

/// So that workers seldom wait for each other.
const SHARDS: usize = 16;

/// A digest of whom something is remembered of: as short for a long name as for an address.
pub(super) type Key = u128;

/// The state of each key. Beyond `most`, the one that was not used for the longest time is forgotten: it has had time to recover.
pub(super) struct Store<V> {
    shards: Box<[Mutex<LruCache<Key, V, RandomState>>]>,
    hasher: RandomState,
    most: usize,
}

impl<V: Copy> Store<V> {
    pub(super) fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(LruCache::unbounded_with_hasher(RandomState::new())));
        Self { shards: shards.collect(), hasher: RandomState::new(), most: most.div_ceil(SHARDS).max(1) }
    }

    /// Changes the state of a key. What `change` gives as `None` is not kept.
    pub(super) fn change<T>(&self, key: Key, change: impl FnOnce(Option<V>) -> (T, Option<V>)) -> T {
        // Which shard it is must not be for clients to choose.
        let nth = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        let Some(shard) = self.shards.get(nth) else { return change(None).0 };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shard.get(&key).copied();
        let (result, state) = change(known);
        if let Some(state) = state {
            shard.put(key, state);
            if shard.len() > self.most {
                shard.pop_lru();
            }
        }
        result
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_keys_take_no_more_room_than_is_allowed() {
        let store = Store::new(1_600);
        for key in 0..1_000_000 {
            store.change(key, |_| ((), Some(key)));
        }
        assert_eq!(store.len(), 1_600);
        assert_eq!(store.change(999_999, |known| (known, None)), Some(999_999), "the last is there");
        assert_eq!(store.change(0, |known| (known, None)), None);
    }
}
