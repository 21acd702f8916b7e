//! What goes over the connections.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    /// Each connection sends a message of this size, waits for its echo and begins again.
    Echo { size: usize, connections: usize },
    /// One connection sends a message to all, and the next when all have it.
    Broadcast { size: usize, connections: usize },
    /// As [`Echo`](Self::Echo), with text that looks like JSON, by permessage-deflate or not.
    Text { size: usize, connections: usize, compressed: bool },
    /// So many at a time shake hands, have one message of this size echoed, close and begin again.
    Connects { size: usize, connections: usize },
}

pub(super) const SMALL: Workload = echo(16, 64);
pub(super) const KIBIBYTE: Workload = echo(1024, 64);
pub(super) const LARGE: Workload = echo(64 * 1024, 64);

/// To as many as counting allows.
pub(super) const TO_ALL: Workload = Workload::Broadcast { size: 64, connections: 128 };

/// In the order of the page.
pub(super) const ALL: [Workload; 15] = [
    echo(16, 1),
    SMALL,
    echo(16, 1000),
    echo(1024, 1),
    KIBIBYTE,
    echo(1024, 1000),
    echo(64 * 1024, 1),
    LARGE,
    echo(64 * 1024, 1000),
    TO_ALL,
    Workload::Broadcast { size: 64, connections: 1000 },
    Workload::Broadcast { size: 64, connections: 10_000 },
    Workload::Text { size: 1024, connections: 64, compressed: false },
    COMPRESSED,
    CONNECTS,
];

/// Only of those that can.
pub(super) const COMPRESSED: Workload = Workload::Text { size: 1024, connections: 64, compressed: true };
pub(super) const CONNECTS: Workload = Workload::Connects { size: 16, connections: 64 };

/// Those that are counted: their connections divide the numbers of messages that counting takes. Of larger messages, most of the cost is
/// copying and unmasking, for which valgrind's CPU lacks AVX-512.
pub(super) const COUNTED: [Workload; 3] = [SMALL, KIBIBYTE, TO_ALL];

const fn echo(size: usize, connections: usize) -> Workload {
    Workload::Echo { size, connections }
}

impl Workload {
    pub(super) fn connections(self) -> usize {
        match self {
            Self::Echo { connections, .. }
            | Self::Broadcast { connections, .. }
            | Self::Text { connections, .. }
            | Self::Connects { connections, .. } => connections,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Echo { size, .. } | Self::Broadcast { size, .. } | Self::Text { size, .. } | Self::Connects { size, .. } => {
                size
            }
        }
    }

    /// What is counted.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Echo { .. } | Self::Text { .. } => "message",
            Self::Broadcast { .. } => "delivery",
            Self::Connects { .. } => "connection",
        }
    }

    /// More than one of it.
    pub(super) fn units(self) -> &'static str {
        match self {
            Self::Echo { .. } | Self::Text { .. } => "messages",
            Self::Broadcast { .. } => "deliveries",
            Self::Connects { .. } => "connections",
        }
    }

    pub(super) fn title(self) -> String {
        let size = match self.size() {
            size if size % 1024 == 0 => format!("{} KiB", size / 1024),
            size => format!("{size} B"),
        };
        match self {
            Self::Echo { connections: 1, .. } => format!("echo of {size}, 1 connection"),
            Self::Echo { connections, .. } => format!("echo of {size}, {connections} connections"),
            Self::Broadcast { connections, .. } => format!("broadcast of {size} to {connections} connections"),
            Self::Text { connections, compressed, .. } => {
                let how = if compressed { "compressed" } else { "not compressed" };
                format!("echo of {size} of JSON, {how}, {connections} connections")
            }
            Self::Connects { connections, .. } => format!("handshake, echo of {size} and close, {connections} at a time"),
        }
    }

    /// What `ws-load` is told.
    pub(super) fn arguments(self, port: u16) -> Vec<String> {
        let word = match self {
            Self::Echo { .. } => "echo",
            Self::Broadcast { .. } => "broadcast",
            Self::Text { compressed: false, .. } => "text",
            Self::Text { compressed: true, .. } => "text --compressed",
            Self::Connects { .. } => "connects",
        };
        let words = format!("{word} --port {port} --connections {} --size {}", self.connections(), self.size());
        words.split(' ').map(str::to_owned).collect()
    }
}
