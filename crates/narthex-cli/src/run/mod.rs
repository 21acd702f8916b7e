//! `narthex run`: programs of any language as apps of the host. Each is forwarded to by a `narthex::forward::Forward`, and kept
//! running.
//!
//! From the outside in: `programs` says what there is to run, `program` runs one (registration, changes, end), `supervise` keeps one
//! of its processes, `child` is such a process. `fleet` is between those who supervise and the `gateway`, which forwards.

mod backoff;
mod child;
mod endpoint;
mod fleet;
mod gateway;
mod guard;
mod launch;
mod logs;
mod program;
mod programs;
mod ready;
mod supervise;
mod watch;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use narthex::Provider;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::args::{RunArguments, SocketArgument};
use crate::stop::{Signal, StopSignals};
use guard::Guard;
use program::{Command, Ground, Running};
use programs::{Program, Programs};
use supervise::Shop;
use watch::Watch;

pub(crate) use guard::guard;
pub(crate) use launch::become_child;

/// What `Forward` says of a failed attempt, the gateway says once it is clear that there will be no other.
const LOG: &str = "info,narthex::forward=error";

/// Runs programs until told to stop.
pub(crate) fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let (socket, file) = (arguments.socket.clone(), arguments.config.clone());
    let programs = match &file {
        Some(file) => programs::read(file)?,
        None => Programs::from([programs::typed(arguments)?]),
    };
    crate::log::start(LOG);
    let sockets = tempfile::Builder::new().prefix("narthex-run-").permissions(Permissions::from_mode(0o700)).tempdir();
    let sockets = sockets.context("cannot make a directory for sockets")?;
    let shop = Arc::new(Shop { guard: Arc::new(Guard::start()?), sockets: sockets.path().to_owned() });
    let ground = Ground { shop, provider: provider(&socket, file.is_some()), persistent: file.is_some() };
    // One thread starts all processes and lives as long as this one: Linux ends them with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(Runner::new(ground, file).run(programs))
}

/// Several programs may have one port, and only a host gives them that.
fn provider(socket: &SocketArgument, several: bool) -> Provider {
    match &socket.socket {
        Some(path) => Provider::shared_at(path),
        None if several => Provider::shared(),
        None => Provider::auto(),
    }
}

/// All programs that run.
struct Runner {
    ground: Ground,
    file: Option<PathBuf>,
    running: BTreeMap<String, Task>,
    tasks: JoinSet<(String, u64, anyhow::Result<()>)>,
    /// Of tasks: a program may be started again while its old task ends.
    next: u64,
}

/// A program that runs.
struct Task {
    number: u64,
    program: Program,
    commands: mpsc::UnboundedSender<Command>,
}

impl Runner {
    fn new(ground: Ground, file: Option<PathBuf>) -> Self {
        Self { ground, file, running: BTreeMap::new(), tasks: JoinSet::new(), next: 0 }
    }

    async fn run(mut self, programs: Programs) -> anyhow::Result<()> {
        let mut signals = StopSignals::catch().context("cannot catch signals")?;
        let mut restart = signal(SignalKind::user_defined2()).context("cannot catch signals")?;
        let mut watch = Watch::new(self.file.clone().into_iter().collect());
        for (name, program) in programs {
            self.start(name, program);
        }
        loop {
            tokio::select! {
                signal = signals.next() => match (signal, self.file.clone()) {
                    (Signal::HangUp, Some(file)) => self.reload(&file),
                    _ => break,
                },
                _ = restart.recv() => self.tell_all(|| Command::Restart),
                () = watch.changed() => if let Some(file) = self.file.clone() { self.reload(&file) },
                Some(ended) = self.tasks.join_next() => {
                    let (name, number, outcome) = ended.context("a program's task has failed")?;
                    self.running.retain(|_, task| task.number != number);
                    match outcome {
                        Ok(()) => {}
                        Err(error) if self.ground.persistent => tracing::error!("{error:#}. {name} rests until the file is read again"),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        self.tell_all(|| Command::Stop);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = ended => Ok(()),
            // Whoever asks twice does not want to wait: dropped, all processes are killed.
            () = signals.received() => bail!("stopped before all requests had ended"),
        }
    }

    fn start(&mut self, name: String, program: Program) {
        let (commands, orders) = mpsc::unbounded_channel();
        let running = Running::new(name.clone(), Arc::new(program.clone()), self.ground.clone());
        let number = self.next;
        self.next += 1;
        self.running.insert(name.clone(), Task { number, program, commands });
        self.tasks.spawn(async move { (name, number, running.run(orders).await) });
    }

    fn tell_all(&self, command: impl Fn() -> Command) {
        for task in self.running.values() {
            // One that is about to end needs no command.
            let _ = task.commands.send(command());
        }
    }

    /// Does what a changed file says: what has not changed in it is left alone.
    fn reload(&mut self, file: &Path) {
        let programs = match programs::read(file) {
            Ok(programs) => programs,
            Err(error) => return tracing::error!("{error:#}. Everything stays as it is"),
        };
        let gone: Vec<_> = self.running.keys().filter(|name| !programs.contains_key(*name)).cloned().collect();
        for name in gone {
            self.stop(&name);
        }
        for (name, program) in programs {
            match self.running.get_mut(&name) {
                Some(task) if task.program == program => {}
                Some(task) if task.program.gate == program.gate => {
                    task.program = program.clone();
                    let _ = task.commands.send(Command::Become(Arc::new(program)));
                }
                Some(_) => {
                    self.stop(&name);
                    self.start(name, program);
                }
                None => self.start(name, program),
            }
        }
        tracing::info!("{} is read: {} programs", file.display(), self.running.len());
    }

    fn stop(&mut self, name: &str) {
        if let Some(task) = self.running.remove(name) {
            let _ = task.commands.send(Command::Stop);
        }
    }
}
