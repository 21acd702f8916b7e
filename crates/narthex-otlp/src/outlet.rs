//! Where spans are given away.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;

use crate::endpoint::Endpoint;
use crate::exporter::{self, Exporter};

/// Batches that may wait to be sent.
const WAITING: usize = 64;
/// The same where a batch is a single span.
const SPANS_WAITING: usize = 2048;

/// Spans that are given away together. They are made where they are sent: that is not the giver's time.
pub trait Batch: Send + 'static {
    /// How many there are.
    fn count(&self) -> usize;
    /// The spans.
    fn into_spans(self) -> Vec<SpanData>;
}

impl Batch for SpanData {
    fn count(&self) -> usize {
        1
    }

    fn into_spans(self) -> Vec<SpanData> {
        vec![self]
    }
}

/// What goes to the thread.
pub(crate) enum Message<B> {
    Spans(B),
    /// Send what is there, and drop this.
    Flush(std::sync::mpsc::SyncSender<()>),
}

/// An end of the way to a collector, for many givers. When the last is dropped, what waits is sent, and the thread ends.
#[derive(Debug)]
pub struct Outlet<B> {
    channel: mpsc::Sender<Message<B>>,
    lost: Arc<AtomicU64>,
}

impl<B> Clone for Outlet<B> {
    fn clone(&self) -> Self {
        Self { channel: self.channel.clone(), lost: Arc::clone(&self.lost) }
    }
}

impl<B: Batch> Outlet<B> {
    /// Opens the way to a collector, which need not be there. `service` is whose the spans are (`service.name`).
    ///
    /// # Errors
    /// If the OS refuses a thread, or what the thread needs.
    pub fn open(endpoint: &Endpoint, service: String) -> io::Result<Self> {
        Self::open_for(endpoint, service, WAITING)
    }

    fn open_for(endpoint: &Endpoint, service: String, waiting: usize) -> io::Result<Self> {
        let (channel, messages) = mpsc::channel(waiting);
        let lost = Arc::new(AtomicU64::new(0));
        let exporter = Exporter::new(endpoint, service, Arc::clone(&lost))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || runtime.block_on(exporter::run(exporter, messages));
        std::thread::Builder::new().name("narthex-spans".to_owned()).spawn(run)?;
        Ok(Self { channel, lost })
    }

    /// Gives spans away. Never waits: where too many wait already, these are lost, and counted.
    pub fn give(&self, batch: B) {
        let count = batch.count() as u64;
        if self.channel.try_send(Message::Spans(batch)).is_err() {
            self.lost.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How many spans did not reach the collector.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Has what was given sent, and waits for that for at most so long. Blocks: not for a worker.
    pub fn flush(&self, within: Duration) {
        let (done, is_done) = std::sync::mpsc::sync_channel(1);
        if self.channel.try_send(Message::Flush(done)).is_ok() {
            // Nothing is sent: the other end is dropped when it is done.
            let _ = is_done.recv_timeout(within);
        }
    }
}

impl Outlet<SpanData> {
    /// As [`open`](Self::open), for the single spans of an app.
    ///
    /// # Errors
    /// As there.
    pub fn open_single(endpoint: &Endpoint, service: String) -> io::Result<Self> {
        Self::open_for(endpoint, service, SPANS_WAITING)
    }
}

/// An app's spans come from the SDK.
impl SpanProcessor for Outlet<SpanData> {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.give(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(Duration::from_secs(5));
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flush(timeout);
        Ok(())
    }
}
