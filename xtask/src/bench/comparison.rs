//! By which number a budget is decided: instructions where they were counted, CPU time elsewhere.

use super::results::{Load, Results, middle};

/// What a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    /// Instructions under load, by the machine's counters.
    Counters,
    /// Instructions in an emulated machine.
    Emulated,
    CpuTime,
}

impl Metric {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counters => "instructions",
            Self::Emulated => "instructions (emulated)",
            Self::CpuTime => "CPU time",
        }
    }
}

/// What is said where [`Metric::Emulated`] decides.
pub(super) const EMULATED_NOTE: &str = "Emulated instructions are counted once, in one boot, so they have no rounds; each iteration of a \
    string instruction (`rep movsq`: 8 bytes) is one, where hardware counts one for all of them.";

/// What several subjects cost, combined to one number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comparison {
    pub(super) by: Metric,
    /// Of each round, or the only one of [`Metric::Emulated`].
    pub(super) values: Vec<f64>,
    /// The same in CPU time, if something else decides.
    pub(super) cpu_time: Option<f64>,
}

impl Comparison {
    /// Of what was measured under load at `connections`, or of what was counted in an emulated machine.
    pub(super) fn new<const N: usize>(
        results: &Results,
        subjects: [&str; N],
        connections: usize,
        emulated: Option<[f64; N]>,
        combine: impl Fn([f64; N]) -> f64,
    ) -> Self {
        let cpu_time = results.each_round(subjects, connections, |load| Some(load.cpu_ns()), &combine);
        let (by, values) = if counts_instructions(results) {
            (Metric::Counters, results.each_round(subjects, connections, Load::instructions, &combine))
        } else if let Some(emulated) = emulated {
            (Metric::Emulated, vec![combine(emulated)])
        } else {
            return Self { by: Metric::CpuTime, values: cpu_time, cpu_time: None };
        };
        Self { by, values, cpu_time: middle(cpu_time) }
    }

    pub(super) fn median(&self) -> Option<f64> {
        middle(self.values.clone())
    }

    /// By what it is decided, if there is anything to decide by.
    pub(super) fn decided_by(&self) -> Option<Metric> {
        (!self.values.is_empty()).then_some(self.by)
    }
}

/// True where this machine counts instructions under load.
fn counts_instructions(results: &Results) -> bool {
    let mut loads = results.loads.iter();
    !results.loads.is_empty() && loads.all(|load| load.instructions.is_some())
}

#[cfg(test)]
mod tests {
    use super::super::counters::Instructions;
    use super::super::results::tests::{load, results};
    use super::*;

    #[test]
    fn counters_decide_before_emulation_and_emulation_before_time() {
        let ratio = |results: &Results, emulated| {
            let compared = Comparison::new(results, ["a", "b"], 256, emulated, |[a, b]| a / b);
            (compared.decided_by(), compared.median(), compared.cpu_time)
        };
        let mut results = results(vec![load("a", 1, 100.0), load("b", 1, 50.0)]);
        assert_eq!(ratio(&results, None), (Some(Metric::CpuTime), Some(2.0), None));
        assert_eq!(ratio(&results, Some([3.0, 1.0])), (Some(Metric::Emulated), Some(3.0), Some(2.0)));
        for (load, kernel) in results.loads.iter_mut().zip([400.0, 100.0]) {
            load.instructions = Some(Instructions { user: 0.0, kernel });
        }
        assert_eq!(ratio(&results, Some([3.0, 1.0])), (Some(Metric::Counters), Some(4.0), Some(2.0)));
    }

    #[test]
    fn without_data_nothing_decides() {
        let compared = Comparison::new(&results(Vec::new()), ["a"], 256, None, |[a]| a);
        assert_eq!((compared.decided_by(), compared.median()), (None, None));
    }
}
