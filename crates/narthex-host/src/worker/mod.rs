//! A host worker: one thread that accepts connections and relays their requests over its own sessions. It reads the
//! snapshot that the control thread last published, and nothing else of the host's state.

mod caching;
mod delegation;
mod files;
mod queue;
mod record;
mod relay;
mod session;
mod whose;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use narthex_http::descriptor::Foreign;
use narthex_http::tls::Bindings;
use narthex_http::{Admission, Bandwidth, Counts, Ended, Inbox, Journal, Refused, Settings, Timeouts, Worker};
use narthex_proto::prefix::Scheme;
use narthex_proto::wire::CachePolicy;
use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use crate::cache::{CacheBudget, CacheSettings, Entry, Flush, FragmentError, FragmentName, Invalidation, Reported, UrlFilter};
use crate::config::Config;
use crate::control::settings::{cache as cache_settings_of, limits, machine_timeouts, proxy_protocol};
use crate::log::{Logs, WorkerLogs};
use crate::metrics::{Counted, Meters};
use crate::snapshot::{AppId, Group, Snapshot};
use crate::trace::{Traces, WorkerTraces};
use caching::Caching;
use queue::Shard;
use relay::Relay;
use session::Session;
use whose::Tags;
pub(crate) use whose::tag;

/// What the control thread tells a worker. Answers go back by the channel in the command.
pub(crate) enum Command {
    /// Use this picture from now on.
    Publish { snapshot: Arc<Snapshot>, done: oneshot::Sender<()> },
    /// Use these limits and timers from now on.
    Configure { config: Arc<Config>, done: oneshot::Sender<()> },
    /// Answer handshakes by these bindings from now on.
    Tls(Arc<Bindings>),
    /// Another worker has stored this response.
    CacheStored(Arc<Entry>),
    /// Store a fragment of this registration, and say what the other workers are to be given.
    FragmentStore {
        name: FragmentName,
        registration: u32,
        policy: CachePolicy,
        bytes: Bytes,
        done: oneshot::Sender<Result<Arc<Entry>, FragmentError>>,
    },
    /// A fragment that another worker has stored.
    FragmentStored { entry: Arc<Entry>, done: oneshot::Sender<()> },
    /// Drop a fragment.
    FragmentRemove { name: FragmentName, done: oneshot::Sender<()> },
    /// What is cached for this URL is out of date.
    CacheInvalidated(Invalidation),
    /// Drop these from the cache, and say how many.
    CacheFlush { flush: Flush, done: oneshot::Sender<usize> },
    /// Say what is cached.
    CacheReport { url: Option<UrlFilter>, reply: oneshot::Sender<Vec<Reported>> },
    /// Hand over what is to be logged.
    HandOverLogs { done: oneshot::Sender<()> },
    /// Accept here.
    Listen { address: SocketAddr, listener: TcpListener, scheme: Scheme },
    /// Accept QUIC connections here.
    ListenQuic { address: SocketAddr, socket: UdpSocket },
    /// Say where this worker accepts, and give copies of the sockets.
    Listeners { reply: oneshot::Sender<Vec<(SocketAddr, TcpListener)>> },
    /// Another host accepts from now on: end connections with their next response, and accept none.
    Retire,
    /// Stop accepting QUIC connections there.
    CloseQuic { address: SocketAddr },
    /// Tell clients that HTTP/3 is served on these ports.
    AltSvc(Vec<u16>),
    /// Stop accepting there, and say when the address is free. Connections go on.
    Close { address: SocketAddr, done: oneshot::Sender<()> },
    /// A data connection of an app, after its greeting.
    Attach(Attach),
    /// The app is gone.
    Detach { app: AppId },
    /// Say how it goes.
    Report { reply: oneshot::Sender<Report> },
    /// Let connections finish for this long, then end them. The worker stops when there are no more commands.
    Stop { within: Duration, done: oneshot::Sender<()> },
}

/// A data connection.
pub(crate) struct Attach {
    pub(crate) app: AppId,
    pub(crate) stream: UnixStream,
    /// The app's end of the stream, if it has shown it: the host looks there for what the app has not read when it dies.
    pub(crate) app_end: Option<Foreign>,
    /// What was read already.
    pub(crate) begun: Vec<u8>,
    /// What it counts against; they go back with its end.
    pub(crate) permits: [OwnedSemaphorePermit; 3],
}

/// A socket that a worker accepts on.
struct Accepting {
    task: JoinHandle<()>,
    /// The same socket, for a host that takes over.
    copy: TcpListener,
}

impl Accepting {
    fn abort(self) {
        self.task.abort();
    }
}

/// How it goes on one worker.
pub(crate) struct Report {
    pub(crate) counts: Counts,
    /// By queue index: requests that apps work on.
    pub(crate) in_progress: Vec<usize>,
    pub(crate) counted: Counted,
}

/// What the connections of a worker look at.
struct WorkerState {
    snapshot: RefCell<Arc<Snapshot>>,
    /// By queue index.
    shards: RefCell<Vec<Option<Rc<Shard>>>>,
    /// By group index.
    groups: RefCell<Vec<Option<LocalGroup>>>,
    tags: RefCell<Tags>,
    sessions: RefCell<HashMap<AppId, Vec<Rc<Session>>>>,
    caching: Caching,
    logs: WorkerLogs,
    meters: Meters,
    traces: WorkerTraces,
    /// Where heads are written that apps get otherwise than they came.
    head: Cell<Vec<u8>>,
}

/// What a worker starts with.
pub(crate) struct WorkerOptions {
    pub(crate) settings: Settings,
    pub(crate) admission: Arc<Admission>,
    /// Paces the clients of all workers together, if it does.
    pub(crate) bandwidth: Arc<Bandwidth>,
    pub(crate) is_paced: bool,
    pub(crate) logs: Logs,
    pub(crate) traces: Traces,
    pub(crate) cache: Arc<CacheBudget>,
    pub(crate) cache_settings: CacheSettings,
    /// What the cache's times are counted from.
    pub(crate) started: Instant,
    /// The other workers.
    pub(crate) others: Vec<WeakUnboundedSender<Command>>,
    /// The connections that it is dealt, if it does not accept them itself.
    pub(crate) inbox: Option<Inbox>,
}

/// A URL group as the requests of one worker meet it.
#[derive(Clone)]
struct LocalGroup {
    group: Arc<Group>,
    timeouts: Option<Rc<Timeouts>>,
    shard: Rc<Shard>,
}

impl WorkerState {
    fn publish(&self, snapshot: Arc<Snapshot>) {
        self.caching.retain(&snapshot);
        self.snapshot.replace(snapshot);
        self.match_up();
    }

    /// Brings queues and sessions together as the snapshot says.
    fn match_up(&self) {
        let snapshot = Arc::clone(&self.snapshot.borrow());
        let mut closed = Vec::new();
        {
            let mut shards = self.shards.borrow_mut();
            let slots = snapshot.queues.len().max(shards.len());
            shards.resize(slots, None);
            for (index, slot) in shards.iter_mut().enumerate() {
                let wanted = snapshot.queues.get(index).and_then(Option::as_ref);
                let same = matches!((&*slot, wanted), (Some(shard), Some(entry)) if Arc::ptr_eq(&shard.queue, &entry.queue));
                if !same {
                    closed.extend(slot.take());
                    *slot = wanted.map(|entry| Shard::new(Arc::clone(&entry.queue), entry.in_force()));
                }
                if let (Some(shard), Some(entry)) = (slot.as_ref(), wanted) {
                    shard.set_rules(entry.in_force());
                }
            }
            shards.truncate(snapshot.queues.len());
            let sessions = self.sessions.borrow();
            let mut served: HashMap<AppId, Vec<Weak<Shard>>> = HashMap::new();
            for (entry, shard) in snapshot.queues.iter().zip(shards.iter()) {
                let (Some(entry), Some(shard)) = (entry, shard) else { continue };
                let of_queue = entry.apps.iter().filter_map(|app| sessions.get(app)).flatten().map(Rc::clone).collect();
                shard.set_sessions(of_queue);
                for app in &entry.apps {
                    served.entry(*app).or_default().push(Rc::downgrade(shard));
                }
            }
            for (app, sessions) in &*sessions {
                for session in sessions {
                    session.serves(served.get(app).cloned().unwrap_or_default());
                }
            }
            let local = |group: &Arc<Group>| {
                let shard = shards.get(group.queue)?.as_ref()?;
                let timeouts = group.timeouts.clone().map(Rc::new);
                Some(LocalGroup { group: Arc::clone(group), timeouts, shard: Rc::clone(shard) })
            };
            let groups: Vec<Option<LocalGroup>> = snapshot.groups.iter().map(|slot| slot.as_ref().and_then(local)).collect();
            self.tags.borrow_mut().set(groups.iter().flatten().map(|local| (&*local.group, &local.shard.queue)));
            *self.groups.borrow_mut() = groups;
            let tags = self.tags.borrow();
            self.meters.retain(|tag| tags.is_live(tag));
        }
        for shard in closed {
            shard.close();
        }
        let shards: Vec<_> = self.shards.borrow().iter().flatten().map(Rc::clone).collect();
        shards.iter().for_each(|shard| shard.pump_all());
    }

    fn attach(self: &Rc<Self>, attach: Attach) {
        let Attach { app, stream, app_end, begun, permits } = attach;
        let stream = match stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream)) {
            Ok(stream) => stream,
            Err(error) => return tracing::error!(app, %error, "cannot use a data connection"),
        };
        let session = Session::new(app, Rc::downgrade(self));
        self.sessions.borrow_mut().entry(app).or_default().push(Rc::clone(&session));
        self.match_up();
        let state = Rc::clone(self);
        spawn_local(async move {
            session.run(stream, begun, app_end).await;
            drop(permits);
            let mut sessions = state.sessions.borrow_mut();
            if let Some(of_app) = sessions.get_mut(&app) {
                of_app.retain(|other| !Rc::ptr_eq(other, &session));
                if of_app.is_empty() {
                    sessions.remove(&app);
                }
            }
            drop(sessions);
            state.match_up();
        });
    }

    fn detach(&self, app: AppId) {
        for session in self.sessions.borrow().get(&app).into_iter().flatten() {
            session.close();
        }
    }

    fn in_progress(&self) -> Vec<usize> {
        self.shards.borrow().iter().map(|shard| shard.as_ref().map_or(0, |shard| shard.in_progress())).collect()
    }
}

/// Runs a worker until it is told to stop, or the control thread is gone.
pub(crate) async fn run(options: WorkerOptions, mut commands: UnboundedReceiver<Command>) {
    let WorkerOptions { settings, admission, bandwidth, is_paced, logs, traces, cache, cache_settings, started, others, inbox } =
        options;
    let state = Rc::new(WorkerState {
        snapshot: RefCell::new(Arc::new(Snapshot::empty())),
        shards: RefCell::default(),
        groups: RefCell::default(),
        tags: RefCell::default(),
        sessions: RefCell::default(),
        caching: Caching::new(cache, cache_settings, started, others),
        logs: WorkerLogs::new(&logs),
        meters: Meters::default(),
        traces: WorkerTraces::new(traces),
        head: Cell::default(),
    });
    let worker = Worker::new(settings, admission);
    // A line without a limit would still cost every response a look at it.
    let paced = |paced: bool| worker.set_bandwidth(paced.then(|| Arc::clone(&bandwidth)));
    paced(is_paced);
    worker.set_journal(journal(&state));
    let tasks = [
        spawn_local({
            let state = Rc::clone(&state);
            async move { state.logs.run().await }
        }),
        spawn_local({
            let state = Rc::clone(&state);
            async move { state.traces.run().await }
        }),
        spawn_local({
            let state = Rc::clone(&state);
            async move { state.caching.scavenge().await }
        }),
    ];
    let relay = Rc::new(Relay { state: Rc::clone(&state) });
    let dealt = inbox.map(|inbox| {
        let (worker, relay) = (Rc::clone(&worker), Rc::clone(&relay));
        spawn_local(async move { worker.accept_dealt(inbox, relay).await })
    });
    let mut listeners: HashMap<SocketAddr, Vec<Accepting>> = HashMap::new();
    let mut quic: HashMap<SocketAddr, JoinHandle<()>> = HashMap::new();
    let mut stopping = false;
    while let Some(command) = commands.recv().await {
        match command {
            Command::Publish { snapshot, done } => {
                state.publish(snapshot);
                let _ = done.send(());
            }
            Command::Configure { config, done } => {
                worker.set_limits(limits(&config));
                worker.set_timeouts(machine_timeouts(&config));
                paced(config.settings.max_bandwidth.is_some());
                worker.set_cooking(config.settings.cooking);
                worker.set_trusted_proxies(Arc::new(config.settings.trusted_proxies.clone()));
                worker.set_proxy_protocol(Arc::new(proxy_protocol(&config)));
                worker.set_request_ids(config.settings.request_ids);
                state.traces.renew();
                state.caching.set_settings(cache_settings_of(&config));
                let _ = done.send(());
            }
            Command::Tls(bindings) => worker.set_tls(Some(bindings)),
            Command::CacheStored(entry) => state.caching.stored(entry, &state.snapshot.borrow()),
            Command::FragmentStore { name, registration, policy, bytes, done } => {
                let _ = done.send(state.caching.store_fragment(name, registration, policy, bytes));
            }
            Command::FragmentStored { entry, done } => {
                state.caching.stored(entry, &state.snapshot.borrow());
                let _ = done.send(());
            }
            Command::FragmentRemove { name, done } => {
                state.caching.remove_fragment(&name);
                let _ = done.send(());
            }
            Command::CacheInvalidated(invalidation) => state.caching.invalidated(&invalidation),
            Command::CacheFlush { flush, done } => {
                let _ = done.send(state.caching.flush(&flush));
            }
            Command::CacheReport { url, reply } => {
                let _ = reply.send(state.caching.report(url.as_ref()));
            }
            Command::HandOverLogs { done } => {
                state.logs.hand_over();
                let _ = done.send(());
            }
            // Its Register came just before the host was stopped.
            Command::Listen { .. } if stopping => {}
            Command::Listen { address, listener, scheme } => {
                let opened = listener.try_clone().and_then(|copy| Ok((copy, tokio::net::TcpListener::from_std(listener)?)));
                let (copy, listener) = match opened {
                    Ok(opened) => opened,
                    Err(error) => {
                        tracing::error!(%address, %error, "cannot accept connections");
                        continue;
                    }
                };
                let (worker, relay) = (Rc::clone(&worker), Rc::clone(&relay));
                let task = spawn_local(async move {
                    if let Err(error) = worker.accept(listener, scheme, relay).await {
                        tracing::error!(%address, %error, "accepting has ended");
                    }
                });
                listeners.entry(address).or_default().push(Accepting { task, copy });
            }
            Command::Listeners { reply } => {
                let all = listeners.iter().flat_map(|(address, sockets)| sockets.iter().map(|socket| (*address, socket)));
                let copies = all.filter_map(|(address, socket)| Some((address, socket.copy.try_clone().ok()?)));
                let _ = reply.send(copies.collect());
            }
            Command::Retire => {
                stopping = true;
                listeners.drain().flat_map(|(_, sockets)| sockets).for_each(Accepting::abort);
                worker.retire();
            }
            Command::ListenQuic { .. } if stopping => {}
            Command::ListenQuic { address, socket } => {
                let (worker, relay) = (Rc::clone(&worker), Rc::clone(&relay));
                let accepting = spawn_local(async move {
                    if let Err(error) = worker.accept_quic(socket, relay).await {
                        tracing::error!(%address, %error, "accepting QUIC connections has ended");
                    }
                });
                quic.insert(address, accepting);
            }
            Command::CloseQuic { address } => {
                if let Some(accepting) = quic.remove(&address) {
                    accepting.abort();
                }
            }
            Command::AltSvc(ports) => worker.set_alt_svc(ports),
            Command::Close { address, done } => {
                let sockets = listeners.remove(&address).unwrap_or_default();
                spawn_local(async move {
                    for Accepting { task, copy } in sockets {
                        drop(copy);
                        task.abort();
                        // The task ends, and its socket with it, at its next turn.
                        let _ = task.await;
                    }
                    let _ = done.send(());
                });
            }
            Command::Attach(attach) => state.attach(attach),
            Command::Detach { app } => state.detach(app),
            Command::Report { reply } => {
                let _ = reply.send(Report {
                    counts: worker.counts(),
                    in_progress: state.in_progress(),
                    counted: state.meters.report(),
                });
            }
            Command::Stop { within, done } => {
                stopping = true;
                listeners.drain().flat_map(|(_, sockets)| sockets).for_each(Accepting::abort);
                dealt.iter().for_each(JoinHandle::abort);
                worker.drain();
                let worker = Rc::clone(&worker);
                // Apps leave and operators ask while the connections finish.
                spawn_local(async move {
                    if tokio::time::timeout(within, worker.emptied()).await.is_err() {
                        worker.kill_connections();
                        worker.emptied().await;
                    }
                    // The sessions stay until every worker is done: an app takes the end of one for the end of the host.
                    let _ = done.send(());
                });
            }
        }
    }
    tasks.iter().for_each(JoinHandle::abort);
}

/// How the connections' ends and refusals reach the logs and are counted.
fn journal(state: &Rc<WorkerState>) -> Journal {
    let (of_ended, of_refused) = (Rc::downgrade(state), Rc::downgrade(state));
    Journal {
        ended: Box::new(move |ended: &Ended<'_>| {
            if let Some(state) = of_ended.upgrade() {
                state.ended(ended);
            }
        }),
        refused: Box::new(move |refused: &Refused<'_>| {
            let Some(state) = of_refused.upgrade() else { return };
            state.meters.refused(refused);
            let tags = state.tags.borrow();
            let whose = refused.tag.and_then(|tag| tags.get(tag));
            let queue = whose.and_then(|whose| whose.queue.name.as_deref());
            state.logs.refused(refused, queue, whose.map(|whose| whose.group));
        }),
    }
}
