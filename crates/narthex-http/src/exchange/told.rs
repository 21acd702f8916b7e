//! What a handler says about an exchange and its connection, and what it may ask.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use narthex_proto::wire::Verbosity;

use crate::bandwidth::{Bandwidth, Whose};
use crate::exchange::Exchange;
use crate::h1::state::Reply;
use crate::reason::Reason;

/// What a server has settled for whose request it is. See the methods of [`Exchange`] of the same names.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    /// Whose request it is.
    pub tag: u32,
    /// Of 503s.
    pub verbosity: Verbosity,
    /// The connection's own, until the next request says otherwise.
    pub bandwidth: Option<&'r Arc<Bandwidth>>,
}

impl Exchange {
    /// [`tag`](Self::tag), [`set_verbosity`](Self::set_verbosity) and [`set_bandwidth`](Self::set_bandwidth) in one, since a
    /// server of many has to do it for every request.
    pub fn settle(&self, rules: Rules<'_>) {
        let Ok(mut state) = self.live() else { return };
        state.tag = Some(rules.tag);
        state.verbosity = rules.verbosity;
        let paced = state.pace.is_some() || rules.bandwidth.is_some();
        drop(state);
        if paced {
            self.conn.pace(Whose::Own, rules.bandwidth);
        }
    }

    /// Whose request this is, for the journal.
    pub fn tag(&self, tag: u32) {
        if let Ok(mut state) = self.live() {
            state.tag = Some(tag);
        }
    }

    /// Asks for [`Ended`](crate::Ended) when this exchange is over. `record` writes what the journal is to be given then into an
    /// empty buffer; a second call replaces what the first has written. Without a journal it is not called.
    pub fn note(&self, record: impl FnOnce(&mut Vec<u8>)) {
        if !self.conn.worker().is_journaled() {
            return;
        }
        let Ok(mut state) = self.live() else { return };
        let mut noted = state.noted.take().unwrap_or_else(|| {
            let now = self.conn.now();
            self.conn.worker().take_noted(state.first_byte.unwrap_or(now))
        });
        drop(state);
        noted.record.clear();
        record(&mut noted.record);
        let mut state = self.conn.state();
        state.due |= state.reply == Reply::Complete;
        state.noted = Some(noted);
    }

    /// Paces the output of this connection from now on, beside the server's rate ([`Worker::set_bandwidth`]); the slower
    /// counts. `None` ends it.
    ///
    /// [`Worker::set_bandwidth`]: crate::Worker::set_bandwidth
    pub fn set_bandwidth(&self, bandwidth: Option<Arc<Bandwidth>>) {
        if self.is_open() {
            self.conn.pace(Whose::Own, bandwidth.as_ref());
        }
    }

    /// What the client gets wherever [`refuse`](Self::refuse) or the engine answers this exchange with 503:
    /// a reset connection, an error page (the default), or one whose reason phrase is the reason's token.
    pub fn set_verbosity(&self, verbosity: Verbosity) {
        if let Ok(mut state) = self.live() {
            state.verbosity = verbosity;
        }
    }

    /// Resets the connection (RST) without an answer.
    pub fn reset(&self, reason: Reason) {
        let Ok(mut state) = self.live() else { return };
        state.reset(reason);
        drop(state);
        self.conn.nudge();
    }

    /// Whether the client has closed its side (FIN) or the connection is broken. The handler's future is polled when that
    /// comes to pass. A client that still waits for its answer looks the same as one that has left: the exchange goes on, and is
    /// ended after 10 seconds.
    #[must_use]
    pub fn client_has_closed(&self) -> bool {
        let state = self.conn.state();
        state.epoch == self.epoch && (state.read_closed || state.broken.is_some())
    }

    /// What was attached to the connection by this or an earlier exchange.
    #[must_use]
    pub fn attachment(&self) -> Option<Rc<dyn Any>> {
        self.conn.attachment()
    }

    /// Attaches something to the connection in the place of what was. It is dropped when the connection ends.
    pub fn attach(&self, attachment: Option<Rc<dyn Any>>) {
        self.conn.attach(attachment);
    }
}
