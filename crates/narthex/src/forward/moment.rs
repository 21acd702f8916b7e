//! Moments as numbers, so that threads can share them in atomics.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the first moment that anybody asked for, which is 1: 0 stands for never.
pub(super) fn now() -> u64 {
    millis(START.elapsed()).saturating_add(1)
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A moment that threads share.
#[derive(Debug, Default)]
pub(super) struct Moment(AtomicU64);

impl Moment {
    pub(super) fn set(&self, moment: u64) {
        self.0.store(moment, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// How long it is until then. `None` if it has come, or is never.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = self.get().checked_sub(now())?;
        (left > 0).then(|| Duration::from_millis(left))
    }
}
