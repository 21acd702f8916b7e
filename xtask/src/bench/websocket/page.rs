//! The page of a run with WebSocket.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::budgets::{self, Verdict};
use super::workload::{self, Workload};
use super::{Outcome, PEERS, idle, storm};
use crate::bench::chart::Chart;
use crate::bench::counts::COUNTED_BY;
use crate::bench::options::Options;
use crate::bench::page::{DECIDED, directory, emulated_note, marked, na, preface, shown_met, shown_metric};
use crate::bench::results::{Load, Results};
use crate::bench::{by_workload, counts};

/// Writes everything and returns the directory.
pub(super) fn write(outcome: &Outcome, options: &Options) -> Result<PathBuf> {
    let directory = directory(&outcome.machine, options)?;
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    };
    let files = [
        ("results.csv", csv(outcome.results.loaded().map(|(workload, results)| (workload, results.loads_csv())))),
        ("counts.csv", csv(outcome.results.counted().map(|(workload, results)| (workload, results.counts_csv())))),
        ("idle.csv", idle::csv(&outcome.idle)),
        ("storms.csv", storm::csv(&outcome.storms)),
    ];
    for (name, text) in files {
        if !text.is_empty() {
            write(name, text)?;
        }
    }
    let mut page = preface("Benchmark of WebSocket", &outcome.machine, outcome.results.others());
    page.push_str(NOTES);
    page.push('\n');
    page.push_str(&summary(outcome));
    for (file, chart) in charts(outcome) {
        write(file, chart.draw())?;
        let _ = writeln!(page, "![{}]({file})\n", chart.title);
    }
    write("README.md", page)?;
    Ok(directory)
}

const NOTES: &str = "\
* Messages are in one frame each, binary but for JSON, and go without compression and without TLS where nothing else is said. A message \
is counted when it is back; of a broadcast, each delivery is one.
* Narthex's hubs have their heartbeat, as by default: a ping every 30 s and a timer per connection. None of the peers has one.
* For broadcasts, the peers send through a channel per connection, since they have no rooms of their own.
* nginx has two workers on the server core, since one may not have as many files open; its share of WebSockets is what the kernel gives it.
* Compressed echoes are without context from one message to the next, both ways. Of the peers, only `ws` on Node compresses.
";

fn csv(results: impl Iterator<Item = (Workload, String)>) -> String {
    let header = |header: &str| format!("workload,{}", header.replace("request", "message"));
    by_workload::csv(results, header, |workload, line| format!("\"{}\",{line}", workload.title()))
}

/// Every table of the page, also for the terminal.
pub(super) fn summary(outcome: &Outcome) -> String {
    let mut text = String::new();
    budget_table(&mut text, outcome);
    idle::table(&mut text, &outcome.idle, &outcome.unreached, idle::SOME);
    idle::table(&mut text, &outcome.idle, &outcome.unreached, idle::MANY);
    storm::table(&mut text, &outcome.storms, &outcome.no_storm);
    for (workload, results) in outcome.results.loaded() {
        load_table(&mut text, workload, results);
    }
    count_table(&mut text, outcome);
    text
}

fn budget_table(text: &mut String, outcome: &Outcome) {
    let _ = writeln!(
        text,
        "## Budgets\n\n{DECIDED} Per message; beside the median the least and the greatest of the rounds, and the same comparison in CPU time \
         and in user instructions alone, which decide nothing then.\n\n\
         | budget | measured | decided by | rounds | CPU time | user instructions | met? |\n|---|---:|---|---:|---:|---:|---|"
    );
    let verdicts = budgets::verdicts(outcome);
    for verdict in &verdicts {
        let by = shown_metric(verdict.decided_by);
        let met = shown_met(verdict.met);
        let Verdict { budget, measured, spread, cpu_time, user_only, .. } = verdict;
        let _ = writeln!(text, "| {budget} | {measured} | {by} | {spread} | {cpu_time} | {user_only} | {met} |");
    }
    text.push('\n');
    emulated_note(text, verdicts.iter().map(|verdict| verdict.decided_by));
}

fn load_table(text: &mut String, workload: Workload, results: &Results) {
    let title = workload.title();
    let _ = write!(
        text,
        "## {}{}\n\n| subject | {}/s | p50 | p99 | CPU per {} | user | system |",
        title[..1].to_uppercase(),
        &title[1..],
        workload.units(),
        workload.unit(),
    );
    for peer in PEERS {
        let _ = write!(text, " x {peer} |");
    }
    let columns = "---:|".repeat(PEERS.len());
    let _ = writeln!(text, " server core busy | by others |\n|---|---:|---:|---:|---:|---:|---:|{columns}---:|---:|");
    let connections = workload.connections();
    for subject in results.subjects() {
        let median = |metric: fn(&Load) -> Option<f64>| results.median(subject, connections, metric);
        let Some(rate) = median(|load| Some(load.requests_per_second)) else { continue };
        let latency = |metric| median(metric).map_or_else(na, |value| format!("{value:.0} us"));
        let cost = |metric| median(metric).map_or_else(na, |value| format!("{value:.0} ns"));
        let share = |metric| median(metric).unwrap_or_default() * 100.0;
        let _ = write!(
            text,
            "| {} | {rate:.0} | {} | {} | {} | {} | {} |",
            marked(subject),
            latency(|load| load.p50_us),
            latency(|load| load.p99_us),
            cost(|load| Some(load.cpu_ns())),
            cost(|load| Some(load.user_ns)),
            cost(|load| Some(load.system_ns)),
        );
        for peer in PEERS {
            let ratio = results.combined([subject, peer], connections, |load| Some(load.cpu_ns()), |[own, peer]| own / peer);
            let _ = write!(text, " {} |", ratio.map_or_else(na, |ratio| format!("{ratio:.2}")));
        }
        let _ = writeln!(text, " {:.0} % | {:.0} % |", share(|load| Some(load.busy)), share(|load| Some(load.others)));
    }
    text.push('\n');
}

fn count_table(text: &mut String, outcome: &Outcome) {
    let all: Vec<_> = outcome.results.counted().collect();
    if all.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "## Counted per message\n\n{COUNTED_BY} The client sends on all connections, then reads all answers.\n\n\
         | subject | workload | instructions (emulated), user + kernel | user instructions | system calls | which |\n\
         |---|---|---:|---:|---:|---|"
    );
    let mut failures = String::new();
    for (workload, results) in all {
        for count in &results.counts {
            counts::failures(&mut failures, &workload.title(), count);
            let [emulated, user] = [&count.emulated, &count.user_instructions].map(counts::shown);
            let (sum, which) = counts::shown_calls(&count.syscalls);
            let subject = marked(count.subject);
            let _ = writeln!(text, "| {subject} | {} | {emulated} | {user} | {sum} | {which} |", workload.title());
        }
    }
    let _ = writeln!(text, "\n{failures}");
}

fn charts(outcome: &Outcome) -> Vec<(&'static str, Chart)> {
    let bars = |title: &str, workloads: &[Workload]| {
        let rows = super::all().iter().map(|subject| {
            let cost = |load: &Load| Some(load.cpu_ns() / 1e3);
            let values = workloads.iter().map(|&workload| {
                outcome.results.of(workload).and_then(|results| results.median(subject.name, workload.connections(), cost))
            });
            (subject.name.to_owned(), values.collect::<Vec<_>>())
        });
        Chart {
            title: title.to_owned(),
            unit: "microseconds",
            series: workloads.iter().map(|workload| workload.title()).collect(),
            stacked: false,
            digits: 2,
            rows: rows.filter(|(_, values)| values.iter().any(Option::is_some)).collect(),
        }
    };
    let all = [
        ("echo.svg", bars("CPU time per echoed message", &[workload::SMALL, workload::KIBIBYTE])),
        ("large.svg", bars("CPU time per echoed message of 64 KiB", &[workload::LARGE])),
    ];
    all.into_iter().filter(|(_, chart)| !chart.rows.is_empty()).collect()
}
