//! The budgets Narthex set itself, held against one run.

use super::comparison::{Comparison, Metric};
use super::results::Results;
use super::subjects::name;

/// The connection count of whatever is counted: emulated instructions, and user instructions beside a verdict.
pub(super) const COUNTED_AT: usize = 64;

/// One budget and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) budget: String,
    pub(super) measured: String,
    pub(super) decided_by: Option<Metric>,
    /// The same comparison in CPU time, where something else decides.
    pub(super) cpu_time: String,
    /// The same comparison in user instructions alone: repeatable, but only part of the cost. Decides nothing.
    pub(super) user_only: String,
    /// `None` without data.
    pub(super) met: Option<bool>,
}

enum Budget {
    /// The cost of the first is at most (or below) this many times the cost of the second.
    Ratio { subject: &'static str, peer: &'static str, limit: f64, strictly: bool },
    /// What `shared` costs more than `embedded`: at most 3000 instructions.
    Hop { shared: &'static str, embedded: &'static str },
}

const HOP_INSTRUCTIONS: f64 = 3000.0;
/// What one request cost the bare loop on the machine the budgets were made on: turns instructions into a ratio of times.
const BARE_INSTRUCTIONS: f64 = 13_300.0;

const BUDGETS: [Budget; 9] = [
    at_most(1.10, name::EMBEDDED_RAW, name::BARE),
    below(name::EMBEDDED_AXUM, name::ACTIX),
    below(name::EMBEDDED_AXUM, name::AXUM),
    Budget::Hop { shared: name::SHARED_RAW, embedded: name::EMBEDDED_RAW },
    Budget::Hop { shared: name::SHARED_AXUM, embedded: name::EMBEDDED_AXUM },
    below(name::SHARED_AXUM, name::AXUM),
    at_most(1.0 / 3.0, name::SHARED_AXUM, name::NGINX_TCP),
    at_most(1.0 / 3.0, name::SHARED_AXUM, name::NGINX_UNIX),
    at_most(1.15, name::CACHED, name::BARE),
];

const fn at_most(limit: f64, subject: &'static str, peer: &'static str) -> Budget {
    Budget::Ratio { subject, peer, limit, strictly: false }
}

const fn below(subject: &'static str, peer: &'static str) -> Budget {
    Budget::Ratio { subject, peer, limit: 1.0, strictly: true }
}

/// Every budget, in the order of the design.
pub(super) fn verdicts(results: &Results) -> Vec<Verdict> {
    BUDGETS.iter().map(|budget| budget.judge(results)).collect()
}

impl Budget {
    fn judge(&self, results: &Results) -> Verdict {
        match *self {
            Self::Ratio { subject, peer, limit, strictly } => ratio(results, [subject, peer], limit, strictly),
            Self::Hop { shared, embedded } => hop(results, [shared, embedded]),
        }
    }
}

fn ratio(results: &Results, pair: [&str; 2], limit: f64, strictly: bool) -> Verdict {
    let [subject, peer] = pair;
    let sign = if strictly { "<" } else { "<=" };
    let compared = compare(results, pair, |[ours, theirs]| ours / theirs);
    let times = |ratio: f64| format!("{ratio:.2}x");
    let measured = compared.median();
    Verdict {
        budget: format!("{subject} {sign} {limit:.2}x {peer}"),
        measured: shown(measured.map(times)),
        decided_by: compared.decided_by(),
        cpu_time: compared.cpu_time.map(times).unwrap_or_default(),
        user_only: shown(results.user_instructions_of(pair, COUNTED_AT).map(|[ours, theirs]| times(ours / theirs))),
        met: measured.map(|ratio| ratio < limit || (ratio == limit && !strictly)),
    }
}

fn hop(results: &Results, pair: [&str; 2]) -> Verdict {
    let [shared, embedded] = pair;
    let hop = format!("{shared} minus {embedded}");
    let compared = compare(results, pair, |[shared, embedded]| shared - embedded);
    let user_only =
        shown(results.user_instructions_of(pair, COUNTED_AT).map(|[shared, embedded]| format!("{:.0}", shared - embedded)));
    // A difference of times says nothing by itself; as a share of the bare loop's it does.
    let share = compare(results, [shared, embedded, name::BARE], |[shared, embedded, bare]| (shared - embedded) / bare);
    let times = |share: f64| format!("{share:.2}x {}", name::BARE);
    if compared.by != Metric::CpuTime {
        let measured = compared.median();
        return Verdict {
            budget: format!("{hop} <= {HOP_INSTRUCTIONS:.0} instructions"),
            measured: shown(measured.map(|count| format!("{count:.0}"))),
            decided_by: compared.decided_by(),
            cpu_time: share.cpu_time.map(times).unwrap_or_default(),
            user_only,
            met: measured.map(|count| count <= HOP_INSTRUCTIONS),
        };
    }
    let limit = HOP_INSTRUCTIONS / BARE_INSTRUCTIONS;
    let measured = share.median();
    Verdict {
        budget: format!("{hop} <= {limit:.2}x {} (3 k of its 13.3 k instructions)", name::BARE),
        measured: shown(measured.map(times)),
        decided_by: share.decided_by(),
        cpu_time: String::new(),
        user_only,
        met: measured.map(|share| share <= limit),
    }
}

fn compare<const N: usize>(results: &Results, subjects: [&str; N], combine: impl Fn([f64; N]) -> f64) -> Comparison {
    let connections = results.reference_connections().unwrap_or_default();
    Comparison::new(results, subjects, connections, results.emulated(subjects, COUNTED_AT), combine)
}

fn shown(value: Option<String>) -> String {
    value.unwrap_or_else(|| "no data".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::counters::Instructions;
    use super::super::results::Count;
    use super::super::results::tests::{load, results};
    use super::*;

    #[test]
    fn without_narthex_no_budget_is_met_or_missed() {
        let results = results(vec![load(name::BARE, 1, 1000.0), load(name::AXUM, 1, 2000.0)]);
        assert!(verdicts(&results).iter().all(|verdict| verdict.met.is_none()));
    }

    #[test]
    fn a_ratio_above_its_limit_is_missed_and_one_at_its_limit_is_met() {
        let judged = |cost| {
            let loads = vec![load(name::BARE, 1, 1000.0), load(name::EMBEDDED_RAW, 1, cost)];
            verdicts(&results(loads))[0].met
        };
        assert_eq!(judged(1100.0), Some(true));
        assert_eq!(judged(1101.0), Some(false));
    }

    #[test]
    fn the_hop_is_judged_in_instructions_where_there_are_any() {
        let with = |subject, total: f64| {
            let mut load = load(subject, 1, 1000.0);
            load.instructions = Some(Instructions { user: 1000.0, kernel: total - 1000.0 });
            load
        };
        let loads = vec![with(name::EMBEDDED_RAW, 14_000.0), with(name::SHARED_RAW, 17_500.0)];
        let verdict = &verdicts(&results(loads))[3];
        assert_eq!(verdict.measured, "3500");
        assert_eq!(verdict.met, Some(false));
    }

    #[test]
    fn what_was_counted_in_an_emulated_machine_decides_without_any_load() {
        let count = |subject, instructions| Count {
            subject,
            connections: COUNTED_AT,
            emulated: Some(Ok(instructions)),
            user_instructions: None,
            syscalls: None,
        };
        let counts = vec![count(name::BARE, 13_000.0), count(name::EMBEDDED_RAW, 14_000.0), count(name::SHARED_RAW, 17_000.0)];
        let verdicts = verdicts(&Results { counts, ..results(Vec::new()) });
        assert_eq!((verdicts[0].decided_by, verdicts[0].met), (Some(Metric::Emulated), Some(true)));
        assert_eq!((verdicts[3].measured.as_str(), verdicts[3].met), ("3000", Some(true)));
        assert_eq!((verdicts[1].decided_by, verdicts[1].met), (None, None));
    }
}
