//! What a stream leaves to be told to the journal.

use crate::h1::state::Reply;
use crate::mux::state::State;
use crate::mux::stream::Inner;
use crate::reason::Reason;
use crate::telling::{self, Leaves, Tells, Word};

/// The borrowed state of a stream.
pub(super) type Held<'a> = telling::Held<'a, State, Inner>;

impl Leaves for State {
    fn is_due(&self) -> bool {
        self.due
    }
}

impl Tells for Inner {
    #[inline(never)]
    fn tell(&self) {
        let word = {
            let mut state = self.state.borrow_mut();
            state.due = false;
            let refused = state.refused.take();
            let line = if refused.is_some() { std::mem::take(&mut state.line) } else { Vec::new() };
            let over = state.reply == Reply::Complete && (state.all_is_sent() || state.broken.is_some());
            let (id, client) = (state.id.clone(), state.client.clone());
            Word { refused, line, noted: state.noted.take_if(|_| over), tag: state.tag, id, client }
        };
        self.connection.worker.tell(&self.connection.info, word);
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
}
