//! Keeps one process of a program running: started when it is wanted, again when it dies, replaced without a gap when it is to be
//! another one, and ended in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::backoff::Backoff;
use super::child::Child;
use super::endpoint::Endpoint;
use super::fleet::{Fleet, Instance};
use super::guard::Guard;
use super::logs::Label;
use super::programs::{Launch, Program};
use super::ready::{Check, FAILED_CHECKS, ready};
use crate::args::Listen;

/// Shorter than what servers themselves allow (gunicorn 2 s, node and uvicorn 5 s): of a connection that the server closes at the
/// very moment, nobody knows whether a request has arrived.
const KEEP_ALIVE: Duration = Duration::from_millis(1500);
/// For each worker.
const IDLE_CONNECTIONS: usize = 64;
/// Streams of events may be silent for long.
const SILENCE: Duration = Duration::from_secs(3600);

/// What the supervisors of a program go by.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) program: Arc<Program>,
    /// Another number: other processes in the place of those that there are.
    pub(super) generation: u64,
    /// How many of them there are to be; 0 when the program ends.
    pub(super) instances: u16,
}

/// What all supervisors share.
#[derive(Debug)]
pub(super) struct Shop {
    pub(super) guard: Arc<Guard>,
    /// Where sockets are.
    pub(super) sockets: PathBuf,
}

/// The supervisor of one process.
pub(super) struct Supervisor {
    /// The program's.
    pub(super) name: String,
    /// From 1.
    pub(super) instance: u16,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) shop: Arc<Shop>,
    /// One process of a program is replaced after the other.
    pub(super) turn: Arc<Semaphore>,
}

/// A process that is ready.
struct Running {
    child: Child,
    endpoint: Endpoint,
    generation: u64,
    instance: Arc<Instance>,
    check: Option<Check>,
    launch: Launch,
    since: Instant,
}

impl Running {
    fn died(self) -> Gone {
        Gone::Died { ready_for: self.since.elapsed(), endpoint: self.endpoint }
    }
}

/// Why a process is none any more.
enum Gone {
    Died {
        ready_for: Duration,
        endpoint: Endpoint,
    },
    /// There is nothing to do.
    Idle,
    /// It is not to be.
    Ordered,
}

/// Why a supervisor has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Ordered,
    GaveUp,
}

impl Supervisor {
    /// Supervises until told to end.
    pub(super) async fn run(mut self) -> End {
        let mut backoff = Backoff::default();
        let mut leaving = JoinSet::new();
        // The socket of a process that has died, with what waits there.
        let mut left_over = None;
        let end = loop {
            tokio::select! {
                biased;
                () = self.is_over() => break End::Ordered,
                () = self.fleet.wanted() => {}
            }
            let order = self.orders.borrow_and_update().clone();
            // Dropped when the order comes, a process that is still starting is killed.
            let started = tokio::select! {
                started = self.start(&order, left_over.take()) => started,
                () = self.is_over() => break End::Ordered,
            };
            let ready_for = match started {
                Ok(running) => {
                    self.fleet.add(Arc::clone(&running.instance), None);
                    match self.keep(running, &mut leaving).await {
                        Gone::Died { ready_for, endpoint } => {
                            left_over = endpoint.survives().then_some(endpoint);
                            ready_for
                        }
                        Gone::Idle => continue,
                        Gone::Ordered => break End::Ordered,
                    }
                }
                Err(error) => {
                    tracing::error!("{} cannot be started: {error:#}", self.label());
                    Duration::ZERO
                }
            };
            let pause = backoff.failed(ready_for, f64::from(fastrand::u8(..)) / 255.0);
            if self.orders.borrow().program.give_up_after.is_some_and(|limit| backoff.failures() >= limit) {
                tracing::error!("{} has failed {} times in a row: given up", self.label(), backoff.failures());
                break End::GaveUp;
            }
            if backoff.failures() > 1 {
                tracing::info!("{}: next try in {:.1} s", self.label(), pause.as_secs_f64());
            }
            tokio::select! {
                () = sleep(pause) => {}
                // Perhaps it was the command that was wrong.
                _ = self.orders.changed() => backoff = Backoff::default(),
            }
            self.fleet.rest_unless_waited_for();
        };
        while leaving.join_next().await.is_some() {}
        end
    }

    /// Watches a process until it is gone. Those that replace it are kept as it was.
    async fn keep(&mut self, mut running: Running, leaving: &mut JoinSet<()>) -> Gone {
        let label = self.label();
        // Of the order that was last obeyed, or could not be.
        let mut generation = running.generation;
        loop {
            while leaving.try_join_next().is_some() {}
            let failing = async {
                match &running.check {
                    Some(check) => check.failing(running.launch.health_every).await,
                    None => std::future::pending().await,
                }
            };
            let why = tokio::select! {
                how = running.child.ended() => {
                    self.fleet.remove(running.instance.id);
                    running.child.last_words().await;
                    tracing::warn!("{label} (process {}) has ended: {how}", running.child.id());
                    return running.died();
                }
                () = running.instance.retired() => {
                    tracing::info!("{label} (process {}) has nothing to do, and is ended", running.child.id());
                    leaving.spawn(leave(running, Duration::ZERO));
                    return Gone::Idle;
                }
                () = failing => format!("has failed {FAILED_CHECKS} health checks in a row"),
                changed = self.orders.changed() => {
                    if changed.is_err() || self.is_over_now() {
                        self.fleet.remove(running.instance.id);
                        let drain = self.orders.borrow().program.drain;
                        leave(running, drain).await;
                        return Gone::Ordered;
                    }
                    if self.orders.borrow().generation == generation {
                        continue;
                    }
                    "is to be another one".to_owned()
                }
            };
            tracing::info!("{label} (process {}) {why}: a new one is started first", running.child.id());
            let order = self.orders.borrow_and_update().clone();
            generation = order.generation;
            match self.replacement(&order, &mut running).await {
                Replaced::By(new) => {
                    self.fleet.add(Arc::clone(&new.instance), Some(running.instance.id));
                    let old = std::mem::replace(&mut running, *new);
                    leaving.spawn(leave(old, order.program.drain));
                }
                Replaced::Not => {}
                Replaced::OldDied => return running.died(),
                // The order is still to be looked at, above.
                Replaced::Over => self.orders.mark_changed(),
            }
        }
    }

    /// Starts a process in the place of one that goes on until then.
    async fn replacement(&self, order: &Order, old: &mut Running) -> Replaced {
        let label = self.label();
        let old_id = old.child.id();
        let starting = async {
            // Closed by nobody.
            let _turn = self.turn.acquire().await;
            self.start(order, None).await
        };
        tokio::pin!(starting);
        let mut old_lives = true;
        loop {
            tokio::select! {
                started = &mut starting => return match started {
                    Ok(new) if old_lives => Replaced::By(Box::new(new)),
                    Ok(new) => {
                        *old = new;
                        self.fleet.add(Arc::clone(&old.instance), None);
                        Replaced::Not
                    }
                    Err(error) => {
                        tracing::error!("the new {label} cannot be started: {error:#}");
                        if old_lives {
                            tracing::warn!("{label} (process {old_id}) goes on");
                            Replaced::Not
                        } else {
                            Replaced::OldDied
                        }
                    }
                },
                how = old.child.ended(), if old_lives => {
                    old_lives = false;
                    self.fleet.remove(old.instance.id);
                    tracing::warn!("{label} (process {old_id}) has ended: {how}");
                }
                () = self.is_over() => {
                    return if old_lives { Replaced::Over } else { Replaced::OldDied };
                }
            }
        }
    }

    /// Starts a process and waits until it is ready.
    ///
    /// Dropping the future kills it.
    async fn start(&self, order: &Order, left_over: Option<Endpoint>) -> anyhow::Result<Running> {
        let program = &order.program;
        let launch = &program.launch;
        let left_over = left_over.filter(|_| launch.listen == Listen::Fd);
        let endpoint = left_over.map_or_else(|| Endpoint::new(launch.listen, &self.shop.sockets), Ok)?;
        let upstream = endpoint.upstream()?;
        let check = launch.health.as_deref().map(|path| Check::new(path, upstream.clone()));
        // Whether a process gets requests is decided here, by who knows whether it lives.
        let ejection = narthex::forward::Ejection::new().failures(u32::MAX);
        let upstream = upstream.ejection(ejection).retries(1).keep_alive(KEEP_ALIVE, IDLE_CONNECTIONS);
        let upstream = upstream.head_timeout(launch.timeout).body_timeout(SILENCE);
        let mut child = Child::start(&Label::new(&self.label()), program, self.instance, &endpoint, &self.shop.guard)?;
        tracing::info!("{} is started as process {}", self.label(), child.id());
        let is_ready = tokio::select! {
            is_ready = ready(&endpoint, check.as_ref(), launch.ready_within) => is_ready,
            how = child.ended() => {
                child.last_words().await;
                bail!("it has ended before it was ready: {how}; what it printed is above")
            }
        };
        if let Err(missing) = is_ready {
            child.stop(launch.stop_within).await;
            bail!(missing);
        }
        tracing::info!("{} is ready", self.label());
        let (launch, since) = (launch.clone(), Instant::now());
        Ok(Running { child, endpoint, generation: order.generation, instance: Instance::new(upstream), check, launch, since })
    }

    /// As in logs.
    fn label(&self) -> String {
        format!("{}.{}", self.name, self.instance)
    }

    fn is_over_now(&self) -> bool {
        self.orders.borrow().instances < self.instance
    }

    /// Waits until this process is to be no more.
    async fn is_over(&self) {
        // Who would say so is gone: that is the end as well.
        let _ = self.orders.clone().wait_for(|order| order.instances < self.instance).await;
    }
}

/// What became of a replacement.
enum Replaced {
    By(Box<Running>),
    /// There is one process, whichever.
    Not,
    OldDied,
    /// None is wanted any more.
    Over,
}

/// Lets a process that gets no requests any more finish those that it has, and ends it.
async fn leave(mut running: Running, drain: Duration) {
    if timeout(drain, running.instance.drained()).await.is_err() {
        tracing::warn!("process {} still has requests after {drain:?}, and is ended", running.child.id());
    }
    running.child.stop(running.launch.stop_within).await;
}
