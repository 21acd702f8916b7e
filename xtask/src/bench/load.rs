//! One run of a load generator, whichever it is.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::counters::Attached;
use super::process::{ProcessGroup, pinned};
use super::{LOAD_CORE, interrupt};

/// What a load generator saw.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Report {
    pub(super) requests: f64,
    pub(super) requests_per_second: f64,
    /// Not every generator tells.
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    /// Socket errors, timeouts and answers that are not 2xx or 3xx.
    pub(super) errors: u64,
}

/// What a load generator is started by: under `perf` if instructions can be counted.
pub(super) fn command(perf: Option<&Attached>) -> Command {
    match perf {
        Some(perf) => perf.command(),
        None => pinned(LOAD_CORE),
    }
}

/// Runs it, and returns all that it printed. One that does not end soon after these seconds is an error.
pub(super) fn complete(name: &str, command: Command, seconds: u32) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let mut running = ProcessGroup::start(name, command, &directory.path().join("log"))?;
    let limit = Duration::from_secs(u64::from(seconds) + 20);
    let status = interrupt::poll(limit, Duration::from_millis(5), || running.status())?
        .with_context(|| format!("{name} has not ended after {} s", limit.as_secs()))?;
    if !status.success() {
        bail!("{name} ended with {status}: {}", running.last_words());
    }
    running.output()
}
