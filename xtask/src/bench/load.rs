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
    let mut command = match perf {
        Some(perf) => perf.command(),
        None => pinned(LOAD_CORE),
    };
    // Of what it says last, the reason is to be seen.
    command.env("RUST_BACKTRACE", "0");
    command
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

/// What a generator of ours has printed: `done 5 seconds 1.0 p50_us 3.0 p99_us 4.0 errors 0 ...`.
pub(super) fn read_own(output: &str) -> Result<Report> {
    let words: Vec<&str> = output.split_whitespace().collect();
    let value = |name: &str| -> Option<f64> {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1)?.parse().ok()
    };
    let read = || {
        let (done, seconds) = (value("done")?, value("seconds")?);
        let [p50_us, p99_us] = [value("p50_us"), value("p99_us")];
        let errors = value("errors")? as u64;
        Some(Report { requests: done, requests_per_second: done / seconds, p50_us, p99_us, errors })
    };
    let report = read().with_context(|| format!("cannot understand the load generator's report: {output}"))?;
    if report.requests == 0.0 {
        bail!("nothing succeeded: {output}");
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_our_own_generator_is_read() {
        let report =
            read_own("done 500 seconds 2.0 p50_us 3.5 p99_us 9.0 errors 1 bytes 0 tickets 1000 first_error \"x\"\n").unwrap();
        let expected = Report { requests: 500.0, requests_per_second: 250.0, p50_us: Some(3.5), p99_us: Some(9.0), errors: 1 };
        assert_eq!(report, expected);
        assert!(read_own("done 0 seconds 2.0 p50_us 0 p99_us 0 errors 1").is_err());
    }
}
