//! Ten thousand devices that come at once, and come back at once when the app was killed and started anew.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, WEBSOCKET_LOAD};
use crate::bench::page::marked;
use crate::bench::process::ProcessGroup;
use crate::bench::results::middle;
use crate::bench::subjects::{Subject, Watched};
use crate::bench::{interrupt, load};

pub(super) const DEVICES: usize = 10_000;

/// What one storm was like. Served is who got a 101 and the echo of a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wave {
    pub(super) served: f64,
    pub(super) unserved: f64,
    /// Until the last was served.
    seconds: f64,
    /// Until a device was, of those there were.
    p50: f64,
    p99: f64,
    /// Attempts that failed, and how many devices made them.
    pub(super) refusals: f64,
    devices_refused: f64,
    /// By kind: `kernel=12,503=3`.
    kinds: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Storm {
    pub(super) subject: &'static str,
    pub(super) round: u32,
    /// To a server that runs.
    pub(super) first: Wave,
    /// To one whose app was killed by SIGKILL and started anew at once.
    pub(super) back: Wave,
}

pub(super) fn measure(bench: &Bench<'_>, subject: &Subject, round: u32) -> Result<Storm> {
    let mut running = bench.start(subject, &Watched::No)?;
    let mut command = load::command(None);
    command.arg(bench.binaries.path(WEBSOCKET_LOAD)).args(["storm", "--port", &running.port.to_string()]);
    command.args(["--connections", &DEVICES.to_string()]);
    let mut devices = ProcessGroup::start("ws-load", command, &running.directory().join("storm.log"))?;
    let mut wave = |word: &str| -> Result<Wave> {
        let limit = Duration::from_secs(90);
        let line = interrupt::poll(limit, Duration::from_millis(5), || {
            let output = devices.output()?;
            if let Some(line) = output.lines().find_map(|line| line.strip_prefix(word)) {
                return Ok(Some(line.to_owned()));
            }
            // It ends by itself when it has said everything.
            devices.check_running()?;
            Ok(None)
        })?;
        let line = line.with_context(|| format!("the storm has not come to its `{word}` within {} s", limit.as_secs()))?;
        Wave::read(&line).with_context(|| format!("cannot understand the load generator's report: {line}"))
    };
    let first = wave("open ")?;
    // Whatever the server has yet to do.
    std::thread::sleep(Duration::from_secs(1));
    running.restart_app()?;
    let back = wave("back ")?;
    devices.stop(Duration::from_secs(10))?;
    running.stop()?;
    Ok(Storm { subject: subject.name, round, first, back })
}

impl Wave {
    /// `served 5 unserved 0 seconds 1.0 ...`.
    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let word = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1));
        let value = |name: &str| word(name)?.parse().ok();
        Some(Self {
            served: value("served")?,
            unserved: value("unserved")?,
            seconds: value("seconds")?,
            p50: value("p50")?,
            p99: value("p99")?,
            refusals: value("refusals")?,
            devices_refused: value("devices_refused")?,
            kinds: (*word("kinds")?).to_owned(),
        })
    }
}

impl Storm {
    /// For the terminal while the run goes on.
    pub(super) fn line(&self) -> String {
        let shown = |wave: &Wave| {
            format!("{:.0} served in {:.2} s, {:.0} refusals ({})", wave.served, wave.seconds, wave.refusals, wave.kinds)
        };
        format!("{:<32} storm: {}; after the restart: {}", self.subject, shown(&self.first), shown(&self.back))
    }
}

/// Two rows per subject: to the server that runs, and after the restart.
pub(super) fn table(text: &mut String, all: &[Storm], unreached: &[(&'static str, String)]) {
    if all.is_empty() && unreached.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "## Storms of {DEVICES} devices\n\nAll connect at once; and when all are connected, the app is killed (SIGKILL) and started anew at \
         once, and each device connects again the moment it notices, without waiting, also when it is refused. Refused is whatever is not a 101: by \
         the kernel (nobody listens, or a reset), by closing without an answer, by dropping the connection before the first echo, or by a status. Times \
         are medians of the rounds, the rest the greatest. A device that is not refused by a full backlog but waits for its SYN to be sent again waits 1 s.\n\n\
         | subject | storm | served | not served | until all are | p50 | p99 | devices refused | refusals | of these, in one round |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---|"
    );
    for subject in super::all() {
        let own = || all.iter().filter(|storm| storm.subject == subject.name);
        for (name, of) in [("first", (|storm| &storm.first) as fn(&Storm) -> &Wave), ("app restarted", |storm| &storm.back)] {
            let median = |value: fn(&Wave) -> f64| middle(own().map(of).map(value).collect());
            let most = |value: fn(&Wave) -> f64| own().map(of).map(value).fold(0.0, f64::max);
            let Some(seconds) = median(|wave| wave.seconds) else { continue };
            let kinds =
                own().map(of).max_by(|one, other| one.refusals.total_cmp(&other.refusals)).map(|wave| wave.kinds.as_str());
            let _ = writeln!(
                text,
                "| {} | {name} | {:.0} | {:.0} | {seconds:.2} s | {:.2} s | {:.2} s | {:.0} | {:.0} | {} |",
                marked(subject.name),
                most(|wave| wave.served),
                most(|wave| wave.unserved),
                median(|wave| wave.p50).unwrap_or_default(),
                median(|wave| wave.p99).unwrap_or_default(),
                most(|wave| wave.devices_refused),
                most(|wave| wave.refusals),
                kinds.unwrap_or_default().replace(',', ", ")
            );
        }
    }
    for (subject, reason) in unreached {
        let _ = writeln!(text, "| {} | {reason} | | | | | | | | |", marked(subject));
    }
    text.push('\n');
}

pub(super) fn csv(all: &[Storm]) -> String {
    let mut csv = String::new();
    for storm in all {
        if csv.is_empty() {
            csv.push_str("subject,round,storm,served,unserved,seconds,p50_s,p99_s,devices_refused,refusals,kinds\n");
        }
        for (name, wave) in [("first", &storm.first), ("restarted", &storm.back)] {
            let Wave { served, unserved, seconds, p50, p99, refusals, devices_refused, kinds } = wave;
            let _ = writeln!(
                csv,
                "\"{}\",{},{name},{served},{unserved},{seconds},{p50},{p99},{devices_refused},{refusals},\"{kinds}\"",
                storm.subject, storm.round
            );
        }
    }
    csv
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::bench::websocket) fn wave(refusals: u64) -> Wave {
        let line = format!(
            "served 10000 unserved 0 seconds 1.500 p50 0.700 p99 1.400 devices_refused 1 refusals {refusals} kinds kernel={refusals},503=2"
        );
        Wave::read(&line).unwrap()
    }

    #[test]
    fn the_report_of_a_storm_is_read_and_shown() {
        let storm = Storm { subject: super::super::name::SHARED, round: 1, first: wave(0), back: wave(3) };
        let mut text = String::new();
        table(&mut text, &[storm], &[]);
        assert!(text.contains("| app restarted | 10000 | 0 | 1.50 s | 0.70 s | 1.40 s | 1 | 3 | kernel=3, 503=2 |"), "{text}");
        assert!(Wave::read("served 1 unserved x").is_none());
    }
}
