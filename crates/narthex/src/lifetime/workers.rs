//! The worker threads of a server, and the phases that they follow.

use std::cell::RefCell;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::ServerHandle;
use crate::error::{Error, Result};
use crate::lifecycle::Heart;

/// After the grace period, how long workers get to close what is left.
const CLOSING: Duration = Duration::from_secs(2);

/// What the workers of a server are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Accept nothing, finish what runs.
    Draining(Return),
    /// End now.
    Closing,
}

/// Whether clients of a server that stops should come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// Nobody knows.
    Unknown,
    /// It is being restarted, or another process takes its place.
    Expected,
}

/// A worker's view of the phase. If the server is dropped, everything closes.
#[derive(Clone)]
pub(crate) struct Phases(watch::Receiver<Phase>);

thread_local! {
    static WORKS_FOR: RefCell<Option<(ServerHandle, Phases)>> = const { RefCell::new(None) };
}

impl Phases {
    /// Those of the server whose worker this thread is.
    pub(crate) fn of_this_thread() -> Option<Self> {
        WORKS_FOR.with_borrow(|server| server.as_ref().map(|(_, phases)| phases.clone()))
    }

    /// Waits for the end of [`Phase::Running`].
    pub(crate) async fn draining(&mut self) -> Return {
        match self.0.wait_for(|phase| *phase != Phase::Running).await.as_deref() {
            Ok(Phase::Draining(back)) => *back,
            _ => Return::Unknown,
        }
    }

    /// Waits for [`Phase::Closing`].
    pub(crate) async fn closing(&mut self) {
        let _ = self.0.wait_for(|phase| *phase == Phase::Closing).await;
    }
}

/// Whether this thread is a worker of `server`.
pub(super) fn this_thread_works_for(server: &ServerHandle) -> bool {
    WORKS_FOR.with_borrow(|of| of.as_ref().is_some_and(|(of, _)| of.is(server)))
}

/// The worker threads of a running server. Dropped, it makes them end at once.
pub(crate) struct Workers {
    server: ServerHandle,
    phase: watch::Sender<Phase>,
    ended: mpsc::UnboundedReceiver<()>,
    end: mpsc::UnboundedSender<()>,
    running: usize,
    /// Looked at as long as the server lives: a thread that hangs is nobody's concern after that.
    hearts: Vec<Heart>,
}

/// Tells the server that a worker has ended, even if it panicked.
struct Running(mpsc::UnboundedSender<()>);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Workers {
    pub(crate) fn new(server: ServerHandle) -> Self {
        let (end, ended) = mpsc::unbounded_channel();
        Self { server, phase: watch::Sender::new(Phase::Running), ended, end, running: 0, hearts: Vec::new() }
    }

    pub(crate) fn phases(&self) -> Phases {
        Phases(self.phase.subscribe())
    }

    /// Starts a worker thread that runs what `start` makes.
    pub(crate) fn spawn<F, Fut>(&mut self, name: String, start: F) -> Result<()>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let running = Running(self.end.clone());
        let works_for = (self.server.clone(), self.phases());
        let heart = Heart::new();
        self.hearts.extend(heart.clone());
        let work = move || async move {
            let _running = running;
            WORKS_FOR.set(Some(works_for));
            if let Some(heart) = heart {
                tokio::task::spawn_local(heart.beat());
            }
            start().await;
        };
        // The thread is not joined: an app that blocks in a handler would block the shutdown.
        drop(narthex_http::spawn_worker(name, work).map_err(Error::io("start a worker thread"))?);
        self.running += 1;
        Ok(())
    }

    /// Waits until a worker ends, which none does in [`Phase::Running`] unless it panics.
    pub(crate) async fn one_ended(&mut self) {
        let _ = self.ended.recv().await;
        self.running = self.running.saturating_sub(1);
    }

    /// Lets the workers finish for at most `grace`, then closes what is left.
    pub(crate) async fn stop(mut self, grace: Duration, back: Return) {
        self.phase.send_replace(Phase::Draining(back));
        if timeout(grace, self.all_ended()).await.is_err() {
            tracing::warn!("requests still ran after the shutdown timeout of {grace:?} and were cut off");
            self.phase.send_replace(Phase::Closing);
            let _ = timeout(CLOSING, self.all_ended()).await;
        }
    }

    async fn all_ended(&mut self) {
        while self.running > 0 {
            self.one_ended().await;
        }
    }
}
