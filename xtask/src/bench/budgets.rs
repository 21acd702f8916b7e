//! The budgets Narthex set itself, held against one run.

use super::results::{Load, Results};
use super::subjects::name;

/// The connection count of the user instructions beside a verdict.
pub(super) const COUNTED_AT: usize = 64;

/// One budget and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) budget: String,
    pub(super) measured: String,
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

/// What the verdicts are based on: instructions where they are counted, CPU time elsewhere.
pub(super) fn counts_instructions(results: &Results) -> bool {
    let mut loads = results.loads.iter();
    !results.loads.is_empty() && loads.all(|load| load.instructions.is_some())
}

/// Every budget, in the order of the design.
pub(super) fn verdicts(results: &Results) -> Vec<Verdict> {
    BUDGETS.iter().map(|budget| budget.judge(results)).collect()
}

impl Budget {
    fn judge(&self, results: &Results) -> Verdict {
        let by_instructions = counts_instructions(results);
        let metric = |load: &Load| {
            if by_instructions { load.instructions() } else { Some(load.cpu_ns()) }
        };
        let connections = results.reference_connections().unwrap_or_default();
        let user = |subject| results.user_instructions(subject, COUNTED_AT);
        match *self {
            Self::Ratio { subject, peer, limit, strictly } => {
                let sign = if strictly { "<" } else { "<=" };
                let ratio = |[ours, theirs]: [f64; 2]| ours / theirs;
                let measured = results.combined([subject, peer], connections, metric, ratio);
                let user_only = user(subject).zip(user(peer));
                Verdict {
                    budget: format!("{subject} {sign} {limit:.2}x {peer}"),
                    measured: shown(measured.map(|ratio| format!("{ratio:.2}x"))),
                    user_only: shown(user_only.map(|(a, b)| format!("{:.2}x", a / b))),
                    met: measured.map(|ratio| ratio < limit || (ratio == limit && !strictly)),
                }
            }
            Self::Hop { shared, embedded } => {
                let user_only = user(shared).zip(user(embedded));
                let user_only = shown(user_only.map(|(a, b)| format!("{:.0}", a - b)));
                let hop = format!("{shared} minus {embedded}");
                if by_instructions {
                    let difference = |[a, b]: [f64; 2]| a - b;
                    let measured = results.combined([shared, embedded], connections, metric, difference);
                    return Verdict {
                        budget: format!("{hop} <= {HOP_INSTRUCTIONS:.0} instructions"),
                        measured: shown(measured.map(|count| format!("{count:.0}"))),
                        user_only,
                        met: measured.map(|count| count <= HOP_INSTRUCTIONS),
                    };
                }
                let limit = HOP_INSTRUCTIONS / BARE_INSTRUCTIONS;
                let subjects = [shared, embedded, name::BARE];
                let share = |[a, b, bare]: [f64; 3]| (a - b) / bare;
                let measured = results.combined(subjects, connections, metric, share);
                Verdict {
                    budget: format!("{hop} <= {limit:.2}x {} (3 k of its 13.3 k instructions)", name::BARE),
                    measured: shown(measured.map(|share| format!("{share:.2}x"))),
                    user_only,
                    met: measured.map(|share| share <= limit),
                }
            }
        }
    }
}

fn shown(value: Option<String>) -> String {
    value.unwrap_or_else(|| "no data".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::counters::Instructions;
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
}
