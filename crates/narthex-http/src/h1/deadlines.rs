//! Until when a connection waits, and what for.

use std::time::Duration;

use tokio::time::Instant;

use crate::reason::Reason;

/// A client that closes its side (FIN) while a request runs may only be half-closing, so the request goes on for this
/// long. For ever would leave the work of clients that are gone running; not at all would break `nc`-style clients.
pub(crate) const HALF_CLOSE_GRACE: Duration = Duration::from_secs(10);

/// How far progress can be seen: the kernel reports room for writing only below this many unsent bytes
/// (`TCP_NOTSENT_LOWAT`), so a client may be late by as many before it counts as too slow.
pub(crate) const SEND_STEP: u32 = 16 * 1024;
/// What the kernel takes beyond that of one write: a segment that it has begun is filled up.
const SEGMENT: u64 = 64 * 1024;

/// In how many nanoseconds the socket must have room again, if it would have been `left` without the `bytes` that it has
/// just taken. Bytes count for the time that they take at `rate` bytes per second. What was saved up is capped at a step, or
/// at the bytes themselves, which may all be waiting in the kernel: so a client that is a little faster than the rate is never
/// cut off, and one that is slower is when it is a step late. `None`: there is no rate.
fn allowance(left: u64, bytes: u64, rate: u32) -> Option<u64> {
    let at_rate = |bytes: u64| bytes.saturating_mul(1_000_000_000).checked_div(rate.into());
    let cap = bytes.clamp(SEND_STEP.into(), SEGMENT + u64::from(SEND_STEP));
    Some(left.saturating_add(at_rate(bytes)?).min(at_rate(cap)?))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The connection's timer is armed lazily: a deadline that moves away, as the idle one does with every request, costs
/// nothing until the timer fires.
#[derive(Clone, Default)]
pub(crate) struct Deadlines {
    read: Option<(Instant, Reason)>,
    queue: Option<Instant>,
    write: Option<Instant>,
    half_closed: Option<Instant>,
    /// When output that is paced may go on. Nobody is late then.
    paced: Option<Instant>,
    /// When the timer will fire at the latest.
    armed: Option<Instant>,
    /// There is a deadline before that.
    earlier: bool,
}

impl Deadlines {
    /// Nothing can have passed, as long as the timer has not fired.
    pub(crate) fn timer_is_right(&self) -> bool {
        !self.earlier
    }

    pub(crate) fn armed(&mut self, at: Option<Instant>) {
        self.armed = at;
        self.earlier = false;
    }

    fn set(&mut self, at: Option<Instant>) {
        self.earlier |= at.is_some_and(|at| self.armed.is_none_or(|armed| at < armed));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        let read = self.read.map(|(at, _)| at);
        [read, self.queue, self.write, self.half_closed, self.paced].into_iter().flatten().min()
    }

    pub(crate) fn expired(&self, now: Instant) -> Option<Reason> {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match self.read {
            Some((at, reason)) if at <= now => Some(reason),
            _ if passed(self.queue) => Some(Reason::TimerReqQueue),
            _ if passed(self.write) => Some(Reason::TimerMinBytesPerSecond),
            _ if passed(self.half_closed) => Some(Reason::ConnectionDropped),
            _ => None,
        }
    }

    /// Why the client's next bytes are waited for, if there is a limit.
    pub(crate) fn reading(&self) -> Option<Reason> {
        self.read.map(|(_, reason)| reason)
    }

    pub(crate) fn read_within(&mut self, now: Instant, limit: Option<Duration>, reason: Reason) {
        self.read = limit.map(|limit| (now + limit, reason));
        self.set(self.read.map(|(at, _)| at));
    }

    pub(crate) fn read_without_limit(&mut self) {
        self.read = None;
    }

    pub(crate) fn queued_within(&mut self, now: Instant, limit: Option<Duration>) {
        self.queue = limit.map(|limit| now + limit);
        self.set(self.queue);
    }

    pub(crate) fn dequeued(&mut self) {
        self.queue = None;
    }

    /// The client has taken `bytes`, and the socket is full: at `rate` bytes per second, it may take so long for them, and not
    /// longer for a burst that it makes up for what it was late with before. See [`SEND_STEP`].
    pub(crate) fn taken(&mut self, now: Instant, bytes: u64, rate: u32) {
        let last = self.write.map_or(u64::MAX, |at| nanos(at.saturating_duration_since(now)));
        self.write = allowance(last, bytes, rate).map(|allowance| now + Duration::from_nanos(allowance));
        self.set(self.write);
    }

    pub(crate) fn is_watching_writes(&self) -> bool {
        self.write.is_some()
    }

    /// Output has to wait for its turn until `at`; meanwhile the client is not late.
    pub(crate) fn paced_until(&mut self, at: Instant) {
        self.write = None;
        self.paced = Some(at);
        self.set(self.paced);
    }

    /// Whether paced output may go on.
    pub(crate) fn turn_has_come(&mut self, now: Instant) -> bool {
        self.paced.take_if(|at| *at <= now).is_some()
    }

    /// Nothing waits for the client to take it.
    pub(crate) fn all_taken(&mut self) {
        self.write = None;
    }

    pub(crate) fn half_closed(&mut self, now: Instant) {
        self.half_closed = Some(now + HALF_CLOSE_GRACE);
        self.set(self.half_closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 1000;
    const SECOND: u64 = 1_000_000_000;

    /// How long a client holds out that takes `burst` bytes at a time, at `speed` bytes per second. `None`: for hours.
    fn cut_off_after(burst: u64, speed: u64) -> Option<u64> {
        let gap = burst * SECOND / speed;
        let mut left = allowance(0, burst.max(SEND_STEP.into()), RATE).unwrap();
        let mut time = 0;
        while time < 10_000 * SECOND {
            if left < gap {
                return Some((time + left) / SECOND);
            }
            time += gap;
            left = allowance(left - gap, burst, RATE).unwrap();
        }
        None
    }

    #[test]
    fn a_client_slightly_faster_than_the_rate_is_never_cut_off_and_one_slightly_slower_always() {
        for burst in [100, 1000, 8 * 1024, 16 * 1024, 64 * 1024] {
            assert_eq!(cut_off_after(burst, 1010), None, "{burst}");
            assert!(cut_off_after(burst, 990).is_some(), "{burst}");
        }
    }

    #[test]
    fn the_moment_of_the_cut_follows_from_how_late_the_client_is() {
        // A step is 16.384 s at this rate. Half as fast, a client loses half a second in each.
        assert!((31..=33).contains(&cut_off_after(500, 500).unwrap()));
        assert!((154..=156).contains(&cut_off_after(900, 900).unwrap()));
        assert_eq!(cut_off_after(16 * 1024, 1), Some(16));
    }

    #[test]
    fn no_rate_is_no_deadline() {
        assert_eq!(allowance(0, 1, 0), None);
    }
}
