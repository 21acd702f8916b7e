//! One server of an upstream, and what is known of how it is: requests that it works on, failures in a row, checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::address::Address;
use super::moment::{Moment, millis, now};

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// When a server that fails is left alone, for [`Upstream::ejection`](super::Upstream::ejection).
///
/// A failure is a connection that cannot be had or breaks, a head that does not come in time, or an answer of 502, 503 or 504.
#[derive(Clone, Copy, Debug)]
#[must_use = "it does nothing until an upstream is given it"]
pub struct Ejection {
    pub(super) failures: u32,
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { failures: 5, first: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }
}

impl Ejection {
    /// The defaults: after 5 failures in a row for 1 s, doubled with each further failure, to 30 s.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many failures in a row, at least 1. Default: 5.
    pub fn failures(mut self, failures: u32) -> Self {
        self.failures = failures.max(1);
        self
    }

    /// For how long at first, and at most. Default: 1 s and 30 s.
    pub fn back_off(mut self, first: Duration, longest: Duration) -> Self {
        (self.first, self.longest) = (first, longest.max(first));
        self
    }
}

/// A server that requests are forwarded to.
#[derive(Debug)]
pub(super) struct Server {
    /// No two servers of the process have the same, so that it can stand for the connections to it.
    pub(super) id: u64,
    pub(super) address: Address,
    ejection: Ejection,
    in_flight: AtomicUsize,
    requests: AtomicU64,
    failures: AtomicU64,
    in_a_row: AtomicU32,
    ejected_until: Moment,
    /// What the last checks say.
    passes_checks: AtomicBool,
    failed_checks: AtomicU32,
}

/// After so many checks in a row that failed, a server gets no requests.
const FAILED_CHECKS: u32 = 2;

impl Server {
    pub(super) fn new(address: Address, ejection: Ejection) -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            address,
            ejection,
            in_flight: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            in_a_row: AtomicU32::new(0),
            ejected_until: Moment::default(),
            passes_checks: AtomicBool::new(true),
            failed_checks: AtomicU32::new(0),
        }
    }

    /// Counts a request, until what is returned goes.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn passes_checks(&self) -> bool {
        self.passes_checks.load(Ordering::Relaxed)
    }

    /// How long it is yet left alone.
    pub(super) fn ejected_for(&self) -> Option<Duration> {
        self.ejected_until.left()
    }

    pub(super) fn is_available(&self) -> bool {
        self.passes_checks() && self.ejected_for().is_none()
    }

    pub(super) fn succeeded(&self) {
        // Read first: a write would take the cache line from the other workers, for every request.
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
            self.ejected_until.set(0);
        }
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let Some(beyond) = in_a_row.checked_sub(self.ejection.failures) else { return };
        // Requests that were on their way when it was ejected fail together, and are one failure.
        if self.ejected_for().is_some() {
            self.in_a_row.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let back_off = self.ejection.first.saturating_mul(1 << beyond.min(16)).min(self.ejection.longest);
        self.ejected_until.set(now().saturating_add(millis(back_off)));
        tracing::warn!(server = %self.address, ?back_off, "a server has failed {in_a_row} times in a row and gets no requests");
    }

    /// What a check says.
    pub(super) fn checked(&self, passed: bool) {
        if passed {
            self.failed_checks.store(0, Ordering::Relaxed);
            self.succeeded();
            if !self.passes_checks.swap(true, Ordering::Relaxed) {
                tracing::info!(server = %self.address, "a server passes its check again, and gets requests");
            }
        } else if self.failed_checks.fetch_add(1, Ordering::Relaxed).saturating_add(1) == FAILED_CHECKS {
            self.passes_checks.store(false, Ordering::Relaxed);
            tracing::warn!(server = %self.address, "a server fails its checks, and gets no requests");
        }
    }
}

/// A request that a server works on.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Server>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(failures: u32) -> Server {
        let ejection = Ejection::new().failures(failures).back_off(Duration::from_secs(1), Duration::from_secs(3));
        Server::new(Address::parse("http://a").unwrap(), ejection)
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_eject_a_server_for_ever_longer() {
        let server = server(2);
        server.failed();
        server.succeeded();
        server.failed();
        assert!(server.is_available());
        for seconds in [1, 2, 3, 3] {
            server.failed();
            // Those that come back meanwhile do not add to it.
            server.failed();
            tokio::time::advance(Duration::from_millis(seconds * 1000 - 100)).await;
            assert!(!server.is_available(), "{seconds}");
            tokio::time::advance(Duration::from_millis(200)).await;
            assert!(server.is_available(), "{seconds}");
        }
        server.succeeded();
        server.failed();
        assert!(server.is_available());
    }

    #[test]
    fn two_failed_checks_take_a_server_out_and_one_that_passes_brings_it_back() {
        let server = server(1);
        server.checked(false);
        assert!(server.is_available());
        server.checked(false);
        assert!(!server.is_available());
        server.failed();
        server.checked(true);
        assert!(server.is_available());
    }
}
