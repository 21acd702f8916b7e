//! The watchdog: what brings a server back that has failed, or does not answer any more.

mod probe;

use std::time::Duration;

pub(crate) use probe::probing;

const INTERVAL: Duration = Duration::from_secs(10);

/// Brings a server back that has ended though nobody asked for it: its listening socket broke, a worker thread died, or, with a
/// [`probe`](Self::probe), it does not answer any more. For [`Server::watchdog`](crate::Server::watchdog); without one, such a
/// server ends with the error.
///
/// Requests that run are finished within the shutdown timeout first, as for [`ServerHandle::restart`](crate::ServerHandle::restart),
/// and all that is said there holds. A server whose first start fails is not brought back, nor is one that was told to stop; a stop
/// ends the attempts at once. It cannot survive the end of the process: that is for the system's service manager.
///
/// ```no_run
/// use std::time::Duration;
/// use narthex::{Server, Watchdog};
///
/// # #[tokio::main]
/// # async fn main() -> narthex::Result<()> {
/// # let app = axum::Router::new();
/// let watchdog = Watchdog::new().interval(Duration::from_secs(5)).attempts(10).probe(Duration::from_secs(3));
/// let server = Server::new(app).prefix("http://+:8888/MyApp/").watchdog(watchdog);
/// server.on_restart(|why| eprintln!("restarting: {why}")).run().await
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until a server is given it"]
pub struct Watchdog {
    pub(crate) interval: Duration,
    pub(crate) attempts: Option<u32>,
    pub(crate) probe: Option<Duration>,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { interval: INTERVAL, attempts: None, probe: None }
    }
}

impl Watchdog {
    /// One that tries every 10 seconds for as long as it takes, and does not probe.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long to wait before each attempt to restart, the first included, and before each probe. Default: 10 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How often to try until the server ends with its last error; `None` or 0 for any number of times. The count begins anew when
    /// the server has served for an interval, and has answered a probe if there is one. Default: any number.
    pub fn attempts(mut self, most: impl Into<Option<u32>>) -> Self {
        self.attempts = most.into().filter(|most| *most > 0);
        self
    }

    /// Connects to each port of the server after each interval, as a client would, and restarts the server if there is no answer
    /// within `timeout`. Default: no probing.
    ///
    /// Any answer will do, also one that refuses, and also that the connection is closed: what is looked for are servers that do
    /// not answer, because a handler blocks its worker's thread, say. With several workers it takes several probes to meet the one
    /// that hangs. On plain ports the request is `OPTIONS *` (RFC 9110, section 9.3.7), which an app gets if it has the prefix `/`;
    /// on those with TLS it ends in the handshake. Behind a host it goes to the host's port, on the loopback interface if the
    /// prefix names no address: a port that never answered there says nothing, and while the host is away nobody probes.
    pub fn probe(mut self, timeout: Duration) -> Self {
        self.probe = Some(timeout);
        self
    }

    /// Whether the server may be restarted once more after so many attempts.
    pub(crate) fn tries_after(&self, attempts: u32) -> bool {
        self.attempts.is_none_or(|most| attempts < most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_bounded_unless_they_are_none_or_zero() {
        for unlimited in [Watchdog::new(), Watchdog::new().attempts(0), Watchdog::new().attempts(3).attempts(None)] {
            assert!(unlimited.tries_after(u32::MAX));
        }
        let twice = Watchdog::new().attempts(2);
        assert!(twice.tries_after(1) && !twice.tries_after(2));
    }
}
