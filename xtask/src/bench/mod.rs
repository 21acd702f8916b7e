//! `cargo xtask bench`: what a request costs in Narthex and in its peers, side by side in one run.
//!
//! Servers are pinned to one core and the load to another; every number is read against a peer of the same run.

mod binaries;
mod budgets;
mod by_workload;
mod callgrind;
mod chart;
mod client;
mod comparison;
mod counters;
mod counting;
mod counts;
mod cpu;
mod descriptors;
mod emulated;
mod files;
mod h2load;
mod interrupt;
mod knobs;
mod load;
mod machine;
mod nginx;
mod options;
mod page;
mod process;
mod results;
mod subjects;
mod syscalls;
mod tls;
mod websocket;
mod wrk;

use std::time::Duration;

use anyhow::{Context, Result, bail};

use binaries::Binaries;
use counters::{Attached, Counters};
use counting::Counting;
use load::Report;
use options::{Compared, Options, Request};
use results::{Load, Results};
use subjects::{Running, Subject, Watched};

/// The core every server process is pinned to.
const SERVER_CORE: usize = 0;
/// The core of whatever drives the servers.
const LOAD_CORE: usize = 1;

/// Runs the benchmark that `arguments` (without the word `bench`) describe.
pub(crate) fn run(arguments: impl IntoIterator<Item = String>) -> Result<()> {
    let options = match options::parse(arguments)? {
        Request::Help => {
            print!("{}", options::USAGE);
            return Ok(());
        }
        Request::List => {
            for subject in subjects::all().iter().chain(knobs::all()) {
                println!("{:<10} {}", subject.group.name(), subject.name);
            }
            for subject in tls::all() {
                println!("{:<10} {}, with --tls", subject.group.name(), subject.name);
            }
            for subject in files::all() {
                println!("{:<10} {}, with --files", subject.group.name(), subject.name);
            }
            for subject in websocket::all() {
                println!("{:<10} {}, with --websocket", subject.group.name(), subject.name);
            }
            return Ok(());
        }
        Request::Run(options) => options,
    };
    let cores = std::thread::available_parallelism()?.get();
    if cores <= LOAD_CORE && !options.in_guest {
        bail!("the benchmark needs two cores, one for the servers and one for the load; this machine has {cores}");
    }
    let all = match options.compared {
        Compared::Peers => subjects::all(),
        Compared::Knobs => knobs::all(),
        Compared::Tls => tls::all(),
        Compared::WebSocket => websocket::all(),
        Compared::Files => files::all(),
    };
    let subjects = subjects::select(all, &options.only)?;
    interrupt::install()?;
    let binaries = Binaries::prepare(&subjects, &options)?;
    let counters = counters::probe();
    match options.compared {
        Compared::Tls => return tls::run(&subjects, &binaries, &counters, &options),
        Compared::WebSocket => return websocket::run(&subjects, &binaries, &counters, &options),
        Compared::Files => return files::run(&subjects, &binaries, &counters, &options),
        Compared::Peers | Compared::Knobs => {}
    }
    let mut results = Results::new(machine::describe(&binaries, &counters, &options)?);

    for round in 1..=options.rounds {
        for subject in &subjects {
            let loads = load(subject, round, &binaries, &counters, &options)
                .with_context(|| format!("{} (round {round})", subject.name))?;
            results.loads.extend(loads);
        }
    }
    if options.counts() {
        let mut counting = Counting::new(&binaries, &options)?;
        for subject in &subjects {
            for connections in options::COUNTED_CONNECTIONS {
                let workload = connections.to_string();
                let start = |watched: &Watched| subject.start(&binaries, watched);
                let drive = |running: &Running, requests| client::exchange(running.port, connections, requests);
                results.counts.push(counting.count(subject, &workload, connections, start, drive)?);
            }
        }
    }
    if options.in_guest {
        return Ok(());
    }

    let directory = page::write(&results, &options)?;
    println!("\n{}", page::summary(&results, &options));
    println!("written: {}", directory.join("README.md").display());
    Ok(())
}

/// One start of `subject`, put under load at every connection count.
fn load(subject: &Subject, round: u32, binaries: &Binaries, counters: &Counters, options: &Options) -> Result<Vec<Load>> {
    let mut running = subject.start(binaries, &Watched::No)?;
    let mut loads = Vec::new();
    for &connections in &options.connections {
        let url = format!("http://127.0.0.1:{}/", running.port);
        let run = |seconds, perf: Option<&Attached>| {
            wrk::Run { program: binaries.wrk(), url: url.clone(), connections, fresh: subject.fresh, seconds, openssl: None }
                .measure(perf)
        };
        let load = measure(subject, &running, round, connections, counters, options, run)?;
        println!("round {round}  {}", load.line());
        loads.push(load);
    }
    running.stop()?;
    Ok(loads)
}

/// What `run`, given seconds, costs the server: first without looking, then measured.
fn measure(
    subject: &Subject,
    running: &Running,
    round: u32,
    connections: usize,
    counters: &Counters,
    options: &Options,
    run: impl Fn(u32, Option<&Attached>) -> Result<Report>,
) -> Result<Load> {
    let processes = running.processes()?;
    let open = descriptors::open_files(&processes)?;
    run(options.warm_up_seconds, None)?;
    descriptors::await_closed(&processes, open)?;
    let perf = counters.attach(&processes, running.directory());
    let core = cpu::read_core(SERVER_CORE)?;
    let before = cpu::read(&processes)?;
    let report = run(options.seconds, perf.as_ref())?;
    let spent = cpu::read(&processes)?.since(before);
    let core_busy = cpu::read_core(SERVER_CORE)?.busy_since(core);
    let instructions = perf.map(|perf| perf.read()).transpose()?;
    let mut load = Load::new(subject, round, connections, &report, spent, instructions)?;
    load.others = (core_busy - load.busy).max(0.0);
    descriptors::await_closed(&processes, open)?;
    Ok(load)
}

/// How long a server may take until it answers or until it has ended.
fn patience(watched: &Watched) -> Duration {
    match watched {
        Watched::No => Duration::from_secs(10),
        // Valgrind starts programs about fifty times slower.
        Watched::Callgrind | Watched::Strace => Duration::from_secs(60),
    }
}
