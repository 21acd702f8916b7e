//! What the journal keeps of a request until it ends: where its span is, and what its log has noted. Nothing if there is neither.

use narthex_http::{Ended, Exchange, Request};

use crate::snapshot::Group;
use crate::trace::Traced;
use crate::worker::WorkerState;

impl WorkerState {
    /// Asks to be told of the exchange's end.
    pub(super) fn note(&self, exchange: &Exchange, group: &Group, traced: Option<Traced>, request: &Request<'_>) {
        exchange.note(|record| {
            let span = self.traces.keep(traced);
            if span.is_none() && group.log.is_none() {
                return;
            }
            record.extend_from_slice(&span.to_bytes());
            if let Some(log) = &group.log {
                self.logs.begin(log, request, record);
            }
        });
    }

    /// The exchange has ended.
    pub(super) fn ended(&self, ended: &Ended<'_>) {
        self.meters.ended(ended);
        let Some((span, record)) = ended.record.split_first_chunk() else { return };
        self.traces.end((*span).into(), ended);
        self.logs.end(&Ended { record, ..*ended });
    }
}
