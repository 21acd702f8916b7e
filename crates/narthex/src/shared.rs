//! The shared provider: requests come through the machine's host, next to those of other programs.
//!
//! One control connection greets, registers and lives as long as the app does: the host takes its end for the app's. Then
//! each worker has a session with each worker of the host. All sessions are there before the prefixes are registered, so
//! that the first request finds them.

mod control;
mod session;
mod stream;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use narthex_proto::prefix::{PrefixSpec, UrlPrefix};
use narthex_proto::wire::{self, Message, Owner};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use self::control::Connection;
pub(crate) use self::control::{Host, find, program_name};
use self::worker::Attach;
use crate::call::App;
use crate::change::GroupSettings;
use crate::error::{Error, Result};
use crate::lifetime::{Asked, Changes, Stop, Workers};
use crate::request::Told;
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

/// What came of a change.
enum Changed {
    Done,
    Refused(Error),
    /// The host went away before it answered.
    Lost,
}

impl Shared {
    /// Serves until `stop`. `ready` is called with the real ports when the host has registered the prefixes.
    pub(crate) async fn run<S: App>(
        mut self,
        app: S,
        host: Host,
        mut stop: Stop,
        mut changes: Changes,
        ready: impl FnOnce(&[UrlPrefix]),
    ) -> Result<()> {
        let mut workers = Workers::new();
        let delegates = Arc::new(AtomicBool::new(self.group.delegates.unwrap_or_default()));
        let mut attach = Vec::new();
        for index in 0..self.workers.max(1) {
            let (sender, commands) = mpsc::unbounded_channel();
            let (app, fine_tune, told, phases) = (app.clone(), self.fine_tune.clone(), self.told, workers.phases());
            let delegates = Arc::clone(&delegates);
            let run = move || worker::run(app, fine_tune, told, delegates, commands, phases);
            workers.spawn(format!("narthex-app-{index}"), run)?;
            attach.push(sender);
        }
        let path = host.path().to_owned();
        let urls = self.prefixes.iter().map(ToString::to_string).collect();
        let mut link = tokio::select! {
            link = self.establish(host, &attach, urls) => link?,
            () = stop.wait() => return Ok(()),
        };
        ready(&link.prefixes);
        // A change that the host has not made yet.
        let mut waiting: Option<Asked> = None;
        loop {
            if waiting.is_none() {
                tokio::select! {
                    () = stop.wait() => break,
                    () = workers.one_ended() => return Err(Error::WorkerDied),
                    asked = changes.next() => waiting = Some(asked),
                    () = link.lost() => {}
                }
            }
            if let Some(asked) = waiting.take() {
                let changed = tokio::select! {
                    () = stop.wait() => break,
                    changed = link.change(&asked.change) => changed,
                };
                match changed {
                    Changed::Done => {
                        self.group.merge(&asked.change);
                        delegates.store(self.group.delegates.unwrap_or_default(), Ordering::Relaxed);
                        let _ = asked.done.send(Ok(()));
                        continue;
                    }
                    Changed::Refused(error) => {
                        let _ = asked.done.send(Err(error));
                        continue;
                    }
                    Changed::Lost => waiting = Some(asked),
                }
            }
            tracing::warn!("the host at {} went away; this app registers again as soon as it is back", path.display());
            let urls = link.prefixes.iter().map(ToString::to_string).collect();
            drop(link);
            link = tokio::select! {
                link = self.establish_again(&path, &attach, urls) => link,
                () = stop.wait() => {
                    workers.stop(self.shutdown_timeout).await;
                    return Ok(());
                }
            };
            tracing::info!("the host at {} is back, and the prefixes are registered again", path.display());
        }
        let urls = link.prefixes.iter().map(ToString::to_string).collect();
        let _ = timeout(UNREGISTER, link.connection.ask(Message::Unregister { id: link.next_id, urls })).await;
        workers.stop(self.shutdown_timeout).await;
        Ok(())
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
    /// Has the host change the group's settings.
    async fn change(&mut self, change: &GroupSettings) -> Changed {
        let id = self.next_id;
        self.next_id += 1;
        let of = Owner::Group(self.group);
        let set = Message::Set { id, of, properties: change.for_host(), queue: change.queue.for_host() };
        let answer = tokio::select! {
            answer = timeout(ANSWER, self.connection.ask(set)) => answer,
            _ = self.session_ended.recv() => return Changed::Lost,
        };
        match answer {
            Ok(Ok(Message::Done { .. })) => Changed::Done,
            Ok(Ok(Message::Refused { code, message, .. })) => Changed::Refused(Error::ChangeRefused { code, message }),
            _ => Changed::Lost,
        }
    }

    /// Waits until the control connection or a session ends.
    async fn lost(&mut self) {
        tokio::select! {
            () = self.connection.ended() => {}
            _ = self.session_ended.recv() => {}
        }
    }
}
