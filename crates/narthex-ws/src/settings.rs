//! What is taken from a peer, and how it is handed over.

/// How much a peer may send. What goes beyond fails the connection with 1009, as soon as it is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of payload in one data frame. Default: 64 MiB.
    pub max_frame_size: u64,
    /// Bytes of payload in all frames of one message, compressed if it is. Default: 64 MiB.
    pub max_message_size: u64,
    /// Bytes that a compressed message inflates to. Default: 64 MiB.
    pub max_inflated_size: usize,
    /// Frames of one message, for those that have no bytes and so meet no other limit. Default: 262 144.
    pub max_fragments: u32,
}

impl Limits {
    /// `bytes` for a frame, for a message, and for what it inflates to.
    pub fn of_size(bytes: usize) -> Self {
        let size = bytes as u64;
        Self { max_frame_size: size, max_message_size: size, max_inflated_size: bytes, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        const SIZE: usize = 64 << 20;
        Self { max_frame_size: SIZE as u64, max_message_size: SIZE as u64, max_inflated_size: SIZE, max_fragments: 262_144 }
    }
}

/// In what parts messages are handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Whole messages. One that arrives in parts is held until it is complete.
    #[default]
    Whole,
    /// Pieces as they arrive; nothing is held. Where a message is cut means nothing, RFC 6455 section 5.4.
    Pieces,
    /// Pieces as they arrive, and after the last the whole message.
    Both,
}

/// What all connections of an endpoint have in common. They share one, so that it costs each a pointer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How much a peer may send.
    pub limits: Limits,
    /// In what parts messages are handed over.
    pub delivery: Delivery,
}
