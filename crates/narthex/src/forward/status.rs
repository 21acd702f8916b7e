//! How upstreams are, for those who look.

use std::time::Duration;

use super::circuit::CircuitState;
use super::server::Server;

/// How an upstream is at the moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UpstreamStatus {
    /// Its servers, in the order in which they were named.
    pub servers: Vec<ServerStatus>,
    /// Its circuit breaker, if it has one.
    pub circuit: Option<CircuitState>,
}

/// How a server is at the moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Its address, as it was given.
    pub address: String,
    /// It has not failed its health checks. `true` if there are none.
    pub passes_checks: bool,
    /// For how long it gets no requests yet, because it failed too often.
    pub ejected_for: Option<Duration>,
    /// Requests that it works on, and open tunnels.
    pub in_flight: usize,
    /// Requests that it was sent, retries included.
    pub requests: u64,
    /// Those of them that failed.
    pub failures: u64,
}

impl ServerStatus {
    pub(super) fn of(server: &Server) -> Self {
        Self {
            address: server.address.to_string(),
            passes_checks: server.passes_checks(),
            ejected_for: server.ejected_for(),
            in_flight: server.in_flight(),
            requests: server.requests(),
            failures: server.failures(),
        }
    }
}
