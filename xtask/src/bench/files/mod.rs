//! `--files`: what a gigabyte costs, sent as a file and received in a form, beside nginx's `sendfile`.

mod page;

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::binaries::Binaries;
use super::counters::{Counters, Instructions};
use super::cpu::{self, Spent};
use super::machine::{self, Machine};
use super::options::Options;
use super::subjects::{Group, Running, Step, Subject, Watched};
use super::{SERVER_CORE, load};

/// The names that the page refers to.
pub(super) mod name {
    pub(crate) const NGINX: &str = "nginx, sendfile on";
    pub(crate) const EMBEDDED: &str = "narthex embedded";
    pub(crate) const PASSED: &str = "narthex shared, passed as a descriptor";
    pub(crate) const COPIED: &str = "narthex shared, copied through the app";
}

/// What is sent and received each time.
pub(super) const GIGABYTE: u64 = 1 << 30;
/// The file, in the directory of a subject. It takes no room on the disk.
pub(super) const FILE: &str = "gigabyte";
/// Transfers of each kind in a round, after one that is not measured.
const TRANSFERS: u32 = 4;

const SUBJECTS: [Subject; 4] = [
    subject(name::NGINX, Group::Peers, &[Step::NginxFiles]),
    subject(name::EMBEDDED, Group::Narthex, &[Step::NarthexFiles("embedded-files", &[])]),
    subject(name::PASSED, Group::Narthex, &[Step::NarthexHost, Step::NarthexFiles("shared-files", &[])]),
    subject(name::COPIED, Group::Narthex, &[Step::NarthexHost, Step::NarthexFiles("shared-files", &["--copied"])]),
];

const fn subject(name: &'static str, group: Group, steps: &'static [Step]) -> Subject {
    Subject { name, group, fresh: false, steps }
}

pub(super) fn all() -> &'static [Subject] {
    &SUBJECTS
}

/// Makes the file where it is not there yet.
pub(super) fn file_in(directory: &Path) -> Result<()> {
    let path = directory.join(FILE);
    File::create(&path).and_then(|file| file.set_len(GIGABYTE)).with_context(|| path.display().to_string())
}

/// Which way the gigabyte goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Download,
    Upload,
}

impl Direction {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Download => "A file of a gigabyte, sent",
            Self::Upload => "A form with a file of a gigabyte, received and put on the disk",
        }
    }
}

/// One subject in one round, for each gigabyte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer {
    pub(super) subject: &'static str,
    pub(super) direction: Direction,
    pub(super) seconds: f64,
    /// Nanoseconds of all server processes.
    pub(super) spent: Spent,
    pub(super) instructions: Option<Instructions>,
    /// The most memory that one of the processes has ever had resident, in bytes.
    pub(super) peak: f64,
    /// The share of the server core that others had.
    pub(super) others: f64,
}

pub(super) fn run(subjects: &[Subject], binaries: &Binaries, counters: &Counters, options: &Options) -> Result<()> {
    let machine: Machine = machine::describe(binaries, counters, options)?;
    let mut transfers = Vec::new();
    for round in 1..=options.rounds {
        for subject in subjects {
            let mut running = subject.start(binaries, &Watched::No)?;
            // nginx takes no forms, and how files are sent makes no difference to them.
            let upload = [name::EMBEDDED, name::PASSED].contains(&subject.name).then_some(Direction::Upload);
            for direction in [Direction::Download].into_iter().chain(upload) {
                let transfer = measure(subject, &running, direction, counters)
                    .with_context(|| format!("{} (round {round})", subject.name))?;
                println!("round {round}  {}", page::line(&transfer));
                transfers.push(transfer);
            }
            running.stop()?;
        }
    }
    let directory = page::write(&machine, &transfers, options)?;
    println!("\n{}", page::tables(&transfers));
    println!("written: {}", directory.join("README.md").display());
    Ok(())
}

fn measure(subject: &Subject, running: &Running, direction: Direction, counters: &Counters) -> Result<Transfer> {
    transfer(running, direction, 1, None)?;
    let processes = running.processes()?;
    let perf = counters.attach(&processes, running.directory());
    let core = cpu::read_core(SERVER_CORE)?;
    let before = cpu::read(&processes)?;
    let begun = Instant::now();
    transfer(running, direction, TRANSFERS, perf.as_ref())?;
    let seconds = begun.elapsed().as_secs_f64();
    let spent = cpu::read(&processes)?.since(before);
    let busy = cpu::read_core(SERVER_CORE)?.busy_since(core);
    let each = f64::from(TRANSFERS);
    let counted = perf.map(|perf| perf.read()).transpose()?;
    Ok(Transfer {
        subject: subject.name,
        direction,
        seconds: seconds / each,
        spent: Spent { user: spent.user / each, system: spent.system / each },
        instructions: counted.map(|all| Instructions { user: all.user / each, kernel: all.kernel / each }),
        peak: peak(&processes)?,
        others: (busy - (spent.user + spent.system) / 1e9 / seconds).max(0.0),
    })
}

/// So many gigabytes, one after the other on one connection. Not all that was to come is an error.
fn transfer(running: &Running, direction: Direction, count: u32, perf: Option<&super::counters::Attached>) -> Result<()> {
    let mut command = load::command(perf);
    command.args(["curl", "--silent", "--show-error", "--fail", "--noproxy", "*"]);
    let url = |target: &str| format!("http://127.0.0.1:{}/{target}", running.port);
    match direction {
        Direction::Download => {
            for _ in 0..count {
                command.args(["--output", "/dev/null"]).arg(url(FILE));
            }
        }
        Direction::Upload => {
            let form = format!("file=@{}", running.directory().join(FILE).display());
            for nth in 0..count {
                // Each URL has a form of its own only after `--next`, which forgets all options.
                if nth > 0 {
                    command.args(["--next", "--silent", "--show-error", "--fail"]);
                }
                command.args(["--output", "/dev/null", "--header", "Expect:", "--form", &form]).arg(url("upload"));
            }
        }
    }
    load::complete("curl", command, 60 * count).map(drop)
}

/// `VmHWM` of the process that has the most.
fn peak(processes: &[u32]) -> Result<f64> {
    let mut most: f64 = 0.0;
    for process in processes {
        let status = fs::read_to_string(format!("/proc/{process}/status")).context("a server process is gone")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("/proc/PID/status has no VmHWM")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().context("VmHWM is no number")?;
        most = most.max(kibibytes * 1024.0);
    }
    Ok(most)
}
