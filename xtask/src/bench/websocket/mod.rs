//! `--websocket`: messages, connections that come and go, idle ones and storms of them, beside other servers of WebSocket.

mod budgets;
mod idle;
mod page;
mod storm;
mod workload;

use anyhow::{Result, bail};
use tempfile::TempDir;

use super::binaries::{Binaries, Program};
use super::by_workload::ByWorkload;
use super::counters::{Attached, Counters};
use super::counting::Counting;
use super::load::{self, Report};
use super::machine::{self, Machine};
use super::options::Options;
use super::subjects::{Group, Running, Step, Subject, Watched};
use super::tls::Identity;
use super::{descriptors, interrupt, measure};
use idle::Idle;
use storm::Storm;
use workload::Workload;

/// The names budgets and ratios refer to.
mod name {
    pub(super) const EMBEDDED: &str = "narthex embedded (hub)";
    pub(super) const SHARED: &str = "narthex shared (hub)";
    pub(super) const TWO: &str = "narthex shared (hub), two processes";
    pub(super) const EMBEDDED_TLS: &str = "narthex embedded (hub), TLS";
    pub(super) const SHARED_TLS: &str = "narthex shared (hub), TLS";
    pub(super) const TUNGSTENITE: &str = "tokio-tungstenite";
    pub(super) const FASTWEBSOCKETS: &str = "fastwebsockets on hyper";
    pub(super) const AXUM: &str = "axum ws";
    pub(super) const ACTIX: &str = "actix-ws";
    pub(super) const NODE: &str = "ws on Node";
    pub(super) const NGINX_AXUM: &str = "nginx -> axum ws";
}

/// The load generator, which is built.
pub(super) const WEBSOCKET_LOAD: Program = Program::Narthex { package: "narthex-bench-ws-load", binary: "ws-load" };

/// Measured seconds per subject and workload, unless told otherwise.
pub(super) const SECONDS: u32 = 2;

/// Those that everything is compared with.
const PEERS: [&str; 5] = [name::TUNGSTENITE, name::FASTWEBSOCKETS, name::AXUM, name::ACTIX, name::NODE];

/// What a queue has to hold when all devices of a [`storm`] come at once.
///
/// It has a name: without one, the host would close the port when the app is killed.
const QUEUE: &[&str] = &["--queue-length", "10000", "--queue-name", "hub"];

const SUBJECTS: [Subject; 11] = [
    subject(name::EMBEDDED, Group::Narthex, &[Step::NarthexHub("embedded-hub", &[])]),
    subject(name::SHARED, Group::Narthex, &[Step::NarthexHost, Step::NarthexHub("shared-hub", QUEUE)]),
    subject(
        name::TWO,
        Group::Narthex,
        &[Step::NarthexHost, Step::NarthexHub("shared-hub", QUEUE), Step::NarthexHub("shared-hub", QUEUE)],
    ),
    subject(name::EMBEDDED_TLS, Group::Narthex, &[Step::NarthexTlsHub("embedded-hub")]),
    subject(name::SHARED_TLS, Group::Narthex, &[Step::NarthexTlsHost, Step::NarthexTlsHub("shared-hub")]),
    subject(name::TUNGSTENITE, Group::Peers, &[Step::WebSocketPeer("ws-tungstenite")]),
    subject(name::FASTWEBSOCKETS, Group::Peers, &[Step::WebSocketPeer("ws-fastwebsockets")]),
    subject(name::AXUM, Group::Peers, &[Step::WebSocketPeer("ws-axum")]),
    subject(name::ACTIX, Group::Peers, &[Step::WebSocketPeer("ws-actix")]),
    subject(name::NODE, Group::Peers, &[Step::NodePeer("ws-node.js")]),
    subject(name::NGINX_AXUM, Group::Peers, &[Step::WebSocketUpstream("ws-axum"), Step::NginxWebSocketToTcp]),
];

const fn subject(name: &'static str, group: Group, steps: &'static [Step]) -> Subject {
    Subject { name, group, fresh: false, steps }
}

pub(super) fn all() -> &'static [Subject] {
    &SUBJECTS
}

/// TLS is there for what it keeps per connection, and two processes for what happens when one of them is killed.
fn takes(subject: &Subject, workload: Workload) -> bool {
    match subject.name {
        name::TWO | name::EMBEDDED_TLS | name::SHARED_TLS => false,
        name::EMBEDDED | name::SHARED | name::NODE => true,
        _ => workload != workload::COMPRESSED,
    }
}

/// Valgrind would count Node's compiler.
fn is_counted(subject: &Subject) -> bool {
    subject.name != name::NODE
}

fn idles(subject: &Subject) -> bool {
    subject.name != name::TWO
}

/// In front of nginx each connection is two, which is no question of memory per connection.
fn idles_by_many(subject: &Subject) -> bool {
    idles(subject) && subject.name != name::NGINX_AXUM
}

fn is_stormed(subject: &Subject) -> bool {
    !matches!(subject.name, name::EMBEDDED_TLS | name::SHARED_TLS)
}

/// All of one run.
struct Outcome {
    machine: Machine,
    results: ByWorkload<Workload>,
    idle: Vec<Idle>,
    /// Who did not hold 100 000 connections, and why.
    unreached: Vec<(&'static str, String)>,
    storms: Vec<Storm>,
    /// Who did not come through a storm, and why.
    no_storm: Vec<(&'static str, String)>,
}

impl Outcome {
    fn new(machine: Machine) -> Self {
        Self {
            machine,
            results: ByWorkload::new(workload::ALL),
            idle: Vec::new(),
            unreached: Vec::new(),
            storms: Vec::new(),
            no_storm: Vec::new(),
        }
    }
}

/// What every start needs.
struct Bench<'a> {
    binaries: &'a Binaries,
    counters: &'a Counters,
    options: &'a Options,
    /// How many connections a process may have.
    connections: usize,
    /// Its files are those of the directory.
    identity: Identity,
    _directory: TempDir,
}

pub(super) fn run(subjects: &[Subject], binaries: &Binaries, counters: &Counters, options: &Options) -> Result<()> {
    let bench = Bench::new(binaries, counters, options)?;
    let mut outcome = Outcome::new(machine::describe(binaries, counters, options)?);
    for round in 1..=options.rounds {
        for subject in subjects {
            bench.round(subject, round, &mut outcome)?;
        }
    }
    // A quick run is for working on what is measured within minutes.
    if options.rounds > 0 && !options.quick {
        for subject in subjects.iter().filter(|subject| idles_by_many(subject)) {
            let idle =
                idle::expect_room(&bench, subject, &outcome.idle).and_then(|()| idle::measure(&bench, subject, 1, idle::MANY));
            interrupt::check()?;
            match idle {
                Ok(idle) => {
                    println!("once     {}", idle.line());
                    outcome.idle.push(idle);
                }
                Err(error) => {
                    println!("once     {:<32} {} idle connections: {error:#}", subject.name, idle::MANY);
                    outcome.unreached.push((subject.name, format!("{error:#}")));
                }
            }
        }
    }
    if options.counts() {
        let mut counting = Counting::new(binaries, options)?;
        for workload in workload::COUNTED {
            for subject in subjects.iter().filter(|subject| takes(subject, workload) && is_counted(subject)) {
                let start = |watched: &Watched| bench.start(subject, watched);
                let drive = |running: &Running, messages| fixed(workload, binaries, running.port, messages);
                let count = counting.count(subject, &workload.title(), workload.connections(), start, drive)?;
                outcome.results.add_count(workload, count);
            }
        }
    }
    if options.in_guest {
        return Ok(());
    }
    let directory = page::write(&outcome, options)?;
    println!("\n{}", page::summary(&outcome));
    println!("written: {}", directory.join("README.md").display());
    Ok(())
}

impl<'a> Bench<'a> {
    fn new(binaries: &'a Binaries, counters: &'a Counters, options: &'a Options) -> Result<Self> {
        let connections = descriptors::raise(idle::SOME)?;
        let directory = tempfile::Builder::new().prefix("narthex-bench-websocket-").tempdir()?;
        let mut command = load::command(None);
        command.arg(binaries.path(WEBSOCKET_LOAD)).arg("identity").arg(directory.path());
        load::complete("ws-load", command, 10)?;
        let file = |name: &str| directory.path().join(name);
        let identity = Identity { certificate: file("certificate.pem"), key: file("key.pem") };
        Ok(Self { binaries, counters, options, connections, identity, _directory: directory })
    }

    fn start(&self, subject: &Subject, watched: &Watched) -> Result<Running> {
        subject.start_showing(Some(&self.identity), self.binaries, watched)
    }

    fn by_tls(&self, subject: &Subject) -> bool {
        matches!(subject.name, name::EMBEDDED_TLS | name::SHARED_TLS)
    }

    /// Each part with servers that were just started: how memory lies after ten thousand connections is nobody's ordinary case.
    fn round(&self, subject: &Subject, round: u32, outcome: &mut Outcome) -> Result<()> {
        if idles(subject) {
            let idle = idle::measure(self, subject, round, idle::SOME)?;
            println!("round {round}  {}", idle.line());
            outcome.idle.push(idle);
        }
        if is_stormed(subject) {
            match storm::measure(self, subject, round) {
                Ok(storm) => {
                    println!("round {round}  {}", storm.line());
                    outcome.storms.push(storm);
                }
                Err(error) => {
                    interrupt::check()?;
                    println!("round {round}  {:<32} storm: {error:#}", subject.name);
                    outcome.no_storm.push((subject.name, format!("round {round}: {error:#}")));
                }
            }
        }
        let workloads: Vec<Workload> = workload::ALL.into_iter().filter(|workload| takes(subject, *workload)).collect();
        if workloads.is_empty() {
            return Ok(());
        }
        let mut running = self.start(subject, &Watched::No)?;
        for workload in workloads {
            let run = |seconds, perf: Option<&Attached>| generate(workload, self.binaries, running.port, seconds, perf);
            let load = measure(subject, &running, round, workload.connections(), self.counters, self.options, run)?;
            println!("round {round}  {:<38} {}", workload.title(), load.line());
            outcome.results.add(workload, load);
            interrupt::check()?;
        }
        running.stop()
    }
}

/// So many seconds of `workload`.
fn generate(workload: Workload, binaries: &Binaries, port: u16, seconds: u32, perf: Option<&Attached>) -> Result<Report> {
    let mut command = load::command(perf);
    command.arg(binaries.path(WEBSOCKET_LOAD)).args(workload.arguments(port)).args(["--seconds", &seconds.to_string()]);
    // Opening them comes first: in a slow minute, ten thousand take some time.
    let opening = u32::try_from(workload.connections() / 250)?;
    load::read_own(&load::complete("ws-load", command, seconds + opening)?)
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
