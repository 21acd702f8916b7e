//! Sessions in memory.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use tokio::time::Instant;

use super::store::{Full, SessionId, SessionStore, Slot, Stored};
use super::{Overflow, Times};

/// So many of the sessions that were not used for the longest time are looked at with each new one, so that those that are over leave.
const SWEPT: usize = 4;

/// Keeps sessions in memory, in the order in which they were used.
pub struct MemoryStore<T> {
    sessions: Mutex<LruCache<SessionId, Kept<T>>>,
    most: usize,
    overflow: Overflow,
}

struct Kept<T> {
    slot: Slot<T>,
    began: Instant,
    used: Instant,
}

impl<T> Kept<T> {
    fn is_over(&self, now: Instant, times: Times) -> bool {
        now.duration_since(self.used) >= times.idle || now.duration_since(self.began) >= times.absolute
    }
}

impl<T> MemoryStore<T> {
    /// Room for so many.
    #[must_use]
    pub fn new(sessions: usize, overflow: Overflow) -> Self {
        Self { sessions: Mutex::new(LruCache::unbounded()), most: sessions.max(1), overflow }
    }

    /// How many there are, those included that are over and have not been noticed.
    pub fn len(&self) -> usize {
        self.sessions().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn sessions(&self) -> MutexGuard<'_, LruCache<SessionId, Kept<T>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: SessionId, times: Times) -> Option<Slot<T>> {
        let now = Instant::now();
        let mut sessions = self.sessions();
        let kept = sessions.get_mut(&id)?;
        if kept.is_over(now, times) {
            sessions.pop(&id);
            return None;
        }
        kept.used = now;
        Some(Slot::clone(&kept.slot))
    }
}

impl<T: Default> MemoryStore<T> {
    fn begin(&self, id: SessionId, times: Times) -> Result<Slot<T>, Full> {
        let now = Instant::now();
        let mut sessions = self.sessions();
        for _ in 0..SWEPT {
            if sessions.peek_lru().is_some_and(|(_, oldest)| oldest.is_over(now, times)) {
                sessions.pop_lru();
            }
        }
        if sessions.len() >= self.most {
            match self.overflow {
                Overflow::EndOldest => _ = sessions.pop_lru(),
                Overflow::Refuse => return Err(Full),
            }
        }
        let slot = Slot::new(T::default());
        sessions.put(id, Kept { slot: Slot::clone(&slot), began: now, used: now });
        Ok(slot)
    }
}

impl<T: Default + Send + 'static> SessionStore<T> for MemoryStore<T> {
    fn load(&self, id: SessionId, times: Times) -> Stored<'_, Option<Slot<T>>> {
        let found = self.find(id, times);
        Box::pin(async { Ok(found) })
    }

    fn create(&self, id: SessionId, times: Times) -> Stored<'_, Slot<T>> {
        let begun = self.begin(id, times);
        Box::pin(async { Ok(begun?) })
    }

    fn save(&self, _: SessionId, _: Slot<T>) -> Stored<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn rename(&self, from: SessionId, to: SessionId) -> Stored<'_, bool> {
        let mut sessions = self.sessions();
        let kept = sessions.pop(&from);
        let was_there = kept.is_some();
        if let Some(kept) = kept {
            sessions.put(to, kept);
        }
        drop(sessions);
        Box::pin(async move { Ok(was_there) })
    }

    fn remove(&self, id: SessionId) -> Stored<'_, ()> {
        self.sessions().pop(&id);
        Box::pin(async { Ok(()) })
    }
}

impl<T> fmt::Debug for MemoryStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("len", &self.len()).field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    const TIMES: Times = Times { idle: Duration::from_secs(10), absolute: Duration::from_secs(25) };

    fn id(text: &str) -> SessionId {
        SessionId::of(text)
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_lasts_while_it_is_used_but_not_forever() {
        let store = MemoryStore::<u32>::new(10, Overflow::default());
        *store.begin(id("a"), TIMES).unwrap().lock().await = 7;
        store.begin(id("b"), TIMES).unwrap();
        for _ in 0..3 {
            advance(Duration::from_secs(7)).await;
            assert_eq!(*store.find(id("a"), TIMES).unwrap().lock().await, 7);
        }
        assert!(store.find(id("b"), TIMES).is_none(), "nobody used it");
        advance(Duration::from_secs(4)).await;
        assert!(store.find(id("a"), TIMES).is_none(), "it is 25 s old");
        assert!(store.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_that_are_over_leave_by_themselves() {
        let store = MemoryStore::<u32>::new(1_000, Overflow::Refuse);
        for number in 0..1_000 {
            store.begin(id(&number.to_string()), TIMES).unwrap();
        }
        assert!(store.begin(id("one more"), TIMES).is_err());
        advance(Duration::from_secs(10)).await;
        for number in 0..400 {
            store.begin(id(&format!("later {number}")), TIMES).unwrap();
        }
        assert_eq!(store.len(), 400);
    }

    #[tokio::test]
    async fn a_new_session_ends_the_one_that_was_not_used_for_the_longest_time() {
        let store = MemoryStore::<u32>::new(2, Overflow::EndOldest);
        store.begin(id("a"), TIMES).unwrap();
        store.begin(id("b"), TIMES).unwrap();
        store.find(id("a"), TIMES).unwrap();
        store.begin(id("c"), TIMES).unwrap();
        assert!(store.find(id("a"), TIMES).is_some() && store.find(id("b"), TIMES).is_none());
    }

    #[tokio::test]
    async fn a_renamed_session_keeps_its_state_and_loses_its_name() {
        let store = MemoryStore::<u32>::new(2, Overflow::EndOldest);
        *store.begin(id("a"), TIMES).unwrap().lock().await = 7;
        assert!(store.rename(id("a"), id("b")).await.unwrap());
        assert!(!store.rename(id("a"), id("b")).await.unwrap());
        assert!(store.find(id("a"), TIMES).is_none());
        assert_eq!(*store.find(id("b"), TIMES).unwrap().lock().await, 7);
        store.remove(id("b")).await.unwrap();
        assert!(store.find(id("b"), TIMES).is_none());
    }
}
