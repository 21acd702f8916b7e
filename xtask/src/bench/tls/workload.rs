//! What is asked of a server, and in which unit its cost is told.

use super::MEGABYTE;

/// What the server's certificate is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Ecdsa,
    Rsa,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
    Http3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    /// So many lanes connect, shake hands, wait for a ticket and close.
    Handshakes { key: Key, resumed: bool },
    /// `GET /`, one after the other on each stream of each connection.
    Small { protocol: Protocol, connections: usize, streams: usize },
    /// The same with a megabyte.
    Megabyte { protocol: Protocol, connections: usize, streams: usize },
}

/// Handshakes that are in progress at a time.
pub(super) const HANDSHAKE_LANES: usize = 32;

pub(super) const FULL_ECDSA: Workload = Workload::Handshakes { key: Key::Ecdsa, resumed: false };
pub(super) const FULL_RSA: Workload = Workload::Handshakes { key: Key::Rsa, resumed: false };
pub(super) const RESUMED: Workload = Workload::Handshakes { key: Key::Ecdsa, resumed: true };
pub(super) const SMALL_HTTP1_FEW: Workload = small(Protocol::Http1, 64, 1);
pub(super) const SMALL_HTTP1: Workload = small(Protocol::Http1, 256, 1);
pub(super) const SMALL_HTTP2: Workload = small(Protocol::Http2, 32, 16);
pub(super) const SMALL_HTTP3: Workload = small(Protocol::Http3, 32, 16);
pub(super) const MEGABYTE_HTTP1: Workload = megabyte(Protocol::Http1, 16, 1);
pub(super) const MEGABYTE_HTTP2: Workload = megabyte(Protocol::Http2, 4, 4);
pub(super) const MEGABYTE_HTTP3: Workload = megabyte(Protocol::Http3, 4, 4);

/// In the order of the page.
pub(super) const ALL: [Workload; 10] = [
    FULL_ECDSA,
    FULL_RSA,
    RESUMED,
    SMALL_HTTP1,
    SMALL_HTTP1_FEW,
    SMALL_HTTP2,
    SMALL_HTTP3,
    MEGABYTE_HTTP1,
    MEGABYTE_HTTP2,
    MEGABYTE_HTTP3,
];

/// What valgrind can count without misleading: those in which cryptography is a small part.
pub(super) const COUNTED: [Workload; 2] = [SMALL_HTTP1_FEW, SMALL_HTTP2];

const fn small(protocol: Protocol, connections: usize, streams: usize) -> Workload {
    Workload::Small { protocol, connections, streams }
}

const fn megabyte(protocol: Protocol, connections: usize, streams: usize) -> Workload {
    Workload::Megabyte { protocol, connections, streams }
}

impl Key {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ecdsa => "ECDSA P-256",
            Self::Rsa => "RSA 2048",
        }
    }

    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Ecdsa => "ecdsa",
            Self::Rsa => "rsa",
        }
    }
}

impl Protocol {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Http3 => "HTTP/3",
        }
    }

    /// As it is typed.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
            Self::Http3 => "h3",
        }
    }
}

impl Workload {
    pub(super) fn key(self) -> Key {
        match self {
            Self::Handshakes { key, .. } => key,
            Self::Small { .. } | Self::Megabyte { .. } => Key::Ecdsa,
        }
    }

    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::Handshakes { .. } => Protocol::Http1,
            Self::Small { protocol, .. } | Self::Megabyte { protocol, .. } => protocol,
        }
    }

    /// What goes on at a time.
    pub(super) fn lanes(self) -> usize {
        match self {
            Self::Handshakes { .. } => HANDSHAKE_LANES,
            Self::Small { connections, streams, .. } | Self::Megabyte { connections, streams, .. } => connections * streams,
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Megabyte { .. } => "/megabyte",
            Self::Handshakes { .. } | Self::Small { .. } => "/",
        }
    }

    pub(super) fn title(self) -> String {
        let load = |connections, streams| match streams {
            1 => format!("{connections} connections"),
            _ => format!("{connections} connections x {streams} streams"),
        };
        match self {
            Self::Handshakes { key, resumed: false } => format!("full handshakes, {}", key.name()),
            Self::Handshakes { resumed: true, .. } => "resumed handshakes".to_owned(),
            Self::Small { protocol, connections, streams } => {
                format!("small requests, {}, {}", protocol.name(), load(connections, streams))
            }
            Self::Megabyte { protocol, connections, streams } => {
                format!("1 MB responses, {}, {}", protocol.name(), load(connections, streams))
            }
        }
    }

    /// What one costs is told.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Handshakes { .. } => "handshake",
            Self::Small { .. } => "request",
            Self::Megabyte { .. } => "KiB",
        }
    }

    /// How many units a request is.
    pub(super) fn units(self) -> f64 {
        match self {
            Self::Megabyte { .. } => (MEGABYTE / 1024) as f64,
            Self::Handshakes { .. } | Self::Small { .. } => 1.0,
        }
    }
}
