//! Telling the journal of a stream's exchange, as the HTTP/1.1 engine does of a connection's.

use std::cell::RefMut;
use std::ops::{Deref, DerefMut};

use crate::h1::state::Reply;
use crate::journal::{Ended, Refused};
use crate::mux::state::State;
use crate::mux::stream::Inner;
use crate::reason::Reason;

/// The borrowed state of a stream. What became due meanwhile is told as soon as the state is free again: fields are dropped
/// in order.
pub(super) struct Held<'a> {
    state: RefMut<'a, State>,
    after: After<'a>,
}

struct After<'a> {
    inner: &'a Inner,
    due: bool,
}

impl<'a> Held<'a> {
    pub(super) fn new(state: RefMut<'a, State>, inner: &'a Inner) -> Self {
        Self { state, after: After { inner, due: false } }
    }
}

impl Deref for Held<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.after.due = self.state.due;
    }
}

impl Drop for After<'_> {
    fn drop(&mut self) {
        if self.due {
            self.inner.report();
        }
    }
}

impl State {
    /// Leaves word that the engine refused or ended what is in progress.
    pub(super) fn refused_with(&mut self, reason: Reason, status: Option<u16>) {
        self.refused.get_or_insert((reason, status));
        self.due = true;
        if let Some(noted) = &mut self.noted {
            noted.reason.get_or_insert(reason);
        }
    }

    pub(super) fn count_sent(&mut self, bytes: usize) {
        if let Some(noted) = &mut self.noted {
            noted.sent = noted.sent.saturating_add(bytes as u64);
        }
    }

    pub(super) fn note_status(&mut self, status: u16) {
        if let Some(noted) = &mut self.noted {
            noted.status = status;
        }
    }

    pub(super) fn note_received(&mut self) {
        let received = self.body_read.saturating_add(self.head_length.into());
        if let Some(noted) = &mut self.noted {
            noted.received = received;
        }
    }

    /// What is noted will not send what waits to be sent.
    pub(super) fn noted_is_broken(&mut self, reason: Reason) {
        if self.reply != Reply::Complete {
            self.note_received();
        }
        if let Some(noted) = &mut self.noted {
            noted.reason.get_or_insert(reason);
            self.due = true;
        }
    }
}

impl Inner {
    /// The exchange is over but for what waits to be sent: a noted one ends when that has left.
    pub(super) fn over(&self, state: &mut State) {
        state.note_received();
        state.due |= state.noted.is_some() && state.all_is_sent();
    }

    /// Tells the journal what is due. Called with the state free.
    #[inline(never)]
    fn report(&self) {
        let (refused, line, noted, tag, client) = {
            let mut state = self.state.borrow_mut();
            state.due = false;
            let refused = state.refused.take();
            let line = if refused.is_some() { std::mem::take(&mut state.line) } else { Vec::new() };
            let over = state.reply == Reply::Complete && (state.all_is_sent() || state.broken.is_some());
            (refused, line, state.noted.take_if(|_| over), state.tag, state.client.clone())
        };
        let worker = &self.connection.worker;
        let journal = worker.journal();
        let connection = client.as_deref().unwrap_or(&self.connection.info);
        if let Some((reason, status)) = refused {
            worker.count_refusal(reason);
            if let Some(journal) = &journal {
                (journal.refused)(&Refused { connection, reason, status, request_line: &line, tag });
            }
        }
        let Some(noted) = noted else { return };
        if let Some(journal) = &journal {
            (journal.ended)(&Ended {
                tag: tag.unwrap_or(0),
                record: &noted.record,
                connection,
                status: noted.status,
                reason: noted.reason,
                sent: noted.sent,
                received: noted.received,
                taken: self.now().saturating_duration_since(noted.began),
            });
        }
        worker.return_noted(noted);
    }
}
