//! The settings of an app's URL group, as a server starts with them and as they are changed while it runs.

use std::time::Duration;

#[cfg(unix)]
use narthex_proto::wire;
use narthex_proto::wire::{Principal, Verbosity as Http503Verbosity};

use crate::error::{Error, Result};
use crate::logging::Logging;
#[cfg(unix)]
use crate::settings::activity;
use crate::settings::{RequestQueue, Timeouts};

/// Less cannot be paced evenly. HTTP.sys has the same bound.
const LEAST_BANDWIDTH: u64 = 1024;

/// What an app has of its own, for its URL group and the group's request queue. What is absent is inherited. An inner `None` is
/// no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupSettings {
    pub(crate) active: Option<bool>,
    pub(crate) max_connections: Option<Option<u32>>,
    pub(crate) max_bandwidth: Option<Option<u64>>,
    pub(crate) max_body: Option<Option<u64>>,
    pub(crate) response_cache: Option<bool>,
    pub(crate) delegates: Option<bool>,
    pub(crate) logging: Option<Logging>,
    pub(crate) timeouts: Timeouts,
    pub(crate) queue: RequestQueue,
}

impl GroupSettings {
    /// What is out of range is an error.
    pub(crate) fn check(&self) -> Result<()> {
        let outside = |setting, value, least, most| Err(Error::OutOfRange { setting, value, least, most });
        if self.max_connections == Some(Some(0)) {
            return outside("max_connections", 0, 1, u32::MAX.into());
        }
        if let Some(Some(rate @ ..LEAST_BANDWIDTH)) = self.max_bandwidth {
            return outside("max_bandwidth", rate, LEAST_BANDWIDTH, u64::MAX);
        }
        self.queue.check()
    }

    /// Takes over what `change` has.
    pub(crate) fn merge(&mut self, change: &Self) {
        let Self { active, max_connections, max_bandwidth, max_body, response_cache, delegates, logging, timeouts, queue } =
            change;
        self.active = active.or(self.active);
        self.max_connections = max_connections.or(self.max_connections);
        self.max_bandwidth = max_bandwidth.or(self.max_bandwidth);
        self.max_body = max_body.or(self.max_body);
        self.response_cache = response_cache.or(self.response_cache);
        self.delegates = delegates.or(self.delegates);
        self.logging = logging.clone().or_else(|| self.logging.take());
        self.timeouts.merge(timeouts);
        self.queue.merge(queue);
    }

    /// What of this only a host can do, by name.
    pub(crate) fn only_hosts_have(&self) -> Vec<&'static str> {
        let queue = &self.queue;
        let present = [
            ("response_cache", self.response_cache.is_some()),
            ("delegates", self.delegates.is_some()),
            ("logging", self.logging.is_some()),
            ("queue_length", queue.length.is_some()),
            ("queue_active", queue.active.is_some()),
            ("openers", !queue.openers.is_empty()),
            ("accepts_delegation", queue.accepts_delegation.is_some()),
            ("restart_grace", queue.restart_grace.is_some()),
        ];
        present.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
    }

    /// The group's own, as the host is told it.
    #[cfg(unix)]
    pub(crate) fn for_host(&self) -> wire::Properties {
        wire::Properties {
            state: self.active.map(activity),
            max_connections: self.max_connections.map(|most| most.unwrap_or(u32::MAX)),
            max_bandwidth: self.max_bandwidth.map(|most| most.unwrap_or(u64::MAX)),
            max_body: self.max_body.map(|most| most.unwrap_or(u64::MAX)),
            response_cache: self.response_cache,
            delegates: self.delegates,
            logging: self.logging.as_ref().map(Logging::for_host),
            timeouts: self.timeouts.for_host(),
        }
    }
}

/// Settings to be changed while the server runs, with [`ServerHandle::change`](crate::ServerHandle::change). What is not named
/// stays as it is. Each setting means what the method of the same name on [`Server`](crate::Server) and [`RequestQueue`] says.
///
/// ```
/// # use std::time::Duration;
/// use narthex::{Change, ServerHandle, Timeouts};
///
/// async fn close_for_maintenance(handle: &ServerHandle) -> narthex::Result<()> {
///     let timeouts = Timeouts::default().idle_connection(Duration::from_secs(5));
///     handle.change(Change::new().active(false).timeouts(timeouts)).await
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a change is made by ServerHandle::change"]
pub struct Change(pub(crate) GroupSettings);

impl Change {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether requests are taken. While they are not, they are answered 503 (`Disabled`); those that run go on.
    pub fn active(mut self, active: bool) -> Self {
        self.0.active = Some(active);
        self
    }

    /// The timers; those that are not set stay as they are, and [`Duration::ZERO`](std::time::Duration::ZERO) goes back to what
    /// is inherited. What is being waited for is waited for as long as it was.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.0.timeouts.merge(&timeouts);
        self
    }

    /// The longest request body in bytes, `None` for any. From each connection's next request on.
    pub fn max_body(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.0.max_body = Some(bytes.into());
        self
    }

    /// Client connections at a time, `None` for no limit. Those that are open stay open.
    pub fn max_connections(mut self, connections: impl Into<Option<u32>>) -> Self {
        self.0.max_connections = Some(connections.into());
        self
    }

    /// Bytes per second to all clients together, `None` for no limit.
    pub fn max_bandwidth(mut self, bytes_per_second: impl Into<Option<u64>>) -> Self {
        self.0.max_bandwidth = Some(bytes_per_second.into());
        self
    }

    /// What clients get where the server itself answers 503.
    pub fn verbosity(mut self, verbosity: Http503Verbosity) -> Self {
        self.0.queue.verbosity = Some(verbosity);
        self
    }

    /// Whether the host may answer from its response cache. The host's.
    pub fn response_cache(mut self, allowed: bool) -> Self {
        self.0.response_cache = Some(allowed);
        self
    }

    /// Whether handlers may delegate requests. Those that come from now on: for others it is too late. The host's.
    pub fn delegates(mut self, delegates: bool) -> Self {
        self.0.delegates = Some(delegates);
        self
    }

    /// Where and how requests are logged. The host's.
    pub fn logging(mut self, logging: Logging) -> Self {
        self.0.logging = Some(logging);
        self
    }

    /// How many requests may wait in the request queue, 1 to 65 535. The host's.
    pub fn queue_length(mut self, requests: u32) -> Self {
        self.0.queue.length = Some(requests);
        self
    }

    /// Whether the request queue gives out requests. While it does not, they are answered 503 (`Disabled`), also those of other
    /// groups and processes of the queue. The host's.
    pub fn queue_active(mut self, active: bool) -> Self {
        self.0.queue.active = Some(active);
        self
    }

    /// Whose programs may open the request queue, in the place of those who might; an empty list changes nothing. The host's.
    pub fn openers(mut self, openers: impl IntoIterator<Item = Principal>) -> Self {
        self.0.queue.openers = openers.into_iter().collect();
        self
    }

    /// Whether the request queue accepts delegated requests. The host's.
    pub fn accepts_delegation(mut self, accepts: bool) -> Self {
        self.0.queue.accepts_delegation = Some(accepts);
        self
    }

    /// How long a named request queue waits for its next process. The host's.
    pub fn restart_grace(mut self, grace: Duration) -> Self {
        self.0.queue.restart_grace = Some(grace);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_change_replaces_what_it_names_and_nothing_else() {
        let mut settings = Change::new().max_body(5).queue_length(7).active(true).0;
        let timeouts = Timeouts::default().entity_body(Duration::from_secs(9));
        settings.merge(&Change::new().max_body(None).timeouts(timeouts.clone()).0);
        assert_eq!(settings, Change::new().max_body(None).queue_length(7).active(true).timeouts(timeouts).0);
    }

    #[test]
    fn values_out_of_range_are_errors_that_name_the_setting() {
        for (change, setting) in [
            (Change::new().max_connections(0), "max_connections(0)"),
            (Change::new().max_bandwidth(1023), "max_bandwidth(1023)"),
            (Change::new().queue_length(65_536), "RequestQueue::length(65536)"),
        ] {
            let error = change.0.check().unwrap_err().to_string();
            assert!(error.contains(setting), "{error}");
        }
        assert!(Change::new().max_connections(None).max_bandwidth(1024).queue_length(1).0.check().is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn the_host_is_told_the_largest_number_for_no_limit() {
        let told = Change::new().max_connections(None).max_bandwidth(None).max_body(None).0.for_host();
        assert_eq!((told.max_connections, told.max_bandwidth, told.max_body), (Some(u32::MAX), Some(u64::MAX), Some(u64::MAX)));
        assert!(Change::new().0.for_host().is_empty());
    }
}
