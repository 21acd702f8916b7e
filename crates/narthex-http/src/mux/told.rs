//! What a handler says about a stream's exchange, and what it may ask.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use narthex_proto::wire::Verbosity;

use crate::bandwidth::{Bandwidth, Whose};
use crate::exchange::Rules;
use crate::limits::Timeouts;
use crate::mux::carrier::Fault;
use crate::mux::state::State;
use crate::mux::stream::{Inner, Stream};
use crate::reason::Reason;

impl Stream {
    pub(crate) fn settle(&self, rules: Rules<'_>) {
        let Ok(mut state) = self.live() else { return };
        state.tag = Some(rules.tag);
        state.verbosity = rules.verbosity;
        self.0.pace(&mut state, Whose::Own, rules.bandwidth);
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
        let worker = &self.0.connection.worker;
        if !worker.is_journaled() {
            return;
        }
        let Ok(mut state) = self.live() else { return };
        let mut noted = state.noted.take().unwrap_or_else(|| worker.take_noted(self.0.now()));
        drop(state);
        noted.record.clear();
        record(&mut noted.record);
        self.0.state().noted = Some(noted);
    }

    pub(crate) fn set_bandwidth(&self, bandwidth: Option<Arc<Bandwidth>>) {
        let Ok(mut state) = self.live() else { return };
        self.0.pace(&mut state, Whose::Own, bandwidth.as_ref());
        drop(state);
        self.0.nudge();
    }

    pub(crate) fn set_verbosity(&self, verbosity: Verbosity) {
        if let Ok(mut state) = self.live() {
            state.verbosity = verbosity;
        }
    }

    pub(crate) fn reset(&self, reason: Reason) {
        let Ok(mut state) = self.live() else { return };
        state.break_off(reason, Fault::Cancel);
        drop(state);
        self.0.nudge();
    }

    pub(crate) fn client_has_closed(&self) -> bool {
        self.0.state.borrow().broken.is_some()
    }

    pub(crate) fn attachment(&self) -> Option<Rc<dyn Any>> {
        self.0.attachment.borrow().clone()
    }

    pub(crate) fn attach(&self, attachment: Option<Rc<dyn Any>>) {
        // The old one may do anything when it goes.
        let _old = self.0.attachment.replace(attachment);
    }

    pub(crate) fn set_timeouts(&self, timeouts: Rc<Timeouts>) {
        *self.0.timeouts.borrow_mut() = timeouts;
    }

    pub(crate) fn queued(&self) {
        let Ok(mut state) = self.live() else { return };
        let wait = self.0.timeouts.borrow().request_queue;
        state.deadlines.queued_within(self.0.now(), wait);
        drop(state);
        self.0.nudge();
    }

    pub(crate) fn dequeued(&self) {
        if let Ok(mut state) = self.live() {
            state.deadlines.dequeued();
        }
    }

    pub(crate) fn wake(&self) {
        self.0.nudge();
    }
}

impl Inner {
    /// Paces this stream's output, or no longer.
    pub(super) fn pace(&self, state: &mut State, whose: Whose, bandwidth: Option<&Arc<Bandwidth>>) {
        if state.pace.is_none() && bandwidth.is_none() {
            return;
        }
        let pace = state.pace.get_or_insert_default();
        pace.set(whose, bandwidth, self.now());
        if pace.is_empty() {
            state.pace = None;
        }
    }
}
