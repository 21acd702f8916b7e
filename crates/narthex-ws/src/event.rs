//! What a reader finds in what the peer sent.

use std::borrow::Cow;

use crate::close::Close;
use crate::frame::Opcode;

/// What kind of data a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

impl Kind {
    pub(crate) const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// Something that the peer sent.
///
/// What lay whole in the input is borrowed from it. What arrived in parts, or compressed, is owned, so that
/// [`Cow::into_owned`] costs nothing then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A whole text message.
    Text(Cow<'i, str>),
    /// A whole binary message.
    Binary(Cow<'i, [u8]>),
    /// A part of a message, with [`Delivery::Pieces`](crate::Delivery::Pieces) or [`Both`](crate::Delivery::Both).
    Piece(Piece<'i>),
    /// To be answered by a pong with the same payload (which [`Connection`](crate::Connection) does), 0 to 125 bytes.
    Ping(Cow<'i, [u8]>),
    /// The answer to a ping, or a sign of life; 0 to 125 bytes.
    Pong(Cow<'i, [u8]>),
    /// The peer sends nothing more; the last event. `None`: it does not say why.
    Close(Option<Close<'i>>),
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'i> {
    /// What the message is.
    pub kind: Kind,
    /// The next bytes. Those of text are valid UTF-8 together with the pieces before, and may end inside a character. Empty
    /// only in a last piece.
    pub data: Cow<'i, [u8]>,
    /// The message begins here.
    pub first: bool,
    /// The message ends here.
    pub last: bool,
}
