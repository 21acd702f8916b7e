//! HTTP/3 (RFC 9114) on the `h3` and `quinn` crates, which have the frames, QUIC and its cryptography. Here is what a server
//! adds: which certificate, its limits and timers, its graceful end.
//!
//! All QUIC connections of an address live on one worker. Under `SO_REUSEPORT` the kernel would choose a socket by the client's
//! address, and a connection that migrates (RFC 9000 section 9) would reach a worker that does not know it.

mod carrier;
mod endpoint;
mod serve;

pub(crate) use carrier::Carrier;
