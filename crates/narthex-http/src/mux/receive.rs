//! The request body of a stream.

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::h1::state::Reply;
use crate::mux::carrier::Fault;
use crate::mux::head;
use crate::mux::state::{Body, Out, State};
use crate::mux::stream::{Inner, Stream};
use crate::reason::Reason;

impl Stream {
    pub(crate) fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Reason>>> {
        let Ok(mut state) = self.live() else { return Poll::Ready(Some(Err(Reason::ConnectionDropped))) };
        let polled = self.0.poll_body(cx, &mut state);
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
        self.live().map_or(true, |state| state.body == Body::Done)
    }

    pub(crate) fn take_trailers(&self) -> Option<Bytes> {
        let mut state = self.live().ok()?;
        let trailers = std::mem::take(&mut state.trailers);
        (!trailers.is_empty()).then_some(trailers)
    }

    pub(crate) fn set_max_body(&self, most: Option<u64>) {
        let Ok(mut state) = self.live() else { return };
        state.max_body = most;
        let too_large = matches!((state.declared, most), (Some(declared), Some(most)) if declared > most);
        drop(state);
        if too_large {
            self.refuse(Reason::EntityTooLarge);
        }
    }
}

impl Inner {
    fn poll_body(&self, cx: &mut Context<'_>, state: &mut State) -> Poll<Option<Result<Bytes, Reason>>> {
        state.body_awaited = true;
        if state.body == Body::Done {
            return Poll::Ready(None);
        }
        let too_large = |length: u64| state.max_body.is_some_and(|most| length > most);
        if state.body == Body::Open && state.declared.is_some_and(too_large) {
            return Poll::Ready(Some(Err(Reason::EntityTooLarge)));
        }
        if std::mem::take(&mut state.continue_owed) && state.reply == Reply::Awaited {
            state.out.push_back(Out::Interim(head::interim(100, std::iter::empty())));
            state.pump(cx, self.now(), &self.timeouts.borrow());
        }
        match state.carrier.poll_data(cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                state.deadlines.read_without_limit();
                state.body_read = state.body_read.saturating_add(bytes.len() as u64);
                if state.body == Body::Open && state.max_body.is_some_and(|most| state.body_read > most) {
                    return Poll::Ready(Some(Err(Reason::EntityTooLarge)));
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Some(Err(reason))) => self.lost(state, reason),
            Poll::Ready(None) => match state.carrier.poll_trailers(cx) {
                Poll::Ready(Ok(trailers)) => {
                    state.deadlines.read_without_limit();
                    state.trailers = trailers.map(|map| head::trailer_lines(&map).into()).unwrap_or_default();
                    state.body = Body::Done;
                    Poll::Ready(None)
                }
                Poll::Ready(Err(reason)) => self.lost(state, reason),
                Poll::Pending => self.wait(state),
            },
            Poll::Pending => self.wait(state),
        }
    }

    fn lost<T>(&self, state: &mut State, reason: Reason) -> Poll<Option<Result<T, Reason>>> {
        state.break_off(reason, Fault::Cancel);
        Poll::Ready(Some(Err(reason)))
    }

    fn wait<T>(&self, state: &mut State) -> Poll<T> {
        if state.body == Body::Open && state.deadlines.reading().is_none() {
            let limit = self.timeouts.borrow().entity_body;
            state.deadlines.read_within(self.now(), limit, Reason::TimerEntityBody);
        }
        Poll::Pending
    }
}
