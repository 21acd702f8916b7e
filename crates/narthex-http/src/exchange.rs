//! One request and its response, as a handler holds it.

mod told;

pub use told::Rules;

use std::fs::File;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::fields::{self, Fields};
use crate::h1::answer::Last;
use crate::h1::conn::Conn;
use crate::h1::encode::{self, Framing};
use crate::h1::head::BodyLength;
use crate::h1::report::Held;
use crate::h1::state::{Body, Reply};
use crate::limits::Timeouts;
use crate::piece::Piece;
use crate::reason::Reason;

/// Streamed responses ask for more only below this many unsent bytes.
const HIGH_WATER: usize = 64 * 1024;

/// The exchange is over: the client has gone, a timer ran out, or the response is complete. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exchange is over: its client has gone or its response is complete")]
pub struct ExchangeClosed;

/// A handle to one request/response exchange. Clones are handles to the same exchange.
///
/// Responses are written to the socket at once where it has room, from whichever task of the worker calls; what does not
/// fit waits in the connection, whose own task writes it. When the last handle goes and the handler's future has ended
/// without a complete response, the client gets 500, or a broken connection if the response had begun.
#[derive(Debug)]
pub struct Exchange {
    conn: Rc<Conn>,
    epoch: u32,
}

impl Clone for Exchange {
    fn clone(&self) -> Self {
        Self::new(Rc::clone(&self.conn), self.epoch)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.conn.release_handle();
    }
}

impl Exchange {
    pub(crate) fn new(conn: Rc<Conn>, epoch: u32) -> Self {
        conn.add_handle();
        Self { conn, epoch }
    }

    /// Whether a response can still be sent, or is being sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.live().is_ok()
    }

    fn live(&self) -> Result<Held<'_>, ExchangeClosed> {
        let state = self.conn.state();
        let open = state.epoch == self.epoch && state.reply != Reply::Complete && state.broken.is_none();
        if open { Ok(state) } else { Err(ExchangeClosed) }
    }

    fn awaited(&self) -> Result<Held<'_>, ExchangeClosed> {
        self.live().and_then(|state| if state.reply == Reply::Awaited { Ok(state) } else { Err(ExchangeClosed) })
    }

    /// Uses these timers instead of the worker's for the rest of this exchange and for the connection's idle time after it.
    pub fn set_timeouts(&self, timeouts: Rc<Timeouts>) {
        if self.live().is_ok() {
            self.conn.set_timeouts(timeouts);
        }
    }

    /// Sets the most bytes that the request body may have. If it announced more, it is refused now: 413.
    pub fn set_max_body(&self, most: Option<u64>) {
        let Ok(mut state) = self.live() else { return };
        state.max_body = most;
        let too_large = matches!((&state.body, most), (Body::Length(length), Some(most)) if *length > most);
        drop(state);
        if too_large {
            self.refuse(Reason::EntityTooLarge);
        }
    }

    /// The request starts to wait in a request queue; when its timer runs out, the client gets 503.
    pub fn queued(&self) {
        let Ok(mut state) = self.live() else { return };
        let wait = self.conn.timeouts().request_queue;
        state.deadlines.queued_within(self.conn.now(), wait);
        drop(state);
        self.conn.nudge();
    }

    /// The request left the queue.
    pub fn dequeued(&self) {
        if let Ok(mut state) = self.live() {
            state.deadlines.dequeued();
        }
    }

    /// The next piece of the request body; after an upgrade, of the client's bytes. The first call sends
    /// `100 Continue` if the client waits for it. An error has been answered already: 400, 413, or a closed connection.
    ///
    /// To be called from the handler's future only, whose task is woken when there is more.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Reason>>> {
        let Ok(mut state) = self.live() else { return Poll::Ready(Some(Err(Reason::ConnectionDropped))) };
        let timeouts = self.conn.timeouts();
        let polled = state.poll_body(cx, || self.conn.now(), &timeouts);
        drop(state);
        if let Poll::Ready(Some(Err(reason))) = polled {
            self.refuse(reason);
        }
        polled
    }

    /// Nobody waits for the body that [`poll_body`](Self::poll_body) was just asked for: its timer rests.
    pub fn body_may_rest(&self) {
        if let Ok(mut state) = self.live() {
            state.body_awaited = false;
        }
    }

    /// Whether the request body was read to its end, or never had a byte, so that [`poll_body`](Self::poll_body) says so at
    /// once.
    #[must_use]
    pub fn body_is_at_end(&self) -> bool {
        self.live().map_or(true, |state| state.body_is_done())
    }

    /// Whether the exchange has become a tunnel.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        self.live().is_ok_and(|state| state.reply == Reply::Streaming(Framing::Raw))
    }

    /// The trailer lines of a chunked request body, once [`poll_body`](Self::poll_body) has returned `None`.
    #[must_use]
    pub fn take_trailers(&self) -> Option<Bytes> {
        let mut state = self.live().ok()?;
        let trailers = std::mem::take(&mut state.trailers);
        (!trailers.is_empty()).then_some(trailers)
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
        let mut state = self.awaited()?;
        self.conn.respond(&mut state, status, None, headers, body);
        Ok(())
    }

    /// Answers with a whole response that was stored ready, the cheapest way there is. `block` has its header fields as
    /// `name: value` lines, each with its CRLF. They are not looked at: they must be known to be valid, and have neither framing
    /// fields nor `Connection` nor `Date`. `age` becomes an `Age` field, in seconds. To HEAD, and with 304 or 204, only the head
    /// is sent.
    ///
    /// # Errors
    /// If the exchange is over, or a response was begun.
    pub fn send_stored(&self, status: u16, block: &[u8], age: Option<u64>, body: Piece<'_>) -> Result<(), ExchangeClosed> {
        let mut state = self.awaited()?;
        self.conn.respond_stored(&mut state, status, block, age, body);
        Ok(())
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
        let mut state = self.awaited()?;
        let mut head = self.conn.worker().take_scratch();
        let now = self.conn.now();
        let asked = state.asked_now();
        let written = encode::write_head(&mut head, self.conn.worker().clock(), now, asked, status, headers, length);
        state.asked.persistent = written.persistent;
        state.reply = Reply::Streaming(written.framing);
        state.note_status(status);
        state.count_sent(head.len());
        if written.framing == Framing::Raw {
            state.body = Body::Raw;
            state.deadlines.read_without_limit();
        }
        // The head waits for the first piece of the body, or for the end of this turn of the connection's task.
        state.output.push_copy(&head, 0);
        self.conn.worker().return_scratch(head);
        drop(state);
        self.conn.nudge();
        Ok(())
    }

    /// Sends an interim response such as 103 Early Hints. Ignored for HTTP/1.0 clients.
    ///
    /// # Errors
    /// If the exchange is over, or a response was begun.
    pub fn inform<'h>(&self, status: u16, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Result<(), ExchangeClosed> {
        let mut state = self.awaited()?;
        if state.asked.version == crate::Version::Http10 || !(102..200).contains(&status) {
            return Ok(());
        }
        let mut head = self.conn.worker().take_scratch();
        encode::write_status_line(&mut head, status);
        // An interim response has no body, and must not speak of one (RFC 9110 section 8.6).
        for (name, value) in headers.filter(|(name, _)| fields::may_trail(name)) {
            fields::write_field(name, value, &mut head);
        }
        head.extend_from_slice(b"\r\n");
        self.conn.write(&mut state, &mut head, Piece::EMPTY, b"", Last::No);
        self.conn.worker().return_scratch(head);
        Ok(())
    }

    /// Accepts an upgrade: answers 101 with these headers, after which [`poll_body`](Self::poll_body) gives the client's
    /// bytes and [`data`](Self::data) sends bytes as they are.
    ///
    /// # Errors
    /// If the exchange is over, or a response was begun.
    pub fn upgrade<'h>(&self, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Result<(), ExchangeClosed> {
        self.start(101, headers, BodyLength::Unknown)
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
        let mut state = self.live()?;
        let Reply::Streaming(framing) = state.reply else { return Err(ExchangeClosed) };
        let size = body.len() as u64;
        let mut head = self.conn.worker().take_scratch();
        let mut tail: &'static [u8] = b"";
        let mut body = body;
        match framing {
            Framing::None => {
                state.output.note_drained(body.len());
                body = Piece::EMPTY;
            }
            Framing::Raw | Framing::UntilClose => {}
            Framing::Length(left) => {
                let rest = left.checked_sub(size);
                match rest {
                    Some(rest) if !end || rest == 0 => state.reply = Reply::Streaming(Framing::Length(rest)),
                    _ => {
                        tracing::error!(
                            announced = left,
                            sent = size,
                            "a response body does not have the length that was announced"
                        );
                        state.break_off(Reason::Internal);
                        drop(state);
                        self.conn.nudge();
                        return Err(ExchangeClosed);
                    }
                }
            }
            Framing::Chunked => {
                if size > 0 {
                    crate::h1::chunked::write_chunk_size(body.len(), &mut head);
                    tail = if end { b"\r\n0\r\n\r\n" } else { b"\r\n" };
                } else if end {
                    tail = b"0\r\n\r\n";
                }
            }
        }
        let last = if end && framing != Framing::Raw { Last::Yes } else { Last::No };
        self.conn.write(&mut state, &mut head, body, tail, last);
        self.conn.worker().return_scratch(head);
        if end {
            self.end(state, framing);
        }
        Ok(())
    }

    /// Ends the body with trailer lines (`name: value\r\n` each). They are left out where the framing has no place for them,
    /// and so are lines that are not HTTP and fields that must not come so late.
    ///
    /// # Errors
    /// If the exchange is over, or no response was begun.
    pub fn trailers(&self, lines: &[u8]) -> Result<(), ExchangeClosed> {
        let mut state = self.live()?;
        let Reply::Streaming(framing) = state.reply else { return Err(ExchangeClosed) };
        if framing != Framing::Chunked {
            drop(state);
            return self.data(Piece::EMPTY, true);
        }
        let mut tail = self.conn.worker().take_scratch();
        tail.extend_from_slice(b"0\r\n");
        let mut found = Fields::default();
        if found.parse(lines) {
            let allowed = found.iter(lines).filter(|(name, _)| fields::may_trail(name));
            allowed.for_each(|(name, value)| fields::write_field(name, value, &mut tail));
        }
        tail.extend_from_slice(b"\r\n");
        self.conn.write(&mut state, &mut tail, Piece::EMPTY, b"", Last::Yes);
        self.conn.worker().return_scratch(tail);
        self.end(state, framing);
        Ok(())
    }

    fn end(&self, mut state: Held<'_>, framing: Framing) {
        if framing == Framing::Raw {
            state.write_closed = true;
            drop(state);
            self.conn.nudge();
        } else {
            let now = self.conn.now();
            self.conn.complete(&mut state, now);
        }
    }

    /// Sends a range of a file, on plain connections without copying it through this process. It must be the whole body
    /// that was announced; the response ends with it.
    ///
    /// # Errors
    /// If the exchange is over, or no response was begun.
    pub fn file(&self, file: File, offset: u64, length: u64) -> Result<(), ExchangeClosed> {
        let mut state = self.live()?;
        let Reply::Streaming(framing) = state.reply else { return Err(ExchangeClosed) };
        match framing {
            Framing::None => {}
            Framing::Length(left) if left == length => {
                state.output.push_file(Rc::new(file), offset, length);
                state.count_sent(usize::try_from(length).unwrap_or(usize::MAX));
            }
            _ => {
                tracing::error!(length, ?framing, "a file response was announced with another length");
                state.break_off(Reason::Internal);
                drop(state);
                self.conn.nudge();
                return Err(ExchangeClosed);
            }
        }
        self.end(state, framing);
        self.conn.nudge();
        Ok(())
    }

    /// Ready while less than 64 KiB wait to be written. To be called from the handler's future only.
    pub fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<Result<(), ExchangeClosed>> {
        match self.live() {
            Err(closed) => Poll::Ready(Err(closed)),
            Ok(state) if state.output.buffered() < HIGH_WATER => Poll::Ready(Ok(())),
            Ok(_) => Poll::Pending,
        }
    }

    /// Body bytes that the socket has taken since the last call.
    #[must_use]
    pub fn take_drained(&self) -> usize {
        self.live().map_or(0, |mut state| state.output.take_drained())
    }

    /// Answers for the app: an error page with this reason's status, and a close where the reason asks for it. If the
    /// response was begun, the connection is broken off instead, so that nobody takes the part for the whole.
    pub fn refuse(&self, reason: Reason) {
        if let Ok(state) = self.live() {
            self.conn.refuse(state, reason);
        }
    }

    /// Breaks the connection off. What was not yet written is lost.
    pub fn abort(&self, reason: Reason) {
        if let Ok(mut state) = self.live() {
            state.break_off(reason);
            drop(state);
            self.conn.nudge();
        }
    }

    /// Wakes the handler's future.
    pub fn wake(&self) {
        self.conn.nudge();
    }
}
