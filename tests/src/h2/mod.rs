//! A client that speaks HTTP/2 as raw frames, right or wrong. It shares no code with the `h2` crate, which the server is built on.

pub mod conformance;
mod connection;
pub mod frame;
pub mod hpack;
mod huffman;

pub use connection::{Answer, Connection, End};
pub use frame::Frame;
