//! Tables of what was counted.

use std::fmt::Write;

use super::options::COUNTED_CONNECTIONS;
use super::page::{marked, na};
use super::results::{Count, Counted, Results};
use super::subjects::name;
use super::syscalls::Calls;

/// What the numbers are.
pub(super) const COUNTED_BY: &str = "Of all server processes: instructions, user and kernel (in an emulated machine), user instructions alone \
    (callgrind) and system calls (strace); n/a is what was not asked for.";

/// That of the default comparison.
pub(super) fn table(text: &mut String, results: &Results) {
    if results.counts.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "## Counted per request\n\n{COUNTED_BY} A fixed client sends one request on every connection, then reads all answers.\n\n\
         | subject | connections | instructions (emulated), user + kernel | x bare loop | x axum::serve | user instructions | x bare loop | \
         x axum::serve | system calls | which |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---|"
    );
    let mut failed = String::new();
    for subject in results.subjects() {
        for connections in COUNTED_CONNECTIONS {
            let Some(count) = results.count(subject, connections) else { continue };
            failures(&mut failed, &connections_title(connections), count);
            row(text, results, count);
        }
    }
    let _ = writeln!(text, "\n{failed}");
}

fn row(text: &mut String, results: &Results, count: &Count) {
    let Count { subject, connections, .. } = *count;
    let peers = [name::BARE, name::AXUM];
    let emulated = peers.map(|peer| results.emulated([subject, peer], connections));
    let user = peers.map(|peer| results.user_instructions_of([subject, peer], connections));
    let _ = write!(text, "| {} | {connections} |", marked(subject));
    for (counted, ratios) in [(&count.emulated, emulated), (&count.user_instructions, user)] {
        let _ = write!(text, " {} |", shown(counted));
        for ratio in ratios {
            let _ = write!(text, " {} |", ratio.map_or_else(na, |[own, peer]| format!("{:.2}", own / peer)));
        }
    }
    let (sum, which) = shown_calls(&count.syscalls);
    let _ = writeln!(text, " {sum} | {which} |");
}

fn connections_title(connections: usize) -> String {
    format!("{connections} connections")
}

/// A number of instructions.
pub(super) fn shown(counted: &Counted<f64>) -> String {
    match counted {
        None => na(),
        Some(Ok(count)) => format!("{count:.0}"),
        Some(Err(_)) => "failed".to_owned(),
    }
}

/// The sum of the calls, and which they are, the most frequent first.
pub(super) fn shown_calls(counted: &Counted<Calls>) -> (String, String) {
    let calls = match counted {
        None => return (na(), String::new()),
        Some(Err(_)) => return ("failed".to_owned(), String::new()),
        Some(Ok(calls)) => calls,
    };
    let mut calls: Vec<(&String, &f64)> = calls.iter().collect();
    calls.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let which: Vec<String> = calls.iter().map(|(name, each)| format!("{name} {each:.2}")).collect();
    let sum: f64 = calls.iter().map(|(_, each)| **each).sum();
    (format!("{sum:.2}"), which.join(", "))
}

/// Lines for below a table: what could not be counted, and why.
pub(super) fn failures(text: &mut String, workload: &str, count: &Count) {
    let subject = count.subject;
    let reasons = [
        ("instructions (emulated)", reason(&count.emulated)),
        ("user instructions", reason(&count.user_instructions)),
        ("system calls", reason(&count.syscalls)),
    ];
    for (what, reason) in reasons {
        if let Some(reason) = reason {
            let _ = writeln!(text, "* {subject}, {workload}: {what} could not be counted: {reason}");
        }
    }
}

fn reason<T>(counted: &Counted<T>) -> Option<&String> {
    counted.as_ref()?.as_ref().err()
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::super::subjects;
    use super::*;

    #[test]
    fn a_table_has_what_was_counted_beside_the_bare_loop_and_says_what_failed() {
        let subject = |name| subjects::all().iter().find(|subject| subject.name == name).unwrap();
        let mut bare = Count::new(subject(name::BARE), 64);
        bare.set_emulated(Ok(10_000.0));
        let mut raw = Count::new(subject(name::EMBEDDED_RAW), 64);
        raw.set_emulated(Ok(11_000.0));
        raw.set_syscalls(Err(anyhow::anyhow!("no strace")));
        let mut text = String::new();
        table(&mut text, &Results { counts: vec![bare, raw], ..results(Vec::new()) });
        assert!(
            text.contains("| **narthex embedded (raw handler)** | 64 | 11000 | 1.10 | n/a | n/a | n/a | n/a | failed |  |\n"),
            "{text}"
        );
        let failure = "* narthex embedded (raw handler), 64 connections: system calls could not be counted: no strace\n";
        assert!(text.contains(failure), "{text}");
    }
}
