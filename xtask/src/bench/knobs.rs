//! `--knobs`: each knob of `narthex::FineTune`, and what a host can be told to tell of requests, as an alternative beside the default
//! of the same run.

use std::fmt::Write;

use super::counts::{self, COUNTED_BY};
use super::options::COUNTED_CONNECTIONS;
use super::results::{Load, Results};
use super::subjects::{Group, Step, Subject};

/// The connection counts under load unless told otherwise: few, so that one worker may get too many, and many.
pub(super) const CONNECTIONS: [usize; 2] = [16, 256];

const SHARED: &str = "shared (default)";
const EMBEDDED: &str = "embedded (default)";
const SPREAD: &str = "4 workers: OnePerWorker (default)";
const FRESH: &str = "new conns: OnePerWorker (default)";

const FOUR: &str = "--workers=4";
const ACCEPTOR: &str = "--single-acceptor";

/// Each default is followed by what is compared with it.
const SUBJECTS: [Subject; 15] = [
    shared(SHARED, &[Step::NarthexHost, Step::NarthexApp("shared-axum", &["--accepts=1024"])]),
    shared("shared: accepts_per_worker(16)", &[Step::NarthexHost, Step::NarthexApp("shared-axum", &["--accepts=16"])]),
    shared("shared: accepts_per_worker(1)", &[Step::NarthexHost, Step::NarthexApp("shared-axum", &["--accepts=1"])]),
    shared("shared: inline_completion(false)", &[Step::NarthexHost, Step::NarthexApp("shared-axum", &["--no-inline"])]),
    shared(
        "shared: single_acceptor",
        &[Step::NarthexHostWith("[settings]\nsingle_acceptor = true\n"), Step::NarthexApp("shared-axum", &[])],
    ),
    shared(
        "shared: request_ids off",
        &[Step::NarthexHostWith("[settings]\nrequest_ids = \"off\"\n"), Step::NarthexApp("shared-axum", &[])],
    ),
    // Nobody is at the endpoint: what is counted is what requests pay, not what sending spans takes on a thread beside them.
    shared(
        "shared: trace on, 1 % sampled",
        &[
            Step::NarthexHostWith(
                "[settings]\ntrace = \"on\"\ntrace_sample = \"0.01\"\ntrace_endpoint = \"http://127.0.0.1:9\"\n",
            ),
            Step::NarthexApp("shared-axum", &[]),
        ],
    ),
    shared(
        "shared: trace on, all sampled",
        &[
            Step::NarthexHostWith("[settings]\ntrace = \"on\"\ntrace_sample = \"1\"\ntrace_endpoint = \"http://127.0.0.1:9\"\n"),
            Step::NarthexApp("shared-axum", &[]),
        ],
    ),
    embedded(EMBEDDED, &[Step::NarthexApp("embedded-axum", &[])]),
    embedded("embedded: inline_completion(false)", &[Step::NarthexApp("embedded-axum", &["--no-inline"])]),
    embedded("embedded: SingleAcceptor", &[Step::NarthexApp("embedded-axum", &[ACCEPTOR])]),
    embedded(SPREAD, &[Step::NarthexApp("embedded-axum", &[FOUR])]),
    embedded("4 workers: SingleAcceptor", &[Step::NarthexApp("embedded-axum", &[FOUR, ACCEPTOR])]),
    fresh(FRESH, &[Step::NarthexApp("embedded-axum", &[FOUR])]),
    fresh("new conns: SingleAcceptor", &[Step::NarthexApp("embedded-axum", &[FOUR, ACCEPTOR])]),
];

const DEFAULTS: [&str; 4] = [SHARED, EMBEDDED, SPREAD, FRESH];

const fn shared(name: &'static str, steps: &'static [Step]) -> Subject {
    Subject { name, group: Group::Knobs, fresh: false, steps }
}

const fn embedded(name: &'static str, steps: &'static [Step]) -> Subject {
    shared(name, steps)
}

/// One request per connection: what accepting costs shows nowhere else.
const fn fresh(name: &'static str, steps: &'static [Step]) -> Subject {
    Subject { name, group: Group::Knobs, fresh: true, steps }
}

pub(super) fn all() -> &'static [Subject] {
    &SUBJECTS
}

/// What `name` is compared with: the last default before it.
fn default_of(name: &str) -> &'static str {
    let mut default = DEFAULTS[0];
    for subject in &SUBJECTS {
        if DEFAULTS.contains(&subject.name) {
            default = subject.name;
        }
        if subject.name == name {
            break;
        }
    }
    default
}

/// A table for each number of connections, then what was counted.
pub(super) fn tables(results: &Results) -> String {
    let mut text = String::from(
        "All workers of a server share core 0, so this is what a knob costs, not what an even distribution gains on many cores. \
         \"4 workers\" have that many threads; of \"new conns\" every request comes on a connection of its own.\n\n",
    );
    for connections in results.connections().into_iter().rev() {
        load_table(&mut text, results, connections);
    }
    if !results.counts.is_empty() {
        count_table(&mut text, results);
    }
    text
}

fn load_table(text: &mut String, results: &Results, connections: usize) {
    let _ = writeln!(
        text,
        "## Under load, {connections} connections\n\n| knob | requests/s | p50 | p99 | CPU per request | user | system | x default: CPU | x default: requests/s | x default: p99 | server core busy | by others | errors |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    for subject in results.subjects() {
        let median = |metric: fn(&Load) -> Option<f64>| results.median(subject, connections, metric);
        let Some(requests) = median(|load| Some(load.requests_per_second)) else { continue };
        let shown =
            |metric, unit: f64, digits: usize| median(metric).map_or_else(na, |value| format!("{:.digits$} us", value / unit));
        let times = |metric: fn(&Load) -> Option<f64>| {
            let pair = [subject, default_of(subject)];
            let ratio = results.combined(pair, connections, metric, |[own, default]| own / default);
            ratio.map_or_else(na, |ratio| format!("{ratio:.2}"))
        };
        let share = |metric| median(metric).unwrap_or_default() * 100.0;
        let _ = writeln!(
            text,
            "| {} | {requests:.0} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} % | {:.0} % | {} |",
            marked(subject),
            shown(|load| load.p50_us, 1.0, 0),
            shown(|load| load.p99_us, 1.0, 0),
            shown(|load| Some(load.cpu_ns()), 1e3, 2),
            shown(|load| Some(load.user_ns), 1e3, 2),
            shown(|load| Some(load.system_ns), 1e3, 2),
            times(|load| Some(load.cpu_ns())),
            times(|load| Some(load.requests_per_second)),
            times(|load| load.p99_us),
            share(|load| Some(load.busy)),
            share(|load| Some(load.others)),
            results.errors(subject, connections),
        );
    }
    text.push('\n');
}

fn count_table(text: &mut String, results: &Results) {
    let _ = writeln!(
        text,
        "## Counted per request\n\n{COUNTED_BY} On kept connections throughout.\n\n\
         | knob | connections | instructions (emulated), user + kernel | x default | user instructions | x default | system calls |\n\
         |---|---:|---:|---:|---:|---:|---:|"
    );
    let mut failures = String::new();
    for subject in results.subjects() {
        for connections in COUNTED_CONNECTIONS {
            let Some(count) = results.count(subject, connections) else { continue };
            counts::failures(&mut failures, &format!("{connections} connections"), count);
            let pair = [subject, default_of(subject)];
            let times = |pair: Option<[f64; 2]>| pair.map_or_else(na, |[own, default]| format!("{:.2}", own / default));
            let _ = writeln!(
                text,
                "| {} | {connections} | {} | {} | {} | {} | {} |",
                marked(subject),
                counts::shown(&count.emulated),
                times(results.emulated(pair, connections)),
                counts::shown(&count.user_instructions),
                times(results.user_instructions_of(pair, connections)),
                counts::shown_calls(&count.syscalls).0,
            );
        }
    }
    let _ = writeln!(text, "\n{failures}");
}

fn marked(subject: &str) -> String {
    if DEFAULTS.contains(&subject) { format!("**{subject}**") } else { subject.to_owned() }
}

fn na() -> String {
    "n/a".to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{load, results};
    use super::*;

    #[test]
    fn an_alternative_is_compared_with_the_default_above_it() {
        assert_eq!(default_of("shared: accepts_per_worker(1)"), SHARED);
        assert_eq!(default_of("embedded: SingleAcceptor"), EMBEDDED);
        assert_eq!(default_of("4 workers: SingleAcceptor"), SPREAD);
        assert_eq!(default_of(FRESH), FRESH);
        let text = tables(&results(vec![load(EMBEDDED, 1, 100.0), load("embedded: SingleAcceptor", 1, 150.0)]));
        let line = text.lines().find(|line| line.starts_with("| embedded: SingleAcceptor")).unwrap();
        assert!(line.contains("| 1.50 | 0.67 |"), "{line}");
    }
}
