//! One run of `wrk`, and what it reports.

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
    /// One request per connection: as many are open at a time.
    pub(super) fresh: bool,
    pub(super) seconds: u32,
    /// What the OpenSSL in it is told.
    pub(super) openssl: Option<&'a Path>,
}

impl Run<'_> {
    /// Runs wrk, under `perf` if instructions can be counted.
    pub(super) fn measure(&self, perf: Option<&Attached>) -> Result<Report> {
        let mut command = load::command(perf);
        command
            .arg(self.program)
            .args(["--latency", "--timeout", "5s", "-t", "1"])
            .args(["-c", &self.connections.to_string()])
            .args(["-d", &format!("{}s", self.seconds)])
            .args(self.fresh.then_some(["-H", "Connection: close"]).into_iter().flatten())
            .arg(&self.url);
        if let Some(configuration) = self.openssl {
            command.env("OPENSSL_CONF", configuration);
        }
        let output = load::complete("wrk", command, self.seconds)?;
        parse(&output).with_context(|| format!("cannot understand wrk's report: {output}"))
    }
}

fn parse(output: &str) -> Option<Report> {
    let mut requests = None;
    let mut requests_per_second = None;
    let mut p50_us = None;
    let mut p99_us = None;
    let mut errors = 0;
    for line in output.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("50%") => p50_us = microseconds(words.next()?),
            Some("99%") => p99_us = microseconds(words.next()?),
            Some("Requests/sec:") => requests_per_second = words.next()?.parse().ok(),
            // Socket errors: connect 0, read 12, write 0, timeout 3
            Some("Socket") => {
                errors += line.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
            }
            // Non-2xx or 3xx responses: 17
            Some("Non-2xx") => errors += words.last()?.parse::<u64>().ok()?,
            Some(count) if line.contains(" requests in ") => requests = count.parse().ok(),
            _ => {}
        }
    }
    Some(Report {
        requests: requests.filter(|&requests: &f64| requests > 0.0)?,
        requests_per_second: requests_per_second?,
        p50_us: Some(p50_us?),
        p99_us: Some(p99_us?),
        errors,
    })
}

/// wrk prints latencies as `12.00us`, `1.20ms`, `1.20s` or `1.20m`.
fn microseconds(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let value: f64 = digits.parse().ok()?;
    let factor = match &text[digits.len()..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => return None,
    };
    Some(value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_with_errors_is_read_completely() {
        let output = "\
Running 1s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   350.10us   80.00us   2.10ms   90.00%
    Req/Sec   180.00k     3.00k  190.00k    80.00%
  Latency Distribution
     50%  340.00us
     75%  380.00us
     90%  400.00us
     99%    1.25ms
  180512 requests in 1.00s, 20.00MB read
  Socket errors: connect 1, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 17
Requests/sec: 180400.25
Transfer/sec:     20.00MB
";
        let report = Report {
            requests: 180_512.0,
            requests_per_second: 180_400.25,
            p50_us: Some(340.0),
            p99_us: Some(1250.0),
            errors: 23,
        };
        assert_eq!(parse(output), Some(report));
    }

    #[test]
    fn a_run_without_a_single_answer_is_not_a_report() {
        let output = "  50%    0.00us\n  99%    0.00us\n  0 requests in 1.00s, 0.00B read\nRequests/sec:      0.00\n";
        assert_eq!(parse(output), None);
    }
}
