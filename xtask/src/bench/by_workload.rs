//! What was measured under workloads that differ in more than the number of connections.

use super::machine::Machine;
use super::results::{Count, Load, Results};

/// The results of each workload, in the order of the page.
#[derive(Debug)]
pub(super) struct ByWorkload<W>(Vec<(W, Results)>);

impl<W: Copy + PartialEq> ByWorkload<W> {
    /// Nothing measured yet under these.
    pub(super) fn new(workloads: impl IntoIterator<Item = W>) -> Self {
        Self(workloads.into_iter().map(|workload| (workload, Results::new(Machine::default()))).collect())
    }

    pub(super) fn of(&self, workload: W) -> Option<&Results> {
        self.0.iter().find(|(of, _)| *of == workload).map(|(_, results)| results)
    }

    fn of_mut(&mut self, workload: W) -> Option<&mut Results> {
        self.0.iter_mut().find(|(of, _)| *of == workload).map(|(_, results)| results)
    }

    pub(super) fn add(&mut self, workload: W, load: Load) {
        if let Some(results) = self.of_mut(workload) {
            results.loads.push(load);
        }
    }

    pub(super) fn add_count(&mut self, workload: W, count: Count) {
        if let Some(results) = self.of_mut(workload) {
            results.counts.push(count);
        }
    }

    /// Those under load, with what came of it.
    pub(super) fn loaded(&self) -> impl Iterator<Item = (W, &Results)> {
        self.0.iter().filter(|(_, results)| !results.loads.is_empty()).map(|(workload, results)| (*workload, results))
    }

    /// Those that were counted, with what came of it.
    pub(super) fn counted(&self) -> impl Iterator<Item = (W, &Results)> {
        self.0.iter().filter(|(_, results)| !results.counts.is_empty()).map(|(workload, results)| (*workload, results))
    }

    /// Whatever else used of the server core, of each load.
    pub(super) fn others(&self) -> Vec<f64> {
        self.loaded().flat_map(|(_, results)| &results.loads).map(|load| load.others).collect()
    }
}

/// The CSV files of workloads as one: `header` makes the head of all from that of one, and `line` each line.
pub(super) fn csv<W>(
    files: impl Iterator<Item = (W, String)>,
    header: impl Fn(&str) -> String,
    line: impl Fn(&W, &str) -> String,
) -> String {
    let mut all = String::new();
    for (workload, text) in files {
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        if all.is_empty() {
            all.push_str(&header(head));
            all.push('\n');
        }
        for each in lines {
            all.push_str(&line(&workload, each));
            all.push('\n');
        }
    }
    all
}
