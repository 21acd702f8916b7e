//! What can go wrong on a session, by operation: the peer's bytes, opening a stream, using one.

use super::frame::{Kind, MAX_PAYLOAD};
use super::stream::StreamId;

/// Who has to change for a [`ProtocolError`] to go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The peer broke the protocol: a bug in it, or not a Narthex process at all.
    Peer,
    /// Both ends are right by themselves but come from versions that do not fit.
    Versions,
}

/// The peer's bytes cannot be understood. The session is lost: close the connection and call `abandon`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A frame is longer than [`MAX_PAYLOAD`].
    #[error("the peer sent a frame of {length} bytes; the limit is {MAX_PAYLOAD}")]
    TooLarge {
        /// The announced payload length.
        length: usize,
    },
    /// The kind byte has reserved bits, or names no kind.
    #[error("the peer sent a frame of unknown kind {0:#04x}")]
    UnknownKind(u8),
    /// A frame of a known kind came where it has no meaning.
    #[error("the peer sent a {kind:?} frame that {reason}")]
    Misplaced {
        /// The frame's kind.
        kind: Kind,
        /// Why it cannot be there.
        reason: &'static str,
    },
    /// A payload does not have the layout of its kind.
    #[error("the peer sent a {kind:?} frame in which {reason}")]
    Malformed {
        /// The frame's kind.
        kind: Kind,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The peer sent more bytes on a stream than its window.
    #[error("the peer sent {sent} bytes on stream {id} whose window was {window}")]
    WindowExceeded {
        /// The stream.
        id: StreamId,
        /// What the peer might have sent.
        window: u32,
        /// What it sent.
        sent: usize,
    },
    /// The peer granted so much window or credit that the sum cannot be counted.
    #[error("the peer granted more {what} than can be counted")]
    Overflow {
        /// "window" or "credit".
        what: &'static str,
    },
    /// The host opened a stream without credit.
    #[error("the host sent a request without credit")]
    CreditExceeded,
    /// The peer does not speak this protocol at all.
    #[error("the peer is not a Narthex process: its first bytes are not a greeting")]
    NotNarthex,
    /// The peer speaks another version of the protocol.
    #[error(
        "the peer speaks protocol version {theirs}, this process version {ours}: \
         install the same release of the host and the app"
    )]
    Version {
        /// This library's version.
        ours: u16,
        /// The peer's version.
        theirs: u16,
    },
    /// A control message is not the JSON it should be.
    #[error("the peer sent a message that cannot be read: {0}")]
    Message(Box<str>),
}

impl ProtocolError {
    /// Who has to change for this error to go away.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Version { .. } => Blame::Versions,
            _ => Blame::Peer,
        }
    }
}

/// Why [`HostEnd::open`](super::HostEnd::open) sent nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The app has granted no credit: the request has to wait in its queue.
    #[error("the app has granted no credit")]
    NoCredit,
    /// One of the ends drains: use another session.
    #[error("the session is draining")]
    Draining,
    /// All stream slots of the session are taken.
    #[error("the session has no free stream")]
    NoFreeStream,
    /// The head, the path base or the target is longer than a frame can say.
    #[error("the request head is too large for a frame")]
    TooLarge,
    /// A request that has a body cannot ask for an upgrade: the tunnel's bytes would follow the body's unmarked.
    #[error("a request with a body cannot be upgraded")]
    UpgradeWithBody,
}

/// Why a call on a stream sent nothing. Except for [`Closed`](Self::Closed), which ordinary races
/// cause (the peer ended the stream first), these are mistakes of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The stream is over or never was.
    #[error("the stream is closed")]
    Closed,
    /// This direction has already been ended.
    #[error("this direction of the stream has ended")]
    Ended,
    /// The response has to be sent first.
    #[error("the response has not been started")]
    NotResponded,
    /// The response has been sent before.
    #[error("the response has been started already")]
    AlreadyResponded,
    /// The upgrade was not asked for.
    #[error("the request did not ask for an upgrade")]
    NotUpgradable,
    /// A tunnel carries only data.
    #[error("a tunnel has no trailers")]
    Tunnel,
    /// The host has not yet answered the stream's fragment. Wait for a `Fragment` event.
    #[error("the stream's fragment has not been answered")]
    FragmentUnanswered,
    /// More bytes than the window has; nothing was sent. Wait for a `Window` event.
    #[error("the window has only {available} bytes")]
    WindowExceeded {
        /// What may be sent now.
        available: usize,
    },
    /// The header lines, or the names, are longer than [`MAX_HEAD`](super::MAX_HEAD).
    #[error("the header block has {length} bytes; the limit is {}", super::MAX_HEAD)]
    TooLarge {
        /// The length of the header lines.
        length: usize,
    },
    /// The status does not fit the frame: 1xx in a response, or something else in an `inform`.
    #[error("status {0} cannot be sent this way")]
    Status(u16),
}

/// A control message exceeds what a peer accepts; nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message has {length} bytes; the limit is {limit}")]
pub struct MessageTooLarge {
    /// The message's length as JSON.
    pub length: usize,
    /// The most that may be sent.
    pub limit: usize,
}
