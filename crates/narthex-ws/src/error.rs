//! What a peer can do wrong.

use crate::close::CloseCode;

/// The peer broke RFC 6455 or RFC 7692, or went beyond a limit. The connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// RSV2 or RSV3, or RSV1 without permessage-deflate or on a frame that may not have it.
    #[error("a reserved bit is set that no agreed extension gives a meaning")]
    ReservedBits,
    /// An opcode that RFC 6455 reserves.
    #[error("opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    /// A length in more bytes than it needs, RFC 6455 section 5.2.
    #[error("a payload length is not in its shortest form")]
    LengthForm,
    /// A 64-bit length with its highest bit set, RFC 6455 section 5.2.
    #[error("a payload length has its highest bit set")]
    LengthRange,
    /// A control frame with FIN clear or more than 125 bytes, RFC 6455 section 5.5.
    #[error("a control frame is fragmented or has more than 125 bytes")]
    ControlFrame,
    /// A client's frame is not masked, or a server's is, RFC 6455 section 5.1.
    #[error("a frame is masked and must not be, or is not and must")]
    Masking,
    /// A continuation frame, and no message has begun.
    #[error("a continuation frame continues nothing")]
    NothingToContinue,
    /// A new message before the end of the one before.
    #[error("a message begins inside another")]
    Interleaved,
    /// The body of a Close frame has one byte.
    #[error("the body of a close frame has half a code")]
    CloseBody,
    /// A Close frame with a code that must not be sent.
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
    /// Text or a close reason is not UTF-8.
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// A compressed message is not DEFLATE data.
    #[error("a compressed message cannot be decompressed")]
    Deflate,
    /// A frame, a message or what it inflates to is larger than [`Limits`](crate::Limits) allow.
    #[error("a message is larger than the limit of {0} bytes")]
    TooBig(u64),
    /// A message is in more frames than [`Limits`](crate::Limits) allow.
    #[error("a message has more than {0} fragments")]
    TooManyFragments(u32),
}

impl ProtocolError {
    /// What the peer is told, RFC 6455 section 7.4.1.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::Deflate => CloseCode::INVALID_DATA,
            Self::TooBig(_) | Self::TooManyFragments(_) => CloseCode::MESSAGE_TOO_BIG,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}
