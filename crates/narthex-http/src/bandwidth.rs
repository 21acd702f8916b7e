//! Pacing of output: so many bytes per second, shared evenly by the connections that have something to send.
//!
//! A [`Bandwidth`] is one number, the nanosecond at which the line is free again. Who wants to send moves it on by the time
//! that a quantum takes, and sends when its own slot begins (GCRA). Each connection has one slot at a time, so that they
//! take turns, whatever they have to send and whichever worker they are on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

/// Quanta per second, where they are not bounded otherwise.
const TURNS: u64 = 40;
const SMALLEST_QUANTUM: u64 = 512;
const LARGEST_QUANTUM: u64 = 16 * 1024;
/// A slot that was missed by no more than this is made up for: timers are late.
const LATE: Duration = Duration::from_millis(25);
/// A slot that begins within this time has begun: timers are not finer.
const SOON: Duration = Duration::from_millis(1);
/// After this time, who waits looks whether the rate was changed.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// So many bytes per second for all connections that it was given to, on whatever threads. Heads and framing count.
#[derive(Debug)]
pub struct Bandwidth {
    /// Bytes per second; 0 for no limit.
    rate: AtomicU64,
    /// When the last slot ends, in nanoseconds since `start`.
    free: AtomicU64,
    /// How often the rate was set: slots from before do not hold.
    changes: AtomicU64,
    start: OnceLock<Instant>,
}

impl Bandwidth {
    /// A line of `bytes_per_second`. 0 and `u64::MAX` are no limit.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Arc<Self> {
        let bandwidth =
            Self { rate: AtomicU64::new(0), free: AtomicU64::new(0), changes: AtomicU64::new(0), start: OnceLock::new() };
        bandwidth.set_rate(bytes_per_second);
        Arc::new(bandwidth)
    }

    /// Changes the rate for everybody, those who wait included (within a tenth of a second).
    pub fn set_rate(&self, bytes_per_second: u64) {
        self.rate.store(if bytes_per_second == u64::MAX { 0 } else { bytes_per_second }, Ordering::Relaxed);
        self.free.store(0, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// The most that is sent in one slot; `None` if there is no limit.
    fn quantum(&self) -> Option<u64> {
        let rate = self.rate.load(Ordering::Relaxed);
        (rate != 0).then(|| (rate / TURNS).clamp(SMALLEST_QUANTUM, LARGEST_QUANTUM))
    }

    /// The time that so many bytes take, in nanoseconds; `None` if there is no limit.
    fn length(&self, bytes: u64) -> Option<u64> {
        bytes.saturating_mul(1_000_000_000).checked_div(self.rate.load(Ordering::Relaxed))
    }

    /// Gives a slot back that was never used: the next to come gets the time, so that who leaves keeps nobody waiting.
    fn give_back(&self, bytes: u64) {
        if let Some(length) = self.length(bytes) {
            let _ = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| Some(free.saturating_sub(length)));
        }
    }

    /// Takes the next slot for `bytes`. Returns when it begins.
    fn reserve(&self, now: Instant, bytes: u64) -> Instant {
        let Some(length) = self.length(bytes) else { return now };
        let start = *self.start.get_or_init(|| now);
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let time = nanos(now.saturating_duration_since(start));
        let begins = |free: u64| if free.saturating_add(nanos(LATE)) >= time { free } else { time };
        let taken = |free: u64| Some(begins(free).saturating_add(length));
        let free = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).unwrap_or_else(|free| free);
        start.checked_add(Duration::from_nanos(begins(free))).unwrap_or(now)
    }
}

/// Where a connection stands in one line.
struct Lane {
    bandwidth: Arc<Bandwidth>,
    /// When its slot begins.
    at: Instant,
    /// [`Bandwidth::changes`] when it took the slot.
    changes: u64,
}

impl Lane {
    fn reserve(&mut self, now: Instant, bytes: u64) {
        self.changes = self.bandwidth.changes.load(Ordering::Acquire);
        self.at = self.bandwidth.reserve(now, bytes);
    }
}

/// Whose rate it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    Server,
    Own,
}

/// Whether a connection may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// So many bytes.
    Bytes(u64),
    /// Not before this time; then it must ask again.
    Wait(Instant),
}

/// The pacing of one connection, by the server's rate and by its own: the later slot counts.
#[derive(Default)]
pub(crate) struct Pace {
    lanes: [Option<Lane>; 2],
    /// The bytes of the slots that it waits for; 0 if it has none.
    reserved: u64,
    /// What is left of a slot that has begun.
    granted: u64,
}

impl Pace {
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.iter().all(Option::is_none)
    }

    pub(crate) fn set(&mut self, whose: Whose, bandwidth: Option<&Arc<Bandwidth>>, now: Instant) {
        let [server, own] = &self.lanes;
        let lane = match whose {
            Whose::Server => server,
            Whose::Own => own,
        };
        let same = match (lane, bandwidth) {
            (Some(lane), Some(bandwidth)) => Arc::ptr_eq(&lane.bandwidth, bandwidth),
            (None, None) => true,
            _ => false,
        };
        if same {
            return;
        }
        self.give_back();
        let [server, own] = &mut self.lanes;
        let lane = match whose {
            Whose::Server => server,
            Whose::Own => own,
        };
        *lane = bandwidth.map(|bandwidth| Lane { bandwidth: Arc::clone(bandwidth), at: now, changes: 0 });
        self.granted = 0;
        self.reserved = 0;
    }

    /// Gives the slots back that it waits for.
    fn give_back(&mut self) {
        let reserved = std::mem::take(&mut self.reserved);
        let holds = |lane: &&Lane| lane.changes == lane.bandwidth.changes.load(Ordering::Acquire);
        self.lanes.iter().flatten().filter(holds).for_each(|lane| lane.bandwidth.give_back(reserved));
    }

    /// How much of `waiting` bytes may be sent now.
    pub(crate) fn grant(&mut self, now: Instant, waiting: u64) -> Grant {
        if self.granted > 0 {
            return Grant::Bytes(self.granted);
        }
        let fresh = self.reserved == 0;
        if fresh {
            let quantum = self.lanes.iter().flatten().filter_map(|lane| lane.bandwidth.quantum()).min();
            let Some(quantum) = quantum else { return Grant::Bytes(u64::MAX) };
            self.reserved = waiting.clamp(1, quantum);
        }
        let mut at = now;
        for lane in self.lanes.iter_mut().flatten() {
            if fresh || lane.changes != lane.bandwidth.changes.load(Ordering::Acquire) {
                lane.reserve(now, self.reserved);
            }
            at = at.max(lane.at);
        }
        if at > now + SOON {
            return Grant::Wait(at.min(now + LOOK_AGAIN));
        }
        self.granted = std::mem::take(&mut self.reserved);
        Grant::Bytes(self.granted)
    }

    /// So many bytes of what was granted were sent.
    pub(crate) fn spent(&mut self, bytes: u64) {
        self.granted = self.granted.saturating_sub(bytes);
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `paces` send in `time`, each with endless output and a timer of its own.
    fn sent(paces: &mut [Pace], start: Instant, time: Duration) -> Vec<u64> {
        let mut sent = vec![0; paces.len()];
        let mut now = start;
        while now < start + time {
            for (pace, sent) in paces.iter_mut().zip(&mut sent) {
                while let Grant::Bytes(bytes) = pace.grant(now, u64::MAX) {
                    *sent += bytes;
                    pace.spent(bytes);
                }
            }
            now += Duration::from_millis(1);
        }
        sent
    }

    fn paced(lanes: &[(Whose, &Arc<Bandwidth>)], now: Instant) -> Pace {
        let mut pace = Pace::default();
        lanes.iter().for_each(|(whose, bandwidth)| pace.set(*whose, Some(bandwidth), now));
        pace
    }

    fn is_about(sent: u64, expected: u64) {
        assert!(sent.abs_diff(expected) <= expected / 50, "{sent} instead of {expected}");
    }

    #[test]
    fn the_rate_holds_from_slow_to_faster_than_one_quantum_per_tick() {
        for rate in [20_480, 1 << 20, 100 << 20] {
            let (bandwidth, now) = (Bandwidth::new(rate), Instant::now());
            is_about(sent(&mut [paced(&[(Whose::Own, &bandwidth)], now)], now, Duration::from_secs(4))[0], 4 * rate);
        }
    }

    #[test]
    fn connections_share_evenly_and_within_both_rates() {
        let (server, group, now) = (Bandwidth::new(300_000), Bandwidth::new(100_000), Instant::now());
        let grouped = || paced(&[(Whose::Server, &server), (Whose::Own, &group)], now);
        let sent = sent(&mut [grouped(), grouped(), paced(&[(Whose::Server, &server)], now)], now, Duration::from_secs(4));
        is_about(sent[0], 200_000);
        is_about(sent[1], 200_000);
        assert!(sent[2] > 600_000 && sent[2] <= 900_000, "{sent:?}");
    }

    #[test]
    fn those_who_leave_before_their_turn_keep_nobody_waiting() {
        let (bandwidth, now) = (Bandwidth::new(100_000), Instant::now());
        let mut leavers: Vec<Pace> = (0..1000).map(|_| paced(&[(Whose::Own, &bandwidth)], now)).collect();
        for leaver in &mut leavers {
            let _ = leaver.grant(now, u64::MAX);
        }
        drop(leavers);
        let mut paces = [paced(&[(Whose::Own, &bandwidth)], now)];
        is_about(sent(&mut paces, now, Duration::from_secs(4))[0], 400_000);
    }

    #[test]
    fn a_change_of_the_rate_reaches_those_who_wait() {
        let (bandwidth, now) = (Bandwidth::new(1), Instant::now());
        let mut pace = paced(&[(Whose::Own, &bandwidth)], now);
        assert_eq!(pace.grant(now, 600), Grant::Bytes(512));
        pace.spent(512);
        assert_eq!(pace.grant(now, 88), Grant::Wait(now + LOOK_AGAIN));
        bandwidth.set_rate(1_000_000);
        assert_eq!(pace.grant(now + LOOK_AGAIN, 88), Grant::Bytes(88));
        pace.spent(88);
        bandwidth.set_rate(0);
        assert_eq!(pace.grant(now, 1 << 30), Grant::Bytes(u64::MAX));
    }
}
