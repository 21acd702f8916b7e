//! The seam: what Narthex asks of the HTTP Server API, in plain Rust types.

use std::sync::Arc;

use bytes::Bytes;

use crate::Code;
use crate::operation::Operation;
use crate::property::{GroupProperty, QueueProperty};
use crate::request::Request;
use crate::response::Sending;

/// A server session of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub u64);

/// A URL group of a server session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

/// A request that was received and not yet answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// A client's connection, or its stream in HTTP/2 and HTTP/3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// What only some versions of HTTP.sys have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Trailer fields behind a response body, in HTTP/2 and HTTP/3.
    Trailers,
    /// Connections that leave HTTP: WebSockets.
    OpaqueUpgrade,
    /// Word that a client has gone.
    DisconnectNotice,
    /// Breaking off a request.
    CancelRequest,
    /// Files that HTTP.sys sends by itself.
    FileChunks,
}

impl Feature {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trailers => "trailer fields of responses",
            Self::OpaqueUpgrade => "upgrades of connections (WebSockets)",
            Self::DisconnectNotice => "word of clients that have gone",
            Self::CancelRequest => "breaking off requests",
            Self::FileChunks => "sending files by handle",
        }
    }
}

/// Whose a request queue is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// This process's, which configures it.
    Create,
    /// Another process's of the same name: requests can be taken, and nothing be set.
    Existing,
}

/// What has come of a receive.
#[derive(Debug)]
pub enum Received {
    /// A request.
    Request(Request),
    /// It needs more room. Only a receive of this id gets it.
    TooLong {
        /// The request.
        id: RequestId,
        /// The room that it needs in bytes.
        needed: usize,
    },
    /// It is not what HTTP.sys's documentation says.
    Unreadable {
        /// The request.
        id: RequestId,
    },
}

/// The HTTP Server API.
pub trait Api: Send + Sync {
    /// Whether this HTTP.sys has it.
    fn has(&self, feature: Feature) -> bool;
    /// Opens a server session.
    fn create_session(&self) -> Result<SessionId, Code>;
    /// Closes it, and its groups with it.
    fn close_session(&self, session: SessionId);
    /// Makes a URL group, which has no queue yet.
    fn create_group(&self, session: SessionId) -> Result<GroupId, Code>;
    /// Closes it, and its URLs with it.
    fn close_group(&self, group: GroupId);
    /// Registers a URL prefix. `context` comes with each of its requests.
    fn add_url(&self, group: GroupId, url: &str, context: u64) -> Result<(), Code>;
    /// Gives a URL prefix back.
    fn remove_url(&self, group: GroupId, url: &str) -> Result<(), Code>;
    /// Sets a property of a group.
    fn set_group(&self, group: GroupId, property: GroupProperty) -> Result<(), Code>;
    /// Opens a request queue.
    fn open_queue(&self, name: Option<&str>, open: Open) -> Result<Arc<dyn Queue>, Code>;
}

/// A request queue. Closed when it is dropped, at the latest.
pub trait Queue: Send + Sync {
    /// Sends a group's requests here.
    fn bind(&self, group: GroupId) -> Result<(), Code>;
    /// Sets a property of the queue.
    fn set(&self, property: QueueProperty) -> Result<(), Code>;
    /// Receives the next request, or the one that needed more room, into `room` bytes.
    fn receive(&self, id: Option<RequestId>, room: usize) -> Operation<Received>;
    /// Receives at most `room` bytes of a request's body. `None` is its end.
    fn receive_body(&self, id: RequestId, room: usize) -> Operation<Option<Bytes>>;
    /// Sends a response, or a part of one.
    fn send(&self, id: RequestId, sending: Sending) -> Operation<()>;
    /// Completes when the client has gone.
    fn disconnected(&self, connection: ConnectionId) -> Operation<()>;
    /// Breaks a request off: the connection is closed, or the stream reset.
    fn cancel(&self, id: RequestId) -> Result<(), Code>;
    /// Closes the queue. What is pending completes with [`Code::OPERATION_ABORTED`].
    fn close(&self);
}
