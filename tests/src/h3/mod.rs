//! A client that speaks HTTP/3 as raw frames, right or wrong. Only the transport is a library's (quinn).

mod connection;
pub mod frame;
pub mod qpack;
mod stream;
mod table;

pub use connection::{Client, Connection};
pub use stream::{End, Stream};

/// The client has no interest in the request any more.
pub const REQUEST_CANCELLED: u32 = 0x10c;
/// The server has not looked at the request.
pub const REQUEST_REJECTED: u64 = 0x10b;
/// Nothing is wrong.
pub const NO_ERROR: u64 = 0x100;
