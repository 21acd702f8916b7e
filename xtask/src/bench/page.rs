//! The dated page of a run: a Markdown file with its tables, beside the CSV files and plots it is made from.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::budgets::{self, COUNTED_AT};
use super::chart::Chart;
use super::comparison::{EMULATED_NOTE, Metric};
use super::machine::Machine;
use super::options::{COUNTED_CONNECTIONS, Compared, Options};
use super::results::{Load, Results, is_narthex};
use super::subjects::name;
use super::{counts, knobs};
use crate::system;

/// Writes everything and returns the directory.
pub(super) fn write(results: &Results, options: &Options) -> Result<PathBuf> {
    let directory = directory(&results.machine, options)?;
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    };
    let charts = if options.compared == Compared::Knobs { Vec::new() } else { charts(results) };
    if !results.loads.is_empty() {
        write("results.csv", results.loads_csv())?;
    }
    if !results.counts.is_empty() {
        write("counts.csv", results.counts_csv())?;
    }
    for (file, chart) in &charts {
        write(file, chart.draw())?;
    }
    write("README.md", page(results, options, &charts))?;
    Ok(directory)
}

/// A new directory; quick runs share one that nobody keeps.
pub(super) fn directory(machine: &Machine, options: &Options) -> Result<PathBuf> {
    if options.quick {
        let directory = system::target_directory().join("bench-quick");
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        return Ok(directory);
    }
    let all = system::root().join("bench/results");
    let suffix = match options.compared {
        Compared::Peers => "",
        Compared::Knobs => "-knobs",
        Compared::Tls => "-tls",
        Compared::WebSocket => "-websocket",
        Compared::Files => "-files",
    };
    let name = format!("{}{suffix}", machine.date);
    let mut directory = all.join(&name);
    let mut number = 1;
    while directory.exists() {
        number += 1;
        directory = all.join(format!("{name}-{number}"));
    }
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

fn page(results: &Results, options: &Options, charts: &[(&'static str, Chart)]) -> String {
    let knobs = options.compared == Compared::Knobs;
    let title = if knobs { "The knobs of FineTune: benchmark" } else { "Benchmark" };
    let mut page = preface(title, &results.machine, results.loads.iter().map(|load| load.others).collect());
    page.push('\n');
    page.push_str(&summary(results, options));
    for (file, chart) in charts {
        let _ = writeln!(page, "![{}]({file})\n", chart.title);
    }
    page
}

/// What a page begins with: where and how the run took place, and how much of the server core others had in each of its parts.
pub(super) fn preface(title: &str, machine: &Machine, mut disturbed: Vec<f64>) -> String {
    let mut page = format!(
        "# {title} of {}\n\nHow to read and repeat this: [bench/README.md](../../README.md).\n\n```\n{}\n```\n\n",
        machine.date, machine.command
    );
    let _ = writeln!(
        page,
        "* Machine: {}, {} cores, {}; load average before the run {}.\n* Servers on core 0, load on core 1, loopback only.",
        machine.cpu, machine.cores, machine.kernel, machine.load_average
    );
    let versions: Vec<String> = machine.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let _ = writeln!(page, "* Versions: {}.", versions.join("; "));
    if let Some(reason) = &machine.no_instructions {
        let _ = writeln!(page, "* Instructions under load are n/a: {reason}. What is compared below is CPU time.");
    }
    disturbed.sort_by(f64::total_cmp);
    if let Some(worst) = disturbed.last().filter(|&&share| share > 0.05) {
        let runs = disturbed.iter().filter(|&&share| share > 0.05).count();
        let _ = writeln!(
            page,
            "* **Disturbed**: in {runs} of {} runs something else used more than 5 % of the server core (at most {:.0} %). Times of such runs are not to be trusted; counts are.",
            disturbed.len(),
            worst * 100.0
        );
    }
    page
}

/// Every table of the page, also for the terminal.
pub(super) fn summary(results: &Results, options: &Options) -> String {
    if options.compared == Compared::Knobs {
        return knobs::tables(results);
    }
    let mut text = String::new();
    budget_table(&mut text, results);
    for connections in results.connections().into_iter().rev() {
        load_table(&mut text, results, connections);
    }
    counts::table(&mut text, results);
    text
}

fn budget_table(text: &mut String, results: &Results) {
    let verdicts = budgets::verdicts(results);
    if results.loads.is_empty() && verdicts.iter().all(|verdict| verdict.decided_by.is_none()) {
        return;
    }
    let load = match results.reference_connections() {
        Some(connections) => format!("Under load at {connections} connections, counted at {COUNTED_AT}"),
        None => format!("Counted at {COUNTED_AT} connections"),
    };
    let _ = writeln!(
        text,
        "## Budgets\n\n{DECIDED} {load}. Beside it CPU time and user instructions alone, which decide nothing then.\n\n\
         | budget | measured | decided by | CPU time | user instructions | met? |\n|---|---:|---|---:|---:|---|"
    );
    for verdict in &verdicts {
        let by = shown_metric(verdict.decided_by);
        let met = shown_met(verdict.met);
        let _ = writeln!(
            text,
            "| {} | {} | {by} | {} | {} | {met} |",
            verdict.budget, verdict.measured, verdict.cpu_time, verdict.user_only
        );
    }
    text.push('\n');
    emulated_note(text, verdicts.iter().map(|verdict| verdict.decided_by));
}

/// How a table of budgets begins.
pub(super) const DECIDED: &str = "By instructions, user and kernel, where they were counted, else by CPU time.";

/// What has to be said behind verdicts that were decided by these.
pub(super) fn emulated_note(text: &mut String, mut decided_by: impl Iterator<Item = Option<Metric>>) {
    if decided_by.any(|by| by == Some(Metric::Emulated)) {
        let _ = writeln!(text, "{EMULATED_NOTE}\n");
    }
}

pub(super) fn shown_metric(metric: Option<Metric>) -> &'static str {
    metric.map_or("", Metric::name)
}

fn load_table(text: &mut String, results: &Results, connections: usize) {
    let _ = writeln!(
        text,
        "## Under load, {connections} connections\n\n| subject | requests/s | p50 | p99 | CPU per request | user | system | x bare loop | x axum::serve | instructions user / kernel | server core busy | by others | errors |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    for subject in results.subjects() {
        let median = |metric: fn(&Load) -> Option<f64>| results.median(subject, connections, metric);
        let Some(requests) = median(|load| Some(load.requests_per_second)) else {
            continue;
        };
        let microseconds = |metric, factor: f64| median(metric).map_or_else(na, |value| format!("{:.2} us", value / factor));
        let latency = |metric| median(metric).map_or_else(na, |value| format!("{value:.0} us"));
        let times = |peer| {
            let cpu = |load: &Load| Some(load.cpu_ns());
            let ratio = results.combined([subject, peer], connections, cpu, |[a, b]| a / b);
            ratio.map_or_else(na, |ratio| format!("{ratio:.2}"))
        };
        let user = median(|load| load.instructions.map(|counted| counted.user));
        let kernel = median(|load| load.instructions.map(|counted| counted.kernel));
        let instructions =
            user.zip(kernel).map_or_else(na, |(user, kernel)| format!("{:.1} k / {:.1} k", user / 1e3, kernel / 1e3));
        let _ = writeln!(
            text,
            "| {} | {requests:.0} | {} | {} | {} | {} | {} | {} | {} | {instructions} | {:.0} % | {:.0} % | {} |",
            marked(subject),
            latency(|load| load.p50_us),
            latency(|load| load.p99_us),
            microseconds(|load| Some(load.cpu_ns()), 1e3),
            microseconds(|load| Some(load.user_ns), 1e3),
            microseconds(|load| Some(load.system_ns), 1e3),
            times(name::BARE),
            times(name::AXUM),
            median(|load| Some(load.busy)).unwrap_or_default() * 100.0,
            median(|load| Some(load.others)).unwrap_or_default() * 100.0,
            results.errors(subject, connections),
        );
    }
    text.push('\n');
}

fn charts(results: &Results) -> Vec<(&'static str, Chart)> {
    let mut charts = Vec::new();
    let subjects = results.subjects();
    let rows = |values: &dyn Fn(&str) -> Vec<Option<f64>>| {
        let rows = subjects.iter();
        rows.map(|&subject| (subject.to_owned(), values(subject))).collect::<Vec<_>>()
    };
    if let Some(connections) = results.reference_connections() {
        let median =
            |subject: &str, metric: fn(&Load) -> f64| results.median(subject, connections, |load| Some(metric(load) / 1e3));
        let cpu = Chart {
            title: format!("CPU time per request, {connections} connections"),
            unit: "microseconds",
            series: vec!["user".to_owned(), "system".to_owned()],
            stacked: true,
            digits: 2,
            rows: rows(&|subject| vec![median(subject, |load| load.user_ns), median(subject, |load| load.system_ns)]),
        };
        charts.push(("cpu-time.svg", cpu));
        let counts = results.connections();
        let throughput = Chart {
            title: "Requests per second by connections".to_owned(),
            unit: "requests/s",
            series: counts.iter().map(|&count| connections_label(count)).collect(),
            stacked: false,
            digits: 0,
            rows: rows(&|subject| {
                let each = counts.iter();
                each.map(|&count| results.median(subject, count, |load| Some(load.requests_per_second))).collect()
            }),
        };
        charts.push(("requests.svg", throughput));
    }
    let mut counted = |file, title: &str, unit, value: &dyn Fn(&str, usize) -> Option<f64>| {
        let rows = rows(&|subject| COUNTED_CONNECTIONS.map(|count| value(subject, count)).to_vec());
        if rows.iter().any(|(_, values)| values.iter().any(Option::is_some)) {
            let series = COUNTED_CONNECTIONS.map(connections_label).to_vec();
            charts.push((file, Chart { title: title.to_owned(), unit, series, stacked: false, digits: 0, rows }));
        }
    };
    counted("instructions.svg", "Instructions per request", "instructions (emulated)", &|subject, connections| {
        results.emulated([subject], connections).map(|[count]| count)
    });
    counted("user-instructions.svg", "User instructions per request", "instructions (callgrind)", &|subject, connections| {
        results.user_instructions(subject, connections)
    });
    charts
}

/// What became of a budget.
pub(super) fn shown_met(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "no data",
    }
}

pub(super) fn marked(subject: &str) -> String {
    if is_narthex(subject) {
        return format!("**{subject}**");
    }
    subject.to_owned()
}

fn connections_label(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} connection{plural}")
}

pub(super) fn na() -> String {
    "n/a".to_owned()
}
