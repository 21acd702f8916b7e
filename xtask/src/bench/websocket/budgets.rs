//! The budgets for WebSocket, held against one run.

use super::idle::CONNECTIONS;
use super::workload::{KIBIBYTE, SMALL, Workload};
use super::{Outcome, PEERS, name};
use crate::bench::budgets::counts_instructions;
use crate::bench::results::{Load, Results, middle};

/// Instructions of one message, user and kernel.
const INSTRUCTIONS: [(Workload, f64); 2] = [(SMALL, 13_100.0), (KIBIBYTE, 14_000.0)];

/// Bytes of an idle connection.
const IDLE_BYTES: f64 = 1024.0;

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
    verdicts.push(idle(outcome));
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

fn idle(outcome: &Outcome) -> Verdict {
    let bytes = outcome.idle.iter().filter(|idle| idle.subject == name::EMBEDDED).map(|idle| idle.open).collect();
    let budget = format!("{CONNECTIONS} idle connections: {} <= {IDLE_BYTES:.0} B each", name::EMBEDDED);
    judge(budget, bytes, |bytes| bytes <= IDLE_BYTES, |bytes| format!("{bytes:.0} B"))
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
    use super::super::idle::Idle;
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
        outcome.idle.push(Idle { subject: name::EMBEDDED, round: 1, open: 1025.0, used: 0.0 });
        assert_eq!(verdicts(&outcome).last().and_then(|verdict| verdict.met), Some(false));
    }
}
