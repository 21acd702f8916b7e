//! permessage-deflate, RFC 7692: messages compressed one by one.
//!
//! * [`Offer`]s stand in the client's `Sec-WebSocket-Extensions`; the server's [`Config`] accepts the first that it can, and the
//!   [`Agreement`] is what its response says.
//! * [`Compressors`] is what all connections of a worker share, so that a connection that does nothing holds nothing.
//!
//! # What it costs
//!
//! zlib-rs holds 47 KiB for each stream that it inflates, whatever the window's size. For each that it deflates it holds 371 KiB
//! by default, and 134 KiB with the smallest window and memory level: the hash table alone is 128 KiB. So by default a server
//! agrees to no context takeover in either direction: the compressor is then one of the worker's, and the inflater lives as long
//! as the message. To keep a context helps connections with many small and similar messages; who wants it pays for each.
//!
//! # Windows of 2^8 bytes
//!
//! DEFLATE in zlib, and so everywhere, cannot write with a window of 256 bytes. An offer that asks the server to do so is
//! declined. A client that promises to do so is welcome: any window reads what a smaller one wrote.

mod agreement;
mod compress;
mod inflate;
mod offer;
mod window;

pub use agreement::{Agreement, Config};
pub use compress::Compressors;
pub(crate) use compress::Deflater;
pub(crate) use inflate::{Inflater, Stop};
pub use offer::{Offer, ResponseError};
pub use window::{WindowBits, WindowBitsError};

/// What a flush ends with; the sender takes it off each message, and the receiver puts it back, RFC 7692 section 7.2.1.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
