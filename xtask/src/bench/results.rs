//! What was measured, and how it is condensed: medians over rounds, ratios between subjects of the same round.

use std::fmt::Write;

use anyhow::{Result, bail};

use super::counters::Instructions;
use super::cpu::Spent;
use super::load::Report;
use super::machine::Machine;
use super::subjects::{Group, Subject};
use super::syscalls::Calls;

/// One subject under load from one number of connections in one round. Costs are per request.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) subject: &'static str,
    pub(super) round: u32,
    pub(super) connections: usize,
    pub(super) requests_per_second: f64,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) errors: u64,
    pub(super) user_ns: f64,
    pub(super) system_ns: f64,
    /// The share of the server core that was in use: below 1 the load generator was the limit.
    pub(super) busy: f64,
    /// The share of the server core that something else used: above a few percent the times are somebody else's, too.
    pub(super) others: f64,
    pub(super) instructions: Option<Instructions>,
}

/// What was counted, or why that failed; `None` where nobody asked for it.
pub(super) type Counted<T> = Option<Result<T, String>>;

/// What one request costs when counted instead of timed.
#[derive(Debug, Clone)]
pub(super) struct Count {
    pub(super) subject: &'static str,
    pub(super) connections: usize,
    /// Instructions, user and kernel, in an emulated machine.
    pub(super) emulated: Counted<f64>,
    pub(super) user_instructions: Counted<f64>,
    pub(super) syscalls: Counted<Calls>,
}

/// All of one run.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) loads: Vec<Load>,
    pub(super) counts: Vec<Count>,
}

impl Load {
    pub(super) fn new(
        subject: &Subject,
        round: u32,
        connections: usize,
        report: &Report,
        spent: Spent,
        instructions: Option<Instructions>,
    ) -> Result<Self> {
        let seconds = report.requests / report.requests_per_second;
        let total = spent.user + spent.system;
        if total <= 0.0 {
            bail!("the server processes took no CPU time: somebody else answered");
        }
        Ok(Self {
            subject: subject.name,
            round,
            connections,
            requests_per_second: report.requests_per_second,
            p50_us: report.p50_us,
            p99_us: report.p99_us,
            errors: report.errors,
            user_ns: spent.user / report.requests,
            system_ns: spent.system / report.requests,
            busy: total / 1e9 / seconds,
            others: 0.0,
            instructions: instructions
                .map(|counted| Instructions { user: counted.user / report.requests, kernel: counted.kernel / report.requests }),
        })
    }

    /// CPU time, user and system.
    pub(super) fn cpu_ns(&self) -> f64 {
        self.user_ns + self.system_ns
    }

    /// Instructions, user and kernel, if this machine counts them.
    pub(super) fn instructions(&self) -> Option<f64> {
        let counted = self.instructions?;
        Some(counted.user + counted.kernel)
    }

    /// For the terminal while the run goes on.
    pub(super) fn line(&self) -> String {
        let mut line = format!(
            "{:<32} {:>4} connections {:>8.0} requests/s {:>7.2} us CPU ({:.2} user) {:>3.0} % busy",
            self.subject,
            self.connections,
            self.requests_per_second,
            self.cpu_ns() / 1e3,
            self.user_ns / 1e3,
            self.busy * 100.0,
        );
        if self.others > 0.05 {
            let _ = write!(line, "  DISTURBED {:.0} %", self.others * 100.0);
        }
        if self.errors > 0 {
            let _ = write!(line, "  {} ERRORS", self.errors);
        }
        line
    }
}

impl Count {
    /// Nothing counted yet.
    pub(super) fn new(subject: &Subject, connections: usize) -> Self {
        Self { subject: subject.name, connections, emulated: None, user_instructions: None, syscalls: None }
    }

    pub(super) fn set_emulated(&mut self, counted: Result<f64>) {
        self.emulated = Some(or_reason(counted));
    }

    pub(super) fn set_user_instructions(&mut self, counted: Result<f64>) {
        self.user_instructions = Some(or_reason(counted));
    }

    pub(super) fn set_syscalls(&mut self, counted: Result<Calls>) {
        self.syscalls = Some(or_reason(counted));
    }

    /// All system calls of one request.
    pub(super) fn syscall_sum(&self) -> Option<f64> {
        counted(&self.syscalls).map(|calls| calls.values().sum())
    }

    /// For the terminal while the run goes on.
    pub(super) fn line(&self) -> String {
        let whole = |count: &f64| format!("{count:.0}");
        let parts = [
            told_of(&self.emulated, "instructions (emulated)", whole),
            told_of(&self.user_instructions, "user instructions", whole),
            told_of(&self.syscalls, "system calls", |calls| format!("{:.2}", calls.values().sum::<f64>())),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{:<32} {:>4} connections {}", self.subject, self.connections, parts.join(", "))
    }
}

impl Results {
    pub(super) fn new(machine: Machine) -> Self {
        Self { machine, loads: Vec::new(), counts: Vec::new() }
    }

    /// The names of all subjects that were measured, in the table's order.
    pub(super) fn subjects(&self) -> Vec<&'static str> {
        let measured = |name: &str| {
            self.loads.iter().any(|load| load.subject == name) || self.counts.iter().any(|count| count.subject == name)
        };
        let all =
            super::subjects::all().iter().chain(super::knobs::all()).chain(super::tls::all()).chain(super::websocket::all());
        let names = all.map(|subject| subject.name);
        names.filter(|name| measured(name)).collect()
    }

    /// The connection counts under load, ascending.
    pub(super) fn connections(&self) -> Vec<usize> {
        let mut counts: Vec<usize> = self.loads.iter().map(|load| load.connections).collect();
        counts.sort_unstable();
        counts.dedup();
        counts
    }

    /// The connection count that budgets are about: 256, or the largest there is.
    pub(super) fn reference_connections(&self) -> Option<usize> {
        let all = self.connections();
        all.iter().copied().find(|&count| count == 256).or(all.last().copied())
    }

    /// The median over the rounds.
    pub(super) fn median(&self, subject: &str, connections: usize, metric: impl Fn(&Load) -> Option<f64>) -> Option<f64> {
        let loads = self.loads.iter();
        middle(loads.filter(|load| load.subject == subject && load.connections == connections).filter_map(metric).collect())
    }

    /// Errors in all rounds.
    pub(super) fn errors(&self, subject: &str, connections: usize) -> u64 {
        let loads = self.loads.iter();
        loads.filter(|load| load.subject == subject && load.connections == connections).map(|load| load.errors).sum()
    }

    /// The median over the rounds of what `combine` makes of several subjects in the same round:
    /// a slow minute of the machine is in all of them.
    pub(super) fn combined<const N: usize>(
        &self,
        subjects: [&str; N],
        connections: usize,
        metric: impl Fn(&Load) -> Option<f64>,
        combine: impl Fn([f64; N]) -> f64,
    ) -> Option<f64> {
        middle(self.each_round(subjects, connections, metric, combine))
    }

    /// The same for each round in which there is all of it.
    pub(super) fn each_round<const N: usize>(
        &self,
        subjects: [&str; N],
        connections: usize,
        metric: impl Fn(&Load) -> Option<f64>,
        combine: impl Fn([f64; N]) -> f64,
    ) -> Vec<f64> {
        let last = self.loads.iter().map(|load| load.round).max().unwrap_or_default();
        let in_round = |round| {
            let mut values = [0.0; N];
            for (value, subject) in values.iter_mut().zip(subjects) {
                let load = self
                    .loads
                    .iter()
                    .find(|load| load.subject == subject && load.connections == connections && load.round == round)?;
                *value = metric(load)?;
            }
            Some(combine(values))
        };
        (1..=last).filter_map(in_round).collect()
    }

    /// What was counted for `subject` at this number of connections.
    pub(super) fn count(&self, subject: &str, connections: usize) -> Option<&Count> {
        self.counts.iter().find(|count| count.subject == subject && count.connections == connections)
    }

    /// User instructions, if they could be counted.
    pub(super) fn user_instructions(&self, subject: &str, connections: usize) -> Option<f64> {
        counted(&self.count(subject, connections)?.user_instructions).copied()
    }

    /// The same for each of these, if they could be counted for all.
    pub(super) fn user_instructions_of<const N: usize>(&self, subjects: [&str; N], connections: usize) -> Option<[f64; N]> {
        all_of(subjects.map(|subject| self.user_instructions(subject, connections)))
    }

    /// Instructions in an emulated machine, if they could be counted for all of these.
    pub(super) fn emulated<const N: usize>(&self, subjects: [&str; N], connections: usize) -> Option<[f64; N]> {
        all_of(subjects.map(|subject| counted(&self.count(subject, connections)?.emulated).copied()))
    }

    /// `results.csv`: every run under load.
    pub(super) fn loads_csv(&self) -> String {
        let mut csv = String::from(
            "subject,round,connections,requests_per_second,p50_us,p99_us,errors,cpu_user_ns_per_request,cpu_system_ns_per_request,server_core_busy,server_core_others,instructions_user_per_request,instructions_kernel_per_request\n",
        );
        for load in &self.loads {
            let counted = |part: fn(&Instructions) -> f64| match &load.instructions {
                Some(instructions) => format!("{:.1}", part(instructions)),
                None => String::new(),
            };
            let _ = writeln!(
                csv,
                "{},{},{},{:.1},{},{},{},{:.1},{:.1},{:.3},{:.3},{},{}",
                load.subject,
                load.round,
                load.connections,
                load.requests_per_second,
                told(load.p50_us),
                told(load.p99_us),
                load.errors,
                load.user_ns,
                load.system_ns,
                load.busy,
                load.others,
                counted(|instructions| instructions.user),
                counted(|instructions| instructions.kernel),
            );
        }
        csv
    }

    /// `counts.csv`: everything that was counted; a count that failed, or that nobody asked for, is empty.
    pub(super) fn counts_csv(&self) -> String {
        let mut csv = String::from(
            "subject,connections,user_instructions_per_request,syscalls_per_request,emulated_instructions_per_request\n",
        );
        for count in &self.counts {
            let shown = |value: Option<f64>, digits: usize| match value {
                Some(value) => format!("{value:.digits$}"),
                None => String::new(),
            };
            let _ = writeln!(
                csv,
                "{},{},{},{},{}",
                count.subject,
                count.connections,
                shown(counted(&count.user_instructions).copied(), 1),
                shown(count.syscall_sum(), 3),
                shown(counted(&count.emulated).copied(), 1),
            );
        }
        csv
    }
}

fn all_of<const N: usize>(values: [Option<f64>; N]) -> Option<[f64; N]> {
    values.iter().all(Option::is_some).then(|| values.map(Option::unwrap_or_default))
}

/// What was counted, if it was.
pub(super) fn counted<T>(counted: &Counted<T>) -> Option<&T> {
    counted.as_ref()?.as_ref().ok()
}

/// `None` where nobody asked.
fn told_of<T>(counted: &Counted<T>, what: &str, number: impl Fn(&T) -> String) -> Option<String> {
    Some(match counted.as_ref()? {
        Ok(value) => format!("{} {what}", number(value)),
        Err(reason) => format!("{what} failed ({reason})"),
    })
}

fn or_reason<T>(counted: Result<T>) -> Result<T, String> {
    counted.map_err(|error| format!("{error:#}"))
}

/// True for Narthex itself, which plots and tables set apart.
pub(super) fn is_narthex(name: &str) -> bool {
    let mut all = super::subjects::all().iter().chain(super::tls::all()).chain(super::websocket::all());
    all.any(|subject| subject.name == name && subject.group == Group::Narthex)
}

/// Empty where the load generator did not tell.
fn told(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.1}"))
}

/// The median.
pub(super) fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(*upper);
    }
    Some((values[values.len() / 2 - 1] + upper) / 2.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A load that cost `cpu_ns` per request at 256 connections.
    pub(crate) fn load(subject: &'static str, round: u32, cpu_ns: f64) -> Load {
        Load {
            subject,
            round,
            connections: 256,
            requests_per_second: 1e9 / cpu_ns,
            p50_us: Some(1.0),
            p99_us: Some(2.0),
            errors: 0,
            user_ns: cpu_ns / 4.0,
            system_ns: cpu_ns * 3.0 / 4.0,
            busy: 1.0,
            others: 0.0,
            instructions: None,
        }
    }

    pub(crate) fn results(loads: Vec<Load>) -> Results {
        Results { machine: Machine::default(), loads, counts: Vec::new() }
    }

    #[test]
    fn the_median_of_an_even_number_of_rounds_is_between_the_two_in_the_middle() {
        assert_eq!(middle(vec![9.0, 1.0, 2.0, 4.0]), Some(3.0));
        assert_eq!(middle(vec![]), None);
    }

    #[test]
    fn a_count_tells_what_was_asked_for_and_why_that_failed() {
        let mut count = Count::new(&super::super::subjects::all()[0], 64);
        count.set_emulated(Ok(13_000.4));
        assert!(count.line().ends_with(" 64 connections 13000 instructions (emulated)"), "{}", count.line());
        count.set_syscalls(Err(anyhow::anyhow!("no strace")));
        assert!(count.line().ends_with("(emulated), system calls failed (no strace)"), "{}", count.line());
        let results = Results { counts: vec![count], ..results(Vec::new()) };
        let name = super::super::subjects::name::BARE;
        assert_eq!(results.emulated([name], 64), Some([13_000.4]));
        assert_eq!(results.emulated([name, "another"], 64), None);
        assert!(results.counts_csv().ends_with(&format!("\n{name},64,,,13000.4\n")), "{}", results.counts_csv());
    }

    #[test]
    fn ratios_are_taken_within_a_round_so_that_a_slow_round_does_not_count() {
        let results = results(vec![load("a", 1, 100.0), load("b", 1, 50.0), load("a", 2, 900.0), load("b", 2, 450.0)]);
        let ratio = results.combined(["a", "b"], 256, |load| Some(load.cpu_ns()), |[a, b]| a / b);
        assert_eq!(ratio, Some(2.0));
    }
}
