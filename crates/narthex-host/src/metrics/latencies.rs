//! How long requests took: counts in buckets that grow with the time, eight for each power of two, so that a quantile is at most an
//! eighth too large.

use std::time::Duration;

use crate::admin::Quantiles;

/// Buckets for each power of two, as a power of two.
const FINE: u32 = 3;
const PER_OCTAVE: usize = 1 << FINE;
/// Longer than 2^27 microseconds (two minutes) is the last bucket.
const BUCKETS: usize = (28 - FINE as usize) * PER_OCTAVE;

#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    /// Empty before the first.
    counts: Vec<u64>,
    sum_us: u64,
}

impl Latencies {
    pub(super) fn add(&mut self, taken: Duration) {
        let us = taken.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(taken.subsec_micros()));
        self.sum_us = self.sum_us.saturating_add(us);
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        if let Some(count) = self.counts.get_mut(bucket(us)) {
            *count += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
        } else {
            self.counts.iter_mut().zip(&other.counts).for_each(|(sum, more)| *sum += more);
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// Upper bounds in microseconds, and how many took at most that long and longer than the bound before.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(index, count)| (upper_bound(index), *count))
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        let total: u64 = self.counts.iter().sum();
        let at = |per_mille: u64| {
            let rank = (total * per_mille).div_ceil(1_000).max(1);
            let mut seen = 0;
            let reached = self.buckets().find(|(_, count)| {
                seen += count;
                seen >= rank
            });
            reached.map_or(0, |(bound, _)| bound)
        };
        Quantiles { p50: at(500), p90: at(900), p99: at(990), p999: at(999), max: at(1_000), sum: self.sum_us }
    }
}

fn bucket(us: u64) -> usize {
    if us < PER_OCTAVE as u64 {
        return us as usize;
    }
    let octave = us.ilog2();
    let within = (us >> (octave - FINE)) as usize & (PER_OCTAVE - 1);
    ((octave - FINE + 1) as usize * PER_OCTAVE + within).min(BUCKETS - 1)
}

/// The largest number of a bucket.
fn upper_bound(index: usize) -> u64 {
    let (octave, within) = (index / PER_OCTAVE, (index % PER_OCTAVE) as u64);
    match octave.checked_sub(1) {
        None => within,
        Some(shift) => ((PER_OCTAVE as u64 + within + 1) << shift) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_what_is_at_most_its_bound_and_no_more_than_an_eighth_below() {
        for us in (0..4_096).chain((12..27).flat_map(|octave| [(1 << octave) - 1, 1 << octave, 3 << (octave - 1)])) {
            let bound = upper_bound(bucket(us));
            assert!(bound >= us && bound - us <= us / 8, "{us} is counted up to {bound}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_what_was_added() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantiles(), Quantiles::default());
        for us in 1..=1_000 {
            latencies.add(Duration::from_micros(us));
        }
        let Quantiles { p50, p99, max, sum, .. } = latencies.quantiles();
        assert!(
            (500..=563).contains(&p50) && (990..=1_114).contains(&p99) && (1_000..=1_023).contains(&max),
            "{p50} {p99} {max}"
        );
        assert_eq!(sum, 500_500);
        assert_eq!(latencies.buckets().map(|(_, count)| count).sum::<u64>(), 1_000);
    }
}
