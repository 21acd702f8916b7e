//! When a session has to do something although nothing happens.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

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

/// One timer for all that can be due. It is armed for the earliest, and never disarmed: that it is early is found out when it goes off.
pub(super) struct Clock {
    heartbeat: HeartBeat,
    heard: Instant,
    ping: Option<Instant>,
    pong: Option<Instant>,
    write: Option<Instant>,
    close: Option<Instant>,
    linger: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    pub(super) fn new(heartbeat: HeartBeat) -> Self {
        let now = Instant::now();
        let first = heartbeat.interval.map(|interval| now + interval.mul_f64(1.0 - fastrand::f64()));
        Self { heartbeat, heard: now, ping: first, pong: None, write: None, close: None, linger: None, timer: None }
    }

    /// Something has come from the client.
    pub(super) fn heard(&mut self) {
        self.pong = None;
        if self.heartbeat.only_when_idle {
            self.heard = Instant::now();
        }
    }

    /// What comes from the client is not read now, so that its silence says nothing.
    pub(super) fn deaf(&mut self) {
        if self.pong.is_some() {
            self.pong = Some(Instant::now() + self.heartbeat.timeout);
        }
    }

    pub(super) fn pinged(&mut self) {
        if self.pong.is_none() && !self.heartbeat.timeout.is_zero() {
            self.pong = Some(Instant::now() + self.heartbeat.timeout);
        }
    }

    pub(super) fn blocked(&mut self, limit: Duration) {
        self.write.get_or_insert_with(|| Instant::now() + limit);
    }

    pub(super) fn unblocked(&mut self) {
        self.write = None;
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.write.is_some()
    }

    /// A Close was sent. Pings are no longer.
    pub(super) fn close_by(&mut self, limit: Duration) {
        self.close = Some(Instant::now() + limit);
        (self.ping, self.pong) = (None, None);
    }

    pub(super) fn linger(&mut self) {
        self.stop();
        self.linger = Some(Instant::now() + LINGER);
    }

    /// Nothing is due any more.
    pub(super) fn stop(&mut self) {
        (self.ping, self.pong, self.write, self.close, self.linger) = (None, None, None, None, None);
    }

    /// What is due now. If nothing is, the task is woken when something may be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Due> {
        loop {
            let next = [self.ping, self.pong, self.write, self.close, self.linger].into_iter().flatten().min()?;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(next)));
            if timer.deadline() > next || timer.is_elapsed() {
                timer.as_mut().reset(next);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return None;
            }
            if let Some(due) = self.due(Instant::now()) {
                return Some(due);
            }
        }
    }

    fn due(&mut self, now: Instant) -> Option<Due> {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if let (true, Some(interval)) = (passed(self.ping), self.heartbeat.interval) {
            let idle_until = self.heard + interval;
            if self.heartbeat.only_when_idle && idle_until > now {
                self.ping = Some(idle_until);
                return None;
            }
            self.ping = Some(now + interval);
            return Some(Due::Ping);
        }
        for (slot, due) in [
            (&mut self.pong, Due::Pong),
            (&mut self.write, Due::Write),
            (&mut self.close, Due::Close),
            (&mut self.linger, Due::Linger),
        ] {
            if passed(*slot) {
                *slot = None;
                return Some(due);
            }
        }
        None
    }
}
