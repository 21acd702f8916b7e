//! A worker of an embedded server: what it accepts, and how it is changed and ends.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use narthex_http::{Inbox, Worker};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};

use super::mounted::Mounted;
use crate::call::App;
use crate::lifetime::Phases;
use crate::live::{Update, Updates};

/// A listening socket that is none any more, and why.
pub(super) type Broken = (SocketAddr, io::Error);

/// What a worker runs with.
pub(super) struct Station<S: App> {
    pub(super) worker: Rc<Worker>,
    pub(super) handler: Rc<Mounted<S>>,
    /// The connections that it is dealt, if it does not accept them itself.
    pub(super) inbox: Option<Inbox>,
    pub(super) updates: Updates,
    pub(super) broken: mpsc::UnboundedSender<Broken>,
}

impl<S: App> Station<S> {
    /// Serves until the server drains and the connections have ended.
    pub(super) async fn run(mut self, mut phases: Phases) {
        let dealt = self.inbox.take().map(|inbox| {
            let (worker, handler) = (Rc::clone(&self.worker), Rc::clone(&self.handler));
            spawn_local(async move { worker.accept_dealt(inbox, handler).await })
        });
        let mut listeners = HashMap::new();
        let mut quic = HashMap::new();
        loop {
            tokio::select! {
                _ = phases.draining() => break,
                Some((update, done)) = self.updates.recv() => {
                    self.update(update, &mut listeners, &mut quic).await;
                    let _ = done.send(());
                }
            }
        }
        for accepting in listeners.into_values().chain(dealt) {
            end(accepting).await;
        }
        self.worker.drain();
        tokio::select! {
            () = self.worker.emptied() => {}
            () = phases.closing() => {
                self.worker.kill_connections();
                self.worker.emptied().await;
            }
        }
    }

    async fn update(
        &self,
        update: Update,
        listeners: &mut HashMap<SocketAddr, JoinHandle<()>>,
        quic: &mut HashMap<SocketAddr, JoinHandle<()>>,
    ) {
        let (worker, handler) = (Rc::clone(&self.worker), Rc::clone(&self.handler));
        match update {
            Update::Settings(live) => {
                handler.apply(&live);
                live.apply(&worker);
            }
            Update::Routes(routes) => handler.set_routes(routes),
            Update::AltSvc(ports) => worker.set_alt_svc(ports),
            Update::Listen { address, listener, scheme } => {
                let broken = self.broken.clone();
                let accepting = async move {
                    let accepted = async { worker.accept(tokio::net::TcpListener::from_std(listener)?, scheme, handler).await };
                    if let Err(error) = accepted.await {
                        let _ = broken.send((address, error));
                    }
                };
                listeners.insert(address, spawn_local(accepting));
            }
            Update::ListenQuic { address, socket } => {
                let accepting = async move {
                    if let Err(error) = worker.accept_quic(socket, handler).await {
                        tracing::error!(%address, %error, "accepting QUIC connections has ended");
                    }
                };
                quic.insert(address, spawn_local(accepting));
            }
            Update::Close(address) => {
                for accepting in [listeners.remove(&address), quic.remove(&address)].into_iter().flatten() {
                    end(accepting).await;
                }
            }
        }
    }
}

/// Ends a task, and its socket with it, at the task's next turn.
async fn end(accepting: JoinHandle<()>) {
    accepting.abort();
    let _ = accepting.await;
}
