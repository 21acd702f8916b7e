//! What a life of a server is told from outside: when and why to end, and what it keeps of the lives before.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use narthex_proto::prefix::{PrefixSpec, UrlPrefix};
use tokio::sync::{mpsc, oneshot, watch};

use super::signals::{StopSignal, Watching, process_signals};
use super::{Answer, Asks, Return, ServerHandle, What};
use crate::change::GroupSettings;
use crate::error::{Error, Result};
use crate::lifecycle::{Event, ServerId};
use crate::lifetime::handle::Command;

/// Somebody who waits for the server's next start.
pub(crate) type Waiter = oneshot::Sender<Result<(), Arc<Error>>>;

/// What whoever serves looks at.
pub(crate) struct Course<'a> {
    pub(crate) server: &'a ServerHandle,
    pub(crate) ending: &'a mut Ending,
    pub(crate) asks: &'a mut Asks,
    pub(crate) lasting: &'a mut Lasting,
}

/// Why a life of the server ends in order.
pub(crate) enum Why {
    Stop,
    Restart,
    /// It does not answer the watchdog.
    Unresponsive(Error),
}

/// Says when a life of the server is to end.
pub(crate) struct Ending {
    signal: Option<StopSignal>,
    /// Watches for signals.
    _watching: Option<Watching>,
    stops: watch::Receiver<u64>,
    /// The stops that were meant for what was before.
    past_stops: u64,
    commands: mpsc::UnboundedReceiver<Command>,
    probing: Option<Pin<Box<dyn Future<Output = Error> + Send>>>,
    why: Option<Why>,
    /// Whose it is, and how long requests that run may take then.
    server: (ServerId, Duration),
    /// Who wait for a restart.
    restarts: Vec<Waiter>,
}

impl Ending {
    /// A server that ends when `signal` does, and by its handle.
    pub(crate) fn new(signal: Option<StopSignal>, handle: &ServerHandle, server: (ServerId, Duration)) -> Result<Self> {
        Ok(Self {
            signal,
            _watching: None,
            stops: handle.stops(),
            past_stops: 0,
            commands: handle.take_commands()?,
            probing: None,
            why: None,
            server,
            restarts: Vec::new(),
        })
    }

    /// Ends by the process's own signals too, unless there is another one.
    pub(crate) fn by_process_signals(&mut self) -> Result<()> {
        if self.signal.is_none() {
            let (signal, watching) = process_signals().map_err(Error::io("listen for signals"))?;
            (self.signal, self._watching) = (Some(signal), Some(watching));
        }
        Ok(())
    }

    /// A life begins. Returns who have asked for it as a restart.
    pub(crate) fn begin(&mut self) -> Vec<Waiter> {
        while let Ok(command) = self.commands.try_recv() {
            self.take(command);
        }
        self.why = None;
        std::mem::take(&mut self.restarts)
    }

    /// The life ends with the error that `probing` ends with, too.
    pub(crate) fn probe(&mut self, probing: Pin<Box<dyn Future<Output = Error> + Send>>) {
        self.probing = Some(probing);
    }

    /// Waits until the life is to end. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        if self.why.is_some() {
            return;
        }
        while self.why.is_none() {
            let past = self.past_stops;
            tokio::select! {
                // A start that is asked for after a stop is meant for what comes after it.
                biased;
                true = async { self.stops.wait_for(|stops| *stops > past).await.is_ok() } => self.why = Some(Why::Stop),
                () = or_never(&mut self.signal) => {
                    // The future is not to be polled again.
                    self.signal = None;
                    self.why = Some(Why::Stop);
                }
                Some(command) = self.commands.recv() => self.take(command),
                error = or_never(&mut self.probing) => {
                    self.probing = None;
                    self.why = Some(Why::Unresponsive(error));
                }
            }
        }
        if matches!(self.why, Some(Why::Stop)) {
            let (id, grace) = self.server;
            id.tell(Event::Stopping(grace));
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            // Nobody may wait any more.
            Command::Start { done, .. } => drop(done.send(Err(Arc::new(Error::AlreadyRunning)))),
            Command::Restart { done } => {
                self.restarts.push(done);
                self.why = Some(Why::Restart);
            }
        }
    }

    /// The next process is there: this one stops.
    #[cfg_attr(not(unix), allow(dead_code, reason = "only hosts restart a queue"))]
    pub(crate) fn succeeded(&mut self) {
        self.why = Some(Why::Stop);
    }

    /// Whether the server will be back, as far as is known.
    pub(crate) fn comes_back(&self) -> Return {
        match self.why {
            Some(Why::Restart | Why::Unresponsive(_)) if *self.stops.borrow() <= self.past_stops => Return::Expected,
            _ => Return::Unknown,
        }
    }

    /// The life has ended. Why it was to, if it was: a stop goes before all else.
    pub(crate) fn why(&mut self) -> Option<Why> {
        self.probing = None;
        let why = self.why.take();
        if *self.stops.borrow() > self.past_stops { Some(Why::Stop) } else { why }
    }

    /// Waits until the server that has ended is to start again, and returns who waits for that; `None` if nobody can ask for it
    /// any more.
    pub(crate) async fn next_start(&mut self) -> Option<Waiter> {
        // Who waits for a restart learns that the server does not run.
        self.restarts.clear();
        loop {
            if let Command::Start { stops, done } = self.commands.recv().await? {
                self.past_stops = stops;
                return Some(done);
            }
        }
    }
}

async fn or_never<T>(future: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// What a server that starts again keeps.
#[derive(Default)]
pub(crate) struct Lasting {
    /// The settings that were changed.
    pub(crate) changes: GroupSettings,
    added: Vec<UrlPrefix>,
    removed: Vec<UrlPrefix>,
    /// What became of the prefixes whose port was any free one.
    ports: Vec<(PrefixSpec, UrlPrefix)>,
}

impl Lasting {
    /// What to serve if `typed` was asked for, and beside each that was typed what it was typed as.
    pub(crate) fn wanted(&self, typed: Vec<PrefixSpec>) -> Vec<(PrefixSpec, Option<PrefixSpec>)> {
        let mut ports: Vec<_> = self.ports.iter().collect();
        let mut wanted = Vec::new();
        for typed in typed {
            let known = ports.iter().position(|(spec, _)| *spec == typed);
            let prefix = known.map_or_else(|| typed.clone(), |at| PrefixSpec::from(&ports.remove(at).1));
            if !prefix.resolve().is_some_and(|prefix| self.removed.contains(&prefix)) {
                wanted.push((prefix, Some(typed)));
            }
        }
        wanted.extend(self.added.iter().map(|prefix| (PrefixSpec::from(prefix), None)));
        wanted
    }

    /// This prefix was typed so.
    pub(crate) fn became(&mut self, typed: PrefixSpec, prefix: &UrlPrefix) {
        if typed.port() == 0 && !self.ports.iter().any(|(_, known)| known == prefix) {
            self.ports.push((typed, prefix.clone()));
        }
    }

    /// The server does this from now on.
    pub(crate) fn note(&mut self, what: &What, answer: &Answer) {
        match (what, answer) {
            (What::Change(change), Ok(_)) => self.changes.merge(change),
            (What::AddPrefix(_), Ok(Some(prefix))) => self.add(prefix),
            (What::RemovePrefix(prefix), Ok(_)) => self.remove(prefix),
            _ => {}
        }
    }

    fn add(&mut self, prefix: &UrlPrefix) {
        let count = self.removed.len();
        self.removed.retain(|removed| removed != prefix);
        if self.removed.len() == count {
            self.added.push(prefix.clone());
        }
    }

    fn remove(&mut self, prefix: &UrlPrefix) {
        let count = self.added.len();
        self.added.retain(|added| added != prefix);
        if self.added.len() == count {
            self.removed.push(prefix.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs(texts: &[&str]) -> Vec<PrefixSpec> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn prefix(text: &str) -> UrlPrefix {
        text.parse().unwrap()
    }

    fn wanted(lasting: &Lasting, typed: &[&str]) -> Vec<String> {
        lasting.wanted(specs(typed)).into_iter().map(|(prefix, _)| prefix.to_string()).collect()
    }

    #[test]
    fn any_free_port_is_the_same_one_again() {
        let typed = ["http://a:0/", "http://a:0/", "http://b:0/", "http://a:80/"];
        let mut lasting = Lasting::default();
        assert_eq!(wanted(&lasting, &typed), typed);
        for (typed, became) in specs(&typed).into_iter().zip(["http://a:1/", "http://a:2/", "http://b:3/", "http://a:80/"]) {
            lasting.became(typed, &prefix(became));
        }
        assert_eq!(wanted(&lasting, &typed), ["http://a:1/", "http://a:2/", "http://b:3/", "http://a:80/"]);
        assert_eq!(wanted(&lasting, &["http://b:0/", "http://b:0/"]), ["http://b:3/", "http://b:0/"]);
    }

    #[test]
    fn what_was_added_and_removed_stays_so() {
        let typed = ["http://a:1/", "http://a:2/"];
        let mut lasting = Lasting::default();
        lasting.add(&prefix("http://a:3/"));
        lasting.remove(&prefix("http://a:1/"));
        assert_eq!(wanted(&lasting, &typed), ["http://a:2/", "http://a:3/"]);
        lasting.add(&prefix("http://A:1/"));
        lasting.remove(&prefix("http://a:3/"));
        assert_eq!(wanted(&lasting, &typed), typed);
    }
}
