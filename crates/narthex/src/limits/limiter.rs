//! How much is allowed, and who has had how much.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::Bucket;
use super::store::Key;
use super::window::{Window, nanoseconds};
use crate::guard::network_of;
use crate::secret::sha256;

/// So many clients are remembered; about 100 bytes each.
const MOST: usize = 100_000;

/// How much each client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    kind: Kind,
    requests: u32,
    period: Duration,
    burst: u32,
    most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bucket,
    Window,
}

impl Limit {
    /// A token bucket: `requests` in `period` on average, and as many at once. Tokens come back one by one; all are there again after
    /// 146 years at the latest.
    ///
    /// # Panics
    /// If one of them is zero.
    #[must_use]
    #[track_caller]
    pub fn bucket(requests: u32, period: Duration) -> Self {
        Self::new(Kind::Bucket, requests, period)
    }

    /// A sliding window: `requests` in `period` on average. Two counters are kept for each client, not the time of each request, so that
    /// who was quiet for a period, and sends all that it may at the end of one window and again in the next, can get nearly twice as many in
    /// one stretch of `period`. Also for quotas of an hour or a day, which are counted as long as the process runs.
    ///
    /// # Panics
    /// If one of them is zero.
    #[must_use]
    #[track_caller]
    pub fn window(requests: u32, period: Duration) -> Self {
        Self::new(Kind::Window, requests, period)
    }

    #[track_caller]
    fn new(kind: Kind, requests: u32, period: Duration) -> Self {
        assert!(requests > 0 && !period.is_zero(), "a limit of nothing lets nobody in: give it requests and a period");
        Self { kind, requests, period, burst: requests, most: MOST }
    }

    /// How many a client that was quiet may send at once, of a bucket. Default: those of one period.
    #[must_use]
    pub fn burst(mut self, requests: u32) -> Self {
        self.burst = requests.max(1);
        self
    }

    /// So many clients are remembered, for about 100 bytes each; beyond that, the one that was quiet for the longest time begins anew.
    /// Default: 100 000.
    #[must_use]
    pub fn remember(mut self, clients: usize) -> Self {
        self.most = clients;
        self
    }

    /// What a client may have, and after how long it has all of it again.
    pub(super) fn policy(&self) -> (u32, Duration) {
        match self.kind {
            Kind::Bucket => {
                let whole = self.period.as_nanos().saturating_mul(self.burst.into()) / u128::from(self.requests.max(1));
                (self.burst, nanoseconds(whole))
            }
            Kind::Window => (self.requests, self.period),
        }
    }
}

/// Counts what clients have had. Clones count together.
#[derive(Clone)]
pub struct Limiter {
    counts: Arc<Counting>,
    pub(super) limit: Limit,
}

enum Counting {
    Bucket(Bucket),
    Window(Window),
}

/// Something was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// What a client may have.
    pub limit: u32,
    /// What is left of it.
    pub remaining: u32,
    /// Until all of it is there again, at the latest.
    pub reset: Duration,
}

/// Something was not allowed, and does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many: the limit is {limit}; try again in {wait:?}")]
#[non_exhaustive]
pub struct TooMany {
    /// What a client may have.
    pub limit: u32,
    /// Until there is room.
    pub wait: Duration,
}

impl Limiter {
    /// Nobody has had anything.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        let counts = match limit.kind {
            Kind::Bucket => Counting::Bucket(Bucket::new(limit.requests, limit.period, limit.burst, limit.most)),
            Kind::Window => Counting::Window(Window::new(limit.requests, limit.period, limit.most)),
        };
        Self { counts: Arc::new(counts), limit }
    }

    /// Takes `cost` for who has this name, if there is so much.
    ///
    /// # Errors
    /// If there is not.
    pub fn take(&self, name: &str, cost: u32) -> Result<Taken, TooMany> {
        self.take_for(key(b"name", name.as_bytes()), cost)
    }

    /// Takes for an address, as [`RateLimit::per_ip`](super::RateLimit::per_ip) does. Those that are not known are one.
    #[cfg(feature = "auth")]
    pub(crate) fn take_from(&self, address: Option<IpAddr>, cost: u32) -> Result<Taken, TooMany> {
        self.take_for(of_address(address), cost)
    }

    pub(super) fn take_for(&self, key: Key, cost: u32) -> Result<Taken, TooMany> {
        match &*self.counts {
            Counting::Bucket(bucket) => bucket.take(key, cost),
            Counting::Window(window) => window.take(key, cost),
        }
    }
}

/// What somebody is remembered by. `kind` keeps names of different kinds apart.
pub(super) fn key(kind: &[u8; 4], name: &[u8]) -> Key {
    let digest = sha256(&[kind, name].concat());
    digest.first_chunk().map_or(0, |bytes| Key::from_be_bytes(*bytes))
}

/// For IPv6, a network of 64 bits: that is what one client has.
pub(super) fn of_address(address: Option<IpAddr>) -> Key {
    match address.map(network_of) {
        Some(IpAddr::V4(address)) => key(b"addr", &address.octets()),
        Some(IpAddr::V6(network)) => key(b"addr", &network.octets()),
        None => key(b"addr", b""),
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limiter").field(&self.limit).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    fn took(limiter: &Limiter, name: &str) -> u32 {
        (0..1_000).take_while(|_| limiter.take(name, 1).is_ok()).count().try_into().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_is_refilled_one_by_one() {
        let limiter = Limiter::new(Limit::bucket(10, SECOND).burst(20));
        assert_eq!(limiter.take("ann", 5), Ok(Taken { limit: 20, remaining: 15, reset: SECOND / 2 }));
        assert_eq!(took(&limiter, "ann"), 15);
        assert_eq!(limiter.take("ann", 1), Err(TooMany { limit: 20, wait: SECOND / 10 }));
        assert_eq!(took(&limiter, "bob"), 20, "who has a bucket of his own");
        advance(SECOND / 10).await;
        assert_eq!(took(&limiter, "ann"), 1);
        advance(SECOND * 100).await;
        assert_eq!(took(&limiter, "ann"), 20);
        assert!(limiter.take("eve", 21).is_err(), "it never holds as many");
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_slides() {
        let limiter = Limiter::new(Limit::window(10, SECOND));
        assert_eq!(took(&limiter, "ann"), 10);
        assert_eq!(took(&limiter, "bob"), 10);
        advance(SECOND).await;
        assert_eq!(took(&limiter, "ann"), 0, "the window before still counts whole");
        advance(SECOND / 2).await;
        assert_eq!(took(&limiter, "ann"), 5);
        advance(SECOND * 3).await;
        assert_eq!(took(&limiter, "ann"), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_neither_too_short_nor_much_too_long() {
        for limit in [Limit::window(7, SECOND), Limit::bucket(7, SECOND), Limit::window(1, SECOND), Limit::bucket(1, SECOND)] {
            let limiter = Limiter::new(limit);
            for step in 0..200_u32 {
                advance(Duration::from_millis(u64::from(step * 37 % 90))).await;
                let Err(TooMany { wait, .. }) = limiter.take("ann", 1) else { continue };
                let shorter = wait.saturating_sub(Duration::from_millis(2));
                advance(shorter).await;
                let early = limiter.take("ann", 1).is_ok();
                assert!(!early || shorter.is_zero(), "{limit:?} after {shorter:?} of {wait:?}");
                advance(Duration::from_millis(3)).await;
                assert!(early || limiter.take("ann", 1).is_ok(), "{limit:?} {wait:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_all_the_time_gets_no_more_than_half_too_many_in_any_window() {
        let limiter = Limiter::new(Limit::window(50, SECOND));
        let mut allowed = std::collections::VecDeque::new();
        let began = tokio::time::Instant::now();
        for step in 0..5_000_u64 {
            advance(Duration::from_millis(step * 31 % 7)).await;
            let now = began.elapsed();
            if limiter.take("ann", 1).is_ok() {
                allowed.push_back(now);
            }
            while allowed.front().is_some_and(|first| now - *first > SECOND) {
                allowed.pop_front();
            }
            assert!(allowed.len() <= 75, "{}", allowed.len());
        }
    }

    /// The window before is taken as even, which a burst at its end is not.
    #[tokio::test(start_paused = true)]
    async fn who_was_quiet_gets_less_than_twice_the_limit_in_a_window() {
        let limiter = Limiter::new(Limit::window(10, SECOND));
        advance(Duration::from_millis(999)).await;
        assert_eq!(took(&limiter, "ann"), 10);
        advance(Duration::from_millis(901)).await;
        assert_eq!(took(&limiter, "ann"), 9, "19 in 901 ms");
        advance(Duration::from_millis(99)).await;
        assert_eq!(took(&limiter, "ann"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn limits_may_be_for_longer_than_anybody_waits() {
        for limit in
            [Limit::bucket(1, Duration::MAX).burst(u32::MAX), Limit::bucket(3, Duration::MAX), Limit::window(3, Duration::MAX)]
        {
            assert!(limit.policy().1 > Duration::from_secs(100 * 365 * 86_400));
            let limiter = Limiter::new(limit);
            assert!(limiter.take("ann", limit.policy().0).is_ok());
            assert!(limiter.take("ann", 1).unwrap_err().wait > Duration::from_millis(900), "{limit:?}");
        }
    }

    #[test]
    fn what_a_policy_says_is_what_a_quiet_client_has() {
        assert_eq!(Limit::bucket(10, SECOND).burst(20).policy(), (20, SECOND * 2));
        assert_eq!(Limit::bucket(10, SECOND).policy(), (10, SECOND));
        assert_eq!(Limit::window(10, SECOND).policy(), (10, SECOND));
    }
}
