//! The app's spans at a collector.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use narthex_otlp::opentelemetry::Context;
use narthex_otlp::opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use narthex_otlp::opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData};
use narthex_otlp::{Endpoint, EndpointError, Outlet};
use narthex_proto::trace::{TRACESTATE, TraceContext};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

use super::PARENT;

/// Sends the spans of this program to a collector. See the [module](super).
#[derive(Clone, Debug)]
pub struct Collector {
    provider: SdkTracerProvider,
    outlet: Outlet<SpanData>,
}

/// Why there is no collector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectorError {
    /// The URL is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The share is none.
    #[error("{0} is no share of all traces: write a number from 0 to 1")]
    Share(f64),
    /// The OS refuses a thread.
    #[error("cannot start the thread that sends spans: {0}")]
    Thread(#[from] std::io::Error),
}

impl Collector {
    /// Opens the way to the collector at `url` (`http://127.0.0.1:4318`), which need not be there. The spans are those of `service`.
    /// Of traces that begin in this program, all are recorded; of others those that the span before records.
    ///
    /// # Errors
    /// If the URL is none, or the OS refuses a thread.
    pub fn open(url: &str, service: impl Into<String>) -> Result<Self, CollectorError> {
        Self::open_sampled(url, service, 1.0)
    }

    /// As [`open`](Self::open), and of traces that begin in this program the given share is recorded, from 0 to 1.
    ///
    /// # Errors
    /// As there, and if the share is none.
    pub fn open_sampled(url: &str, service: impl Into<String>, share: f64) -> Result<Self, CollectorError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(CollectorError::Share(share));
        }
        let outlet = Outlet::open_single(&url.parse::<Endpoint>()?, service.into())?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)));
        let provider = SdkTracerProvider::builder().with_span_processor(outlet.clone()).with_sampler(sampler).build();
        Ok(Self { provider, outlet })
    }

    /// What a `tracing` subscriber is given, so that its spans are sent.
    #[must_use]
    pub fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer().with_tracer(self.provider.tracer("narthex"))
    }

    /// Has what is there sent, and waits for that for at most so long. Blocks: for the end of `main`.
    pub fn flush(&self, within: Duration) {
        self.outlet.flush(within);
    }

    /// How many spans did not reach the collector.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.outlet.lost()
    }
}

/// Makes the span a child of the one that the request has come from, and its own id what the request says from now on.
pub(super) fn take_part(span: &Span, parent: Option<TraceContext>, headers: &mut HeaderMap) {
    if let Some(parent) = parent {
        let context = remote(parent, headers);
        // Fails where no collector is.
        if span.set_parent(Context::new().with_remote_span_context(context)).is_err() {
            return;
        }
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    if !own.is_valid() || !own.is_sampled() {
        return;
    }
    let own = TraceContext { trace: own.trace_id().to_bytes(), span: own.span_id().to_bytes(), sampled: true };
    if let Ok(value) = HeaderValue::from_bytes(&own.to_text()) {
        headers.insert(PARENT, value);
    }
}

fn remote(parent: TraceContext, headers: &HeaderMap) -> SpanContext {
    let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let state = headers.get(TRACESTATE).and_then(|state| state.to_str().ok()?.parse().ok());
    let (trace, span) = (TraceId::from_bytes(parent.trace), SpanId::from_bytes(parent.span));
    SpanContext::new(trace, span, flags, true, state.unwrap_or(TraceState::NONE))
}
