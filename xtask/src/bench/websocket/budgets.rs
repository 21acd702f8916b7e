//! The budgets for WebSocket, held against one run.

use super::idle::{Idle, MANY, SOME};
use super::storm::DEVICES;
use super::workload::{KIBIBYTE, SMALL, Workload};
use super::{Outcome, PEERS, name};
use crate::bench::budgets::counts_instructions;
use crate::bench::results::{Load, Results, middle};

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
    verdicts.extend(IDLE.map(|(subject, limit)| idle(outcome, subject, limit)));
    verdicts.extend(HOLDS_MANY.map(|subject| holds_many(outcome, subject)));
    verdicts.push(storm(outcome));
    verdicts
}

fn below(workload: Workload, results: &Results, peer: &'static str) -> Verdict {
    let by_instructions = counts_instructions(results);
    let metric = |load: &Load| if by_instructions { load.instructions() } else { Some(load.cpu_ns()) };
    let ratios = results.each_round([name::EMBEDDED, peer], workload.connections(), metric, |[ours, theirs]| ours / theirs);
    let user = |subject| results.user_instructions(subject, workload.connections());
    let user_only = user(name::EMBEDDED).zip(user(peer)).map(|(ours, theirs)| format!("{:.2}x", ours / theirs));
    let budget = format!("{}: {} < 1.00x {peer}", workload.title(), name::EMBEDDED);
    Verdict {
        user_only: user_only.unwrap_or_default(),
        ..judge(budget, ratios, |ratio| ratio < 1.0, |ratio| format!("{ratio:.2}x"))
    }
}

fn instructions(workload: Workload, results: &Results, limit: f64) -> Verdict {
    let counted = results.each_round([name::EMBEDDED], workload.connections(), Load::instructions, |[count]| count);
    let budget = format!("{}: {} <= {limit:.0} instructions", workload.title(), name::EMBEDDED);
    judge(budget, counted, |count| count <= limit, |count| format!("{count:.0}"))
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
    let spread = rounds.first().zip(rounds.last()).map(|(least, most)| format!("{} to {}", shown(*least), shown(*most)));
    let median = middle(rounds);
    Verdict {
        budget,
        measured: median.map_or_else(|| "no data".to_owned(), shown),
        spread: spread.unwrap_or_default(),
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
