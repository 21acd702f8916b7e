//! A log that is open, as all threads see it.

use crate::admin::LogState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use super::spec::Spec;
use super::text;
use super::writer::Message;

/// An open log. Groups with the same site and settings share one; its file closes some time after the last of them drops it.
pub(crate) struct Log {
    /// Unique for as long as the host runs.
    pub(super) id: u32,
    /// Where workers keep its buffer. No other log has it while this one lives.
    pub(super) slot: u32,
    pub(super) spec: Spec,
    /// The site and the machine's name as W3C fields.
    pub(super) names: (Vec<u8>, Vec<u8>),
    pub(super) counters: Counters,
    pub(super) all: Arc<Totals>,
    /// Tells the writer that a file may close.
    pub(super) wake: SyncSender<Message>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("id", &self.id).field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // If the channel is full, the writer is awake.
        let _ = self.wake.try_send(Message::Wake);
    }
}

/// What is counted over all logs, closed ones too.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) lost: AtomicU64,
}

/// What is counted of a log.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) lines: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) lost: AtomicU64,
    /// How many of the lost lines the log itself tells of. Only the writer changes it.
    pub(super) lost_told: AtomicU64,
    pub(super) files: AtomicU64,
    pub(super) file: Mutex<Option<String>>,
    pub(super) last_error: Mutex<Option<String>>,
}

impl Log {
    pub(super) fn new(id: u32, slot: u32, spec: Spec, computer: &str, all: Arc<Totals>, wake: SyncSender<Message>) -> Self {
        let mut names = (Vec::new(), Vec::new());
        text::w3c(&mut names.0, spec.site.as_bytes());
        text::w3c(&mut names.1, computer.as_bytes());
        Self { id, slot, spec, names, counters: Counters::default(), all, wake }
    }

    /// Lines that nobody will read.
    pub(super) fn lose(&self, lines: u32) {
        if lines == 0 {
            return;
        }
        self.counters.lost.fetch_add(lines.into(), Ordering::Relaxed);
        self.all.lost.fetch_add(lines.into(), Ordering::Relaxed);
    }

    /// Lost lines that the log does not tell of yet.
    pub(super) fn untold(&self) -> u64 {
        let told = self.counters.lost_told.load(Ordering::Relaxed);
        self.counters.lost.load(Ordering::Relaxed).saturating_sub(told)
    }

    /// How it goes.
    pub(crate) fn report(&self) -> LogState {
        let counters = &self.counters;
        let text = |text: &Mutex<Option<String>>| text.lock().unwrap_or_else(PoisonError::into_inner).clone();
        LogState {
            site: self.spec.site.clone(),
            format: self.spec.format.name().to_owned(),
            file: text(&counters.file),
            lines: counters.lines.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            lost: counters.lost.load(Ordering::Relaxed),
            files: counters.files.load(Ordering::Relaxed),
            last_error: text(&counters.last_error),
        }
    }
}
