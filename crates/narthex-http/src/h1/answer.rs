//! How a connection answers: whole writes where the socket takes them, and error pages for what no app sees.

use std::task::{Context, Poll, Waker};

use narthex_proto::wire::Verbosity;
use tokio::time::Instant;

use crate::fields::write_field;
use crate::h1::ahead::READ_AHEAD;
use crate::h1::conn::Conn;
use crate::h1::encode::{self, Asked, Framing};
use crate::h1::head::{BodyLength, Version};
use crate::h1::report::Held;
use crate::h1::state::{Reply, State, reason_of};
use crate::piece::Piece;
use crate::reason::Reason;
use crate::request_id::{self, answered};

/// Bodies up to this size are written in the same buffer as their head.
const JOIN_BODY: usize = 4096;

/// Whether a write completes its response, so that it may wait for the next response to share a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}

impl Conn {
    /// Writes `head`, `body` and `tail`, now if possible.
    pub(crate) fn write(&self, state: &mut State, head: &mut Vec<u8>, body: Piece<'_>, tail: &'static [u8], last: Last) {
        let body_length = body.len();
        if head.is_empty() && body.is_empty() && tail.is_empty() {
            return;
        }
        // Later requests of this connection are waiting in its buffer: their responses can share a write with this one.
        let later = last == Last::Yes && !state.input.is_empty() && state.body_is_done() && state.output.buffered() < READ_AHEAD;
        if !state.output.is_empty() || later || state.pace.is_some() {
            state.output.push_copy(head, 0);
            state.output.push_piece(body, 0);
            state.output.push_copy(tail, 0);
            state.count_sent(head.len() + body_length + tail.len());
            if !later {
                let waker = std::mem::replace(&mut state.waker, Waker::noop().clone());
                state.flush(&mut Context::from_waker(&waker), || self.now(), &self.timeouts());
                state.waker = waker;
                if state.pace.is_some() && !state.output.is_empty() {
                    self.nudge_with(state);
                }
            }
            return;
        }
        let waker = std::mem::replace(&mut state.waker, Waker::noop().clone());
        let mut cx = Context::from_waker(&waker);
        let written = if body_length <= JOIN_BODY {
            head.extend_from_slice(body.as_slice());
            head.extend_from_slice(tail);
            state.transport.poll_write(&mut cx, head)
        } else {
            let slices = [head.as_slice(), body.as_slice(), tail].map(std::io::IoSlice::new);
            state.transport.poll_write_vectored(&mut cx, &slices)
        };
        state.waker = waker;
        let total = if body_length <= JOIN_BODY { head.len() } else { head.len() + body_length + tail.len() };
        let written = match written {
            Poll::Ready(Ok(written)) => written,
            Poll::Pending => 0,
            Poll::Ready(Err(error)) => {
                state.break_off(reason_of(&error));
                return self.nudge_with(state);
            }
        };
        state.count_sent(total);
        if written == total {
            state.output.note_drained(body_length);
            if state.transport.keeps_some() {
                state.output.is_with_transport();
                state.deadlines.taken(self.now(), written as u64, self.timeouts().min_send_rate);
                self.nudge_with(state);
            }
            return;
        }
        if body_length <= JOIN_BODY {
            state.output.push_copy(head.get(written..).unwrap_or_default(), body_length);
        } else {
            let in_body = written.saturating_sub(head.len());
            let in_tail = in_body.saturating_sub(body_length);
            state.output.push_copy(head.get(written..).unwrap_or_default(), 0);
            let body_written = in_body.min(body_length);
            state.output.note_drained(body_written);
            state.output.push_piece(body, body_written);
            state.output.push_copy(tail.get(in_tail..).unwrap_or_default(), 0);
        }
        state.deadlines.taken(self.now(), written as u64, self.timeouts().min_send_rate);
        self.nudge_with(state);
    }

    /// Answers with a whole response.
    pub(crate) fn respond<'h>(
        &self,
        state: &mut State,
        status: u16,
        phrase: Option<&'static str>,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        body: Piece<'_>,
    ) {
        let mut head = self.worker().take_scratch();
        let now = self.now();
        let (asked, length) = (state.asked_now(), BodyLength::Exact(body.len() as u64));
        match phrase {
            None => encode::write_status_line(&mut head, status),
            Some(phrase) => encode::write_status_line_with(&mut head, status, phrase),
        }
        let id = self.worker().answers(state.id.as_ref());
        let headers = answered(headers, id.as_ref());
        let written = encode::write_fields(&mut head, self.worker().clock(), now, asked, status, headers, length);
        state.asked.persistent = written.persistent;
        state.note_status(status);
        let body = if written.framing == Framing::None { Piece::EMPTY } else { body };
        self.write(state, &mut head, body, b"", Last::Yes);
        self.worker().return_scratch(head);
        self.complete(state, now);
    }

    /// Answers with a whole response whose header lines are ready.
    pub(crate) fn respond_stored(&self, state: &mut State, status: u16, block: &[u8], age: Option<u64>, body: Piece<'_>) {
        let mut head = self.worker().take_scratch();
        let now = self.now();
        let asked = state.asked_now();
        encode::write_status_line(&mut head, status);
        self.worker().clock().write_date_line(now, &mut head);
        if let Some(id) = self.worker().answers(state.id.as_ref()) {
            write_field(request_id::NAME.as_bytes(), id.as_bytes(), &mut head);
        }
        let bodiless = encode::write_stored_fields(&mut head, asked, status, block, age, body.len());
        state.note_status(status);
        self.write(state, &mut head, if bodiless { Piece::EMPTY } else { body }, b"", Last::Yes);
        self.worker().return_scratch(head);
        self.complete(state, now);
    }

    fn nudge_with(&self, state: &State) {
        if !self.is_in_task() {
            state.waker.wake_by_ref();
        }
    }

    /// The response is complete. In the steady state (kept alive, nothing waits, the timer fires early enough) the task is left
    /// asleep: the next request wakes it.
    pub(crate) fn complete(&self, state: &mut State, now: Instant) {
        state.reply = Reply::Complete;
        state.exchange_is_over();
        state.deadlines.dequeued();
        let timeouts = self.timeouts();
        state.deadlines.read_within(now, timeouts.idle_connection, Reason::TimerConnectionIdle);
        let asleep_is_fine = state.asked.persistent
            && state.body_is_done()
            && state.input.is_empty()
            && state.output.is_empty()
            && !state.read_closed
            && state.deadlines.timer_is_right()
            && !self.worker().is_retiring();
        if !asleep_is_fine {
            self.nudge_with(state);
        }
    }

    /// Answers with an error page, or breaks the connection off where an answer is no longer possible.
    pub(crate) fn refuse(&self, mut state: Held<'_>, reason: Reason) {
        tracing::debug!(%reason, peer = %self.info().peer, connection = self.info().id, "refused");
        let Some(status) = reason.status().filter(|_| state.reply == Reply::Awaited) else {
            state.refused_with(reason, None);
            state.break_off(reason);
            return self.nudge_with(&state);
        };
        if status == 503 && state.verbosity == Verbosity::Basic {
            state.refused_with(reason, None);
            state.reset(reason);
            return self.nudge_with(&state);
        }
        state.refused_with(reason, Some(status));
        // After a request that was not understood, nobody can tell where the next one begins.
        if status < 500 || status == 501 || status == 505 || !state.body_is_done() {
            state.asked.persistent = false;
            state.linger = true;
        }
        let full = status == 503 && state.verbosity == Verbosity::Full;
        let (text, headers) = reason.page(status, full);
        let phrase = full.then(|| reason.token());
        self.respond(&mut state, status, phrase, headers.iter().copied(), Piece::Slice(text.as_bytes()));
    }

    /// Refuses what never became a request.
    pub(crate) fn refuse_outside(&self, state: Held<'_>, reason: Reason, head: &[u8]) {
        drop(state);
        self.report_last();
        let mut state = self.state();
        let asked = Asked { version: Version::Http11, head_only: false, persistent: false, alt_svc: None };
        state.begin(asked, BodyLength::Exact(0), false, None);
        if self.worker().is_journaled() {
            state.keep_line(head);
        }
        state.linger = true;
        state.input.clear();
        self.refuse(state, reason);
    }
}
