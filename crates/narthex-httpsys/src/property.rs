//! Properties of URL groups and request queues.

/// What clients get where HTTP.sys itself answers 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// No answer: the connection is reset.
    Basic,
    /// 503 without a reason.
    Limited,
    /// 503 with the reason.
    Full,
}

/// The timers of a group. Seconds; 0 is as good as not set, and [`NEVER`](Self::NEVER) is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Between two arrivals of body bytes.
    pub entity_body: u16,
    /// For the rest of a body that nobody reads.
    pub drain_entity_body: u16,
    /// In the request queue.
    pub request_queue: u16,
    /// Of a kept connection without a request.
    pub idle_connection: u16,
    /// For the rest of a head.
    pub header_wait: u16,
    /// Bytes per second; [`u32::MAX`] is never.
    pub min_send_rate: u32,
}

impl Timeouts {
    /// The timer is off.
    pub const NEVER: u16 = u16::MAX;
}

/// A property of a URL group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProperty {
    /// Whether requests are taken.
    Active(bool),
    /// The timers.
    Timeouts(Timeouts),
    /// Bytes per second to all clients; `None` is no limit.
    MaxBandwidth(Option<u32>),
    /// Connections at a time; `None` is no limit.
    MaxConnections(Option<u32>),
}

impl GroupProperty {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active(_) => "the state of URL groups",
            Self::Timeouts(_) => "timeouts of URL groups",
            Self::MaxBandwidth(_) => "bandwidth limits",
            Self::MaxConnections(_) => "connection limits",
        }
    }
}

/// A property of a request queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueProperty {
    /// Whether requests are given out.
    Active(bool),
    /// How many requests may wait.
    Length(u32),
    /// What clients get where HTTP.sys itself answers 503.
    Verbosity(Verbosity),
}

impl QueueProperty {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active(_) => "the state of request queues",
            Self::Length(_) => "lengths of request queues",
            Self::Verbosity(_) => "the verbosity of 503 responses",
        }
    }
}
