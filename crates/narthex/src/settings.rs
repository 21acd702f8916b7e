//! What an app asks of the server it runs on: the request queue and the timers.

use std::time::Duration;

#[cfg(unix)]
use narthex_proto::wire;

/// The queue in which an app's requests wait while the app is busy or restarts. It is the host's: on an embedded listener
/// clients wait in the kernel's accept queue, and these settings do nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestQueue {
    pub(crate) name: Option<String>,
    pub(crate) length: Option<u32>,
}

impl RequestQueue {
    /// An unnamed queue of the host's default length, 1000.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the queue. Processes that name the same queue share it: each request goes to one of them.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many requests may wait. One more is answered 503 at once. Default: the host's, 1000.
    #[must_use]
    pub fn length(mut self, requests: u32) -> Self {
        self.length = Some(requests);
        self
    }
}

/// The timers of an app's connections. One that is not set is the host's, or on an embedded listener HTTP.sys's: 120 s,
/// and 150 bytes per second. The shared provider counts in whole seconds and rounds up.
///
/// ```
/// # use std::time::Duration;
/// let timeouts = narthex::Timeouts::default().header_wait(Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    idle_connection: Option<Duration>,
    header_wait: Option<Duration>,
    entity_body: Option<Duration>,
    drain_entity_body: Option<Duration>,
    request_queue: Option<Duration>,
    min_send_rate: Option<u32>,
}

impl Timeouts {
    /// How long a kept-alive connection may be idle.
    #[must_use]
    pub fn idle_connection(mut self, limit: Duration) -> Self {
        self.idle_connection = Some(limit);
        self
    }

    /// From a request's first byte to the end of its headers.
    #[must_use]
    pub fn header_wait(mut self, limit: Duration) -> Self {
        self.header_wait = Some(limit);
        self
    }

    /// The longest gap between two arrivals of body bytes that the app waits for.
    #[must_use]
    pub fn entity_body(mut self, limit: Duration) -> Self {
        self.entity_body = Some(limit);
        self
    }

    /// How long the rest of an unread body is read and thrown away after an early response.
    #[must_use]
    pub fn drain_entity_body(mut self, limit: Duration) -> Self {
        self.drain_entity_body = Some(limit);
        self
    }

    /// How long a request may wait in the request queue.
    #[must_use]
    pub fn request_queue(mut self, limit: Duration) -> Self {
        self.request_queue = Some(limit);
        self
    }

    /// A client that takes a response more slowly than this many bytes per second is cut off; 0 for never.
    #[must_use]
    pub fn min_send_rate(mut self, bytes_per_second: u32) -> Self {
        self.min_send_rate = Some(bytes_per_second);
        self
    }

    /// As the HTTP engine of this process has them.
    pub(crate) fn for_engine(&self) -> narthex_http::Timeouts {
        let mut timeouts = narthex_http::Timeouts::default();
        timeouts.idle_connection = self.idle_connection.or(timeouts.idle_connection);
        timeouts.header_wait = self.header_wait.or(timeouts.header_wait);
        timeouts.entity_body = self.entity_body.or(timeouts.entity_body);
        timeouts.drain_entity_body = self.drain_entity_body.or(timeouts.drain_entity_body);
        timeouts.request_queue = self.request_queue.or(timeouts.request_queue);
        timeouts.min_send_rate = self.min_send_rate.unwrap_or(timeouts.min_send_rate);
        timeouts
    }

    /// As the host is told them.
    #[cfg(unix)]
    pub(crate) fn for_host(&self) -> wire::Timeouts {
        let seconds = |limit: Option<Duration>| {
            let limit = limit?;
            let partial = u64::from(limit.subsec_nanos() > 0);
            Some(u32::try_from(limit.as_secs().saturating_add(partial)).unwrap_or(u32::MAX))
        };
        wire::Timeouts {
            header_wait: seconds(self.header_wait),
            idle_connection: seconds(self.idle_connection),
            entity_body: seconds(self.entity_body),
            drain_entity_body: seconds(self.drain_entity_body),
            request_queue: seconds(self.request_queue),
            min_send_rate: self.min_send_rate,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_host_gets_whole_seconds_that_are_never_shorter_than_asked() {
        let timeouts = Timeouts::default().header_wait(Duration::from_millis(1500)).entity_body(Duration::from_secs(2));
        let seconds = timeouts.for_host();
        assert_eq!((seconds.header_wait, seconds.entity_body, seconds.idle_connection), (Some(2), Some(2), None));
    }
}
