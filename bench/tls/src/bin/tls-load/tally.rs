//! How long a load lasts, and what became of it.

use std::time::{Duration, Instant};

/// When a lane stops.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    Until(Instant),
    Each(u64),
}

/// What a lane, or all of them, have seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Of each that succeeded.
    latencies: Vec<Duration>,
    errors: u64,
    first_error: Option<String>,
    bytes: u64,
    tickets: u64,
    elapsed: Duration,
}

impl Bound {
    pub(crate) fn each(count: u64) -> Self {
        Self::Each(count)
    }

    pub(crate) fn lasting(time: Duration) -> Self {
        Self::Until(Instant::now() + time)
    }

    /// The same length, beginning now: opening the connections is no part of it.
    pub(crate) fn restarted(self, opened_at: Instant) -> Self {
        match self {
            Self::Until(end) => Self::Until(end + opened_at.elapsed()),
            each @ Self::Each(_) => each,
        }
    }

    pub(crate) fn goes_on(self, tally: &Tally) -> bool {
        match self {
            Self::Until(end) => Instant::now() < end,
            Self::Each(count) => tally.attempts() < count,
        }
    }
}

impl Tally {
    fn attempts(&self) -> u64 {
        self.latencies.len() as u64 + self.errors
    }

    /// One more, begun at `start`.
    pub(crate) fn add(&mut self, start: Instant, outcome: anyhow::Result<usize>) {
        match outcome {
            Ok(bytes) => {
                self.latencies.push(start.elapsed());
                self.bytes += bytes as u64;
            }
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    pub(crate) fn add_tickets(&mut self, tickets: u64) {
        self.tickets += tickets;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.bytes += other.bytes;
        self.tickets += other.tickets;
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
        let error = self.first_error.as_ref().map(|error| format!(" first_error {error:?}")).unwrap_or_default();
        format!(
            "done {} seconds {:.6} p50_us {:.1} p99_us {:.1} errors {} bytes {} tickets {}{error}",
            self.latencies.len(),
            self.elapsed.as_secs_f64(),
            at(0.5),
            at(0.99),
            self.errors,
            self.bytes,
            self.tickets,
        )
    }
}
