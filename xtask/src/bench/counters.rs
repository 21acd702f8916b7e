//! Hardware instruction counters through `perf stat`, where the machine has them; many virtual machines do not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::LOAD_CORE;
use super::process::pinned;

const EVENTS: &str = "instructions:u,instructions:k";

/// Whether this machine counts instructions.
#[derive(Debug, Clone)]
pub(super) enum Counters {
    Supported,
    Unsupported { reason: String },
}

/// `perf stat` on the server processes for as long as one run of the load generator takes.
#[derive(Debug)]
pub(super) struct Attached {
    processes: String,
    output: PathBuf,
}

/// Instructions of all server processes in one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Instructions {
    pub(super) user: f64,
    pub(super) kernel: f64,
}

/// Counts the instructions of `true`, to see whether that works here.
pub(super) fn probe() -> Counters {
    let output = Command::new("perf").args(["stat", "-x", ",", "-e", EVENTS, "--", "true"]).stdin(Stdio::null()).output();
    let reason = match output {
        Err(_) => "`perf` is not installed".to_owned(),
        Ok(output) => {
            let report = String::from_utf8_lossy(&output.stderr);
            if parse(&report).is_some() {
                return Counters::Supported;
            }
            if report.contains("<not supported>") {
                "`perf stat` says <not supported> for instructions on this machine".to_owned()
            } else {
                let first = report.lines().find(|line| !line.trim().is_empty());
                format!("`perf stat` fails: {}", first.unwrap_or("no output").trim())
            }
        }
    };
    Counters::Unsupported { reason }
}

impl Counters {
    /// Prepares counting for `processes`; `None` where nothing can be counted.
    pub(super) fn attach(&self, processes: &[u32], directory: &Path) -> Option<Attached> {
        match self {
            Self::Unsupported { .. } => None,
            Self::Supported => {
                let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
                Some(Attached { processes: ids.join(","), output: directory.join("perf.csv") })
            }
        }
    }
}

impl Attached {
    /// The command that counts while the load generator, its last arguments, runs.
    pub(super) fn command(&self) -> Command {
        let mut command = pinned(LOAD_CORE);
        command.args(["perf", "stat", "-x", ",", "-e", EVENTS, "-o"]).arg(&self.output).args(["-p", &self.processes, "--"]);
        command
    }

    /// What was counted.
    pub(super) fn read(&self) -> Result<Instructions> {
        let report = fs::read_to_string(&self.output).context("perf stat wrote no report")?;
        parse(&report).with_context(|| format!("cannot understand perf's report: {report}"))
    }
}

/// Reads `value,unit,event,...` lines; `None` if a value is missing or `<not supported>`.
fn parse(report: &str) -> Option<Instructions> {
    let value = |event: &str| {
        report.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            match fields.as_slice() {
                [value, _unit, name, ..] if name.starts_with(event) => value.parse().ok(),
                _ => None,
            }
        })
    };
    Some(Instructions { user: value("instructions:u")?, kernel: value("instructions:k")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_instructions_are_read() {
        let report = "# started on Sun Nov 22\n\n601234,,instructions:u,4000,100.00,,\n12700000,,instructions:k,4000,100.00,,\n";
        let counted = Instructions { user: 601_234.0, kernel: 12_700_000.0 };
        assert_eq!(parse(report), Some(counted));
    }

    #[test]
    fn a_machine_without_counters_is_recognised() {
        let report = "<not supported>,,instructions:u,0,100.00,,\n<not supported>,,instructions:k,0,100.00,,\n";
        assert_eq!(parse(report), None);
    }
}
