//! The page of a run with TLS.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::workload::{self, Protocol, Workload};
use super::{Outcome, budgets, name};
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
    write("results.csv", csv(outcome.results.loaded().map(|(workload, results)| (workload, results.loads_csv()))))?;
    if outcome.results.counted().next().is_some() {
        write("counts.csv", csv(outcome.results.counted().map(|(workload, results)| (workload, results.counts_csv()))))?;
    }
    let mut page = preface("Benchmark of TLS", &outcome.machine, outcome.results.others());
    page.push_str(NOTES);
    page.push('\n');
    page.push_str(&summary(outcome));
    page.push_str(&negotiated(outcome));
    for (file, chart) in charts(outcome) {
        write(file, chart.draw())?;
        let _ = writeln!(page, "![{}]({file})\n", chart.title);
    }
    write("README.md", page)?;
    Ok(directory)
}

const NOTES: &str = "\
* Debian's nginx has no HTTP/3, so that there the only peer is axum on quinn and h3.
* Every client offers TLS 1.3 with TLS_AES_256_GCM_SHA384 and X25519, and nothing else. Sessions are resumed by tickets that the server \
does not remember. Nobody asks for client certificates.
* The 1 MB response is a static file in nginx, and bytes in memory in the others.
";

fn csv(results: impl Iterator<Item = (Workload, String)>) -> String {
    let header = |header: &str| format!("workload,unit,{}", header.replace("connections", "lanes").replace("request", "unit"));
    by_workload::csv(results, header, |workload, line| format!("\"{}\",{},\"{}", workload.title(), workload.unit(), quoted(line)))
}

/// A subject's name may have commas.
fn quoted(line: &str) -> String {
    let names = super::all().iter().map(|subject| subject.name);
    let name = names.filter(|name| line.starts_with(&format!("{name},"))).max_by_key(|name| name.len()).unwrap_or_default();
    format!("{name}\"{}", line.strip_prefix(name).unwrap_or(line))
}

/// Every table of the page, also for the terminal.
pub(super) fn summary(outcome: &Outcome) -> String {
    let mut text = String::new();
    budget_table(&mut text, outcome);
    for (workload, results) in outcome.results.loaded() {
        load_table(&mut text, workload, results);
    }
    count_table(&mut text, outcome);
    text
}

fn budget_table(text: &mut String, outcome: &Outcome) {
    let verdicts = budgets::verdicts(&outcome.results);
    if outcome.results.loaded().next().is_none() && verdicts.iter().all(|verdict| verdict.decided_by.is_none()) {
        return;
    }
    let _ = writeln!(
        text,
        "## Budgets\n\n{DECIDED} Per handshake, request or KiB; beside the median the least and the greatest of the rounds, and the same \
         comparison in CPU time and in user instructions alone where they can be counted, which decide nothing then.\n\n\
         | budget | measured | decided by | rounds | CPU time | user instructions | met? |\n|---|---:|---|---:|---:|---:|---|"
    );
    for verdict in &verdicts {
        let by = shown_metric(verdict.decided_by);
        let met = shown_met(verdict.met);
        let ratio = |value: Option<f64>, missing: &str| value.map_or(missing.to_owned(), |value| format!("{value:.2}x"));
        let spread = verdict.spread.map_or_else(String::new, |(least, most)| format!("{least:.2} to {most:.2}"));
        let _ = writeln!(
            text,
            "| {} | {} | {by} | {spread} | {} | {} | {met} |",
            verdict.budget,
            ratio(verdict.measured, "no data"),
            ratio(verdict.cpu_time, ""),
            ratio(verdict.user_only, "")
        );
    }
    text.push('\n');
    emulated_note(text, verdicts.iter().map(|verdict| verdict.decided_by));
}

fn load_table(text: &mut String, workload: Workload, results: &Results) {
    let unit = workload.unit();
    let rate = if is_bulk(workload) { "MB/s".to_owned() } else { format!("{unit}s/s") };
    let per_request = if is_bulk(workload) { "response" } else { unit };
    let title = workload.title();
    let _ = writeln!(
        text,
        "## {}{}\n\n| subject | {rate} | {per_request} p50 | p99 | CPU per {unit} | user | system | x nginx | x nginx -> axum::serve | \
         x axum on tokio-rustls and quinn | server core busy | by others | errors |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        title[..1].to_uppercase(),
        &title[1..],
    );
    let lanes = workload.lanes();
    for subject in results.subjects() {
        let median = |metric: fn(&Load) -> Option<f64>| results.median(subject, lanes, metric);
        let Some(units) = median(|load| Some(load.requests_per_second)) else { continue };
        let rate = if is_bulk(workload) { units * 1024.0 / 1e6 } else { units };
        let latency = |metric| median(metric).map_or_else(na, |value| format!("{value:.0} us"));
        let cost = |metric| median(metric).map_or_else(na, |value| shown(workload, value));
        let times = |peer| {
            let ratio = results.combined([subject, peer], lanes, |load| Some(load.cpu_ns()), |[own, peer]| own / peer);
            ratio.map_or_else(na, |ratio| format!("{ratio:.2}"))
        };
        let share = |metric| median(metric).unwrap_or_default() * 100.0;
        let _ = writeln!(
            text,
            "| {} | {rate:.0} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} % | {:.0} % | {} |",
            marked(subject),
            latency(|load| load.p50_us),
            latency(|load| load.p99_us),
            cost(|load| Some(load.cpu_ns())),
            cost(|load| Some(load.user_ns)),
            cost(|load| Some(load.system_ns)),
            times(name::NGINX),
            times(name::NGINX_AXUM),
            times(name::AXUM),
            share(|load| Some(load.busy)),
            share(|load| Some(load.others)),
            results.errors(subject, lanes),
        );
    }
    text.push('\n');
}

fn is_bulk(workload: Workload) -> bool {
    matches!(workload, Workload::Megabyte { .. })
}

fn shown(workload: Workload, nanoseconds: f64) -> String {
    if is_bulk(workload) { format!("{nanoseconds:.0} ns") } else { format!("{:.2} us", nanoseconds / 1e3) }
}

fn count_table(text: &mut String, outcome: &Outcome) {
    let all: Vec<_> = outcome.results.counted().collect();
    if all.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "## Counted per request\n\n{COUNTED_BY} The CPUs that valgrind and QEMU emulate have AES-NI and AVX2, but not all of AVX-512, vector AES and \
         SHA instructions that OpenSSL and AWS-LC use on this machine: for a small request that is a few hundred instructions, but handshakes \
         and bulk would be counted by code that never runs here, so they are left out.\n\n\
         | subject | workload | instructions (emulated), user + kernel | x nginx -> axum::serve | user instructions | x nginx -> axum::serve | \
         system calls | which |\n|---|---|---:|---:|---:|---:|---:|---|"
    );
    let mut failures = String::new();
    for (workload, results) in all {
        for count in &results.counts {
            counts::failures(&mut failures, &workload.title(), count);
            let pair = [count.subject, name::NGINX_AXUM];
            let times = |pair: Option<[f64; 2]>| pair.map_or_else(na, |[own, peer]| format!("{:.2}", own / peer));
            let (sum, which) = counts::shown_calls(&count.syscalls);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {sum} | {which} |",
                marked(count.subject),
                workload.title(),
                counts::shown(&count.emulated),
                times(results.emulated(pair, count.connections)),
                counts::shown(&count.user_instructions),
                times(results.user_instructions_of(pair, count.connections)),
            );
        }
    }
    let _ = writeln!(text, "\n{failures}");
}

fn negotiated(outcome: &Outcome) -> String {
    if outcome.negotiated.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "## Negotiated\n\nWith a connection that was not yet under load: version, suite, group and protocol; then the session tickets \
         that came with a full handshake, and what became of the next connection.\n\n| subject | negotiated |\n|---|---|\n",
    );
    for (subject, line) in &outcome.negotiated {
        let _ = writeln!(text, "| {} | {line} |", marked(subject));
    }
    text.push('\n');
    text
}

fn charts(outcome: &Outcome) -> Vec<(&'static str, Chart)> {
    let bars = |title: &str, unit, digits, workloads: &[(&str, Workload)], value: fn(&Load) -> f64| {
        let rows = super::all().iter().map(|subject| {
            let values = workloads.iter().map(|&(_, workload)| {
                outcome
                    .results
                    .of(workload)
                    .and_then(|results| results.median(subject.name, workload.lanes(), |load| Some(value(load))))
            });
            (subject.name.to_owned(), values.collect::<Vec<_>>())
        });
        Chart {
            title: title.to_owned(),
            unit,
            series: workloads.iter().map(|(label, _)| (*label).to_owned()).collect(),
            stacked: false,
            digits,
            rows: rows.filter(|(_, values)| values.iter().any(Option::is_some)).collect(),
        }
    };
    let handshakes = [("full, ECDSA", workload::FULL_ECDSA), ("full, RSA", workload::FULL_RSA), ("resumed", workload::RESUMED)];
    let small = [
        (Protocol::Http1.name(), workload::SMALL_HTTP1),
        (Protocol::Http2.name(), workload::SMALL_HTTP2),
        (Protocol::Http3.name(), workload::SMALL_HTTP3),
    ];
    let megabyte = [
        (Protocol::Http1.name(), workload::MEGABYTE_HTTP1),
        (Protocol::Http2.name(), workload::MEGABYTE_HTTP2),
        (Protocol::Http3.name(), workload::MEGABYTE_HTTP3),
    ];
    let microseconds = |load: &Load| load.cpu_ns() / 1e3;
    let all = [
        ("handshakes.svg", bars("CPU time per handshake", "microseconds", 0, &handshakes, microseconds)),
        ("small.svg", bars("CPU time per small request", "microseconds", 2, &small, microseconds)),
        ("megabyte.svg", bars("CPU time per KiB of 1 MB responses", "nanoseconds", 0, &megabyte, Load::cpu_ns)),
        (
            "bytes.svg",
            bars("Bytes per second of 1 MB responses", "MB/s", 0, &megabyte, |load| load.requests_per_second * 1024.0 / 1e6),
        ),
    ];
    all.into_iter().filter(|(_, chart)| !chart.rows.is_empty()).collect()
}
