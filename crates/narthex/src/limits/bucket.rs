//! The token bucket, which is governor's; where it keeps the buckets is ours, so that there are never too many.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use super::limiter::{Taken, TooMany};
use super::store::{Key, Store};

/// tokio's clock, which tests move.
#[derive(Clone, Debug)]
pub(super) struct TokioClock;

impl Clock for TokioClock {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl StateStore for Store<Nanos> {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.change(*key, |known| match f(known) {
            Ok((result, state)) => (Ok(result), Some(state)),
            Err(error) => (Err(error), None),
        })
    }
}

pub(super) struct Bucket {
    limiter: RateLimiter<Key, Store<Nanos>, TokioClock, StateInformationMiddleware>,
    burst: NonZeroU32,
    /// One token comes back after so long.
    interval: Duration,
}

impl Bucket {
    pub(super) fn new(requests: u32, period: Duration, burst: u32, most: usize) -> Self {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        // governor counts in nanoseconds, 64 bits of them, and panics or wraps where a full bucket and the time since the start are more.
        let longest = Duration::from_nanos(u64::MAX / 4 / u64::from(burst.get()));
        let interval = (period / requests.max(1)).clamp(Duration::from_nanos(1), longest);
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(NonZeroU32::MAX)).allow_burst(burst);
        let limiter = RateLimiter::new(quota, Store::new(most), TokioClock);
        Self { limiter, burst, interval }
    }

    pub(super) fn take(&self, key: Key, cost: u32) -> Result<Taken, TooMany> {
        let burst = self.burst.get();
        let Some(count) = NonZeroU32::new(cost) else {
            return Ok(Taken { limit: burst, remaining: burst, reset: Duration::ZERO });
        };
        let refilled = |missing: u32| self.interval.saturating_mul(missing);
        match self.limiter.check_key_n(&key, count) {
            Ok(Ok(state)) => {
                let remaining = state.remaining_burst_capacity().min(burst);
                Ok(Taken { limit: burst, remaining, reset: refilled(burst - remaining) })
            }
            Ok(Err(not_yet)) => Err(TooMany { limit: burst, wait: not_yet.wait_time_from(TokioClock.now()) }),
            // More than the bucket ever holds.
            Err(_) => Err(TooMany { limit: burst, wait: refilled(burst) }),
        }
    }
}
