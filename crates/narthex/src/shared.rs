//! The shared provider: requests come through the machine's host, next to those of other programs.
//!
//! One control connection greets, registers and lives as long as the app does: the host takes its end for the app's. Then
//! each worker has a session with each worker of the host. All sessions are there before the prefixes are registered, so
//! that the first request finds them.

mod control;
mod orders;
mod session;
mod stream;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use narthex_proto::prefix::{PrefixSpec, UrlPrefix};
use narthex_proto::routing::Conflict;
use narthex_proto::wire::{self, Message, Owner, RefusalCode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use self::control::Connection;
pub(crate) use self::control::{Host, find, program_name};
use self::control::{Lost, News};
use self::worker::Attach;
use crate::call::App;
use crate::change::GroupSettings;
use crate::error::{Error, Result};
use crate::fragments::Names;
use crate::lifetime::{Answer, Course, Ending, Return, What, Workers};
use crate::request::Told;
use crate::successor::{StartsSuccessor, Successor};
use crate::tuning::FineTune;

/// Waiting for a host that went away: the first pause, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A host that does not answer a question for so long is given up.
const ANSWER: Duration = Duration::from_secs(30);
/// A host that has not given the prefixes back by then is left without.
const UNREGISTER: Duration = Duration::from_secs(1);

/// A server that has not started.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) prefixes: Vec<PrefixSpec>,
    /// As they are in force, or will be.
    pub(crate) group: GroupSettings,
    pub(crate) fine_tune: FineTune,
    pub(crate) workers: usize,
    pub(crate) told: Told,
    pub(crate) successor: StartsSuccessor,
    pub(crate) shutdown_timeout: Duration,
}

/// What the app holds of a host: everything ends with it.
struct Link {
    connection: Connection,
    /// Sessions end when this is dropped.
    _alive: watch::Sender<()>,
    /// Says when one of them has ended.
    session_ended: mpsc::Receiver<()>,
    prefixes: Vec<UrlPrefix>,
    /// The host's number for the group that has them.
    group: u64,
    /// For the next question.
    next_id: u64,
}

impl Shared {
    /// Serves until `course` says to end. `ready` is called with the real ports when the host has registered the prefixes.
    pub(crate) async fn run<S: App>(
        mut self,
        app: S,
        host: Host,
        course: &mut Course<'_>,
        ready: impl FnOnce(&[UrlPrefix]) + Send,
    ) -> Result<()> {
        let Course { server, ending, asks, lasting } = course;
        let mut workers = Workers::new(server.clone());
        let delegates = Arc::new(AtomicBool::new(self.group.delegates.unwrap_or_default()));
        let mut attach = Vec::new();
        let names = Names::default();
        for index in 0..self.workers.max(1) {
            let (sender, commands) = mpsc::unbounded_channel();
            let (app, fine_tune, told, phases) = (app.clone(), self.fine_tune.clone(), self.told, workers.phases());
            let (delegates, names) = (Arc::clone(&delegates), names.clone());
            let run = move || worker::run(app, fine_tune, told, delegates, names, commands, phases);
            workers.spawn(format!("narthex-app-{index}"), run)?;
            attach.push(sender);
        }
        let path = host.path().to_owned();
        let urls = self.prefixes.iter().map(ToString::to_string).collect();
        let mut link = tokio::select! {
            link = self.establish(host, &attach, urls) => link?,
            () = ending.wait() => return Ok(()),
        };
        names.set(&link.prefixes);
        let mut orders = server.desk().open();
        ready(&link.prefixes);
        let mut served = Ok(());
        loop {
            let lost = tokio::select! {
                () = ending.wait() => break,
                () = workers.one_ended() => {
                    served = Err(Error::WorkerDied);
                    break;
                }
                asked = asks.next() => {
                    let answer = tokio::select! {
                        () = ending.wait() => {
                            asks.put_back(asked);
                            break;
                        }
                        answer = link.fulfil(&asked.what) => answer,
                    };
                    match answer {
                        Some(answer) => {
                            if let (What::Change(change), Ok(_)) = (&asked.what, &answer) {
                                self.group.merge(change);
                                delegates.store(self.group.delegates.unwrap_or_default(), Ordering::Relaxed);
                            }
                            names.set(&link.prefixes);
                            lasting.note(&asked.what, &answer);
                            server.set_prefixes(&link.prefixes);
                            let _ = asked.done.send(answer);
                            None
                        }
                        // It is done when the host is back.
                        None => {
                            asks.put_back(asked);
                            Some(Lost::Gone)
                        }
                    }
                }
                Some(order) = orders.recv() => {
                    let id = link.next_id();
                    tokio::select! {
                        () = ending.wait() => break,
                        usable = orders::carry_out(order, id, &mut link.connection, &names, &path) => (!usable).then_some(Lost::Gone),
                    }
                }
                news = link.news() => match news {
                    News::Lost(lost) => Some(lost),
                    News::Restart { id } => {
                        let reply = self.start_successor(id).await;
                        link.connection.reply(reply).await.is_err().then_some(Lost::Gone)
                    }
                    News::Leave => {
                        ending.succeeded();
                        None
                    }
                },
            };
            let Some(lost) = lost else { continue };
            let urls = link.urls();
            if lost == Lost::Replaced {
                tracing::info!("another host takes over at {}: this app registers there", path.display());
                tokio::spawn(link.finish());
            } else {
                tracing::warn!("the host at {} went away; this app registers again as soon as it is back", path.display());
                server.set_reachable(false);
                drop(link);
            }
            link = tokio::select! {
                link = self.establish_again(&path, &attach, urls) => link,
                () = ending.wait() => {
                    workers.stop(self.shutdown_timeout, self.comes_back(ending)).await;
                    return Ok(());
                }
            };
            server.set_reachable(true);
            tracing::info!("the host at {} is back, and the prefixes are registered again", path.display());
        }
        // What a queue keeps for its next process stays registered; who is draining takes none of it.
        if !self.group.queue.may_wait() {
            let unregister = Message::Unregister { id: link.next_id(), urls: link.urls() };
            let _ = timeout(UNREGISTER, link.connection.ask(unregister)).await;
        }
        workers.stop(self.shutdown_timeout, self.comes_back(ending)).await;
        served
    }

    /// Whether the app's clients should come again once it has stopped: to itself, or to the next process of its queue.
    fn comes_back(&self, ending: &Ending) -> Return {
        if self.group.queue.may_wait() { Return::Expected } else { ending.comes_back() }
    }

    async fn start_successor(&self, id: u64) -> Message {
        match self.successor.start().await {
            Ok(Successor::Process(pid)) => {
                tracing::info!(pid, "an operator restarts the queue: the successor is on its way");
                Message::Restarting { id, pid: Some(pid) }
            }
            Ok(Successor::Itself) => Message::Restarting { id, pid: None },
            Err(error) => {
                tracing::error!(%error, "an operator restarts the queue, but the successor cannot be started");
                Message::Refused { id, code: RefusalCode::Other, message: error.to_string() }
            }
        }
    }

    /// Attaches every worker to every worker of the host, and then registers.
    async fn establish(&self, host: Host, workers: &[mpsc::UnboundedSender<Attach>], urls: Vec<String>) -> Result<Link> {
        let Host { path, mut connection, welcome } = host;
        let (alive, lives) = watch::channel(());
        let (ended, session_ended) = mpsc::channel(1);
        let mut attached = Vec::new();
        for (app_worker, worker) in workers.iter().enumerate() {
            for host_worker in 0..welcome.workers {
                let (done, is_done) = oneshot::channel();
                let attach = Attach {
                    path: path.clone(),
                    token: welcome.token.clone(),
                    app_worker: u32::try_from(app_worker).unwrap_or(u32::MAX),
                    host_worker,
                    done,
                    alive: lives.clone(),
                    ended: ended.clone(),
                };
                worker.send(attach).map_err(|_| Error::WorkerDied)?;
                attached.push(is_done);
            }
        }
        for is_done in attached {
            is_done.await.map_err(|_| Error::WorkerDied)??;
        }
        let group = wire::GroupSettings { queue: self.group.queue.for_host(), properties: self.group.for_host() };
        let register = Message::Register { id: 1, group, urls: urls.clone(), into: None };
        let refused = |code, message| Error::Refused { prefixes: urls.clone(), code, message };
        let (urls, group) = match connection.ask(register).await.map_err(|error| error.at(&path))? {
            Message::Registered { urls, group, .. } => (urls, group),
            Message::Refused { code, message, .. } => return Err(refused(code, message)),
            _ => return Err(control::Failure::Ended.at(&path)),
        };
        let parse = |url: &str| url.parse().map_err(|source| Error::Prefix { prefix: url.to_owned(), source });
        let prefixes = urls.iter().map(|registered| parse(&registered.url)).collect::<Result<_>>()?;
        Ok(Link { connection, _alive: alive, session_ended, prefixes, group, next_id: 2 })
    }

    /// Tries until it succeeds. What keeps it from succeeding may pass: somebody else had the prefix meanwhile, say.
    async fn establish_again(&self, path: &Path, workers: &[mpsc::UnboundedSender<Attach>], urls: Vec<String>) -> Link {
        let mut pause = FIRST_PAUSE;
        let mut said = String::new();
        loop {
            // Many apps wait for the same host: they should not all come at once.
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let tried = match find(Some(path), &self.name, workers.len()).await {
                Ok(host) => self.establish(host, workers, urls.clone()).await,
                Err(error) => Err(error),
            };
            match tried {
                Ok(link) => return link,
                Err(error @ Error::NoHost { .. }) => tracing::debug!(%error, "no host yet"),
                Err(error) => {
                    let text = error.to_string();
                    if text != said {
                        tracing::warn!("{text}; trying again");
                        said = text;
                    }
                }
            }
        }
    }
}

impl Link {
    fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn urls(&self) -> Vec<String> {
        self.prefixes.iter().map(ToString::to_string).collect()
    }

    /// Has the host do what is asked. `None` if it went away before it answered.
    async fn fulfil(&mut self, what: &What) -> Option<Answer> {
        let id = self.next_id();
        let message = match what {
            What::Change(change) => {
                let of = Owner::Group(self.group);
                Message::Set { id, of, properties: change.for_host(), queue: change.queue.for_host() }
            }
            What::AddPrefix(spec) => {
                if let Some(prefix) = spec.resolve()
                    && let Some(existing) = self.prefixes.iter().find(|known| **known == prefix).cloned()
                {
                    return Some(Err(Conflict::Registered { prefix, existing }.into()));
                }
                let (group, urls) = (wire::GroupSettings::default(), vec![spec.to_string()]);
                Message::Register { id, group, urls, into: Some(self.group) }
            }
            What::RemovePrefix(prefix) => {
                if !self.prefixes.contains(prefix) {
                    return Some(Err(Error::NoSuchPrefix { prefix: prefix.to_string(), prefixes: self.prefixes.clone() }));
                }
                // The group goes with its last URL, and its settings and counts with it.
                if self.prefixes.len() == 1 {
                    return Some(Err(Error::LastPrefix(prefix.to_string())));
                }
                Message::Unregister { id, urls: vec![prefix.to_string()] }
            }
        };
        let answer = tokio::select! {
            answer = timeout(ANSWER, self.connection.ask(message)) => answer,
            _ = self.session_ended.recv() => return None,
        };
        match (answer.ok()?.ok()?, what) {
            (Message::Done { .. }, What::Change(_)) => Some(Ok(None)),
            (Message::Registered { urls, .. }, What::AddPrefix(_)) => {
                let prefix: UrlPrefix = urls.first()?.url.parse().ok()?;
                self.prefixes.push(prefix.clone());
                Some(Ok(Some(prefix)))
            }
            (Message::Unregistered { .. }, What::RemovePrefix(prefix)) => {
                self.prefixes.retain(|known| known != prefix);
                Some(Ok(None))
            }
            (Message::Refused { code, message, .. }, What::Change(_)) => Some(Err(Error::ChangeRefused { code, message })),
            (Message::Refused { code, message, .. }, What::AddPrefix(spec)) => {
                Some(Err(Error::Refused { prefixes: vec![spec.to_string()], code, message }))
            }
            (Message::Refused { code, message, .. }, What::RemovePrefix(prefix)) => {
                Some(Err(Error::Refused { prefixes: vec![prefix.to_string()], code, message }))
            }
            // What is no answer is not understood: greet anew.
            _ => None,
        }
    }

    /// Waits until the host says something, or the control connection or a session ends.
    async fn news(&mut self) -> News {
        tokio::select! {
            news = self.connection.news() => news,
            _ = self.session_ended.recv() => News::Lost(Lost::Gone),
        }
    }

    /// Stays until the host that was replaced has served the last of its connections.
    async fn finish(mut self) {
        while self.connection.news().await != News::Lost(Lost::Gone) {}
    }
}
