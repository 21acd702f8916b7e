//! Traces: a span for each request that is sampled, from its head to its last byte, and the trace context that its app is given.
//!
//! A worker decides by the client's `traceparent`, else by chance, and keeps what it knows of a sampled request until that ends.
//! Finished spans leave in batches by a channel that it never waits for, and become OpenTelemetry's on the thread that sends
//! them. A request that is not sampled costs a look at its header names and, where it is in no trace, 24 random bytes.

mod context;
mod span;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use narthex_otlp::{Endpoint, Outlet};

pub(crate) use context::Passed;
use span::Spans;
pub(crate) use worker::{Traced, WorkerTraces};

/// Whose the spans are.
const SERVICE: &str = "narthex-host";

/// What the configuration says of traces.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TraceSettings {
    pub(crate) on: bool,
    pub(crate) sample: Share,
    pub(crate) endpoint: Endpoint,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self { on: false, sample: Share::ALL, endpoint: Endpoint::default() }
    }
}

/// How many of all traces are recorded that begin here: from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(f64);

impl Share {
    pub(crate) const ALL: Self = Self(1.0);

    /// `None` if it is no share.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).map(Self)
    }

    /// Whether this trace is one of them: by its id alone, so that every program with the same share agrees (OpenTelemetry's
    /// TraceIdRatioBased).
    fn has(self, trace: &[u8; 16]) -> bool {
        let [.., a, b, c, d, e, f, g, h] = *trace;
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
        // The share of all numbers of 63 bits. One that is too large for them is all.
        number < (self.0 * (1_u64 << 63) as f64) as u64
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Where spans go, as all workers see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces(Arc<Mutex<Option<Open>>>);

/// A way to a collector.
#[derive(Clone, Debug)]
struct Open {
    outlet: Outlet<Spans>,
    settings: TraceSettings,
}

impl Traces {
    /// Goes by these settings from now on. Workers learn of it when they [look](WorkerTraces::renew).
    pub(crate) fn configure(&self, settings: &TraceSettings) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !settings.on {
            *open = None;
            return;
        }
        let same = open.take().filter(|open| open.settings.endpoint == settings.endpoint).map(|open| open.outlet);
        let outlet = match same {
            Some(outlet) => Ok(outlet),
            None => Outlet::open(&settings.endpoint, SERVICE.to_owned()),
        };
        match outlet {
            Ok(outlet) => *open = Some(Open { outlet, settings: settings.clone() }),
            Err(error) => tracing::error!(%error, "there are no traces: the thread that sends them cannot be started"),
        }
    }

    /// Has what was given sent, and waits for that for at most so long.
    pub(crate) fn flush(&self, within: Duration) {
        let open = self.current();
        if let Some(open) = open {
            open.outlet.flush(within);
        }
    }

    fn current(&self) -> Option<Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        for good in ["0", "1", "0.25", "1e-3"] {
            assert!(Share::parse(good).is_some(), "{good}");
        }
        for bad in ["", "-0.1", "1.1", "NaN", "inf", "half"] {
            assert_eq!(Share::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_share_has_its_part_of_all_traces() {
        let (least, most) = ([0; 16], [0xff; 16]);
        let quarter = Share::parse("0.25").unwrap();
        let mut trace = least;
        trace[8] = 0x3f;
        assert!(quarter.has(&least) && quarter.has(&trace) && !quarter.has(&most));
        trace[8] = 0x40;
        assert!(!quarter.has(&trace));
        assert!(Share::ALL.has(&most) && Share::ALL.has(&least));
        let none = Share::parse("0").unwrap();
        assert!(!none.has(&most) && !none.has(&least));
    }
}
