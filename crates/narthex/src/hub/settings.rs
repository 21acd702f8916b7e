//! A hub's settings.

use std::sync::Arc;
use std::time::Duration;

use narthex_ws::deflate::{Compressors, Config};
use narthex_ws::{Delivery, Limits};

use super::channels::{Channels, PROTOCOL};
use super::outbox::{OutboundLimits, Overflow};
use super::{Hub, Inner};
use crate::origins::Origins;

/// How the hub finds out that a client is gone which never said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartBeat {
    pub(super) interval: Option<Duration>,
    pub(super) timeout: Duration,
    pub(super) only_when_idle: bool,
}

impl Default for HeartBeat {
    fn default() -> Self {
        Self::every(Duration::from_secs(30))
    }
}

impl HeartBeat {
    /// A ping so often. The first of a connection comes at a random moment of the first interval, so that those who connect
    /// together are not pinged together. At least 10 ms.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        let interval = Some(interval.max(Duration::from_millis(10)));
        Self { interval, timeout: Duration::from_secs(10), only_when_idle: false }
    }

    /// No pings.
    #[must_use]
    pub fn off() -> Self {
        Self { interval: None, ..Self::default() }
    }

    /// How long a client has to answer: by a pong, or by anything else that it sends. Default: 10 s. Zero: for ever.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Pings only those that have sent nothing for an interval.
    #[must_use]
    pub fn only_when_idle(mut self) -> Self {
        self.only_when_idle = true;
        self
    }
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) codec: Arc<narthex_ws::Settings>,
    pub(super) heartbeat: HeartBeat,
    pub(super) outbound: OutboundLimits,
    pub(super) write_timeout: Duration,
    pub(super) close_timeout: Duration,
    pub(super) max_connections: usize,
    pub(super) origins: Origins,
    pub(super) protocols: Vec<String>,
    pub(super) deflate: Option<Config>,
}

/// Builds a [`Hub`].
#[derive(Debug)]
#[must_use = "a hub is made by `build`"]
pub struct HubBuilder {
    settings: Settings,
    channels: Option<Channels>,
    codec: narthex_ws::Settings,
}

impl Default for HubBuilder {
    fn default() -> Self {
        let codec = narthex_ws::Settings::default();
        let settings = Settings {
            codec: Arc::new(codec),
            heartbeat: HeartBeat::default(),
            outbound: OutboundLimits::default(),
            write_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            max_connections: usize::MAX,
            origins: Origins::default(),
            protocols: Vec::new(),
            deflate: None,
        };
        Self { settings, channels: None, codec }
    }
}

impl HubBuilder {
    /// Pings, and how long clients have to answer. Default: every 30 s, 10 s.
    pub fn heartbeat(mut self, heartbeat: HeartBeat) -> Self {
        self.settings.heartbeat = heartbeat;
        self
    }

    /// The most bytes of a frame, of a message and of what it inflates to; beyond, the connection is closed with 1009. Default: 64 MiB.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.codec.limits = Limits { max_fragments: self.codec.limits.max_fragments, ..Limits::of_size(bytes) };
        self
    }

    /// All limits of what clients may send, one by one.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.codec.limits = limits;
        self
    }

    /// Whether messages go to `on_message` and `on_binary`, in pieces to `on_fragment`, or both. Default: [`Delivery::Whole`].
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.codec.delivery = delivery;
        self
    }

    /// The most clients at a time; further ones get 503. Default: no limit.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.settings.max_connections = most;
        self
    }

    /// Which pages may connect: `https://shop.example.com`, `http://127.0.0.1:*` for any port, or `*` for all. Requests with another
    /// `Origin` get 403; those without one, which come from no browser, pass. Default: the page's own host (`Origin` and `Host`
    /// name the same one), so that no other site can use its visitors' cookies here (RFC 6455 section 10.2).
    ///
    /// # Panics
    /// If a text is none of these.
    #[track_caller]
    pub fn origins<I: IntoIterator<Item: AsRef<str>>>(mut self, origins: I) -> Self {
        self.settings.origins = Origins::of(origins);
        self
    }

    /// The sub-protocols that the app speaks. The client's first that is one of them is chosen. Where clients name others only, none
    /// is, and most clients give up then.
    pub fn protocols<I: IntoIterator<Item: Into<String>>>(mut self, protocols: I) -> Self {
        self.settings.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Speaks the channel protocol with clients that name it (`narthex.channels.v1`): browsers with `narthex.js`, and others by
    /// docs/channels.md. Their text messages go to `channels`, not to [`Hub::on_message`].
    pub fn channels(mut self, channels: Channels) -> Self {
        self.channels = Some(channels);
        self
    }

    /// Compresses messages (permessage-deflate, RFC 7692) with clients that can. Default: not.
    pub fn deflate(mut self, config: Config) -> Self {
        self.settings.deflate = Some(config);
        self
    }

    /// How much may wait for one client, and what happens beyond.
    pub fn outbound(mut self, limits: OutboundLimits) -> Self {
        self.settings.outbound = limits;
        self
    }

    /// What happens when more waits for a client than [`outbound`](Self::outbound) allows.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.settings.outbound.overflow = overflow;
        self
    }

    /// A client that takes nothing for so long, while something waits for it, is cut off. Default: 30 s.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.settings.write_timeout = timeout;
        self
    }

    /// How long a client has to answer a Close. Default: 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.settings.close_timeout = timeout;
        self
    }

    /// The hub.
    ///
    /// # Panics
    /// If it speaks the channel protocol, which needs whole messages, and messages come in pieces.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> Hub {
        let Self { mut settings, channels, codec } = self;
        if channels.is_some() {
            assert!(codec.delivery != Delivery::Pieces, "channels need whole messages: use Delivery::Both for pieces as well");
            settings.protocols.push(PROTOCOL.to_owned());
        }
        settings.codec = Arc::new(codec);
        let compressors = settings.deflate.as_ref().map(|config| Arc::new(Compressors::new(config)));
        Hub(Arc::new(Inner::new(settings, channels, compressors)))
    }
}
