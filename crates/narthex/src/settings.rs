//! What an app asks of the server it runs on: the request queue and the timers.

use std::ops::RangeInclusive;
use std::time::Duration;

#[cfg(unix)]
use narthex_proto::wire;
use narthex_proto::wire::{Principal, Verbosity as Http503Verbosity};

use crate::error::{Error, Result};

/// The queue in which an app's requests wait while the app is busy or restarts. It is the host's: on an embedded listener
/// clients wait in the kernel's accept queue, and of these settings only [`verbosity`](Self::verbosity) does something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestQueue {
    pub(crate) name: Option<String>,
    pub(crate) length: Option<u32>,
    pub(crate) active: Option<bool>,
    pub(crate) verbosity: Option<Http503Verbosity>,
    pub(crate) openers: Vec<Principal>,
    pub(crate) accepts_delegation: Option<bool>,
    pub(crate) restart_grace: Option<Duration>,
}

/// What a queue may hold, in HTTP.sys too.
const LENGTHS: RangeInclusive<u32> = 1..=65_535;

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

    /// How many requests may wait, 1 to 65 535. One more is answered 503 at once. Default: the host's, 1000.
    #[must_use]
    pub fn length(mut self, requests: u32) -> Self {
        self.length = Some(requests);
        self
    }

    /// What clients get where the server itself answers 503 for the app. Default: [`Http503Verbosity::Limited`], the answer
    /// without a reason.
    #[must_use]
    pub fn verbosity(mut self, verbosity: Http503Verbosity) -> Self {
        self.verbosity = Some(verbosity);
        self
    }

    /// Whose programs may open the queue by its name, to take requests from it and to delegate some to it. At most 64. Default:
    /// only those of the user who made it.
    ///
    /// Users who share a queue have to name each other: a queue of that name that another user made is opened only if that user
    /// is among these too, or an operator of the host. The same goes for a queue that this one delegates to.
    #[must_use]
    pub fn openers(mut self, openers: impl IntoIterator<Item = Principal>) -> Self {
        self.openers = openers.into_iter().collect();
        self
    }

    /// Whether the apps of other queues may hand requests over to this one, with [`Delegation`](crate::Delegation). Default:
    /// `false`. They must be [openers](Self::openers) too, if they are other users'.
    #[must_use]
    pub fn accepts_delegation(mut self, accepts: bool) -> Self {
        self.accepts_delegation = Some(accepts);
        self
    }

    /// How long a **named** queue waits for its next process once the last one has left or died: its URLs stay registered, their
    /// ports open, and requests wait (as many as the queue's [length](Self::length)) instead of being refused. [`Duration::ZERO`]: not
    /// at all. Default: the host's, 10 seconds. Whole seconds, rounded up.
    ///
    /// A process of the same user that registers the URLs with another queue takes them over at once.
    #[must_use]
    pub fn restart_grace(mut self, grace: Duration) -> Self {
        self.restart_grace = Some(grace);
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.length {
            Some(length) if !LENGTHS.contains(&length) => Err(Error::OutOfRange {
                setting: "RequestQueue::length",
                value: length.into(),
                least: (*LENGTHS.start()).into(),
                most: (*LENGTHS.end()).into(),
            }),
            _ => Ok(()),
        }
    }

    /// Takes over what `change` has.
    pub(crate) fn merge(&mut self, change: &Self) {
        let Self { name, length, active, verbosity, openers, accepts_delegation, restart_grace } = change;
        self.name = name.clone().or_else(|| self.name.take());
        self.length = length.or(self.length);
        self.active = active.or(self.active);
        self.verbosity = verbosity.or(self.verbosity);
        if !openers.is_empty() {
            self.openers.clone_from(openers);
        }
        self.accepts_delegation = accepts_delegation.or(self.accepts_delegation);
        self.restart_grace = restart_grace.or(self.restart_grace);
    }

    /// As the host is told it.
    #[cfg(unix)]
    pub(crate) fn for_host(&self) -> wire::QueueSettings {
        wire::QueueSettings {
            name: self.name.clone(),
            length: self.length,
            state: self.active.map(activity),
            verbosity: self.verbosity,
            openers: self.openers.clone(),
            accepts_delegation: self.accepts_delegation,
            restart_grace: self.restart_grace.map(whole_seconds),
        }
    }

    /// Another process may come for what this one leaves.
    #[cfg(unix)]
    pub(crate) fn may_wait(&self) -> bool {
        self.name.is_some() && self.restart_grace != Some(Duration::ZERO)
    }
}

/// Never shorter than asked.
#[cfg(any(unix, windows))]
fn whole_seconds(time: Duration) -> u32 {
    let partial = u64::from(time.subsec_nanos() > 0);
    u32::try_from(time.as_secs().saturating_add(partial)).unwrap_or(u32::MAX)
}

/// As the host is told it.
#[cfg(unix)]
pub(crate) fn activity(active: bool) -> wire::Activity {
    if active { wire::Activity::Active } else { wire::Activity::Inactive }
}

/// The timers of an app's connections. One that is not set is the host's, or on an embedded listener HTTP.sys's: 120 s,
/// and 150 bytes per second. The shared provider counts in whole seconds and rounds up.
///
/// As in HTTP.sys, [`Duration::ZERO`] is as good as not set, and more than 65 534 s, such as [`Duration::MAX`], is never.
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

/// A longer time is never.
const LONGEST: Duration = Duration::from_secs(65_534);

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

    /// A client that takes a response more slowly than this many bytes per second is cut off. 0 is as good as not set, and
    /// [`u32::MAX`] is never.
    #[must_use]
    pub fn min_send_rate(mut self, bytes_per_second: u32) -> Self {
        self.min_send_rate = Some(bytes_per_second);
        self
    }

    /// Takes over what `change` has.
    pub(crate) fn merge(&mut self, change: &Self) {
        let Self { idle_connection, header_wait, entity_body, drain_entity_body, request_queue, min_send_rate } = change;
        self.idle_connection = idle_connection.or(self.idle_connection);
        self.header_wait = header_wait.or(self.header_wait);
        self.entity_body = entity_body.or(self.entity_body);
        self.drain_entity_body = drain_entity_body.or(self.drain_entity_body);
        self.request_queue = request_queue.or(self.request_queue);
        self.min_send_rate = min_send_rate.or(self.min_send_rate);
    }

    /// As the HTTP engine of this process has them.
    pub(crate) fn for_engine(&self) -> narthex_http::Timeouts {
        let limit = |asked: Option<Duration>, inherited| match asked {
            None | Some(Duration::ZERO) => inherited,
            Some(limit) => (limit <= LONGEST).then_some(limit),
        };
        let mut timeouts = narthex_http::Timeouts::default();
        timeouts.idle_connection = limit(self.idle_connection, timeouts.idle_connection);
        timeouts.header_wait = limit(self.header_wait, timeouts.header_wait);
        timeouts.entity_body = limit(self.entity_body, timeouts.entity_body);
        timeouts.drain_entity_body = limit(self.drain_entity_body, timeouts.drain_entity_body);
        timeouts.request_queue = limit(self.request_queue, timeouts.request_queue);
        timeouts.min_send_rate = match self.min_send_rate {
            None | Some(0) => timeouts.min_send_rate,
            Some(u32::MAX) => 0,
            Some(rate) => rate,
        };
        timeouts
    }

    /// As HTTP.sys is told them.
    #[cfg(any(windows, test))]
    pub(crate) fn for_httpsys(&self) -> narthex_httpsys::Timeouts {
        use narthex_httpsys::Timeouts;
        let seconds = |limit: Option<Duration>| {
            let limit = limit.unwrap_or_default();
            if limit > LONGEST { Timeouts::NEVER } else { u16::try_from(whole_seconds(limit)).unwrap_or(Timeouts::NEVER) }
        };
        Timeouts {
            entity_body: seconds(self.entity_body),
            drain_entity_body: seconds(self.drain_entity_body),
            request_queue: seconds(self.request_queue),
            idle_connection: seconds(self.idle_connection),
            header_wait: seconds(self.header_wait),
            min_send_rate: self.min_send_rate.unwrap_or_default(),
        }
    }

    /// As the host is told them.
    #[cfg(unix)]
    pub(crate) fn for_host(&self) -> wire::Timeouts {
        let seconds = |limit: Option<Duration>| {
            let limit = limit?;
            if limit > LONGEST {
                return Some(wire::Timeouts::DISABLED);
            }
            Some(whole_seconds(limit))
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

    #[test]
    fn zero_inherits_and_the_longest_is_never_on_either_provider() {
        let engine = |limit| Timeouts::default().header_wait(limit).for_engine().header_wait;
        let host = |limit| Timeouts::default().header_wait(limit).for_host().header_wait;
        let second = Duration::from_secs(1);
        assert_eq!((engine(Duration::ZERO), host(Duration::ZERO)), (Some(120 * second), Some(0)));
        assert_eq!((engine(LONGEST), host(LONGEST)), (Some(LONGEST), Some(65_534)));
        for never in [LONGEST + Duration::from_nanos(1), Duration::MAX] {
            assert_eq!((engine(never), host(never)), (None, Some(wire::Timeouts::DISABLED)));
        }
        let rate = |rate| Timeouts::default().min_send_rate(rate).for_engine().min_send_rate;
        assert_eq!((rate(0), rate(7), rate(u32::MAX)), (150, 7, 0));
    }
}
