//! One request and its response, as a handler holds it.

use std::any::Any;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use narthex_proto::wire::Verbosity;

use crate::bandwidth::Bandwidth;
use crate::h1::handle::Handle;
use crate::h1::head::BodyLength;
use crate::limits::Timeouts;
use crate::mux::Stream;
use crate::piece::Piece;
use crate::reason::Reason;
use crate::upgraded::Continuation;

/// Streamed responses ask for more only below this many unsent bytes.
pub(crate) const HIGH_WATER: usize = 64 * 1024;

/// The exchange is over: the client has gone, a timer ran out, or the response is complete. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exchange is over: its client has gone or its response is complete")]
pub struct ExchangeClosed;

/// What a server has settled for whose request it is. See the methods of [`Exchange`] of the same names.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    /// Whose request it is.
    pub tag: u32,
    /// Of 503s.
    pub verbosity: Verbosity,
    /// The connection's own, until the next request says otherwise.
    pub bandwidth: Option<&'r Arc<Bandwidth>>,
}

/// A handle to one request/response exchange. Clones are handles to the same exchange.
///
/// Responses are written to the socket at once where it has room, from whichever task of the worker calls; what does not
/// fit waits in the connection, whose own task writes it. When the last handle goes and the handler's future has ended
/// without a complete response, the client gets 500, or a broken connection if the response had begun.
///
/// Over HTTP/2 and HTTP/3, where this says connection, it is the request's stream that is broken off, reset or closed; others
/// of its connection go on.
#[derive(Clone, Debug)]
pub struct Exchange(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Http1(Handle),
    Stream(Stream),
}

macro_rules! dispatch {
    ($self:ident, $name:ident($($argument:expr),*)) => {
        match &$self.0 {
            Kind::Http1(handle) => handle.$name($($argument),*),
            Kind::Stream(stream) => stream.$name($($argument),*),
        }
    };
}

impl From<Handle> for Exchange {
    fn from(handle: Handle) -> Self {
        Self(Kind::Http1(handle))
    }
}

impl From<Stream> for Exchange {
    fn from(stream: Stream) -> Self {
        Self(Kind::Stream(stream))
    }
}

impl Exchange {
    /// Whether a response can still be sent, or is being sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        dispatch!(self, is_open())
    }

    /// Uses these timers instead of the worker's for the rest of this exchange and for the connection's idle time after it.
    pub fn set_timeouts(&self, timeouts: Rc<Timeouts>) {
        dispatch!(self, set_timeouts(timeouts))
    }

    /// Sets the most bytes that the request body may have. If it announced more, it is refused now: 413.
    pub fn set_max_body(&self, most: Option<u64>) {
        dispatch!(self, set_max_body(most))
    }

    /// The request starts to wait in a request queue; when its timer runs out, the client gets 503.
    pub fn queued(&self) {
        dispatch!(self, queued())
    }

    /// The request left the queue.
    pub fn dequeued(&self) {
        dispatch!(self, dequeued())
    }

    /// The next piece of the request body; after an upgrade, of the client's bytes. The first call sends
    /// `100 Continue` if the client waits for it. An error has been answered already: 400, 413, or a closed connection.
    ///
    /// To be called from the handler's future only, whose task is woken when there is more.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Reason>>> {
        dispatch!(self, poll_body(cx))
    }

    /// Nobody waits for the body that [`poll_body`](Self::poll_body) was just asked for: its timer rests.
    pub fn body_may_rest(&self) {
        dispatch!(self, body_may_rest())
    }

    /// Whether the request body was read to its end, or never had a byte, so that [`poll_body`](Self::poll_body) says so at
    /// once.
    #[must_use]
    pub fn body_is_at_end(&self) -> bool {
        dispatch!(self, body_is_at_end())
    }

    /// Whether the exchange has become a tunnel.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        dispatch!(self, is_upgraded())
    }

    /// The trailer lines of a chunked request body, once [`poll_body`](Self::poll_body) has returned `None`.
    #[must_use]
    pub fn take_trailers(&self) -> Option<Bytes> {
        dispatch!(self, take_trailers())
    }

    /// Answers with a whole response in one write where the socket allows it.
    ///
    /// # Errors
    /// If the exchange is over, or a response was begun.
    pub fn send<'h>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        body: Piece<'_>,
    ) -> Result<(), ExchangeClosed> {
        dispatch!(self, send(status, headers, body))
    }

    /// Answers with a whole response that was stored ready, the cheapest way there is. `block` has its header fields as
    /// `name: value` lines, each with its CRLF. They are not looked at: they must be known to be valid, and have neither framing
    /// fields nor `Connection` nor `Date`. `age` becomes an `Age` field, in seconds. To HEAD, and with 304 or 204, only the head
    /// is sent.
    ///
    /// # Errors
    /// If the exchange is over, or a response was begun.
    pub fn send_stored(&self, status: u16, block: &[u8], age: Option<u64>, body: Piece<'_>) -> Result<(), ExchangeClosed> {
        dispatch!(self, send_stored(status, block, age, body))
    }

    /// Sends the head of a response whose body follows by [`data`](Self::data) or [`file`](Self::file).
    ///
    /// # Errors
    /// If the exchange is over, or a response was begun.
    pub fn start<'h>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        length: BodyLength,
    ) -> Result<(), ExchangeClosed> {
        dispatch!(self, start(status, headers, length))
    }

    /// Sends an interim response such as 103 Early Hints. Ignored for HTTP/1.0 clients.
    ///
    /// # Errors
    /// If the exchange is over, or a response was begun.
    pub fn inform<'h>(&self, status: u16, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Result<(), ExchangeClosed> {
        dispatch!(self, inform(status, headers))
    }

    /// Accepts an upgrade: answers 101 with these headers, after which [`poll_body`](Self::poll_body) gives the client's
    /// bytes and [`data`](Self::data) sends bytes as they are.
    ///
    /// # Errors
    /// If the exchange is over, or a response was begun.
    pub fn upgrade<'h>(&self, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Result<(), ExchangeClosed> {
        dispatch!(self, upgrade(headers))
    }

    /// Whether [`hand_over`](Self::hand_over) can take the connection out of the engine: not over HTTP/2 and HTTP/3, and not where it
    /// is paced or its end is to be told.
    #[must_use]
    pub fn may_hand_over(&self) -> bool {
        matches!(&self.0, Kind::Http1(handle) if handle.may_hand_over())
    }

    /// Accepts an upgrade as [`upgrade`](Self::upgrade), and lets `continuation` go on with the connection in a task of its own, which
    /// needs less memory than an exchange. It is dropped if the client leaves before.
    ///
    /// # Errors
    /// If the exchange is over, a response was begun, or it [may not](Self::may_hand_over).
    pub fn hand_over<'h>(
        &self,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        continuation: Continuation,
    ) -> Result<(), ExchangeClosed> {
        match &self.0 {
            Kind::Http1(handle) if handle.may_hand_over() => handle.hand_over(headers, continuation),
            _ => Err(ExchangeClosed),
        }
    }

    /// Sends body bytes, and with `end` the end of the body.
    ///
    /// Never blocks and never refuses for lack of room: who streams asks [`poll_ready`](Self::poll_ready) first, or counts
    /// [`take_drained`](Self::take_drained). A body longer or shorter than announced breaks the connection, since the
    /// client could not tell where the next response begins.
    ///
    /// # Errors
    /// If the exchange is over, or no response was begun.
    pub fn data(&self, body: Piece<'_>, end: bool) -> Result<(), ExchangeClosed> {
        dispatch!(self, data(body, end))
    }

    /// Ends the body with trailer lines (`name: value\r\n` each). They are left out where the framing has no place for them,
    /// and so are lines that are not HTTP and fields that must not come so late.
    ///
    /// # Errors
    /// If the exchange is over, or no response was begun.
    pub fn trailers(&self, lines: &[u8]) -> Result<(), ExchangeClosed> {
        dispatch!(self, trailers(lines))
    }

    /// Sends a range of a file, on plain connections without copying it through this process. It must be the whole body
    /// that was announced; the response ends with it. A file that turns out shorter breaks the connection.
    ///
    /// It is read when the client has room, in steps of up to 256 KiB, by this worker: it should be a [local](crate::is_local) one.
    /// What the kernel does not have in its cache is read by another thread first.
    ///
    /// # Errors
    /// If the exchange is over, or no response was begun.
    pub fn file(&self, file: Arc<File>, offset: u64, length: u64) -> Result<(), ExchangeClosed> {
        dispatch!(self, file(file, offset, length))
    }

    /// Ready while less than 64 KiB wait to be written. To be called from the handler's future only.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeClosed>> {
        dispatch!(self, poll_ready(cx))
    }

    /// Body bytes that the socket has taken since the last call.
    #[must_use]
    pub fn take_drained(&self) -> usize {
        dispatch!(self, take_drained())
    }

    /// Answers for the app: an error page with this reason's status, and a close where the reason asks for it. If the
    /// response was begun, the connection is broken off instead, so that nobody takes the part for the whole.
    pub fn refuse(&self, reason: Reason) {
        dispatch!(self, refuse(reason))
    }

    /// Breaks the connection off. What was not yet written is lost.
    pub fn abort(&self, reason: Reason) {
        dispatch!(self, abort(reason))
    }

    /// Wakes the handler's future.
    pub fn wake(&self) {
        dispatch!(self, wake())
    }

    /// [`tag`](Self::tag), [`set_verbosity`](Self::set_verbosity) and [`set_bandwidth`](Self::set_bandwidth) in one, since a
    /// server of many has to do it for every request.
    pub fn settle(&self, rules: Rules<'_>) {
        dispatch!(self, settle(rules))
    }

    /// Whose request this is, for the journal.
    pub fn tag(&self, tag: u32) {
        dispatch!(self, tag(tag))
    }

    /// What [`tag`](Self::tag) said last, while the exchange is open.
    #[must_use]
    pub fn tagged(&self) -> Option<u32> {
        dispatch!(self, tagged())
    }

    /// Asks for [`Ended`](crate::Ended) when this exchange is over. `record` writes what the journal is to be given then into an
    /// empty buffer; a second call replaces what the first has written. Without a journal it is not called.
    pub fn note(&self, record: impl FnOnce(&mut Vec<u8>)) {
        dispatch!(self, note(record))
    }

    /// Paces the output of this connection from now on, beside the server's rate ([`Worker::set_bandwidth`]); the slower
    /// counts. `None` ends it.
    ///
    /// [`Worker::set_bandwidth`]: crate::Worker::set_bandwidth
    pub fn set_bandwidth(&self, bandwidth: Option<Arc<Bandwidth>>) {
        dispatch!(self, set_bandwidth(bandwidth))
    }

    /// What the client gets wherever [`refuse`](Self::refuse) or the engine answers this exchange with 503:
    /// a reset connection, an error page (the default), or one whose reason phrase is the reason's token.
    pub fn set_verbosity(&self, verbosity: Verbosity) {
        dispatch!(self, set_verbosity(verbosity))
    }

    /// Resets the connection (RST) without an answer.
    pub fn reset(&self, reason: Reason) {
        dispatch!(self, reset(reason))
    }

    /// Whether the client has closed its side (FIN) or the connection is broken. The handler's future is polled when that
    /// comes to pass. A client that still waits for its answer looks the same as one that has left: the exchange goes on, and is
    /// ended after 10 seconds.
    #[must_use]
    pub fn client_has_closed(&self) -> bool {
        dispatch!(self, client_has_closed())
    }

    /// What was attached to the connection by this or an earlier exchange.
    #[must_use]
    pub fn attachment(&self) -> Option<Rc<dyn Any>> {
        dispatch!(self, attachment())
    }

    /// Attaches something to the connection in the place of what was. It is dropped when the connection ends.
    pub fn attach(&self, attachment: Option<Rc<dyn Any>>) {
        dispatch!(self, attach(attachment))
    }
}
