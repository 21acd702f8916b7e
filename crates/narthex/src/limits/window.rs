//! The sliding window: so many in a stretch of time on average, approximated by two counters for each client. The count of the window before
//! this one is taken in proportion to how much of it the sliding one still covers.

use std::time::Duration;

use tokio::time::Instant;

use super::limiter::{Taken, TooMany};
use super::store::{Key, Store};

pub(super) struct Window {
    limit: u32,
    length: u128,
    began: Instant,
    counts: Store<Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Which window it is since the limiter began.
    index: u128,
    current: u32,
    previous: u32,
}

impl Window {
    pub(super) fn new(limit: u32, length: Duration, most: usize) -> Self {
        Self { limit, length: length.as_nanos().max(1), began: Instant::now(), counts: Store::new(most) }
    }

    pub(super) fn take(&self, key: Key, cost: u32) -> Result<Taken, TooMany> {
        let since = self.began.elapsed().as_nanos();
        let (index, into) = (since / self.length, since % self.length);
        self.counts.change(key, |known| {
            let counts = known.unwrap_or_default().at(index);
            let used = counts.used(into, self.length);
            if used.saturating_add(cost.into()) > self.limit.into() {
                let wait = nanoseconds(self.wait(counts, into, cost));
                return (Err(TooMany { limit: self.limit, wait }), known);
            }
            let counts = Counts { current: counts.current.saturating_add(cost), ..counts };
            let remaining = u64::from(self.limit) - used - u64::from(cost);
            let reset = nanoseconds(self.length - into + if counts.current > 0 { self.length } else { 0 });
            (Ok(Taken { limit: self.limit, remaining: u32::try_from(remaining).unwrap_or(0), reset }), Some(counts))
        })
    }

    /// How long it is until there is room.
    fn wait(&self, counts: Counts, into: u128, cost: u32) -> u128 {
        let left = self.length - into;
        let Some(room) = self.limit.checked_sub(cost) else { return left + self.length };
        match room.checked_sub(counts.current) {
            // In this window, once enough of the one before has slid out.
            Some(room) => self.slid(counts.previous, room).saturating_sub(into).min(left),
            // In the next, for which this is the one before.
            None => left + self.slid(counts.current, room),
        }
    }

    /// How far into a window no more than `room` of what the one before had is left.
    fn slid(&self, previous: u32, room: u32) -> u128 {
        let previous = u128::from(previous);
        let leaving = previous.saturating_sub(room.into());
        if previous == 0 { 0 } else { (leaving * self.length).div_ceil(previous) }
    }
}

impl Counts {
    fn at(self, index: u128) -> Self {
        match index.checked_sub(self.index) {
            Some(0) | None => self,
            Some(1) => Self { index, current: 0, previous: self.current },
            Some(_) => Self { index, current: 0, previous: 0 },
        }
    }

    /// What counts at this point of the window, rounded up.
    fn used(self, into: u128, length: u128) -> u64 {
        let previous = (u128::from(self.previous) * length.saturating_sub(into)).div_ceil(length);
        u64::from(self.current) + u64::try_from(previous).unwrap_or(u64::MAX)
    }
}

/// As many as there may be: 584 years.
pub(super) fn nanoseconds(nanoseconds: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
