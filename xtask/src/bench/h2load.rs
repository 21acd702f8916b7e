//! One run of `h2load`, and what it reports.

use std::path::Path;

use anyhow::{Context, Result};

use super::counters::Attached;
use super::load::{self, Report};

/// Load on one URL.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) program: &'a Path,
    pub(super) url: String,
    pub(super) connections: usize,
    pub(super) streams: usize,
    pub(super) seconds: u32,
}

impl Run<'_> {
    /// Runs h2load, under `perf` if instructions can be counted.
    pub(super) fn measure(&self, perf: Option<&Attached>) -> Result<Report> {
        let mut command = load::command(perf);
        command
            .arg(self.program)
            .args(["-t", "1", "-c", &self.connections.to_string(), "-m", &self.streams.to_string()])
            .args(["-D", &self.seconds.to_string()])
            // 4 MiB for a stream and 16 MiB for the connection, as browsers have.
            .args(["-w", "22", "-W", "24"])
            .args(["--tls13-ciphers=TLS_AES_256_GCM_SHA384", "--groups=X25519"])
            .arg(&self.url);
        let output = load::complete("h2load", command, self.seconds)?;
        parse(&output).with_context(|| format!("cannot understand h2load's report: {output}"))
    }
}

fn parse(output: &str) -> Option<Report> {
    let mut requests = None;
    let mut requests_per_second = None;
    let mut errors = 0;
    for line in output.lines() {
        let number = |text: &str| -> Option<f64> { text.split_whitespace().next()?.parse().ok() };
        if let Some(rest) = line.strip_prefix("finished in ") {
            requests_per_second = number(rest.split(", ").nth(1)?);
        } else if let Some(rest) = line.strip_prefix("requests: ") {
            // requests: 100 total, 100 started, 100 done, 99 succeeded, 1 failed, 0 errored, 0 timeout
            let count = |what: &str| rest.split(", ").find(|part| part.ends_with(what)).and_then(number);
            requests = count("succeeded");
            errors = (count("failed")? + count("timeout")?) as u64;
        }
    }
    Some(Report {
        requests: requests.filter(|&requests| requests > 0.0)?,
        requests_per_second: requests_per_second?,
        p50_us: None,
        p99_us: None,
        errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_with_failures_is_read() {
        let output = "\
finished in 2.01s, 120345.50 req/s, 4.50MB/s
requests: 240700 total, 241212 started, 240700 done, 240691 succeeded, 9 failed, 0 errored, 0 timeout
status codes: 240691 2xx, 0 3xx, 0 4xx, 9 5xx
";
        let report = Report { requests: 240_691.0, requests_per_second: 120_345.5, p50_us: None, p99_us: None, errors: 9 };
        assert_eq!(parse(output), Some(report));
    }

    #[test]
    fn a_run_without_a_single_answer_is_not_a_report() {
        let output = "finished in 2.01s, 0.00 req/s, 0B/s\n\
                      requests: 0 total, 512 started, 0 done, 0 succeeded, 0 failed, 0 errored, 0 timeout\n";
        assert_eq!(parse(output), None);
    }
}
