//! `--websocket`: echo, broadcast and idle connections, beside other servers of WebSocket.

mod budgets;
mod idle;
mod page;
mod workload;

use anyhow::{Result, bail};

use super::binaries::{Binaries, Program};
use super::by_workload::ByWorkload;
use super::counters::{Attached, Counters};
use super::load::{self, Report};
use super::machine::{self, Machine};
use super::options::Options;
use super::subjects::{Group, Running, Step, Subject, Watched};
use super::{count, interrupt, measure};
use idle::Idle;
use workload::Workload;

/// The names budgets and ratios refer to.
mod name {
    pub(super) const EMBEDDED: &str = "narthex embedded (hub)";
    pub(super) const SHARED: &str = "narthex shared (hub)";
    pub(super) const TUNGSTENITE: &str = "tokio-tungstenite";
    pub(super) const FASTWEBSOCKETS: &str = "fastwebsockets on hyper";
    pub(super) const AXUM: &str = "axum ws";
    pub(super) const ACTIX: &str = "actix-ws";
}

/// The load generator, which is built.
pub(super) const WEBSOCKET_LOAD: Program = Program::WebSocket("ws-load");

/// Measured seconds per subject and workload, unless told otherwise.
pub(super) const SECONDS: u32 = 2;

const PEERS: [&str; 4] = [name::TUNGSTENITE, name::FASTWEBSOCKETS, name::AXUM, name::ACTIX];

const SUBJECTS: [Subject; 6] = [
    subject(name::EMBEDDED, Group::Narthex, &[Step::NarthexHub("embedded-hub")]),
    subject(name::SHARED, Group::Narthex, &[Step::NarthexHost, Step::NarthexHub("shared-hub")]),
    subject(name::TUNGSTENITE, Group::Peers, &[Step::WebSocketPeer("ws-tungstenite")]),
    subject(name::FASTWEBSOCKETS, Group::Peers, &[Step::WebSocketPeer("ws-fastwebsockets")]),
    subject(name::AXUM, Group::Peers, &[Step::WebSocketPeer("ws-axum")]),
    subject(name::ACTIX, Group::Peers, &[Step::WebSocketPeer("ws-actix")]),
];

const fn subject(name: &'static str, group: Group, steps: &'static [Step]) -> Subject {
    Subject { name, group, fresh: false, steps }
}

pub(super) fn all() -> &'static [Subject] {
    &SUBJECTS
}

/// All of one run.
struct Outcome {
    machine: Machine,
    results: ByWorkload<Workload>,
    idle: Vec<Idle>,
}

impl Outcome {
    fn new(machine: Machine) -> Self {
        Self { machine, results: ByWorkload::new(workload::ALL), idle: Vec::new() }
    }
}

pub(super) fn run(subjects: &[Subject], binaries: &Binaries, counters: &Counters, options: &Options) -> Result<()> {
    let mut outcome = Outcome::new(machine::describe(binaries, counters, options)?);
    for round in 1..=options.rounds {
        for subject in subjects {
            let mut running = subject.start(binaries, &Watched::No)?;
            let idle = idle::measure(subject.name, round, &running, binaries)?;
            println!("round {round}  {}", idle.line());
            outcome.idle.push(idle);
            running.stop()?;

            // Anew: how memory lies after ten thousand connections is nobody's ordinary case.
            let mut running = subject.start(binaries, &Watched::No)?;
            for workload in workload::ALL {
                let run = |seconds, perf: Option<&Attached>| generate(workload, binaries, running.port, seconds, perf);
                let load = measure(subject, &running, round, workload.connections(), counters, options, run)?;
                println!("round {round}  {:<38} {}", workload.title(), load.line());
                outcome.results.add(workload, load);
                interrupt::check()?;
            }
            running.stop()?;
        }
    }
    if options.callgrind {
        for workload in workload::COUNTED {
            for subject in subjects {
                let start = |watched: &Watched| subject.start(binaries, watched);
                let drive = |running: &Running, messages| fixed(workload, binaries, running.port, messages);
                let count = count(subject, workload.connections(), start, drive)?;
                outcome.results.add_count(workload, count);
            }
        }
    }
    let directory = page::write(&outcome, options)?;
    println!("\n{}", page::summary(&outcome));
    println!("written: {}", directory.join("README.md").display());
    Ok(())
}

/// So many seconds of `workload`.
fn generate(workload: Workload, binaries: &Binaries, port: u16, seconds: u32, perf: Option<&Attached>) -> Result<Report> {
    let mut command = load::command(perf);
    command.arg(binaries.path(WEBSOCKET_LOAD)).args(workload.arguments(port)).args(["--seconds", &seconds.to_string()]);
    load::read_own(&load::complete("ws-load", command, seconds)?)
}

/// So many messages in all, for counting.
fn fixed(workload: Workload, binaries: &Binaries, port: u16, messages: usize) -> Result<()> {
    let each = messages / workload.connections();
    if each * workload.connections() != messages {
        bail!("{messages} messages cannot be shared by {} connections", workload.connections());
    }
    let mut command = load::command(None);
    command.arg(binaries.path(WEBSOCKET_LOAD)).args(workload.arguments(port)).args(["--each", &each.to_string()]);
    load::complete("ws-load", command, 300).map(drop)
}
