//! What a handler says about an exchange and its connection, and what it may ask.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use narthex_proto::wire::Verbosity;

use crate::bandwidth::{Bandwidth, Whose};
use crate::exchange::Rules;
use crate::h1::handle::Handle;
use crate::h1::state::Reply;
use crate::reason::Reason;

impl Handle {
    pub(crate) fn settle(&self, rules: Rules<'_>) {
        let Ok(mut state) = self.live() else { return };
        state.tag = Some(rules.tag);
        state.verbosity = rules.verbosity;
        let paced = state.pace.is_some() || rules.bandwidth.is_some();
        drop(state);
        if paced {
            self.conn.pace(Whose::Own, rules.bandwidth);
        }
    }

    pub(crate) fn tag(&self, tag: u32) {
        if let Ok(mut state) = self.live() {
            state.tag = Some(tag);
        }
    }

    pub(crate) fn tagged(&self) -> Option<u32> {
        self.live().ok().and_then(|state| state.tag)
    }

    pub(crate) fn note(&self, record: impl FnOnce(&mut Vec<u8>)) {
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

    pub(crate) fn set_bandwidth(&self, bandwidth: Option<Arc<Bandwidth>>) {
        if self.is_open() {
            self.conn.pace(Whose::Own, bandwidth.as_ref());
        }
    }

    pub(crate) fn set_verbosity(&self, verbosity: Verbosity) {
        if let Ok(mut state) = self.live() {
            state.verbosity = verbosity;
        }
    }

    pub(crate) fn reset(&self, reason: Reason) {
        let Ok(mut state) = self.live() else { return };
        state.reset(reason);
        drop(state);
        self.conn.nudge();
    }

    pub(crate) fn client_has_closed(&self) -> bool {
        let state = self.conn.state();
        state.epoch == self.epoch && (state.read_closed || state.broken.is_some())
    }

    pub(crate) fn attachment(&self) -> Option<Rc<dyn Any>> {
        self.conn.attachment()
    }

    pub(crate) fn attach(&self, attachment: Option<Rc<dyn Any>>) {
        self.conn.attach(attachment);
    }
}
