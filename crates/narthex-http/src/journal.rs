//! What a server is told of the requests on its connections: the ends of those that it asked about, and everything that the
//! engine refused or ended by itself. Access logs and error logs are made of this.

use std::fmt;
use std::time::Duration;

use crate::reason::Reason;
use crate::request::ConnectionInfo;
use crate::request_id::RequestId;

/// Two callbacks, called on the worker's thread, between two steps of the connection and never within one: nothing of the
/// connection or of the worker is borrowed. They run on the request path: what takes time belongs on another thread.
pub struct Journal {
    /// An exchange that was noted with [`Exchange::note`](crate::Exchange::note) is over: its response is complete and
    /// with the kernel, or it was refused or broken off. Called exactly once for each.
    pub ended: Box<dyn Fn(&Ended<'_>)>,
    /// The engine itself refused or ended something.
    pub refused: Box<dyn Fn(&Refused<'_>)>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

/// The end of a noted exchange.
#[derive(Debug)]
pub struct Ended<'a> {
    /// What [`Exchange::tag`](crate::Exchange::tag) said last, or 0.
    pub tag: u32,
    /// What [`Exchange::note`](crate::Exchange::note) wrote.
    pub record: &'a [u8],
    /// The request's id, if requests have some.
    pub id: Option<&'a RequestId>,
    /// The connection.
    pub connection: &'a ConnectionInfo,
    /// The status that was sent; 0 if none was.
    pub status: u16,
    /// Why the engine ended it, if it did.
    pub reason: Option<Reason>,
    /// Bytes that the kernel has taken: head, framing and body.
    pub sent: u64,
    /// Bytes of the request: its head, and what was read of its body without framing.
    pub received: u64,
    /// From the request's first byte to the moment when the kernel had taken the response's last one. Where a client
    /// pipelines, to when that one was ready to share a write with the next response.
    pub taken: Duration,
}

/// A request or a connection that the engine refused, or that ended before its time.
///
/// A client that closes a connection between two requests is no such thing.
#[derive(Debug)]
pub struct Refused<'a> {
    /// The connection.
    pub connection: &'a ConnectionInfo,
    /// Why.
    pub reason: Reason,
    /// The status that was answered; `None` if nothing was.
    pub status: Option<u16>,
    /// The request line as it came, without its line end. At most [`Refused::LONGEST_LINE`] bytes; a part of one if the
    /// rest did not arrive; empty where there is no request.
    pub request_line: &'a [u8],
    /// Whose request it is, if [`Exchange::tag`](crate::Exchange::tag) has said so.
    pub tag: Option<u32>,
    /// Its id, if requests have some and it came far enough to have one.
    pub id: Option<&'a RequestId>,
}

impl Refused<'_> {
    /// The most that is kept of a request line, in bytes.
    pub const LONGEST_LINE: usize = 4096;
}
