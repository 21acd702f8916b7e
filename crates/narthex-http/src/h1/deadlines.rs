//! Until when a connection waits, and what for.

use std::time::Duration;

use tokio::time::Instant;

use crate::reason::Reason;

/// A client that closes its side (FIN) while a request runs may only be half-closing, so the request goes on for this
/// long. For ever would leave the work of clients that are gone running; not at all would break `nc`-style clients.
pub(crate) const HALF_CLOSE_GRACE: Duration = Duration::from_secs(10);

/// The connection's timer is armed lazily: a deadline that moves away, as the idle one does with every request, costs
/// nothing until the timer fires.
#[derive(Clone, Default)]
pub(crate) struct Deadlines {
    read: Option<(Instant, Reason)>,
    queue: Option<Instant>,
    pub(crate) write: Option<Instant>,
    half_closed: Option<Instant>,
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
        [read, self.queue, self.write, self.half_closed].into_iter().flatten().min()
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

    pub(crate) fn written_within(&mut self, now: Instant, limit: Duration) {
        self.write = Some(now + limit);
        self.set(self.write);
    }

    pub(crate) fn half_closed(&mut self, now: Instant) {
        self.half_closed = Some(now + HALF_CLOSE_GRACE);
        self.set(self.half_closed);
    }
}
