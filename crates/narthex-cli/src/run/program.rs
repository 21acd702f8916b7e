//! A program while it runs: its supervisors, its registration with the host, and what is done when it is to be another one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use narthex::{Provider, RequestQueue, Server, ServerHandle, Successor};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::fleet::Fleet;
use super::gateway::Gateway;
use super::programs::Program;
use super::supervise::{End, Order, Shop, Supervisor};
use super::watch::Watch;
use crate::output::print;

/// Once it stops, a program that has only WebSockets left is told to end: it alone can say goodbye to them.
const QUIET: Duration = Duration::from_millis(300);

/// How long clients may take to hear a goodbye when the processes have ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a running program is told.
pub(super) enum Command {
    /// It is to be this one. The gate is the same: another one is another registration.
    Become(Arc<Program>),
    /// Other processes in the place of those that there are.
    Restart,
    Stop,
}

/// What programs run on.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) shop: Arc<Shop>,
    pub(super) provider: Provider,
    /// There are others, which go on if this one cannot be registered: so it is tried again.
    pub(super) persistent: bool,
}

/// A program that runs.
pub(super) struct Running {
    name: String,
    program: Arc<Program>,
    ground: Ground,
    fleet: Arc<Fleet>,
    orders: watch::Sender<Order>,
    supervisors: JoinSet<(u16, End)>,
    turn: Arc<Semaphore>,
    /// The instances that have a supervisor.
    supervised: BTreeSet<u16>,
    watch: Watch,
}

impl Running {
    pub(super) fn new(name: String, program: Arc<Program>, ground: Ground) -> Self {
        let gate = &program.gate;
        let fleet = Fleet::new(gate.on_demand, gate.wait, gate.max_waiting);
        let order = Order { program: Arc::clone(&program), generation: 0, instances: program.instances };
        let watch = Watch::new(program.watch.clone());
        Self {
            name,
            program,
            ground,
            fleet,
            orders: watch::Sender::new(order),
            supervisors: JoinSet::new(),
            turn: Arc::new(Semaphore::new(1)),
            supervised: BTreeSet::new(),
            watch,
        }
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// The program has given up, or cannot be registered.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) -> anyhow::Result<()> {
        self.supervise();
        let outcome = self.serve(&mut commands).await;
        // Whatever came of it, no process is left.
        self.fleet.close();
        self.orders.send_modify(|order| order.instances = 0);
        while self.supervisors.join_next().await.is_some() {}
        outcome.with_context(|| format!("{} has ended", self.name))
    }

    async fn serve(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> anyhow::Result<()> {
        if !self.program.gate.on_demand {
            let fleet = Arc::clone(&self.fleet);
            // Who cannot answer yet gets no requests.
            if self.attend(commands, async move { fleet.is_ready().await }).await?.is_none() {
                return Ok(());
            }
        }
        let Some(server) = self.register(commands).await? else { return Ok(()) };
        let fleet = Arc::clone(&self.fleet);
        let idle = self.program.gate.idle;
        let retiring = async move {
            match idle {
                Some(idle) => fleet.retire_when_idle(idle).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(retiring);
        let outcome = loop {
            tokio::select! {
                ended = server.stopped() => break ended.context("the registration has ended"),
                () = &mut retiring => {}
                command = commands.recv() => match command {
                    Some(Command::Become(program)) => self.become_another(program, &server).await,
                    Some(Command::Restart) => self.restart("it is asked for"),
                    Some(Command::Stop) | None => break Ok(()),
                },
                Some(ended) = self.supervisors.join_next() => if let Err(error) = self.supervisor_ended(ended) { break Err(error) },
                () = self.watch.changed() => self.restart("a watched file has changed"),
            }
        };
        self.stop(server).await;
        outcome
    }

    /// Waits for something while commands are obeyed. `None`: it is to stop.
    async fn attend<T>(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        waiting: impl Future<Output = T>,
    ) -> anyhow::Result<Option<T>> {
        tokio::pin!(waiting);
        loop {
            tokio::select! {
                done = &mut waiting => return Ok(Some(done)),
                command = commands.recv() => match command {
                    Some(Command::Become(program)) => self.give_order(program),
                    Some(Command::Restart) => self.restart("it is asked for"),
                    Some(Command::Stop) | None => return Ok(None),
                },
                Some(ended) = self.supervisors.join_next() => self.supervisor_ended(ended)?,
                () = self.watch.changed() => self.restart("a watched file has changed"),
            }
        }
    }

    /// Registers the prefixes. `None`: it is to stop.
    async fn register(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> anyhow::Result<Option<ServerHandle>> {
        let mut backoff = Backoff::default();
        loop {
            let server = self.server();
            let error = match self.attend(commands, server.start()).await? {
                None => return Ok(None),
                Some(Ok(handle)) => return Ok(Some(handle)),
                Some(Err(error)) if self.ground.persistent => error,
                Some(Err(error)) => return Err(error.into()),
            };
            let pause = backoff.failed(Duration::ZERO, 0.5);
            // At first it may be its own predecessor that is about to go.
            if backoff.failures() > 2 {
                tracing::error!("{} cannot be registered: {error}. Next try in {:.1} s", self.name, pause.as_secs_f64());
            }
            if self.attend(commands, sleep(pause)).await?.is_none() {
                return Ok(None);
            }
        }
    }

    fn server(&self) -> Server<Gateway> {
        let gate = &self.program.gate;
        let gateway = Gateway::new(&self.name, Arc::clone(&self.fleet), gate.keep_prefix);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut server = Server::new(gateway)
            .name(&self.name)
            .prefixes(&self.program.prefixes)
            .provider(self.ground.provider.clone())
            // A worker is worth a core, and a process of the program uses one, too.
            .workers(cores.min(self.program.instances.into()))
            .connection_info(true)
            // When its requests are to end is decided here: with the processes.
            .shutdown_timeout(Duration::from_secs(24 * 3600));
        if let Some(queue) = &gate.queue {
            server = server.queue(RequestQueue::new().named(queue));
        }
        if let Some(most) = gate.max_body {
            server = server.max_body(most);
        }
        // `narthex restart` of the queue restarts what stands behind it.
        let (orders, name) = (self.orders.clone(), self.name.clone());
        let server = server.successor(move || {
            tracing::info!("{name} is restarted: its request queue is");
            orders.send_modify(|order| order.generation += 1);
            std::future::ready(Ok(Successor::Itself))
        });
        let name = self.name.clone();
        server.on_ready(move |prefixes| {
            let prefixes: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
            print(&format!("ready {name} {}", prefixes.join(" ")));
        })
    }

    /// Lets requests finish, then ends the processes.
    async fn stop(&mut self, server: ServerHandle) {
        tracing::info!("{} is stopped: requests that run are finished", self.name);
        server.stop();
        let stopped = async {
            // Nobody is interested in why any more.
            let _ = server.stopped().await;
        };
        tokio::pin!(stopped);
        tokio::select! {
            () = &mut stopped => return,
            () = self.fleet.quiet(QUIET) => {}
            () = sleep(self.program.drain) => tracing::warn!("{} still has requests after {:?}", self.name, self.program.drain),
        }
        self.fleet.close();
        self.orders.send_modify(|order| order.instances = 0);
        while self.supervisors.join_next().await.is_some() {}
        // What is left are clients that have not closed their end.
        let _ = timeout(FAREWELL, stopped).await;
    }

    /// Other processes are started, one after the other, and take the place of those that there are.
    fn restart(&mut self, why: &str) {
        tracing::info!("{} is restarted: {why}", self.name);
        self.orders.send_modify(|order| order.generation += 1);
        // Those that had given up try again.
        self.supervise();
    }

    /// The processes are to be those of this program.
    fn give_order(&mut self, program: Arc<Program>) {
        let others = program.launch != self.program.launch || program.prefixes != self.program.prefixes;
        if program.watch != self.program.watch {
            self.watch = Watch::new(program.watch.clone());
        }
        self.orders.send_modify(|order| {
            order.generation += u64::from(others);
            order.instances = program.instances;
            order.program = Arc::clone(&program);
        });
        self.program = program;
        self.supervise();
    }

    /// The same, with its prefixes.
    async fn become_another(&mut self, program: Arc<Program>, server: &ServerHandle) {
        let old = Arc::clone(&self.program);
        self.give_order(Arc::clone(&program));
        // First, so that there is always one.
        for prefix in program.prefixes.iter().filter(|prefix| !old.prefixes.contains(prefix)) {
            match server.add_prefix(prefix).await {
                Ok(prefix) => print(&format!("ready {} {prefix}", self.name)),
                Err(error) => tracing::error!("{}: {error}", self.name),
            }
        }
        for prefix in old.prefixes.iter().filter(|prefix| !program.prefixes.contains(prefix)) {
            if let Err(error) = server.remove_prefix(prefix).await {
                tracing::error!("{}: {error}", self.name);
            }
        }
    }

    fn supervisor_ended(&mut self, ended: Result<(u16, End), JoinError>) -> anyhow::Result<()> {
        let (instance, end) = ended.context("a supervisor has failed")?;
        self.supervised.remove(&instance);
        match end {
            // It may be wanted again meanwhile.
            End::Ordered => self.supervise(),
            End::GaveUp if self.supervised.is_empty() => anyhow::bail!("none of its processes can be kept running"),
            End::GaveUp => {}
        }
        Ok(())
    }

    /// Starts the supervisors that are missing.
    fn supervise(&mut self) {
        for instance in 1..=self.program.instances {
            if !self.supervised.insert(instance) {
                continue;
            }
            let supervisor = Supervisor {
                name: self.name.clone(),
                instance,
                orders: self.orders.subscribe(),
                fleet: Arc::clone(&self.fleet),
                shop: Arc::clone(&self.ground.shop),
                turn: Arc::clone(&self.turn),
            };
            self.supervisors.spawn(async move { (instance, supervisor.run().await) });
        }
    }
}
