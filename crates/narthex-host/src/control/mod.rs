//! The control thread: apps and operators talk to it over the host's socket; it alone changes what the host knows.

mod connection;
mod report;
mod state;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::host::HostOptions;
use crate::snapshot::{AppId, Snapshot};
use crate::socket::HostSocket;
use crate::worker::{Command, Report};
use state::{PortChange, State};

/// What the control thread is made of, before it runs.
pub(crate) struct Control {
    state: State,
    workers: Vec<mpsc::UnboundedSender<Command>>,
}

impl Control {
    pub(crate) fn new(options: &HostOptions, workers: Vec<mpsc::UnboundedSender<Command>>) -> Self {
        let timeouts = options.settings.timeouts.clone();
        Self { state: State::new(workers.len(), options.listen.clone(), options.queue_length, timeouts), workers }
    }
}

/// What the tasks of the control thread share.
struct Shared {
    state: RefCell<State>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    started: Instant,
    /// Snapshots go out one at a time, in the order of the changes.
    publishing: tokio::sync::Mutex<()>,
}

impl Shared {
    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            // A worker that is gone has panicked; its thread's end is reported when the host stops.
            let _ = worker.send(command());
        }
    }

    /// Makes the state's routes the ones in force, opening ports after and closing them before. Returns when every worker
    /// uses them.
    async fn publish(&self, change: PortChange) {
        for address in change.closed {
            self.tell(|| Command::Close { address });
        }
        let _one_at_a_time = self.publishing.lock().await;
        let snapshot: Arc<Snapshot> = Arc::new(self.state.borrow().snapshot.clone());
        let mut answers = Vec::new();
        for worker in &self.workers {
            let (done, answer) = oneshot::channel();
            let _ = worker.send(Command::Publish { snapshot: Arc::clone(&snapshot), done });
            answers.push(answer);
        }
        for answer in answers {
            let _ = answer.await;
        }
        for (address, listeners) in change.opened {
            for (worker, listener) in self.workers.iter().zip(listeners) {
                let _ = worker.send(Command::Listen { address, listener });
            }
        }
    }

    async fn app_gone(&self, app: AppId) {
        let change = self.state.borrow_mut().remove_app(app);
        self.publish(change).await;
        self.tell(|| Command::Detach { app });
    }

    async fn reports(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        for worker in &self.workers {
            let (reply, answer) = oneshot::channel();
            let _ = worker.send(Command::Report { reply });
            reports.extend(answer.await.ok());
        }
        reports
    }

    async fn stop(&self, within: Duration) {
        let mut answers = Vec::new();
        for worker in &self.workers {
            let (done, answer) = oneshot::channel();
            let _ = worker.send(Command::Stop { within, done });
            answers.push(answer);
        }
        for answer in answers {
            let _ = answer.await;
        }
    }
}

/// Runs the control thread until `stop` says how long requests may take to finish.
pub(crate) async fn run(control: Control, socket: HostSocket, stop: oneshot::Receiver<Duration>) {
    let shared = Rc::new(Shared {
        state: RefCell::new(control.state),
        workers: control.workers,
        started: Instant::now(),
        publishing: tokio::sync::Mutex::default(),
    });
    let accepting = {
        let shared = Rc::clone(&shared);
        let listener = socket.listener.try_clone().and_then(tokio::net::UnixListener::from_std);
        spawn_local(async move {
            let listener = match listener {
                Ok(listener) => listener,
                Err(error) => return tracing::error!(%error, "the host's socket cannot be used"),
            };
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        spawn_local(connection::serve(Rc::clone(&shared), stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept apps; trying again");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        })
    };
    let within = stop.await.unwrap_or(Duration::ZERO);
    accepting.abort();
    // New apps find no socket from here on; the present ones finish what they have.
    drop(socket);
    shared.stop(within).await;
}
