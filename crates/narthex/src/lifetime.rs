//! How a server starts once and stops in order: the handle, the signals, and the phases that its workers follow.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::change::{Change, GroupSettings};
use crate::error::{Error, Result};
use crate::fragments::Desk;

/// After the grace period, how long workers get to close what is left.
const CLOSING: Duration = Duration::from_secs(2);

/// Changes that wait to be made. Who asks for one more waits too.
const CHANGES: usize = 16;

/// A handle to a server, to stop or change it from elsewhere. Clones are handles to the same server.
#[derive(Clone, Debug, Default)]
pub struct ServerHandle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    started: AtomicBool,
    active: AtomicBool,
    stopped: AtomicBool,
    stop: Notify,
    desk: Desk,
    /// While the server is active.
    changes: Mutex<Option<mpsc::Sender<Asked>>>,
}

/// A change that somebody waits for.
pub(crate) struct Asked {
    pub(crate) change: GroupSettings,
    pub(crate) done: oneshot::Sender<Result<()>>,
}

/// The changes that a server is to make.
pub(crate) struct Changes(mpsc::Receiver<Asked>);

impl Changes {
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Asked {
        match self.0.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }
}

impl ServerHandle {
    /// Stops the server in order: nothing new is accepted, what runs is finished within the shutdown timeout. Stopping a
    /// server that has not started makes it stop as soon as it does.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.stop.notify_waiters();
    }

    /// Whether the server has started and has not yet ended.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.active.load(Ordering::SeqCst)
    }

    /// Changes settings of the running server, all of those that `change` names or none. Once it returns `Ok` they are in
    /// force, and a host that went away and came back is told them again.
    ///
    /// While a host is away, this waits until it is back. Several changes are made in the order in which they were asked for.
    /// Dropping the future does not take the change back. What can be changed on an embedded listener: `active`, `timeouts`,
    /// `max_body`, `max_connections`, `max_bandwidth` and `verbosity`.
    ///
    /// ```
    /// # use narthex::{Change, ServerHandle};
    /// # async fn busy(handle: ServerHandle) -> narthex::Result<()> {
    /// handle.change(Change::new().max_connections(100).max_body(1_000_000)).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// Nothing was changed then: [`Error::OutOfRange`]; [`Error::ChangeRefused`] by the host; [`Error::NeedsHost`] for
    /// what an embedded listener does not have; [`Error::NotRunning`].
    pub async fn change(&self, change: Change) -> Result<()> {
        change.0.check()?;
        let sender = self.changes().clone().ok_or(Error::NotRunning)?;
        let (done, is_done) = oneshot::channel();
        sender.send(Asked { change: change.0, done }).await.map_err(|_| Error::NotRunning)?;
        drop(sender);
        is_done.await.map_err(|_| Error::NotRunning)?
    }

    fn changes(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Asked>>> {
        self.0.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the server as started until the guard goes.
    pub(crate) fn start(&self) -> Result<(Active, Changes)> {
        if self.0.started.swap(true, Ordering::SeqCst) {
            return Err(Error::AlreadyRunning);
        }
        let (sender, changes) = mpsc::channel(CHANGES);
        *self.changes() = Some(sender);
        self.0.active.store(true, Ordering::SeqCst);
        Ok((Active(self.clone()), Changes(changes)))
    }

    /// Where wishes about fragments go.
    pub(crate) fn desk(&self) -> &Desk {
        &self.0.desk
    }

    async fn stopped(&self) {
        loop {
            let stop = self.0.stop.notified();
            if self.0.stopped.load(Ordering::SeqCst) {
                return;
            }
            stop.await;
        }
    }
}

/// The server runs while this lives.
pub(crate) struct Active(ServerHandle);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.0.active.store(false, Ordering::SeqCst);
        self.0.desk().close();
        self.0.changes().take();
    }
}

/// A future that says when to stop.
pub(crate) type StopSignal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Ends when the server is to stop, for whatever reason.
pub(crate) struct Stop {
    signal: StopSignal,
    /// Watches for the second signal, as long as the server stops.
    _watching: Option<Watching>,
    handle: ServerHandle,
}

impl Stop {
    /// `signal`, or the process's own signals.
    pub(crate) fn new(signal: Option<StopSignal>, handle: ServerHandle) -> Result<Self> {
        let (signal, watching) = match signal {
            Some(signal) => (signal, None),
            None => {
                process_signals().map(|(signal, watching)| (signal, Some(watching))).map_err(Error::io("listen for signals"))?
            }
        };
        Ok(Self { signal, _watching: watching, handle })
    }

    /// Cancel safe.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            () = &mut self.signal => {
                // The future is not to be polled again.
                self.signal = Box::pin(std::future::ready(()));
            }
            () = self.handle.stopped() => {}
        }
    }
}

/// Ends with the process's first signal to stop. The second, while the server still stops, ends the process: whoever sends
/// it does not want to wait.
fn process_signals() -> std::io::Result<(StopSignal, Watching)> {
    let mut signals = Signals::new()?;
    let (first, received) = oneshot::channel();
    let watching = Watching(tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping; a second signal ends the process at once");
        let _ = first.send(());
        std::process::exit(signals.next().await);
    }));
    let signal = Box::pin(async move {
        let _ = received.await;
    });
    Ok((signal, watching))
}

/// SIGTERM and SIGINT.
#[cfg(unix)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one, and gives the exit code of a process that it ends.
    async fn next(&mut self) -> i32 {
        let kind = tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        };
        128 + kind.as_raw_value()
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> i32 {
        match tokio::signal::ctrl_c().await {
            Ok(()) => 130,
            Err(_) => std::future::pending().await,
        }
    }
}

/// The task that waits for signals. It ends with the server.
struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the workers of a server are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Accept nothing, finish what runs.
    Draining,
    /// End now.
    Closing,
}

/// A worker's view of the phase. If the server is dropped, everything closes.
#[derive(Clone)]
pub(crate) struct Phases(watch::Receiver<Phase>);

thread_local! {
    static PHASES: RefCell<Option<Phases>> = const { RefCell::new(None) };
}

impl Phases {
    /// Those of the server whose worker this thread is.
    pub(crate) fn of_this_thread() -> Option<Self> {
        PHASES.with_borrow(Clone::clone)
    }

    /// Waits for the end of [`Phase::Running`].
    pub(crate) async fn draining(&mut self) {
        let _ = self.0.wait_for(|phase| *phase != Phase::Running).await;
    }

    /// Waits for [`Phase::Closing`].
    pub(crate) async fn closing(&mut self) {
        let _ = self.0.wait_for(|phase| *phase == Phase::Closing).await;
    }
}

/// The worker threads of a running server. Dropped, it makes them end at once.
pub(crate) struct Workers {
    phase: watch::Sender<Phase>,
    ended: mpsc::UnboundedReceiver<()>,
    end: mpsc::UnboundedSender<()>,
    running: usize,
}

/// Tells the server that a worker has ended, even if it panicked.
struct Running(mpsc::UnboundedSender<()>);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Workers {
    pub(crate) fn new() -> Self {
        let (end, ended) = mpsc::unbounded_channel();
        Self { phase: watch::Sender::new(Phase::Running), ended, end, running: 0 }
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
        let phases = self.phases();
        let work = move || async move {
            let _running = running;
            PHASES.set(Some(phases));
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
    pub(crate) async fn stop(mut self, grace: Duration) {
        self.phase.send_replace(Phase::Draining);
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
