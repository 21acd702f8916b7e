//! What a connection does after a response: finds the next request, or closes without destroying what is on its way.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use crate::h1::conn::Conn;
use crate::h1::state::Body;
use crate::reason::Reason;

/// The most body bytes that are read and thrown away to keep a connection after an early response.
const DRAIN_MOST: u64 = 1 << 20;
/// After an error the client gets this long to stop sending, so that the close does not destroy the answer on its way
/// (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);

impl Conn {
    /// After a response: reads what is left of the body, so that the next request can be found. `false`: close instead.
    pub(crate) fn poll_settle(&self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<bool> {
        self.enter(cx);
        let polled = loop {
            let mut state = self.state();
            if !state.asked.persistent || state.broken.is_some() {
                state.linger |= !state.body_is_done();
                break Poll::Ready(false);
            }
            if state.body_is_done() {
                break Poll::Ready(true);
            }
            let left = if let Body::Length(left) = state.body { left } else { 0 };
            let drained = if state.deadlines.reading() == Some(Reason::TimerDrainEntityBody) { state.body_read } else { 0 };
            if state.continue_owed || left > DRAIN_MOST || drained > DRAIN_MOST {
                state.linger = true;
                break Poll::Ready(false);
            }
            if let Some(reason) = self.poll_deadlines(cx, timer.as_mut(), &mut state) {
                state.timed_out(reason);
                break Poll::Ready(false);
            }
            self.flush(cx, &mut state);
            state.max_body = None;
            if state.deadlines.reading() != Some(Reason::TimerDrainEntityBody) {
                let now = self.now();
                state.deadlines.read_within(now, self.timeouts().drain_entity_body, Reason::TimerDrainEntityBody);
                state.body_read = 0;
            }
            let deadline = state.deadlines.clone();
            match state.poll_body(cx, || self.now(), &self.timeouts()) {
                Poll::Ready(None) => {}
                // One limit for all that is left, not one for each piece.
                Poll::Ready(Some(Ok(_))) => state.deadlines = deadline,
                Poll::Ready(Some(Err(_))) => {
                    state.linger = true;
                    break Poll::Ready(false);
                }
                Poll::Pending => {
                    if self.poll_deadlines(cx, timer.as_mut(), &mut state).is_none() {
                        break Poll::Pending;
                    }
                }
            }
        };
        self.leave();
        polled
    }

    /// Writes what waits. `false`: the connection is broken.
    pub(crate) fn poll_written(&self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<bool> {
        self.enter(cx);
        let mut state = self.state();
        let polled = loop {
            self.flush(cx, &mut state);
            if state.broken.is_some() || state.output.is_empty() {
                break Poll::Ready(state.broken.is_none());
            }
            match self.poll_deadlines(cx, timer.as_mut(), &mut state) {
                Some(reason) => state.break_off(reason),
                None => break Poll::Pending,
            }
        };
        self.leave();
        polled
    }

    /// Writes what waits, then closes without destroying it.
    pub(crate) fn poll_close(&self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<()> {
        self.enter(cx);
        let mut state = self.state();
        let polled = loop {
            if state.broken.is_some() {
                break Poll::Ready(());
            }
            self.flush(cx, &mut state);
            if !state.output.is_empty() {
                state.deadlines.read_without_limit();
                match self.poll_deadlines(cx, timer.as_mut(), &mut state) {
                    Some(reason) => state.break_off(reason),
                    None => break Poll::Pending,
                }
                continue;
            }
            if !state.linger || state.read_closed {
                // What the TLS of a client is to be told of the end; without TLS there is nothing to say.
                let _ = state.transport.poll_close_notify(cx);
                break Poll::Ready(());
            }
            if !state.write_closed || state.deadlines.reading().is_none() {
                state.write_closed = true;
                let now = self.now();
                state.deadlines.read_within(now, Some(LINGER), Reason::TimerDrainEntityBody);
                let _ = state.transport.poll_shutdown(cx);
            }
            if self.poll_deadlines(cx, timer.as_mut(), &mut state).is_some() {
                break Poll::Ready(());
            }
            let mut buffer = self.worker().take_read_buffer();
            let read = state.transport.poll_read(cx, &mut buffer);
            self.worker().return_read_buffer(buffer);
            match read {
                Poll::Ready(Ok(length)) if length > 0 => {}
                Poll::Ready(_) => break Poll::Ready(()),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.leave();
        polled
    }
}
