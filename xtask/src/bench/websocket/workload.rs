//! What goes over the connections.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    /// Each connection sends a message of this size, waits for its echo and begins again.
    Echo { size: usize, connections: usize },
    /// One connection sends a message to all, and the next when all have it.
    Broadcast { size: usize, connections: usize },
}

pub(super) const SMALL: Workload = echo(16, 64);
pub(super) const KIBIBYTE: Workload = echo(1024, 64);
pub(super) const LARGE: Workload = echo(64 * 1024, 64);

/// In the order of the page.
pub(super) const ALL: [Workload; 10] = [
    echo(16, 1),
    SMALL,
    echo(16, 1000),
    echo(1024, 1),
    KIBIBYTE,
    echo(1024, 1000),
    echo(64 * 1024, 1),
    LARGE,
    echo(64 * 1024, 1000),
    Workload::Broadcast { size: 64, connections: 1000 },
];

/// Those that are counted: their connections divide the numbers of messages that counting takes. Of larger messages, most of the cost is
/// copying and unmasking, for which valgrind's CPU lacks AVX-512.
pub(super) const COUNTED: [Workload; 2] = [SMALL, KIBIBYTE];

const fn echo(size: usize, connections: usize) -> Workload {
    Workload::Echo { size, connections }
}

impl Workload {
    pub(super) fn connections(self) -> usize {
        match self {
            Self::Echo { connections, .. } | Self::Broadcast { connections, .. } => connections,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Echo { size, .. } | Self::Broadcast { size, .. } => size,
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
        }
    }

    /// What `ws-load` is told.
    pub(super) fn arguments(self, port: u16) -> Vec<String> {
        let word = match self {
            Self::Echo { .. } => "echo",
            Self::Broadcast { .. } => "broadcast",
        };
        let words = format!("{word} --port {port} --connections {} --size {}", self.connections(), self.size());
        words.split(' ').map(str::to_owned).collect()
    }
}
