//! HTTP/2 (RFC 9113) on the `h2` crate, which has the frames, the flow control and the header compression. Here is what a
//! server adds: its timers, its limits against floods, its graceful end.

mod carrier;
mod meter;
mod serve;
mod socket;

pub(crate) use carrier::Carrier;
pub(crate) use serve::serve;

/// What a client that has not asked for TLS begins with if it knows that the server speaks HTTP/2 (RFC 9113 section 3.4), as
/// far as it looks like an HTTP/1.1 head.
pub(crate) const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
