//! The exchange of an HTTP/1.1 connection.

use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::exchange::{ExchangeClosed, HIGH_WATER};
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
use crate::request_id::answered;
use crate::upgraded::Continuation;

/// A handle to one exchange of a connection. What the methods do, [`Exchange`](crate::Exchange) says.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(super) conn: Rc<Conn>,
    pub(super) epoch: u32,
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(Rc::clone(&self.conn), self.epoch)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.conn.release_handle();
    }
}

impl Handle {
    pub(crate) fn new(conn: Rc<Conn>, epoch: u32) -> Self {
        conn.add_handle();
        Self { conn, epoch }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.live().is_ok()
    }

    pub(super) fn live(&self) -> Result<Held<'_>, ExchangeClosed> {
        let state = self.conn.state();
        let open = state.epoch == self.epoch && state.reply != Reply::Complete && state.broken.is_none();
        if open { Ok(state) } else { Err(ExchangeClosed) }
    }

    fn awaited(&self) -> Result<Held<'_>, ExchangeClosed> {
        self.live().and_then(|state| if state.reply == Reply::Awaited { Ok(state) } else { Err(ExchangeClosed) })
    }

    pub(crate) fn set_timeouts(&self, timeouts: Rc<Timeouts>) {
        if self.live().is_ok() {
            self.conn.set_timeouts(timeouts);
        }
    }

    pub(crate) fn set_max_body(&self, most: Option<u64>) {
        let Ok(mut state) = self.live() else { return };
        state.max_body = most;
        let too_large = matches!((&state.body, most), (Body::Length(length), Some(most)) if *length > most);
        drop(state);
        if too_large {
            self.refuse(Reason::EntityTooLarge);
        }
    }

    pub(crate) fn queued(&self) {
        let Ok(mut state) = self.live() else { return };
        let wait = self.conn.timeouts().request_queue;
        state.deadlines.queued_within(self.conn.now(), wait);
        drop(state);
        self.conn.nudge();
    }

    pub(crate) fn dequeued(&self) {
        if let Ok(mut state) = self.live() {
            state.deadlines.dequeued();
        }
    }

    pub(crate) fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Reason>>> {
        let Ok(mut state) = self.live() else { return Poll::Ready(Some(Err(Reason::ConnectionDropped))) };
        let timeouts = self.conn.timeouts();
        let polled = state.poll_body(cx, || self.conn.now(), &timeouts);
        drop(state);
        if let Poll::Ready(Some(Err(reason))) = polled {
            self.refuse(reason);
        }
        polled
    }

    pub(crate) fn body_may_rest(&self) {
        if let Ok(mut state) = self.live() {
            state.body_awaited = false;
        }
    }

    pub(crate) fn body_is_at_end(&self) -> bool {
        self.live().map_or(true, |state| state.body_is_done())
    }

    pub(crate) fn is_upgraded(&self) -> bool {
        self.live().is_ok_and(|state| state.reply == Reply::Streaming(Framing::Raw))
    }

    pub(crate) fn take_trailers(&self) -> Option<Bytes> {
        let mut state = self.live().ok()?;
        let trailers = std::mem::take(&mut state.trailers);
        (!trailers.is_empty()).then_some(trailers)
    }

    pub(crate) fn send<'h>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        body: Piece<'_>,
    ) -> Result<(), ExchangeClosed> {
        let mut state = self.awaited()?;
        self.conn.respond(&mut state, status, None, headers, body);
        Ok(())
    }

    pub(crate) fn send_stored(&self, status: u16, block: &[u8], age: Option<u64>, body: Piece<'_>) -> Result<(), ExchangeClosed> {
        let mut state = self.awaited()?;
        self.conn.respond_stored(&mut state, status, block, age, body);
        Ok(())
    }

    pub(crate) fn start<'h>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        length: BodyLength,
    ) -> Result<(), ExchangeClosed> {
        let mut state = self.awaited()?;
        let mut head = self.conn.worker().take_scratch();
        let now = self.conn.now();
        let asked = state.asked_now();
        let id = self.conn.worker().answers(state.id.as_ref());
        let headers = answered(headers, id.as_ref());
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

    pub(crate) fn inform<'h>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Result<(), ExchangeClosed> {
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

    pub(crate) fn upgrade<'h>(&self, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Result<(), ExchangeClosed> {
        self.start(101, headers, BodyLength::Unknown)
    }

    pub(crate) fn may_hand_over(&self) -> bool {
        // What paces it, and who is told of its end, are the engine's.
        self.awaited().is_ok_and(|state| state.pace.is_none() && state.noted.is_none())
    }

    pub(crate) fn hand_over<'h>(
        &self,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        continuation: Continuation,
    ) -> Result<(), ExchangeClosed> {
        self.upgrade(headers)?;
        let mut state = self.live()?;
        state.reply = Reply::Complete;
        state.continuation = Some(continuation);
        drop(state);
        self.conn.nudge();
        Ok(())
    }

    pub(crate) fn data(&self, body: Piece<'_>, end: bool) -> Result<(), ExchangeClosed> {
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

    pub(crate) fn trailers(&self, lines: &[u8]) -> Result<(), ExchangeClosed> {
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

    pub(crate) fn file(&self, file: Arc<File>, offset: u64, length: u64) -> Result<(), ExchangeClosed> {
        let mut state = self.live()?;
        let Reply::Streaming(framing) = state.reply else { return Err(ExchangeClosed) };
        match framing {
            Framing::None => {}
            Framing::Length(left) if left == length => {
                state.output.push_file(file, offset, length);
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

    pub(crate) fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<Result<(), ExchangeClosed>> {
        match self.live() {
            Err(closed) => Poll::Ready(Err(closed)),
            Ok(state) if state.output.buffered() < HIGH_WATER => Poll::Ready(Ok(())),
            Ok(_) => Poll::Pending,
        }
    }

    pub(crate) fn take_drained(&self) -> usize {
        self.live().map_or(0, |mut state| state.output.take_drained())
    }

    pub(crate) fn refuse(&self, reason: Reason) {
        if let Ok(state) = self.live() {
            self.conn.refuse(state, reason);
        }
    }

    pub(crate) fn abort(&self, reason: Reason) {
        if let Ok(mut state) = self.live() {
            state.break_off(reason);
            drop(state);
            self.conn.nudge();
        }
    }

    pub(crate) fn wake(&self) {
        self.conn.nudge();
    }
}
