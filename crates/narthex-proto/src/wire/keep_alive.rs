//! When to send PING, and when to give a silent peer up.

/// Milliseconds of silence after which to send PING.
pub const PING_AFTER: u64 = 15_000;

/// Milliseconds of silence after which the peer is dead.
pub const DEAD_AFTER: u64 = 30_000;

/// What to do about a peer's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing before this time.
    Wait(u64),
    /// Send PING now, and ask again at this time.
    Ping(u64),
    /// The peer is gone: abandon the session.
    Dead,
}

/// Watches one session. Times are milliseconds of any clock that does not go back.
#[derive(Clone, Copy, Debug)]
pub struct PingTimer {
    ping_after: u64,
    dead_after: u64,
    heard: u64,
    pinged: Option<u64>,
}

impl PingTimer {
    /// A timer with [`PING_AFTER`] and [`DEAD_AFTER`].
    pub fn new(now: u64) -> Self {
        Self::with_limits(now, PING_AFTER, DEAD_AFTER)
    }

    /// A timer with other limits, in milliseconds of silence.
    pub fn with_limits(now: u64, ping_after: u64, dead_after: u64) -> Self {
        Self { ping_after, dead_after, heard: now, pinged: None }
    }

    /// The peer has sent something, no matter what.
    pub fn heard(&mut self, now: u64) {
        self.heard = now;
        self.pinged = None;
    }

    /// To be called at the time that the last call named, or more often.
    ///
    /// Nobody is dead who was not asked: a process that was itself paused finds that much time has passed, and asks first.
    pub fn on_time(&mut self, now: u64) -> Beat {
        let ping_at = self.heard.saturating_add(self.ping_after);
        let grace = self.dead_after.saturating_sub(self.ping_after);
        match self.pinged {
            Some(at) if now >= at.saturating_add(grace) => Beat::Dead,
            Some(at) => Beat::Wait(at.saturating_add(grace)),
            None if now >= ping_at => {
                self.pinged = Some(now);
                Beat::Ping(now.saturating_add(grace))
            }
            None => Beat::Wait(ping_at),
        }
    }
}
