//! Telling the journal. What happens while a connection's state is borrowed is left in it, and told when the borrow ends.

use std::cell::RefMut;
use std::ops::{Deref, DerefMut};

use tokio::time::Instant;

use crate::h1::conn::Conn;
use crate::h1::state::{Reply, State};
use crate::journal::{Ended, Refused};
use crate::reason::Reason;
use crate::request::ConnectionInfo;

/// A record's memory beyond this is not kept for the next one.
const RECORD_KEPT: usize = 4096;
/// A request line's memory beyond this is not kept by an idle connection.
pub(crate) const LINE_KEPT: usize = 512;

/// An exchange whose end is to be told.
pub(crate) struct Noted {
    pub(crate) record: Vec<u8>,
    pub(crate) began: Instant,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) status: u16,
    pub(crate) reason: Option<Reason>,
}

impl Noted {
    pub(crate) fn new(now: Instant) -> Self {
        Self { record: Vec::new(), began: now, received: 0, sent: 0, status: 0, reason: None }
    }

    /// Makes it ready for another exchange, with the memory that is worth keeping.
    pub(crate) fn reuse(&mut self, now: Instant) {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        record.shrink_to(RECORD_KEPT);
        *self = Self { record, ..Self::new(now) };
    }
}

/// The borrowed state of a connection. What became due meanwhile is told as soon as the state is free again: fields are
/// dropped in order.
pub(crate) struct Held<'a> {
    state: RefMut<'a, State>,
    after: After<'a>,
}

struct After<'a> {
    conn: &'a Conn,
    due: bool,
}

impl<'a> Held<'a> {
    #[inline]
    pub(crate) fn new(state: RefMut<'a, State>, conn: &'a Conn) -> Self {
        Self { state, after: After { conn, due: false } }
    }
}

impl Deref for Held<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Held<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.after.due = self.state.due;
    }
}

impl Drop for After<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.due {
            self.conn.report(Left::MayCome);
        }
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
        let (refused, line, noted, tag, client) = {
            let mut state = self.free_state();
            state.due = false;
            let refused = state.refused.take();
            let line = if refused.is_some() { std::mem::take(&mut state.line) } else { Vec::new() };
            let has_left = state.output.is_empty() || state.broken.is_some() || left == Left::Counts;
            let over = state.reply == Reply::Complete && has_left;
            (refused, line, state.noted.take_if(|_| over), state.tag, state.client.clone())
        };
        let connection = client.as_deref().unwrap_or(self.info());
        let journal = self.worker().journal();
        if let Some((reason, status)) = refused {
            self.worker().count_refusal(reason);
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
        self.worker().return_noted(noted);
    }

    /// Before the next exchange begins: the last one's record is not kept waiting for what is left to be written, which is
    /// counted as sent.
    pub(crate) fn report_last(&self) {
        if self.free_state().noted.is_some() {
            self.report(Left::Counts);
        }
    }
}

/// Reports a connection that never became one.
pub(crate) fn refused_connection(
    worker: &crate::worker::Worker,
    connection: &ConnectionInfo,
    reason: Reason,
    status: Option<u16>,
) {
    worker.count_refusal(reason);
    if let Some(journal) = worker.journal() {
        (journal.refused)(&Refused { connection, reason, status, request_line: b"", tag: None });
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
