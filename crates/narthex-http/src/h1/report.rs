//! What a connection leaves to be told to the journal.

use crate::h1::conn::Conn;
use crate::h1::state::{Reply, State};
use crate::journal::Refused;
use crate::reason::Reason;
use crate::telling::{self, Leaves, Tells, Word};

/// A request line's memory beyond this is not kept by an idle connection.
pub(crate) const LINE_KEPT: usize = 512;

/// The borrowed state of a connection.
pub(crate) type Held<'a> = telling::Held<'a, State, Conn>;

impl Leaves for State {
    #[inline]
    fn is_due(&self) -> bool {
        self.due
    }
}

impl Tells for Conn {
    #[inline]
    fn tell(&self) {
        self.report(Left::MayCome);
    }
}

/// Whether a complete response of which a part waits to be written is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    MayCome,
    Counts,
}

impl State {
    /// Leaves word that the engine refused or ended what is in progress.
    pub(crate) fn refused_with(&mut self, reason: Reason, status: Option<u16>) {
        if self.reply == Reply::Complete && self.output.is_empty() && self.body_is_done() {
            // Not the last request is meant, but what has arrived of the next.
            self.tag = None;
            self.client = None;
            self.id = None;
            let input = std::mem::take(&mut self.input);
            self.keep_line(&input);
            self.input = input;
        }
        self.refused.get_or_insert((reason, status));
        self.due = true;
        if let Some(noted) = &mut self.noted {
            noted.reason.get_or_insert(reason);
        }
    }

    /// Keeps the request line at the start of `head`.
    pub(crate) fn keep_line(&mut self, head: &[u8]) {
        let head = head.strip_prefix(b"\r\n").unwrap_or(head);
        let head = head.get(..Refused::LONGEST_LINE).unwrap_or(head);
        let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
        self.line.clear();
        self.line.extend_from_slice(head.get(..end).unwrap_or_default());
    }

    #[inline]
    pub(crate) fn count_sent(&mut self, bytes: usize) {
        if let Some(noted) = &mut self.noted {
            noted.sent = noted.sent.saturating_add(bytes as u64);
        }
    }

    #[inline]
    pub(crate) fn note_status(&mut self, status: u16) {
        if let Some(noted) = &mut self.noted {
            noted.status = status;
        }
    }

    fn note_received(&mut self) {
        let received = self.body_read.saturating_add(self.head_length.into());
        if let Some(noted) = &mut self.noted {
            noted.received = received;
        }
    }

    /// A timer has run out between two exchanges. The connection is to be closed; what the client does not take, or will not
    /// be there for, is dropped.
    pub(crate) fn timed_out(&mut self, reason: Reason) {
        self.refused_with(reason, None);
        if matches!(reason, Reason::TimerMinBytesPerSecond | Reason::ConnectionDropped) {
            self.break_off(reason);
        }
    }

    /// The exchange is over but for what waits to be written: a noted one ends when that has left.
    #[inline]
    pub(crate) fn exchange_is_over(&mut self) {
        self.first_byte = None;
        if self.line.capacity() > LINE_KEPT && self.refused.is_none() {
            self.line = Vec::new();
        }
        if self.noted.is_some() {
            self.note_received();
            self.due |= self.output.is_empty();
        }
    }

    /// What is noted will not send what waits to be written.
    pub(crate) fn noted_is_broken(&mut self, reason: Reason) {
        if self.reply != Reply::Complete {
            self.note_received();
        }
        let unsent = self.output.unsent();
        if let Some(noted) = &mut self.noted {
            noted.reason.get_or_insert(reason);
            noted.sent = noted.sent.saturating_sub(unsent);
            self.due = true;
        }
    }
}

impl Conn {
    /// Tells the journal what is due. Called with the state free.
    #[inline(never)]
    fn report(&self, left: Left) {
        let word = {
            let mut state = self.free_state();
            state.due = false;
            let refused = state.refused.take();
            let line = if refused.is_some() { std::mem::take(&mut state.line) } else { Vec::new() };
            let has_left = state.output.is_empty() || state.broken.is_some() || left == Left::Counts;
            let over = state.reply == Reply::Complete && has_left;
            let (id, client) = (state.id.clone(), state.client.clone());
            Word { refused, line, noted: state.noted.take_if(|_| over), tag: state.tag, id, client }
        };
        self.worker().tell(self.info(), word);
    }

    /// Before the next exchange begins: the last one's record is not kept waiting for what is left to be written, which is
    /// counted as sent.
    pub(crate) fn report_last(&self) {
        if self.free_state().noted.is_some() {
            self.report(Left::Counts);
        }
    }
}

/// The connection's task has ended, or was dropped in the middle: whatever is unfinished ends with it.
pub(crate) struct Running<'a>(pub(crate) &'a Conn);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let reason = if std::thread::panicking() { Reason::Internal } else { Reason::AppShutdown };
        self.0.gone(reason);
    }
}
