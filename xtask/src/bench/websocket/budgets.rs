//! The budgets for WebSocket, held against one run.

use super::idle::{Idle, MANY, SOME};
use super::storm::DEVICES;
use super::workload::{KIBIBYTE, SMALL, TO_ALL, Workload};
use super::{Outcome, PEERS, name};
use crate::bench::comparison::{Comparison, Metric};
use crate::bench::results::{Results, middle};

/// Instructions of one message, user and kernel.
const INSTRUCTIONS: [(Workload, f64); 2] = [(SMALL, 13_100.0), (KIBIBYTE, 14_000.0)];

/// Bytes of an idle connection, among [`SOME`].
const IDLE: [(&str, f64); 2] = [(name::EMBEDDED, 1024.0), (name::SHARED_TLS, 6144.0)];

/// Those that have to hold [`MANY`] on one machine.
const HOLDS_MANY: [&str; 4] = [name::EMBEDDED, name::SHARED, name::EMBEDDED_TLS, name::SHARED_TLS];

/// One budget and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) budget: String,
    pub(super) measured: String,
    /// Where there is a choice.
    pub(super) decided_by: Option<Metric>,
    /// The same comparison in CPU time, where something else decides.
    pub(super) cpu_time: String,
    /// The least and the greatest of the rounds.
    pub(super) spread: String,
    /// The same comparison in user instructions alone. Decides nothing.
    pub(super) user_only: String,
    pub(super) met: Option<bool>,
}

pub(super) fn verdicts(outcome: &Outcome) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (workload, limit) in INSTRUCTIONS {
        let Some(results) = outcome.results.of(workload) else { continue };
        verdicts.extend(PEERS.iter().map(|peer| below(workload, results, peer)));
        verdicts.push(instructions(workload, results, limit));
    }
    if let Some(results) = outcome.results.of(TO_ALL) {
        verdicts.extend(PEERS.iter().map(|peer| below(TO_ALL, results, peer)));
    }
    verdicts.extend(IDLE.map(|(subject, limit)| idle(outcome, subject, limit)));
    verdicts.extend(HOLDS_MANY.map(|subject| holds_many(outcome, subject)));
    verdicts.push(storm(outcome));
    verdicts
}

fn below(workload: Workload, results: &Results, peer: &'static str) -> Verdict {
    let pair = [name::EMBEDDED, peer];
    let compared = compare(workload, results, pair, |[ours, theirs]| ours / theirs);
    let times = |ratio: f64| format!("{ratio:.2}x");
    let user_only = results.user_instructions_of(pair, workload.connections()).map(|[ours, theirs]| times(ours / theirs));
    let budget = format!("{}: {} < 1.00x {peer}", workload.title(), name::EMBEDDED);
    Verdict {
        user_only: user_only.unwrap_or_default(),
        decided_by: compared.decided_by(),
        cpu_time: compared.cpu_time.map(times).unwrap_or_default(),
        ..judge(budget, compared.values, |ratio| ratio < 1.0, times)
    }
}

fn instructions(workload: Workload, results: &Results, limit: f64) -> Verdict {
    let compared = compare(workload, results, [name::EMBEDDED], |[count]| count);
    let budget = format!("{}: {} <= {limit:.0} instructions", workload.title(), name::EMBEDDED);
    // Times say nothing about it.
    let counted = if compared.by == Metric::CpuTime { Vec::new() } else { compared.values.clone() };
    Verdict {
        decided_by: compared.decided_by().filter(|by| *by != Metric::CpuTime),
        cpu_time: compared.cpu_time.map(|time| format!("{time:.0} ns")).unwrap_or_default(),
        ..judge(budget, counted, |count| count <= limit, |count| format!("{count:.0}"))
    }
}

fn compare<const N: usize>(
    workload: Workload,
    results: &Results,
    subjects: [&str; N],
    combine: impl Fn([f64; N]) -> f64,
) -> Comparison {
    let connections = workload.connections();
    Comparison::new(results, subjects, connections, results.emulated(subjects, connections), combine)
}

fn idle(outcome: &Outcome, subject: &str, limit: f64) -> Verdict {
    let of = outcome.idle.iter().filter(|idle| idle.subject == subject && idle.connections == SOME);
    let budget = format!("{SOME} idle connections: {subject} <= {limit:.0} B each");
    judge(budget, of.map(Idle::open).collect(), |bytes| bytes <= limit, |bytes| format!("{bytes:.0} B"))
}

fn holds_many(outcome: &Outcome, subject: &str) -> Verdict {
    let of = outcome.idle.iter().filter(|idle| idle.subject == subject && idle.connections == MANY);
    let budget = format!("{MANY} idle connections: {subject} holds them");
    let verdict = judge(budget, of.map(Idle::open).collect(), |_| true, |bytes| format!("{bytes:.0} B each"));
    match outcome.unreached.iter().find(|(unreached, _)| *unreached == subject) {
        Some((_, reason)) => Verdict { measured: reason.clone(), met: Some(false), ..verdict },
        None => verdict,
    }
}

/// Every device is served, and none refused, in any round: the greatest decides.
fn storm(outcome: &Outcome) -> Verdict {
    let waves = outcome.storms.iter().filter(|storm| storm.subject == name::SHARED).flat_map(|storm| [&storm.first, &storm.back]);
    let failed: Vec<f64> = waves.map(|wave| wave.refusals + wave.unserved).collect();
    let budget = format!("storm of {DEVICES}, and after a restart: {} refuses none", name::SHARED);
    let met = (!failed.is_empty()).then(|| failed.iter().all(|&failed| failed == 0.0));
    let broken = outcome.no_storm.iter().any(|(subject, _)| *subject == name::SHARED);
    Verdict {
        met: if broken { Some(false) } else { met },
        ..judge(budget, failed, |_| true, |failed| format!("{failed:.0} refused"))
    }
}

/// The median of the rounds decides.
fn judge(budget: String, mut rounds: Vec<f64>, met: impl Fn(f64) -> bool, shown: impl Fn(f64) -> String) -> Verdict {
    rounds.sort_by(f64::total_cmp);
    let ends = rounds.first().zip(rounds.last()).filter(|_| rounds.len() > 1);
    let spread = ends.map(|(least, most)| format!("{} to {}", shown(*least), shown(*most)));
    let median = middle(rounds);
    Verdict {
        budget,
        measured: median.map_or_else(|| "no data".to_owned(), shown),
        spread: spread.unwrap_or_default(),
        decided_by: None,
        cpu_time: String::new(),
        user_only: String::new(),
        met: median.map(met),
    }
}

#[cfg(test)]
mod tests {
    use super::super::idle::Part;
    use super::super::storm::Storm;
    use super::super::storm::tests::wave;
    use super::*;
    use crate::bench::machine::Machine;
    use crate::bench::results::tests::load;
    use crate::bench::results::{Count, Load};

    #[test]
    fn a_peer_that_costs_the_same_is_not_one_that_costs_more() {
        let judged = |cost| {
            let mut outcome = Outcome::new(Machine::default());
            for (subject, cost) in [(name::EMBEDDED, cost), (PEERS[0], 100.0)] {
                outcome.results.add(SMALL, Load { connections: SMALL.connections(), ..load(subject, 1, cost) });
            }
            verdicts(&outcome).remove(0).met
        };
        assert_eq!(judged(99.0), Some(true));
        assert_eq!(judged(100.0), Some(false));
    }

    #[test]
    fn an_absolute_number_of_instructions_is_judged_by_emulated_ones_and_never_by_time() {
        let judged = |instructions: Option<f64>| {
            let mut outcome = Outcome::new(Machine::default());
            outcome.results.add(SMALL, Load { connections: SMALL.connections(), ..load(name::EMBEDDED, 1, 9000.0) });
            if let Some(instructions) = instructions {
                let mut count = Count::new(&super::super::all()[0], SMALL.connections());
                count.set_emulated(Ok(instructions));
                outcome.results.add_count(SMALL, count);
            }
            let budget = format!("{}: {} <=", SMALL.title(), name::EMBEDDED);
            let verdict = verdicts(&outcome).into_iter().find(|verdict| verdict.budget.starts_with(&budget)).unwrap();
            (verdict.met, verdict.cpu_time)
        };
        assert_eq!(judged(None), (None, String::new()));
        assert_eq!(judged(Some(13_101.0)), (Some(false), "9000 ns".to_owned()));
        assert_eq!(judged(Some(13_100.0)).0, Some(true));
    }

    #[test]
    fn without_data_nothing_is_met_or_missed() {
        let mut outcome = Outcome::new(Machine::default());
        assert!(verdicts(&outcome).iter().all(|verdict| verdict.met.is_none()));
        let part = Part { program: "app".to_owned(), open: 1025.0, used: 0.0 };
        outcome.idle.push(Idle { subject: name::EMBEDDED, round: 1, connections: SOME, instances: 1, parts: vec![part] });
        assert_eq!(of(&outcome, "10000 idle connections: narthex embedded (hub) <="), Some(false));
    }

    #[test]
    fn one_refused_device_in_one_storm_of_one_round_misses_the_budget() {
        let mut outcome = Outcome::new(Machine::default());
        for (round, refusals) in [(1, 0), (2, 0), (3, 1)] {
            outcome.storms.push(Storm { subject: name::SHARED, round, first: wave(0), back: wave(refusals) });
            assert_eq!(of(&outcome, "storm"), Some(refusals == 0));
        }
    }

    fn of(outcome: &Outcome, budget: &str) -> Option<bool> {
        verdicts(outcome).iter().find(|verdict| verdict.budget.starts_with(budget))?.met
    }
}
