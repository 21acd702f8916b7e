//! Whether the apps of a queue cache at all, so that the requests of those that do not cost nothing.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many responses without a wish to be cached an app may begin with. Until then every request is looked up and watched, so
/// that the very first response that can be stored is.
const PATIENCE: u32 = 1024;
/// An app that has cached once is watched for good.
const CACHES: u32 = u32::MAX;

/// What is known of the responses of a queue's apps. Workers share it; once it is settled it is only read.
#[derive(Debug)]
pub(crate) struct CachingHabit(AtomicU32);

impl Default for CachingHabit {
    fn default() -> Self {
        Self(AtomicU32::new(PATIENCE))
    }
}

impl CachingHabit {
    /// Whether requests are to be looked up in the cache, and their responses watched.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// A response has come. `asks` says whether it asks for caching, if that matters any more.
    pub(crate) fn learn(&self, asks: impl FnOnce() -> bool) {
        let left = self.0.load(Ordering::Relaxed);
        if left == CACHES {
            return;
        }
        if asks() {
            self.0.store(CACHES, Ordering::Relaxed);
        } else if left > 0 {
            // If another worker was first, one response is not counted.
            let _ = self.0.compare_exchange(left, left - 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_are_watched_until_they_have_shown_that_they_do_not_cache() {
        let habit = CachingHabit::default();
        for _ in 0..PATIENCE {
            assert!(habit.is_watched());
            habit.learn(|| false);
        }
        assert!(!habit.is_watched());
        habit.learn(|| false);
        assert!(!habit.is_watched());
    }

    #[test]
    fn an_app_that_has_cached_once_is_watched_for_good() {
        for before in [0, PATIENCE] {
            let habit = CachingHabit::default();
            (0..before).for_each(|_| habit.learn(|| false));
            habit.learn(|| true);
            (0..2 * PATIENCE).for_each(|_| habit.learn(|| panic!("that does not matter any more")));
            assert!(habit.is_watched());
        }
    }
}
