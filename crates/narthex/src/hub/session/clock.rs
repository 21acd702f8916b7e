//! When a session has to do something although nothing happens.

use std::num::NonZeroU32;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::alarms::Alarm;
use crate::hub::settings::HeartBeat;

/// After its last frame, the client gets so long to close its side.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A ping is to be sent.
    Ping,
    /// Nothing has come since a ping, for too long.
    Pong,
    /// The client takes nothing.
    Write,
    /// The client does not answer the Close.
    Close,
    /// The client has seen the last frame, or never will.
    Linger,
}

impl Due {
    const ALL: [Self; 5] = [Self::Ping, Self::Pong, Self::Write, Self::Close, Self::Linger];
}

/// Milliseconds since the clock began, plus one.
type Moment = NonZeroU32;

/// After so many milliseconds, 24 days, a clock begins anew.
const LONG: u32 = 1 << 31;

/// One alarm for all that can be due. It is set for the earliest, and stays when that is no longer due: that it is early is found out
/// when it goes off.
pub(super) struct Clock {
    began: Instant,
    due: [Option<Moment>; Due::ALL.len()],
    heard: u32,
    alarm: Alarm,
    /// Something may be due before the alarm goes off.
    changed: bool,
}

impl Clock {
    pub(super) fn new(heartbeat: &HeartBeat) -> Self {
        let mut clock =
            Self { began: Instant::now(), due: [None; Due::ALL.len()], heard: 0, alarm: Alarm::NEVER, changed: false };
        if let Some(interval) = heartbeat.interval {
            clock.set(Due::Ping, interval.mul_f64(1.0 - fastrand::f64()));
        }
        clock
    }

    fn now(&self) -> Moment {
        let since = u32::try_from(self.began.elapsed().as_millis()).unwrap_or(u32::MAX - 1);
        Moment::MIN.saturating_add(since)
    }

    /// A moment is soon too large for its type, in a session of weeks: moments are counted from now on.
    fn begin_anew(&mut self) {
        let passed = self.now().get();
        if passed < LONG {
            return;
        }
        let passed = passed - 1;
        self.began += Duration::from_millis(passed.into());
        self.heard = self.heard.saturating_sub(passed);
        for due in self.due.iter_mut().flatten() {
            *due = Moment::new(due.get().saturating_sub(passed)).unwrap_or(Moment::MIN);
        }
    }

    fn at(&mut self, due: Due) -> &mut Option<Moment> {
        &mut self.due[due as usize]
    }

    fn set(&mut self, due: Due, after: Duration) {
        self.begin_anew();
        // Never too early.
        let after = u32::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
        let now = self.now();
        *self.at(due) = Some(now.saturating_add(after));
        self.changed = true;
    }

    /// Something has come from the client.
    #[inline]
    pub(super) fn heard(&mut self, heartbeat: &HeartBeat) {
        *self.at(Due::Pong) = None;
        if heartbeat.only_when_idle {
            self.heard = self.now().get();
        }
    }

    /// What comes from the client is not read now, so that its silence says nothing.
    pub(super) fn deaf(&mut self, heartbeat: &HeartBeat) {
        if self.at(Due::Pong).is_some() {
            self.set(Due::Pong, heartbeat.timeout);
        }
    }

    pub(super) fn pinged(&mut self, heartbeat: &HeartBeat) {
        if self.at(Due::Pong).is_none() && !heartbeat.timeout.is_zero() {
            self.set(Due::Pong, heartbeat.timeout);
        }
    }

    pub(super) fn blocked(&mut self, limit: Duration) {
        if !self.is_blocked() {
            self.set(Due::Write, limit);
        }
    }

    #[inline]
    pub(super) fn unblocked(&mut self) {
        *self.at(Due::Write) = None;
    }

    #[inline]
    pub(super) fn is_blocked(&self) -> bool {
        self.due[Due::Write as usize].is_some()
    }

    /// A Close was sent. Pings are no longer.
    pub(super) fn close_by(&mut self, limit: Duration) {
        (*self.at(Due::Ping), *self.at(Due::Pong)) = (None, None);
        self.set(Due::Close, limit);
    }

    pub(super) fn linger(&mut self) {
        self.stop();
        self.set(Due::Linger, LINGER);
    }

    /// Nothing is due any more.
    pub(super) fn stop(&mut self) {
        self.due = [None; Due::ALL.len()];
    }

    /// Another waker is to be woken.
    pub(super) fn forget_waker(&mut self) {
        std::mem::replace(&mut self.alarm, Alarm::NEVER).cancel();
        self.changed = true;
    }

    /// What is due now. If nothing is, `waker` is woken when something may be.
    #[inline]
    pub(super) fn poll(&mut self, waker: &Waker, heartbeat: &HeartBeat) -> Option<Due> {
        if !self.changed && !self.alarm.is_over() {
            return None;
        }
        self.look(waker, heartbeat)
    }

    fn look(&mut self, waker: &Waker, heartbeat: &HeartBeat) -> Option<Due> {
        self.begin_anew();
        let due = self.passed(heartbeat);
        if due.is_none() {
            self.arm(waker);
        }
        due
    }

    /// Sees to it that the session is woken when something is due.
    fn arm(&mut self, waker: &Waker) {
        self.changed = false;
        let next = self.due.iter().flatten().min().copied();
        let at = next.map(|next| self.began + Duration::from_millis(u64::from(next.get()) - 1));
        if !self.alarm.is_over() && at.is_none_or(|at| self.alarm.is_before(at)) {
            return;
        }
        self.alarm.cancel();
        self.alarm = at.map_or(Alarm::NEVER, |at| Alarm::set(at, waker));
    }

    fn passed(&mut self, heartbeat: &HeartBeat) -> Option<Due> {
        let now = self.now();
        let due = Due::ALL.into_iter().find(|due| self.due[*due as usize].is_some_and(|at| at <= now))?;
        *self.at(due) = None;
        let Some(interval) = heartbeat.interval.filter(|_| due == Due::Ping) else { return Some(due) };
        let silence = Duration::from_millis(u64::from(now.get().saturating_sub(self.heard)));
        if heartbeat.only_when_idle && silence < interval {
            self.set(Due::Ping, interval.saturating_sub(silence));
            return None;
        }
        self.set(Due::Ping, interval);
        Some(Due::Ping)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.alarm.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_months_has_a_ping_each_interval() {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(
            tokio::task::LocalSet::new().run_until(async {
                let heartbeat = HeartBeat::every(Duration::from_secs(3_600)).timeout(Duration::ZERO);
                let mut clock = Clock::new(&heartbeat);
                let mut pings = 0;
                for _ in 0..80 * 24 {
                    // A moment later than a ping is due.
                    tokio::time::sleep(Duration::from_secs(3_601)).await;
                    while let Some(due) = clock.poll(Waker::noop(), &heartbeat) {
                        assert_eq!(due, Due::Ping);
                        pings += 1;
                    }
                }
                assert_eq!(pings, 80 * 24);
            }),
        );
    }
}
