//! The budgets for TLS, held against one run.

use super::name;
use super::workload::{
    FULL_ECDSA, FULL_RSA, MEGABYTE_HTTP1, MEGABYTE_HTTP2, RESUMED, SMALL_HTTP1, SMALL_HTTP1_FEW, SMALL_HTTP2, Workload,
};
use crate::bench::by_workload::ByWorkload;
use crate::bench::comparison::{Comparison, Metric};

/// The cost of a subject under a workload is at most so many times a peer's.
struct Budget {
    workload: Workload,
    subject: &'static str,
    peer: &'static str,
    limit: f64,
    /// Under which workload emulated instructions are counted, and the user instructions that stand beside it.
    counted: Option<Workload>,
}

/// One budget and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) budget: String,
    pub(super) measured: Option<f64>,
    pub(super) decided_by: Option<Metric>,
    /// The same comparison in CPU time, where something else decides.
    pub(super) cpu_time: Option<f64>,
    /// The least and the greatest of the rounds.
    pub(super) spread: Option<(f64, f64)>,
    /// The same comparison in user instructions alone. Decides nothing.
    pub(super) user_only: Option<f64>,
    pub(super) met: Option<bool>,
}

const BUDGETS: [Budget; 9] = [
    at_most(1.0, FULL_ECDSA, name::SHARED, name::NGINX),
    at_most(1.0, FULL_RSA, name::SHARED, name::NGINX),
    at_most(1.0, RESUMED, name::SHARED, name::NGINX),
    at_most(1.0, MEGABYTE_HTTP1, name::EMBEDDED, name::NGINX),
    at_most(1.0, MEGABYTE_HTTP2, name::EMBEDDED, name::NGINX),
    at_most(1.0, MEGABYTE_HTTP1, name::SHARED, name::NGINX_AXUM),
    at_most(1.0, MEGABYTE_HTTP2, name::SHARED, name::NGINX_AXUM),
    Budget { counted: Some(SMALL_HTTP1_FEW), ..at_most(0.5, SMALL_HTTP1, name::SHARED, name::NGINX_AXUM) },
    Budget { counted: Some(SMALL_HTTP2), ..at_most(0.5, SMALL_HTTP2, name::SHARED, name::NGINX_AXUM) },
];

const fn at_most(limit: f64, workload: Workload, subject: &'static str, peer: &'static str) -> Budget {
    Budget { workload, subject, peer, limit, counted: None }
}

/// Every budget, in the order of the issue.
pub(super) fn verdicts(all: &ByWorkload<Workload>) -> Vec<Verdict> {
    BUDGETS.iter().map(|budget| budget.judge(all)).collect()
}

impl Budget {
    fn judge(&self, all: &ByWorkload<Workload>) -> Verdict {
        let pair = [self.subject, self.peer];
        let emulated = self.counted.and_then(|workload| all.of(workload)?.emulated(pair, workload.lanes()));
        let ratio = |[ours, theirs]: [f64; 2]| ours / theirs;
        let compared = all.of(self.workload).map(|of| Comparison::new(of, pair, self.workload.lanes(), emulated, ratio));
        let measured = compared.as_ref().and_then(Comparison::median);
        let user = self.counted.and_then(|workload| all.of(workload)?.user_instructions_of(pair, workload.lanes()));
        let user_only = user.map(ratio);
        Verdict {
            budget: format!("{}: {} <= {:.2}x {}", self.workload.title(), self.subject, self.limit, self.peer),
            measured,
            decided_by: compared.as_ref().and_then(Comparison::decided_by),
            cpu_time: compared.as_ref().and_then(|compared| compared.cpu_time),
            spread: compared.and_then(|compared| spread(&compared.values)),
            user_only,
            met: measured.map(|ratio| ratio <= self.limit),
        }
    }
}

fn spread(each: &[f64]) -> Option<(f64, f64)> {
    let least = each.iter().copied().min_by(f64::total_cmp)?;
    let most = each.iter().copied().max_by(f64::total_cmp)?;
    (each.len() > 1).then_some((least, most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::Load;
    use crate::bench::results::tests::load;

    #[test]
    fn a_budget_is_judged_within_its_workload() {
        let judged = |cost| {
            let loads = [load(name::SHARED, 1, cost), load(name::NGINX, 1, 100.0)];
            let at = |load: Load| Load { connections: RESUMED.lanes(), ..load };
            let mut all = ByWorkload::new([RESUMED]);
            loads.map(at).into_iter().for_each(|load| all.add(RESUMED, load));
            verdicts(&all)
        };
        let verdicts = judged(101.0);
        assert_eq!(verdicts[2].met, Some(false));
        assert_eq!(judged(100.0)[2].met, Some(true));
        assert!(verdicts.iter().enumerate().all(|(index, verdict)| index == 2 || verdict.met.is_none()));
    }
}
