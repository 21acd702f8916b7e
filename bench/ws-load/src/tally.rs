//! What became of a load.

use std::time::{Duration, Instant};

/// An error ends a load, so that all that is counted succeeded.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Tally {
    /// One more message, begun at `start`.
    pub(crate) fn add(&mut self, start: Instant) {
        self.latencies.push(start.elapsed());
    }

    pub(crate) fn lasted(mut self, elapsed: Duration) -> Self {
        self.elapsed = elapsed;
        self
    }

    /// A line of names and values.
    pub(crate) fn report(mut self) -> String {
        self.latencies.sort_unstable();
        let at = |share: f64| {
            let index = (self.latencies.len() as f64 * share) as usize;
            let latency = self.latencies.get(index).or(self.latencies.last()).copied();
            latency.unwrap_or_default().as_secs_f64() * 1e6
        };
        format!(
            "done {} seconds {:.6} p50_us {:.1} p99_us {:.1} errors 0",
            self.latencies.len(),
            self.elapsed.as_secs_f64(),
            at(0.5),
            at(0.99)
        )
    }
}
