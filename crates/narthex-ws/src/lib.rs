//! The WebSocket protocol as pure values: RFC 6455 and its compression, RFC 7692, without I/O, a clock or a runtime.
//!
//! * [`handshake`]: the requests and responses that make a connection a WebSocket.
//! * [`Connection`]: one end, from bytes to [`Event`]s and from messages to bytes. It has a [`Reader`] and a [`Writer`], which
//!   can be used by themselves.
//! * [`Broadcast`]: one message to many peers.
//! * [`deflate`]: what ends agree on about compression, and what compressors they share.
//! * [`Header`] and [`MaskKey`], for who takes frames apart.
//!
//! # What it is made for
//!
//! A server with a hundred thousand connections of which few do anything. One buffer per thread is read into; messages are
//! unmasked and judged where they lie and handed over as borrowed text. A connection with nothing half done is 96 bytes.
//!
//! # Strict
//!
//! Whatever RFC 6455 says a peer must not do fails the connection, also where others look away: lengths that are not in their
//! shortest form (section 5.2), and text that is not UTF-8, at its first wrong byte (section 8.1).

mod broadcast;
mod close;
mod connection;
pub mod deflate;
mod error;
mod event;
mod extension;
mod frame;
pub mod handshake;
mod mask;
mod reader;
mod role;
mod settings;
mod utf8;
mod writer;

pub use broadcast::{Broadcast, Class};
pub use close::{Close, CloseCode, InvalidCloseCode, ReasonTooLong};
pub use connection::{Connection, SendError};
pub use error::ProtocolError;
pub use event::{Event, Kind, Piece};
pub use extension::{Extension, Malformed};
pub use frame::{EncodedHeader, Header, MAX_CONTROL_PAYLOAD, Opcode};
pub use mask::MaskKey;
pub use reader::Reader;
pub use role::Role;
pub use settings::{Delivery, Limits, Settings};
pub use writer::{MaskKeys, WriteError, Writer, frame};
