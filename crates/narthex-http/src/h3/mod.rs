//! HTTP/3 (RFC 9114) on the `quinn` crate, which has QUIC and its cryptography. The frames and the field compression are written
//! here: the `h3` crate knows no WebSocket (RFC 9220), holds heads and frames of any size in memory, overlooks pseudo-headers that
//! come twice, and panics where a stream is stopped while it is read.
//!
//! All QUIC connections of an address live on one worker. Under `SO_REUSEPORT` the kernel would choose a socket by the client's
//! address, and a connection that migrates (RFC 9000 section 9) would reach a worker that does not know it.

mod carrier;
mod code;
mod control;
mod endpoint;
mod frame;
mod head;
mod huffman;
mod qpack;
mod serve;
mod table;

pub(crate) use carrier::Carrier;
