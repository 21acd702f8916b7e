//! The handle to a server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use narthex_proto::prefix::UrlPrefix;
use tokio::sync::{mpsc, oneshot, watch};

use super::asked::{Asked, Asks};
use super::workers::this_thread_works_for;
use crate::error::{Error, Result};
use crate::fragments::Desk;

/// A handle to a server: to stop, restart, start or change it from elsewhere, and to see how it goes. Clones are handles to the
/// same server. A server goes on without handles.
#[derive(Clone, Debug, Default)]
pub struct ServerHandle(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: watch::Sender<State>,
    /// How often somebody has asked for a stop.
    stops: watch::Sender<u64>,
    /// From the first start on.
    commands: OnceLock<mpsc::UnboundedSender<Command>>,
    /// While the server is active.
    asks: Mutex<Option<mpsc::Sender<Asked>>>,
    prefixes: Mutex<Vec<UrlPrefix>>,
    desk: Desk,
    watchdog_restarts: AtomicU64,
}

/// How it goes.
#[derive(Debug, Default)]
struct State {
    active: bool,
    /// Clients can connect, as far as the server knows.
    reachable: bool,
    behind_host: bool,
    /// How often the server has ended, and why the last time if nobody asked for it.
    ends: u64,
    failure: Option<Arc<Error>>,
}

/// What a handle wants of whoever keeps the server going.
pub(crate) enum Command {
    /// With the number of stops that were asked for before.
    Start {
        stops: u64,
        done: oneshot::Sender<Result<(), Arc<Error>>>,
    },
    Restart {
        done: oneshot::Sender<Result<(), Arc<Error>>>,
    },
}

impl ServerHandle {
    /// Stops the server in order: nothing new is accepted, what runs is finished within the shutdown timeout. Stopping a
    /// server that has not started makes it stop as soon as it does. A stop goes before a restart that is under way, and ends
    /// a [`Watchdog`](crate::Watchdog)'s attempts. [`stopped`](Self::stopped) tells when it is done.
    pub fn stop(&self) {
        self.0.stops.send_modify(|stops| *stops += 1);
    }

    /// Waits until the server has ended: its last request is finished, and its ports are free. A restart is no end. Of a server
    /// that has not started, this waits for the start too.
    ///
    /// In a handler of the same server it cannot come before the shutdown timeout, which breaks the handler off.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Error::Ended`] with why a server that [`Server::start`](crate::Server::start) started has ended, if nobody asked for
    /// it. [`Server::run`](crate::Server::run) returns that itself.
    pub async fn stopped(&self) -> Result<()> {
        let mut state = self.0.state.subscribe();
        let ends = state.borrow_and_update().ends;
        let ended = state.wait_for(|state| state.ends > ends || (state.ends > 0 && !state.active)).await;
        // The sender is this handle's.
        match ended.ok().and_then(|state| state.failure.clone()) {
            Some(failure) => Err(Error::Ended(failure)),
            None => Ok(()),
        }
    }

    /// Stops the server in order, as [`stop`](Self::stop) does, and starts it again on the same ports: also on those that were
    /// any free one at first. Once it returns `Ok`, clients can connect. What was changed, added and removed by the handle stays
    /// so; [`on_bind`](crate::Server::on_bind) and [`on_ready`](crate::Server::on_ready) are called again.
    ///
    /// Those who ask before the old server has ended share one restart; who asks later gets one more. A stop meanwhile wins.
    /// Dropping the future does not take it back. On the server's own workers, such as in a handler, it returns as soon as the
    /// restart is certain to come: it waits for the handler, so the handler cannot wait for it.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if the server does not run, or was stopped meanwhile. [`Error::Ended`] with why it cannot start
    /// again; then it has ended, unless it has a [`Watchdog`](crate::Watchdog), which goes on trying.
    pub async fn restart(&self) -> Result<()> {
        if !self.is_active() {
            return Err(Error::NotRunning);
        }
        let (done, is_done) = oneshot::channel();
        self.command(Command::Restart { done })?;
        if this_thread_works_for(self) {
            return Ok(());
        }
        is_done.await.map_err(|_| Error::NotRunning)?.map_err(Error::Ended)
    }

    /// Starts the server again that [`Server::start`](crate::Server::start) started and that has ended; one that is still stopping
    /// is waited for. Once it returns `Ok`, clients can connect, on the same ports as before.
    ///
    /// Dropping the future does not take it back. In a handler of a server that is stopping, it cannot come before the shutdown
    /// timeout.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] if it runs: see [`restart`](Self::restart). [`Error::NotRunning`] if there is nothing to start:
    /// it never started, the runtime where it was started is gone, or it was [`run`](crate::Server::run). Else why it cannot
    /// start; it can be tried again.
    pub async fn start(&self) -> Result<()> {
        let (done, is_done) = oneshot::channel();
        self.command(Command::Start { stops: *self.0.stops.borrow(), done })?;
        is_done.await.map_err(|_| Error::NotRunning)?.map_err(Error::shared)
    }

    /// Whether the server has started and has not yet ended. It is while it stops, while it restarts, while it waits for a host,
    /// and while a [`Watchdog`](crate::Watchdog) is about to restart it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.state.borrow().active
    }

    /// The prefixes that the server serves, with their real ports. Empty before clients can connect and when the server has
    /// ended.
    #[must_use]
    pub fn prefixes(&self) -> Vec<UrlPrefix> {
        self.lock_prefixes().clone()
    }

    /// How often the [`Watchdog`](crate::Watchdog) has brought the server back.
    #[must_use]
    pub fn watchdog_restarts(&self) -> u64 {
        self.0.watchdog_restarts.load(Ordering::Relaxed)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn asks(&self) -> MutexGuard<'_, Option<mpsc::Sender<Asked>>> {
        self.0.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_prefixes(&self) -> MutexGuard<'_, Vec<UrlPrefix>> {
        self.0.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self, command: Command) -> Result<()> {
        let commands = self.0.commands.get().ok_or(Error::NotRunning)?;
        commands.send(command).map_err(|_| Error::NotRunning)
    }
}

/// What is for those who keep the server going.
impl ServerHandle {
    /// Takes the commands, once.
    pub(crate) fn take_commands(&self) -> Result<mpsc::UnboundedReceiver<Command>> {
        let (sender, commands) = mpsc::unbounded_channel();
        self.0.commands.set(sender).map_err(|_| Error::AlreadyRunning)?;
        Ok(commands)
    }

    /// How often a stop was asked for.
    pub(super) fn stops(&self) -> watch::Receiver<u64> {
        self.0.stops.subscribe()
    }

    /// Marks the server as active until the guard goes.
    pub(crate) fn begin(&self) -> (Active, Asks) {
        let (sender, asks) = Asks::new();
        *self.asks() = Some(sender);
        self.0.state.send_modify(|state| (state.active, state.failure) = (true, None));
        (Active { server: self.clone(), failure: None }, asks)
    }

    /// Clients can connect; these are the prefixes.
    pub(crate) fn is_ready(&self, prefixes: &[UrlPrefix], behind_host: bool) {
        self.set_prefixes(prefixes);
        self.0.state.send_modify(|state| (state.reachable, state.behind_host) = (true, behind_host));
    }

    pub(crate) fn set_prefixes(&self, prefixes: &[UrlPrefix]) {
        prefixes.clone_into(&mut self.lock_prefixes());
    }

    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.0.state.send_modify(|state| state.reachable = reachable);
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.0.state.borrow().reachable
    }

    pub(crate) fn is_behind_host(&self) -> bool {
        self.0.state.borrow().behind_host
    }

    pub(crate) fn count_watchdog_restart(&self) {
        self.0.watchdog_restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Where wishes about fragments go.
    pub(crate) fn desk(&self) -> &Desk {
        &self.0.desk
    }

    pub(crate) fn downgrade(&self) -> WeakHandle {
        WeakHandle(Arc::downgrade(&self.0))
    }
}

/// A handle that does not count.
pub(crate) struct WeakHandle(Weak<Inner>);

impl WeakHandle {
    /// The handle, if there is still another.
    pub(crate) fn upgrade(&self) -> Option<ServerHandle> {
        self.0.upgrade().map(ServerHandle)
    }
}

/// The server is active while this lives.
pub(crate) struct Active {
    server: ServerHandle,
    failure: Option<Arc<Error>>,
}

impl Active {
    /// The server has ended because of this.
    pub(crate) fn failed(mut self, failure: Option<Arc<Error>>) {
        self.failure = failure;
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.server.desk().close();
        self.server.asks().take();
        self.server.set_prefixes(&[]);
        let failure = self.failure.take();
        self.server.0.state.send_modify(|state| {
            *state = State { ends: state.ends + 1, failure, ..State::default() };
        });
    }
}
