//! The knobs for those who have measured: each with what it costs and what it gives.

use std::ops::RangeInclusive;

use crate::error::{Error, Result};

/// What can be tuned once it is known where the time goes. The defaults suit most apps; each knob says what it costs, what
/// it gives, and where it does nothing. `bench/results` has each of them measured.
///
/// A value out of range is an error of [`Server::run`](crate::Server::run). How many requests may wait for the app is
/// [`RequestQueue::length`](crate::RequestQueue::length).
///
/// ```
/// # use narthex::{FineTune, Server};
/// # fn server(app: axum::Router) -> Server<axum::Router> {
/// // Two processes share the queue; each request takes long, so neither should hold more than it works on.
/// Server::new(app).prefix("http://+:8888/MyApp/").fine_tune(FineTune::default().accepts_per_worker(4))
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FineTune {
    pub(crate) accepts_per_worker: u32,
    pub(crate) operating_mode: OperatingMode,
    pub(crate) inline_completion: bool,
}

impl Default for FineTune {
    fn default() -> Self {
        Self { accepts_per_worker: 1024, operating_mode: OperatingMode::default(), inline_completion: true }
    }
}

/// The requests that a worker can take on.
const ACCEPTS: RangeInclusive<u32> = 1..=65_535;

impl FineTune {
    /// Requests that each worker of the host may have at each worker of the app, waiting there or being worked on: the
    /// receives that the app has posted beforehand. Default 1024; 1 to 65 535.
    ///
    /// * A small value lets the rest wait in the host's request queue: from there another process of the queue can take
    ///   them, they count against its length, and they survive this process. It costs throughput when it is smaller than what
    ///   the app can work on at a time: for each answer, the next request has to come the whole way from the host.
    /// * A large one keeps the way to the app full. It costs memory for what waits there (a request's head, and up to
    ///   64 KiB of a body that nobody reads), and what waits is lost with the process.
    ///
    /// An embedded server has no host to ask, so there this does nothing: the app gets every request when it comes.
    #[must_use]
    pub fn accepts_per_worker(mut self, requests: u32) -> Self {
        self.accepts_per_worker = requests;
        self
    }

    /// Who accepts connections. Default: [`OperatingMode::OnePerWorker`].
    ///
    /// Behind a host, the host accepts them, and its operator chooses: there this does nothing.
    #[must_use]
    pub fn operating_mode(mut self, mode: OperatingMode) -> Self {
        self.operating_mode = mode;
        self
    }

    /// Whether the app is called right where a request arrives, and an answer that is ready goes out without a task of its
    /// own. Default `true`.
    ///
    /// * `true` saves each such request an allocation and a turn of the event loop. What the app does before it first waits
    ///   holds up the requests that arrived together with it.
    /// * `false` makes every request a task of its own, whose first step comes after what already waits: it pays when
    ///   handlers compute for long before they answer, and others are not to wait for all of them. It costs a clone of the
    ///   service, two allocations and a task switch per request. A handler that computes for milliseconds belongs into
    ///   [`blocking`](crate::blocking()) either way.
    #[must_use]
    pub fn inline_completion(mut self, inline: bool) -> Self {
        self.inline_completion = inline;
        self
    }

    /// What is out of range is an error.
    pub(crate) fn check(&self) -> Result<()> {
        if ACCEPTS.contains(&self.accepts_per_worker) {
            return Ok(());
        }
        Err(Error::OutOfRange {
            setting: "FineTune::accepts_per_worker",
            value: self.accepts_per_worker.into(),
            least: (*ACCEPTS.start()).into(),
            most: (*ACCEPTS.end()).into(),
        })
    }
}

/// Who accepts the connections of an embedded server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatingMode {
    /// Every worker has a listener of its own, and the kernel spreads connections over them by chance (`SO_REUSEPORT`; other
    /// systems than Linux wake all workers). No thread hop: best for many connections, whose number evens out. HTTP.sys apps
    /// know it as their high-performance mode.
    #[default]
    OnePerWorker,
    /// One thread accepts and deals each connection to the worker with the fewest open ones: even also for few and
    /// long-lived connections, such as WebSockets, of which chance gives one worker twice as many as another. It costs one
    /// thread hop and two system calls per connection, nothing per request. HTTP.sys apps know it as the classic mode.
    SingleAcceptor,
}
