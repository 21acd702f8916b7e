//! How a stream answers.

use std::fs::File;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use narthex_proto::wire::Verbosity;

use crate::exchange::{ExchangeClosed, HIGH_WATER};
use crate::fields::Fields;
use crate::file::Ahead;
use crate::h1::encode::{Asked, Framing};
use crate::h1::head::{BodyLength, Version};
use crate::h1::state::Reply;
use crate::mux::Connection;
use crate::mux::carrier::Fault;
use crate::mux::head;
use crate::mux::report::Held;
use crate::mux::state::{Body, Out, State};
use crate::mux::stream::{Inner, Stream};
use crate::piece::Piece;
use crate::reason::Reason;
use crate::request_id::answered;

impl Stream {
    pub(super) fn live(&self) -> Result<Held<'_>, ExchangeClosed> {
        let state = self.0.state();
        if state.reply != Reply::Complete && state.broken.is_none() { Ok(state) } else { Err(ExchangeClosed) }
    }

    fn awaited(&self) -> Result<Held<'_>, ExchangeClosed> {
        self.live().and_then(|state| if state.reply == Reply::Awaited { Ok(state) } else { Err(ExchangeClosed) })
    }

    pub(crate) fn is_open(&self) -> bool {
        self.live().is_ok()
    }

    pub(crate) fn is_upgraded(&self) -> bool {
        self.live().is_ok_and(|state| state.reply == Reply::Streaming(Framing::Raw))
    }

    pub(crate) fn send<'h>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        body: Piece<'_>,
    ) -> Result<(), ExchangeClosed> {
        let mut state = self.awaited()?;
        self.0.respond(&mut state, status, headers, body);
        Ok(())
    }

    pub(crate) fn send_stored(&self, status: u16, block: &[u8], age: Option<u64>, body: Piece<'_>) -> Result<(), ExchangeClosed> {
        let mut fields = Fields::default();
        // What is stored is known to be valid.
        let _ = fields.parse(block);
        let age = age.map(|age| age.to_string());
        let age = age.as_ref().map(|age| (&b"age"[..], age.as_bytes()));
        self.send(status, fields.iter(block).chain(age), body)
    }

    pub(crate) fn start<'h>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        length: BodyLength,
    ) -> Result<(), ExchangeClosed> {
        let mut state = self.awaited()?;
        let worker = &self.0.connection.worker;
        let id = worker.answers(state.id.as_ref());
        let headers = answered(headers, id.as_ref());
        let (head, framing) =
            head::response(worker.clock(), self.0.now(), asked(&self.0.connection, &state), status, headers, length);
        state.reply = Reply::Streaming(framing);
        state.note_status(status);
        state.out.push_back(Out::Head(head, false));
        if framing == Framing::Raw {
            state.body = Body::Raw;
            state.deadlines.read_without_limit();
        }
        drop(state);
        // The head waits for the first piece of the body, or for the next turn of the stream's task.
        self.0.nudge();
        Ok(())
    }

    pub(crate) fn inform<'h>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Result<(), ExchangeClosed> {
        let mut state = self.awaited()?;
        if (102..200).contains(&status) {
            state.out.push_back(Out::Interim(head::interim(status, headers)));
            self.0.flush(&mut state);
        }
        Ok(())
    }

    pub(crate) fn upgrade<'h>(&self, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Result<(), ExchangeClosed> {
        self.start(101, headers, BodyLength::Unknown)
    }

    pub(crate) fn data(&self, body: Piece<'_>, end: bool) -> Result<(), ExchangeClosed> {
        let mut state = self.live()?;
        let Reply::Streaming(framing) = state.reply else { return Err(ExchangeClosed) };
        let size = body.len() as u64;
        let mut body = body;
        match framing {
            Framing::None => {
                state.drained += body.len();
                body = Piece::EMPTY;
            }
            Framing::Raw | Framing::UntilClose | Framing::Chunked => {}
            Framing::Length(left) => match left.checked_sub(size) {
                Some(rest) if !end || rest == 0 => state.reply = Reply::Streaming(Framing::Length(rest)),
                _ => {
                    tracing::error!(announced = left, sent = size, "a response body does not have the length that was announced");
                    state.break_off(Reason::Internal, Fault::Internal);
                    drop(state);
                    self.0.nudge();
                    return Err(ExchangeClosed);
                }
            },
        }
        push(&mut state, body, end);
        if end {
            self.end(&mut state, framing);
        }
        self.0.flush(&mut state);
        Ok(())
    }

    pub(crate) fn trailers(&self, lines: &[u8]) -> Result<(), ExchangeClosed> {
        let mut state = self.live()?;
        let Reply::Streaming(framing) = state.reply else { return Err(ExchangeClosed) };
        let trailers = head::trailers(lines);
        let is_short = matches!(framing, Framing::Length(left) if left > 0);
        if trailers.is_empty() || is_short || matches!(framing, Framing::None | Framing::Raw) {
            drop(state);
            return self.data(Piece::EMPTY, true);
        }
        state.out.push_back(Out::Trailers(trailers));
        self.end(&mut state, framing);
        self.0.flush(&mut state);
        Ok(())
    }

    pub(crate) fn file(&self, file: Arc<File>, offset: u64, length: u64) -> Result<(), ExchangeClosed> {
        let mut state = self.live()?;
        let Reply::Streaming(framing) = state.reply else { return Err(ExchangeClosed) };
        match framing {
            Framing::Length(left) if left == length && length > 0 => {
                state.out.push_back(Out::File { file, offset, left, ahead: Ahead::default() });
            }
            Framing::None => push(&mut state, Piece::EMPTY, true),
            _ => {
                tracing::error!(length, ?framing, "a file response was announced with another length");
                state.break_off(Reason::Internal, Fault::Internal);
                drop(state);
                self.0.nudge();
                return Err(ExchangeClosed);
            }
        }
        self.end(&mut state, framing);
        self.0.flush(&mut state);
        Ok(())
    }

    fn end(&self, state: &mut State, framing: Framing) {
        if framing == Framing::Raw {
            state.write_closed = true;
        } else {
            state.reply = Reply::Complete;
            self.0.over(state);
        }
        self.0.nudge_with(state);
    }

    pub(crate) fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<Result<(), ExchangeClosed>> {
        match self.live() {
            Err(closed) => Poll::Ready(Err(closed)),
            Ok(state) if state.buffered < HIGH_WATER => Poll::Ready(Ok(())),
            Ok(_) => Poll::Pending,
        }
    }

    pub(crate) fn take_drained(&self) -> usize {
        self.live().map_or(0, |mut state| std::mem::take(&mut state.drained))
    }

    pub(crate) fn refuse(&self, reason: Reason) {
        if let Ok(state) = self.live() {
            self.0.refuse(state, reason);
        }
    }

    pub(crate) fn abort(&self, reason: Reason) {
        if let Ok(mut state) = self.live() {
            state.break_off(reason, Fault::Internal);
            drop(state);
            self.0.nudge();
        }
    }
}

fn asked(connection: &Connection, state: &State) -> Asked {
    let (head_only, alt_svc) = (state.head_only, connection.alt_svc);
    Asked { version: Version::Http2, head_only, persistent: true, alt_svc }
}

/// Lets body bytes wait to be sent.
fn push(state: &mut State, body: Piece<'_>, end: bool) {
    if body.is_empty() && !end {
        return;
    }
    state.buffered += body.len();
    // A head without a body is one frame.
    if body.is_empty()
        && end
        && let Some(Out::Head(_, ended)) = state.out.back_mut()
    {
        *ended = true;
        return;
    }
    let bytes = match body {
        Piece::Shared(bytes) => bytes,
        Piece::Slice(bytes) => Bytes::copy_from_slice(bytes),
    };
    state.out.push_back(Out::Data(bytes, end));
}

impl Inner {
    pub(super) fn nudge_with(&self, state: &State) {
        if !self.in_task.get() {
            state.waker.wake_by_ref();
        }
    }

    /// Sends what waits, if the stream's task will not do it anyway.
    fn flush(&self, state: &mut State) {
        let waker = std::mem::replace(&mut state.waker, Waker::noop().clone());
        state.pump(&mut Context::from_waker(&waker), self.now(), &self.timeouts.borrow());
        state.waker = waker;
        if state.broken.is_some() || !state.deadlines.timer_is_right() {
            self.nudge_with(state);
        }
    }

    /// Answers with a whole response.
    pub(super) fn respond<'h>(
        &self,
        state: &mut State,
        status: u16,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        body: Piece<'_>,
    ) {
        let length = BodyLength::Exact(body.len() as u64);
        let clock = self.connection.worker.clock();
        let id = self.connection.worker.answers(state.id.as_ref());
        let headers = answered(headers, id.as_ref());
        let (head, framing) = head::response(clock, self.now(), asked(&self.connection, state), status, headers, length);
        state.note_status(status);
        let body = if framing == Framing::None { Piece::EMPTY } else { body };
        state.out.push_back(Out::Head(head, false));
        push(state, body, true);
        state.reply = Reply::Complete;
        state.deadlines.dequeued();
        state.deadlines.read_without_limit();
        self.over(state);
        self.flush(state);
        self.nudge_with(state);
    }

    /// Answers with an error page, or breaks the stream off where an answer is no longer possible.
    pub(super) fn refuse(&self, mut state: Held<'_>, reason: Reason) {
        let connection = &self.connection.info;
        tracing::debug!(%reason, peer = %connection.peer, connection = connection.id, "refused");
        let Some(status) = reason.status().filter(|_| state.reply == Reply::Awaited) else {
            state.refused_with(reason, None);
            state.break_off(reason, Fault::Internal);
            return self.nudge_with(&state);
        };
        if status == 503 && state.verbosity == Verbosity::Basic {
            state.refused_with(reason, None);
            state.break_off(reason, Fault::Refused);
            return self.nudge_with(&state);
        }
        state.refused_with(reason, Some(status));
        // There is no reason phrase: the token stands in the page alone.
        let full = status == 503 && state.verbosity == Verbosity::Full;
        let (text, headers) = reason.page(status, full);
        self.respond(&mut state, status, headers.iter().copied(), Piece::Slice(text.as_bytes()));
    }
}
