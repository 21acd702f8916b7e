//! Telling the journal. What happens while the state of an exchange is borrowed is left in it, and told when the borrow ends.

use std::cell::RefMut;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use tokio::time::Instant;

use crate::journal::{Ended, Refused};
use crate::reason::Reason;
use crate::request::ConnectionInfo;
use crate::request_id::RequestId;
use crate::worker::Worker;

/// A record's memory beyond this is not kept for the next one.
const RECORD_KEPT: usize = 4096;

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

/// A state in which word may be left for the journal.
pub(crate) trait Leaves {
    fn is_due(&self) -> bool;
}

/// Who tells the journal what was left. Called with the state free.
pub(crate) trait Tells {
    fn tell(&self);
}

/// A borrowed state. What became due meanwhile is told as soon as the state is free again: fields are dropped in order.
pub(crate) struct Held<'a, S: Leaves, T: Tells> {
    state: RefMut<'a, S>,
    after: After<'a, T>,
}

struct After<'a, T: Tells> {
    teller: &'a T,
    due: bool,
}

impl<'a, S: Leaves, T: Tells> Held<'a, S, T> {
    #[inline]
    pub(crate) fn new(state: RefMut<'a, S>, teller: &'a T) -> Self {
        Self { state, after: After { teller, due: false } }
    }
}

impl<S: Leaves, T: Tells> Deref for Held<'_, S, T> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S: Leaves, T: Tells> DerefMut for Held<'_, S, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        &mut self.state
    }
}

impl<S: Leaves, T: Tells> Drop for Held<'_, S, T> {
    #[inline]
    fn drop(&mut self) {
        self.after.due = self.state.is_due();
    }
}

impl<T: Tells> Drop for After<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.due {
            self.teller.tell();
        }
    }
}

/// What was left in a state.
#[derive(Default)]
pub(crate) struct Word {
    pub(crate) refused: Option<(Reason, Option<u16>)>,
    /// The request line, for what was refused.
    pub(crate) line: Vec<u8>,
    pub(crate) noted: Option<Box<Noted>>,
    pub(crate) tag: Option<u32>,
    pub(crate) id: Option<RequestId>,
    /// Who has sent it, if a proxy has passed it on.
    pub(crate) client: Option<Rc<ConnectionInfo>>,
}

impl Worker {
    /// Passes on what was left by an exchange of this connection.
    pub(crate) fn tell(&self, connection: &ConnectionInfo, word: Word) {
        let Word { refused, line, noted, tag, id, client } = word;
        let connection = client.as_deref().unwrap_or(connection);
        let journal = self.journal();
        if let Some((reason, status)) = refused {
            self.count_refusal(reason);
            if let Some(journal) = &journal {
                (journal.refused)(&Refused { connection, reason, status, request_line: &line, tag, id: id.as_ref() });
            }
        }
        let Some(noted) = noted else { return };
        if let Some(journal) = &journal {
            (journal.ended)(&Ended {
                tag: tag.unwrap_or(0),
                record: &noted.record,
                id: id.as_ref(),
                connection,
                status: noted.status,
                reason: noted.reason,
                sent: noted.sent,
                received: noted.received,
                taken: self.clock().now().saturating_duration_since(noted.began),
            });
        }
        self.return_noted(noted);
    }

    /// Passes on that the connection itself was refused or ended.
    pub(crate) fn tell_refused(&self, connection: &ConnectionInfo, reason: Reason, status: Option<u16>) {
        self.tell(connection, Word { refused: Some((reason, status)), ..Word::default() });
    }
}
