//! The thread that sends spans.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::outlet::{Batch, Message};

/// Spans that are sent together, unless a single batch has more.
const FULL: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_millis(500);
/// How long a collector that has failed is left alone: first, and at most.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

pub(crate) struct Exporter {
    otlp: OtlpExporter,
    endpoint: String,
    lost: Arc<AtomicU64>,
    failing: Option<Failing>,
}

/// The collector does not take spans.
struct Failing {
    until: Instant,
    rest: Duration,
    /// What was lost before.
    lost_before: u64,
}

impl Exporter {
    pub(crate) fn new(endpoint: &Endpoint, service: String, lost: Arc<AtomicU64>) -> io::Result<Self> {
        let endpoint = endpoint.to_string();
        let builder = OtlpExporter::builder().with_http().with_http_client(Client).with_protocol(Protocol::HttpBinary);
        let mut otlp = builder.with_endpoint(&endpoint).build().map_err(io::Error::other)?;
        let about = [KeyValue::new("service.name", service), KeyValue::new("process.pid", i64::from(std::process::id()))];
        otlp.set_resource(&Resource::builder_empty().with_attributes(about).build());
        Ok(Self { otlp, endpoint, lost, failing: None })
    }

    async fn send(&mut self, spans: Vec<SpanData>) {
        let count = spans.len() as u64;
        if count == 0 {
            return;
        }
        if self.failing.as_ref().is_some_and(|failing| Instant::now() < failing.until) {
            self.lost.fetch_add(count, Ordering::Relaxed);
            return;
        }
        let sent = self.otlp.export(spans).await;
        match (sent, self.failing.take()) {
            (Ok(()), None) => {}
            (Ok(()), Some(before)) => {
                let lost = self.lost.load(Ordering::Relaxed).saturating_sub(before.lost_before);
                tracing::info!(lost, "the collector at {} takes spans again", self.endpoint);
            }
            (Err(error), before) => {
                let lost_before =
                    before.as_ref().map_or_else(|| self.lost.load(Ordering::Relaxed), |failing| failing.lost_before);
                self.lost.fetch_add(count, Ordering::Relaxed);
                if before.is_none() {
                    tracing::warn!(
                        "the collector at {} does not take spans, which are lost until it does: {error}",
                        self.endpoint
                    );
                }
                let rest = before.map_or(FIRST_REST, |failing| (failing.rest * 2).min(LONGEST_REST));
                self.failing = Some(Failing { until: Instant::now() + rest, rest, lost_before });
            }
        }
    }
}

/// Sends what comes until there is nobody left to give anything.
pub(crate) async fn run<B: Batch>(mut exporter: Exporter, mut messages: mpsc::Receiver<Message<B>>) {
    while let Some(message) = messages.recv().await {
        let mut spans = Vec::new();
        let mut flushed = take(message, &mut spans);
        let until = Instant::now() + LINGER;
        while flushed.is_none() && spans.len() < FULL {
            let Ok(Some(message)) = timeout_at(until, messages.recv()).await else { break };
            flushed = take(message, &mut spans);
        }
        exporter.send(spans).await;
        drop(flushed);
    }
}

/// Takes the spans of a message. Returns who waits until they are sent.
fn take<B: Batch>(message: Message<B>, spans: &mut Vec<SpanData>) -> Option<std::sync::mpsc::SyncSender<()>> {
    match message {
        Message::Spans(batch) => {
            spans.append(&mut batch.into_spans());
            None
        }
        Message::Flush(done) => Some(done),
    }
}
