//! The circuit breaker of an upstream: after too many failures, requests are refused at once for a while, and then one is let
//! through to see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::moment::{Moment, millis, now};

/// When an upstream is taken for broken, for [`Upstream::circuit_breaker`](super::Upstream::circuit_breaker).
///
/// Closed, it lets everything through. It opens after [`failures`](Self::failures) in a row, or when the share of failures in a
/// [`window`](Self::window) reaches [`failure_rate`](Self::failure_rate). Open, it refuses everything with 503 for
/// [`cooldown`](Self::cooldown). Then it is half-open: one request goes through, and its outcome closes or opens it again.
///
/// A failure is a request that got no answer (no connection, no head in time, a broken one), after its retries; or one whose
/// answer is 502, 503 or 504.
#[derive(Clone, Copy, Debug)]
#[must_use = "it does nothing until an upstream is given it"]
pub struct CircuitBreaker {
    failures: u32,
    rate: f64,
    least: u32,
    window: Duration,
    cooldown: Duration,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { failures: 10, rate: 0.5, least: 20, window: Duration::from_secs(10), cooldown: Duration::from_secs(5) }
    }
}

impl CircuitBreaker {
    /// The defaults: 10 failures in a row, or half of at least 20 requests in 10 s; 5 s of cooldown.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many failures in a row open it, at least 1. Default: 10.
    pub fn failures(mut self, failures: u32) -> Self {
        self.failures = failures.max(1);
        self
    }

    /// This share of failures (0 to 1) among at least `least` requests of a window opens it. Default: 0.5 of 20. More than 1
    /// never does.
    pub fn failure_rate(mut self, share: f64, least: u32) -> Self {
        (self.rate, self.least) = (share, least.max(1));
        self
    }

    /// How long requests are counted together. Default: 10 s.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// How long it stays open. Default: 5 s.
    pub fn cooldown(mut self, cooldown: Duration) -> Self {
        self.cooldown = cooldown;
        self
    }
}

/// The state of a circuit breaker, in [`UpstreamStatus`](super::UpstreamStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CircuitState {
    /// Requests go through.
    Closed,
    /// Requests are refused.
    Open {
        /// For how long yet.
        left: Duration,
    },
    /// One request goes through, to see.
    HalfOpen,
}

/// A circuit breaker at work. Without a lock: what threads count at the same moment may be off by one.
#[derive(Debug)]
pub(super) struct Circuit {
    settings: CircuitBreaker,
    in_a_row: AtomicU32,
    /// Requests in the upper half, failures in the lower.
    counts: AtomicU64,
    window_ends: Moment,
    /// It is open until then; 0: closed. Past: half-open.
    opened_until: Moment,
    trial: AtomicBool,
}

/// A request that was let through. Dropped without a word, it counts as nothing.
#[derive(Debug)]
pub(super) struct Passage {
    circuit: Arc<Circuit>,
    trial: bool,
}

impl Circuit {
    pub(super) fn new(settings: CircuitBreaker) -> Self {
        Self {
            settings,
            in_a_row: AtomicU32::new(0),
            counts: AtomicU64::new(0),
            window_ends: Moment::default(),
            opened_until: Moment::default(),
            trial: AtomicBool::new(false),
        }
    }

    /// Lets a request through, or says how long to wait.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Passage, Duration> {
        let trial = match self.state() {
            CircuitState::Closed => false,
            CircuitState::Open { left } => return Err(left),
            CircuitState::HalfOpen => {
                if self.trial.swap(true, Ordering::AcqRel) {
                    return Err(Duration::from_secs(1));
                }
                true
            }
        };
        Ok(Passage { circuit: Arc::clone(self), trial })
    }

    pub(super) fn state(&self) -> CircuitState {
        match (self.opened_until.get(), self.opened_until.left()) {
            (0, _) => CircuitState::Closed,
            (_, Some(left)) => CircuitState::Open { left },
            (_, None) => CircuitState::HalfOpen,
        }
    }

    fn open(&self) {
        self.opened_until.set(now().saturating_add(millis(self.settings.cooldown)));
        self.in_a_row.store(0, Ordering::Relaxed);
        self.counts.store(0, Ordering::Relaxed);
    }

    fn count(&self, failed: bool) {
        if self.window_ends.left().is_none() {
            self.window_ends.set(now().saturating_add(millis(self.settings.window)));
            self.counts.store(0, Ordering::Relaxed);
        }
        let one = 1 << 32 | u64::from(failed);
        let counts = self.counts.fetch_add(one, Ordering::Relaxed).wrapping_add(one);
        if !failed {
            self.in_a_row.store(0, Ordering::Relaxed);
            return;
        }
        let (requests, failures) = ((counts >> 32) as u32, counts as u32);
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let rate_reached = requests >= self.settings.least && f64::from(failures) >= self.settings.rate * f64::from(requests);
        if in_a_row >= self.settings.failures || rate_reached {
            self.open();
        }
    }
}

impl Passage {
    /// How the request ended.
    pub(super) fn ended(self, failed: bool) {
        match (self.trial, failed) {
            (true, true) => self.circuit.open(),
            (true, false) => self.circuit.opened_until.set(0),
            // What was on its way when it opened says nothing new.
            (false, _) if self.circuit.opened_until.get() != 0 => {}
            (false, _) => self.circuit.count(failed),
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.trial {
            self.circuit.trial.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit(settings: CircuitBreaker) -> Arc<Circuit> {
        Arc::new(Circuit::new(settings.cooldown(Duration::from_secs(5)).window(Duration::from_secs(10))))
    }

    fn is_open(circuit: &Circuit) -> bool {
        matches!(circuit.state(), CircuitState::Open { .. })
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_success_between_them_does_not_let_them_add_up() {
        let circuit = circuit(CircuitBreaker::new().failures(3).failure_rate(2.0, 1));
        for failed in [true, true, false, true, true] {
            circuit.enter().unwrap().ended(failed);
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
        circuit.enter().unwrap().ended(true);
        assert!(is_open(&circuit));
        assert!(circuit.enter().unwrap_err() <= Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_failures_in_a_window_opens_it() {
        let circuit = circuit(CircuitBreaker::new().failures(100).failure_rate(0.5, 4));
        for failed in [true, false, true] {
            circuit.enter().unwrap().ended(failed);
        }
        // Those of an earlier window do not count.
        tokio::time::advance(Duration::from_secs(11)).await;
        circuit.enter().unwrap().ended(true);
        assert_eq!(circuit.state(), CircuitState::Closed);
        for failed in [false, false, true] {
            circuit.enter().unwrap().ended(failed);
        }
        assert!(is_open(&circuit));
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_it_lets_one_request_through_whose_outcome_decides() {
        let circuit = circuit(CircuitBreaker::new().failures(1));
        for decides in [true, false] {
            let before = circuit.enter();
            if let Ok(passage) = before {
                passage.ended(true);
            }
            tokio::time::advance(Duration::from_secs(6)).await;
            assert_eq!(circuit.state(), CircuitState::HalfOpen);
            // One that was given up gives its place to another.
            drop(circuit.enter().unwrap());
            let trial = circuit.enter().unwrap();
            assert!(circuit.enter().is_err());
            trial.ended(decides);
            assert_eq!(is_open(&circuit), decides);
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
    }
}
