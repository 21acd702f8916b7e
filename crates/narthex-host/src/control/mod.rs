//! The control thread: apps and operators talk to it over the host's socket; it alone changes what the host knows.

mod acme;
mod allowance;
pub(crate) mod answers;
pub(crate) mod certificates;
mod connection;
mod explain;
mod fragments;
mod maintenance;
pub(crate) mod names;
mod ports;
mod queues;
mod quic;
mod report;
pub(crate) mod reservations;
mod restart;
pub(crate) mod settings;
mod state;
#[cfg(test)]
mod strangers;
mod succession;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use narthex_http::{Acceptor, Admission, Bandwidth};
use narthex_proto::prefix::UrlPrefix;
use narthex_proto::wire::{GroupSettings, Owner, Properties, QueueSettings, RefusalCode};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use crate::admin::{Answer, Question};
use crate::cache::CacheBudget;
use crate::config::accounts::Groups;
use crate::config::{self, Config};
use crate::host::HostOptions;
use crate::log::Logs;
use crate::snapshot::{AppId, Snapshot};
use crate::socket::HostSocket;
use crate::trace::Traces;
use crate::worker::{Command, Report};
use acme::Acme;
use answers::Configuration;
use certificates::Certificates;
use ports::{Opened, PortChange};
use quic::Quic;
use reservations::Caller;
use state::{Refusal, State};
use succession::Awaited;

/// Connections to the host's socket: apps, their data connections, operators. A host of many workers takes more, since an app
/// connects every worker of its own to every one of the host's.
const MOST_CONNECTIONS: usize = 4_096;
/// Of those, the ones of a user who is not the operator; more if the host has many workers.
const MOST_OF_USER: usize = 512;
/// Connections beyond that which are told so, and operators. More are closed without a word.
const SPARE_CONNECTIONS: usize = 64;

/// What the whole host has one of.
pub(crate) struct Means {
    pub(crate) logs: Logs,
    pub(crate) traces: Traces,
    /// What the configuration said of where they are when the host started.
    pub(crate) log_directory: Option<PathBuf>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) cache: Arc<CacheBudget>,
    /// Paces all clients together.
    pub(crate) bandwidth: Arc<Bandwidth>,
    /// Accepts for all workers, if they do not do it themselves.
    pub(crate) acceptor: Option<Acceptor>,
    /// What the cache's times are counted from.
    pub(crate) started: Instant,
}

/// What the host's own process asks of it.
pub(crate) enum Wish {
    /// Read the configuration file again, and say when that is done.
    Reload(oneshot::Sender<()>),
    /// Say whether every worker turns.
    Turn(oneshot::Sender<bool>),
}

/// What the control thread is made of, before it runs.
pub(crate) struct Control {
    state: State,
    configuration: Configuration,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    means: Means,
    awaited: Option<Awaited>,
}

impl Control {
    pub(crate) fn new(
        options: &HostOptions,
        configuration: Configuration,
        workers: Vec<mpsc::UnboundedSender<Command>>,
        means: Means,
    ) -> Self {
        let config = Arc::clone(configuration.current());
        let mut state = State::new(workers.len(), options.listen.clone(), config, means.logs.clone());
        state.certificates = Certificates::new(configuration.directory());
        state.certificates.follow(configuration.current());
        if means.acceptor.is_some() {
            state.ports.one_socket_each();
        }
        Self { state, configuration, workers, means, awaited: None }
    }

    /// Uses ports that were open before the host, and leaves them open.
    pub(crate) fn keep_open(&mut self, listeners: Vec<(SocketAddr, TcpListener)>) {
        self.state.ports.keep_open(listeners);
    }

    /// Uses what another host has handed over, and waits for its apps.
    pub(crate) fn inherit(&mut self, listeners: Vec<(SocketAddr, TcpListener)>, apps: Vec<u32>) {
        self.state.ports.inherit(listeners);
        self.awaited = Some(Awaited::new(apps));
    }
}

/// What the tasks of the control thread share.
struct Shared {
    state: RefCell<State>,
    configuration: RefCell<Configuration>,
    /// The groups of the users that have connected.
    groups: RefCell<Groups>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    means: Means,
    /// Held from a change of the state until all workers have followed it: no earlier snapshot overwrites a later one, and
    /// an address that is being closed is free before somebody else asks for it.
    changing: tokio::sync::Mutex<()>,
    /// One permit for each connection to the host's socket.
    connections: Arc<Semaphore>,
    /// The same for each user who has connected.
    users: RefCell<HashMap<u32, Arc<Semaphore>>>,
    quic: RefCell<Quic>,
    acme: Acme,
    stopping: Cell<bool>,
    /// Processes that an operator has sent away for good, and when that is forgotten.
    kicked: RefCell<HashMap<u32, Instant>>,
    /// Who is there, or has what, has changed.
    published: Notify,
    /// The host's own socket, until it stops or another host has it.
    socket: RefCell<Option<HostSocket>>,
    /// Accepts on it.
    accepting: RefCell<Option<JoinHandle<()>>>,
    /// Whether another host has taken over.
    replaced: watch::Sender<bool>,
    /// The apps that are on their way from the host before this one.
    awaited: RefCell<Option<Awaited>>,
}

impl Shared {
    fn new(control: Control, socket: Option<HostSocket>, replaced: watch::Sender<bool>) -> Rc<Self> {
        let most = MOST_CONNECTIONS.max(16 * control.workers.len().saturating_pow(2));
        let acme = Acme::new(&control.configuration.directory());
        Rc::new(Self {
            state: RefCell::new(control.state),
            configuration: RefCell::new(control.configuration),
            groups: RefCell::default(),
            workers: control.workers,
            means: control.means,
            changing: tokio::sync::Mutex::default(),
            users: RefCell::default(),
            connections: Arc::new(Semaphore::new((most + SPARE_CONNECTIONS).min(Semaphore::MAX_PERMITS))),
            quic: RefCell::default(),
            acme,
            stopping: Cell::new(false),
            kicked: RefCell::default(),
            published: Notify::new(),
            socket: RefCell::new(socket),
            accepting: RefCell::default(),
            replaced,
            awaited: RefCell::new(control.awaited),
        })
    }

    /// A place among the connections of a user. One user cannot keep all others out.
    fn admit(&self, caller: &Caller) -> Option<OwnedSemaphorePermit> {
        let most = match caller.is_operator() {
            true => Semaphore::MAX_PERMITS,
            false => MOST_OF_USER.max(8 * self.workers.len().saturating_pow(2)),
        };
        let mut users = self.users.borrow_mut();
        let places = users.entry(caller.uid).or_insert_with(|| Arc::new(Semaphore::new(most)));
        Arc::clone(places).try_acquire_owned().ok()
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            // A worker that is gone has panicked; its thread's end is reported when the host stops.
            let _ = worker.send(command());
        }
    }

    fn ask<T>(&self, command: impl Fn(oneshot::Sender<T>) -> Command) -> Vec<oneshot::Receiver<T>> {
        let ask = |worker: &mpsc::UnboundedSender<Command>| {
            let (reply, answer) = oneshot::channel();
            let _ = worker.send(command(reply));
            answer
        };
        self.workers.iter().map(ask).collect()
    }

    /// Registers URLs; returns their group and their registrations.
    async fn register(
        &self,
        app: AppId,
        group: &GroupSettings,
        urls: &[String],
        into: Option<u64>,
    ) -> Result<(u64, Vec<(UrlPrefix, u32)>), Refusal> {
        let _one_at_a_time = self.changing.lock().await;
        if self.stopping.get() {
            return Err(Refusal::new(RefusalCode::ShuttingDown, "the host is stopping: register when it is back"));
        }
        let registered = self.state.borrow_mut().register(app, group, urls, into);
        let (mut change, registered) = match registered {
            Ok(registered) => (registered.change, Ok((registered.group, registered.urls))),
            Err(refusal) => (PortChange::default(), Err(refusal)),
        };
        self.state.borrow_mut().release_unneeded(&mut change);
        if registered.is_ok() || !change.closed.is_empty() {
            self.publish(change).await;
        }
        if registered.is_ok() {
            let pid = self.state.borrow().apps.get(&app).map(|app| app.pid);
            pid.into_iter().for_each(|pid| self.has_come(pid));
        }
        registered
    }

    async fn set(&self, app: AppId, of: Owner, properties: &Properties, queue: &QueueSettings) -> Result<(), Refusal> {
        let _one_at_a_time = self.changing.lock().await;
        self.state.borrow_mut().set(app, of, properties, queue)?;
        self.publish(PortChange::default()).await;
        Ok(())
    }

    async fn unregister(&self, app: AppId, urls: &[UrlPrefix]) {
        let _one_at_a_time = self.changing.lock().await;
        let change = self.state.borrow_mut().unregister(app, urls);
        self.publish(change).await;
    }

    async fn app_gone(self: &Rc<Self>, app: AppId) {
        let _one_at_a_time = self.changing.lock().await;
        let (change, grace) = self.state.borrow_mut().app_left(app);
        self.tell(|| Command::Detach { app });
        self.publish(change).await;
        let Some(grace) = grace.filter(|_| !self.stopping.get()) else { return };
        tracing::info!(app, ?grace, "its queue waits for the next process");
        let shared = Rc::clone(self);
        spawn_local(async move {
            tokio::time::sleep(grace).await;
            let _one_at_a_time = shared.changing.lock().await;
            if !shared.state.borrow().apps.contains_key(&app) {
                return;
            }
            let change = shared.state.borrow_mut().remove_app(app);
            tracing::info!(app, "nobody has come to its queue: its URLs are free");
            shared.publish(change).await;
        });
    }

    /// Makes the state's routes the ones in force. Returns when every worker uses them, and the closed addresses are free.
    /// The caller holds `changing`.
    async fn publish(&self, mut change: PortChange) {
        self.hold_back(&mut change);
        let snapshot: Arc<Snapshot> = Arc::new(self.state.borrow().snapshot.clone());
        let mut answers = Vec::new();
        let mut closing = Vec::new();
        for address in change.closed {
            match &self.means.acceptor {
                Some(acceptor) => closing.push(acceptor.close(address)),
                None => answers.extend(self.ask(|done| Command::Close { address, done })),
            }
        }
        answers.extend(self.ask(|done| Command::Publish { snapshot: Arc::clone(&snapshot), done }));
        all(answers).await;
        for closed in closing {
            closed.await;
        }
        for opened in change.opened {
            self.listen(opened);
        }
        self.follow_quic();
        self.published.notify_waiters();
    }

    /// Has the workers accept there.
    fn listen(&self, opened: Opened) {
        let Opened { address, scheme, mut listeners } = opened;
        if let Some(acceptor) = &self.means.acceptor {
            if let Some(listener) = listeners.pop() {
                acceptor.listen(address, listener, scheme);
            }
            return;
        }
        // Connections may wait in each: those of a host that had more workers, too.
        for (worker, listener) in self.workers.iter().cycle().zip(listeners) {
            let _ = worker.send(Command::Listen { address, listener, scheme });
        }
    }

    /// Answers an operator.
    async fn answer(&self, caller: &Caller, question: &Question) -> Result<Answer, Refusal> {
        match question {
            Question::ShowCachestate { url } => return self.cachestate(url.as_deref()).await,
            Question::DeleteCache { url, recursive } => {
                caller.check_operator("flushing the response cache")?;
                return self.flush_cache(url.as_deref(), *recursive).await;
            }
            Question::FlushLogbuffer => {
                caller.check_operator("flushing the logs")?;
                return self.flush_logs().await;
            }
            Question::UpdateQueue { id, state } => {
                caller.check_operator("stopping and starting request queues")?;
                return self.update_queue(*id, *state).await;
            }
            Question::DeleteSession { id, mode } => return self.delete_session(caller, *id, *mode),
            Question::RestartQueue { name } => return self.restart_queue(caller, name).await,
            // Descriptors go with the answer: it is given where the connection is.
            Question::TakeOver => {
                return Err(Refusal::new(
                    RefusalCode::Unsupported,
                    "a host is taken over by another one: narthex host --take-over",
                ));
            }
            Question::ShowSslcert { binding } => return self.sslcerts(binding.as_ref()),
            Question::Explain { url, local, user } => return explain::answer(self, caller, url, *local, *user),
            _ => {}
        }
        let _one_at_a_time = self.changing.lock().await;
        if !Configuration::concerns(question) {
            return Err(Refusal::new(RefusalCode::Unsupported, "this host does not answer that yet"));
        }
        let answered = {
            let state = self.state.borrow();
            self.configuration.borrow_mut().answer(caller, question, &state.snapshot.routes)
        };
        let (answer, config) = answered?;
        let before = self.without_certificate();
        if let Some(config) = config {
            self.configure(config).await;
        }
        let lost: Vec<_> = self.without_certificate().into_iter().filter(|prefix| !before.contains(prefix)).collect();
        let mend = |prefix: &UrlPrefix| self.state.borrow().certificates.remedy(prefix.host(), prefix.port().get());
        Ok(certificates::with_warning(answer, &lost, mend))
    }

    /// Takes the configuration file as it is now, if it is valid.
    async fn follow_file(&self) {
        let _one_at_a_time = self.changing.lock().await;
        let config = {
            let state = self.state.borrow();
            self.configuration.borrow_mut().follow(&state.snapshot.routes)
        };
        if let Some(config) = config {
            self.configure(config).await;
        }
    }

    /// Puts a configuration in force. The caller holds `changing`.
    async fn configure(&self, config: Arc<Config>) {
        let change = self.state.borrow_mut().configure(Arc::clone(&config));
        match change {
            Ok(change) => {
                self.means.admission.set_caps(settings::caps(&config));
                self.means.cache.set_limit(config.settings.max_cache_size);
                self.means.bandwidth.set_rate(config.settings.max_bandwidth.unwrap_or(0));
                if let Err(error) = self.means.logs.set_error_log(settings::error_log(&config)) {
                    tracing::error!(%error, "the error log stays as it was");
                }
                if config.settings.single_acceptor != self.means.acceptor.is_some() {
                    tracing::warn!("single_acceptor takes effect when the host is started again");
                }
                if config.settings.log_directory != self.means.log_directory {
                    tracing::warn!("log_directory takes effect when the host is started again");
                }
                self.state.borrow_mut().certificates.follow(&config);
                self.publish_bindings();
                self.acme.follow();
                self.means.traces.configure(&config.settings.traces);
                all(self.ask(|done| Command::Configure { config: Arc::clone(&config), done })).await;
                self.publish(change).await;
            }
            // What is registered was looked at when the configuration was judged.
            Err(conflict) => tracing::error!(%conflict, "a valid configuration cannot be put in force"),
        }
    }

    async fn reports(&self) -> Vec<Report> {
        all(self.ask(|reply| Command::Report { reply })).await
    }

    async fn stop(&self, within: Duration) {
        self.stopping.set(true);
        self.acme.stop();
        if let Some(acceptor) = &self.means.acceptor {
            let open: Vec<_> = self.state.borrow().ports.open().collect();
            for address in open {
                acceptor.close(address).await;
            }
        }
        all(self.ask(|done| Command::Stop { within, done })).await;
    }
}

/// The answers of those workers that are there.
async fn all<T>(answers: Vec<oneshot::Receiver<T>>) -> Vec<T> {
    let mut given = Vec::with_capacity(answers.len());
    for answer in answers {
        given.extend(answer.await.ok());
    }
    given
}

/// Runs the control thread until `stop` says how long requests may take to finish.
pub(crate) async fn run(
    control: Control,
    socket: HostSocket,
    replaced: watch::Sender<bool>,
    mut wishes: mpsc::UnboundedReceiver<Wish>,
    stop: oneshot::Receiver<Duration>,
) {
    let listener = socket.listener.try_clone();
    let shared = Shared::new(control, Some(socket), replaced);
    shared.expect_apps();
    let accepting = {
        let shared = Rc::clone(&shared);
        let listener = listener.and_then(tokio::net::UnixListener::from_std);
        spawn_local(async move {
            let listener = match listener {
                Ok(listener) => listener,
                Err(error) => return tracing::error!(%error, "the host's socket cannot be used"),
            };
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let Ok(permit) = Arc::clone(&shared.connections).try_acquire_owned() else {
                            tracing::warn!("too many connections to the host's socket: one was closed");
                            narthex_http::descriptor::end(&stream);
                            continue;
                        };
                        spawn_local(connection::serve(Rc::clone(&shared), stream, permit));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept apps; trying again");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        })
    };
    shared.accepting.replace(Some(accepting));
    let following = {
        let shared = Rc::clone(&shared);
        let mut watch = shared.configuration.borrow().watch();
        spawn_local(async move {
            loop {
                let wish = tokio::select! {
                    () = watch.changed() => None,
                    Some(wish) = wishes.recv() => Some(wish),
                };
                match wish {
                    // Who asks may have given up.
                    Some(Wish::Turn(reply)) => _ = reply.send(shared.reports().await.len() == shared.workers.len()),
                    Some(Wish::Reload(done)) => {
                        shared.follow_file().await;
                        let _ = done.send(());
                    }
                    None => shared.follow_file().await,
                }
            }
        })
    };
    shared.publish_bindings();
    let renewing = {
        let shared = Rc::clone(&shared);
        spawn_local(async move {
            loop {
                tokio::time::sleep(config::PERIOD).await;
                shared.follow_certificates().await;
            }
        })
    };
    shared.acme.follow();
    let automatic = {
        let shared = Rc::clone(&shared);
        spawn_local(async move { shared.work_for_acme().await })
    };
    let within = stop.await.unwrap_or(Duration::ZERO);
    following.abort();
    renewing.abort();
    if let Some(accepting) = shared.accepting.take() {
        accepting.abort();
    }
    // New apps find no socket from here on; the present ones finish what they have.
    drop(shared.socket.take());
    shared.stop(within).await;
    // What the tasks have left to be undone was, as long as connections could end.
    automatic.abort();
}
