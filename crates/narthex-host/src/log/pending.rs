//! What narthex-http's journal will tell: the same two types as there, until it is merged. Then `pub(crate) use
//! narthex_http::{Ended, Refused}` takes this module's place.

use std::time::Duration;

use narthex_http::{ConnectionInfo, Reason};

/// An exchange that was noted is over: its response is complete, or it was refused or broken off.
pub(crate) struct Ended<'a> {
    #[expect(dead_code, reason = "the logs go by the record alone")]
    pub(crate) tag: u32,
    pub(crate) record: &'a [u8],
    pub(crate) connection: &'a ConnectionInfo,
    /// 0: none was sent.
    pub(crate) status: u16,
    pub(crate) reason: Option<Reason>,
    /// Bytes, with the head.
    pub(crate) sent: u64,
    /// Bytes, with the head.
    pub(crate) received: u64,
    pub(crate) taken: Duration,
}

/// The server itself refused or ended something.
pub(crate) struct Refused<'a> {
    pub(crate) connection: &'a ConnectionInfo,
    pub(crate) reason: Reason,
    pub(crate) status: Option<u16>,
    /// As it came, without CRLF; possibly cut or empty.
    pub(crate) request_line: &'a [u8],
    #[expect(dead_code, reason = "the caller has found the queue by it")]
    pub(crate) tag: Option<u32>,
}
