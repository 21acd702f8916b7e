//! How long to wait before a program that has failed is started again: ever longer, and not all programs at the same moment.

use std::time::Duration;

/// Of a failure that comes alone: hardly anybody notices it.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);
/// Who was ready for so long has not failed again, but anew.
pub(super) const STEADY: Duration = Duration::from_secs(10);

/// The failures in a row of one process.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It failed after it had been ready for so long; not at all if it never was. `chance` is between 0 and 1.
    pub(super) fn failed(&mut self, ready_for: Duration, chance: f64) -> Duration {
        if ready_for >= STEADY {
            self.failures = 0;
        }
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // From three quarters to five quarters: programs that broke together do not come back together.
        doubled.mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// How many in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_and_are_short_again_after_a_steady_time() {
        let mut backoff = Backoff::default();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            pauses.push(backoff.failed(Duration::ZERO, 0.5).as_millis());
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(backoff.failures(), 10);
        assert_eq!(backoff.failed(STEADY, 0.5), FIRST);
        assert_eq!(backoff.failures(), 1);
        assert_eq!(backoff.failed(STEADY - Duration::from_millis(1), 0.5), FIRST * 2);
    }

    #[test]
    fn a_pause_is_spread_around_its_length() {
        assert_eq!(Backoff::default().failed(Duration::ZERO, 0.0), Duration::from_millis(150));
        assert_eq!(Backoff::default().failed(Duration::ZERO, 1.0), Duration::from_millis(250));
    }
}
