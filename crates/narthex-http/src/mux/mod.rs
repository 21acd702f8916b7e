//! What HTTP/2 and HTTP/3 have in common: a connection of many streams, each of which carries one exchange.
//!
//! A stream is a task of its own. It polls the handler's future, moves the response to its [`Carrier`], which is all that
//! knows the protocol, and keeps the exchange's deadlines. A request head is put as HTTP/1.1 would have it and judged by the
//! HTTP/1.1 engine's rules, so that the same request means the same whichever way it came.

mod answer;
pub(crate) mod carrier;
mod head;
mod open;
mod receive;
mod report;
mod state;
mod stream;
mod told;

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::rc::Rc;

use tokio::sync::Notify;

pub(crate) use head::{Incoming, Tunnel, is_of_connection};
pub(crate) use open::open;
pub(crate) use stream::Stream;

use crate::reason::Reason;
use crate::request::{ConnectionInfo, TlsInfo};
use crate::worker::Worker;

/// One connection, as its streams and its worker see it.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) info: ConnectionInfo,
    tls: OnceCell<Rc<TlsInfo>>,
    /// The port where HTTP/3 is served too.
    pub(crate) alt_svc: Option<u16>,
    /// Streams that have not ended.
    streams: Cell<usize>,
    /// Responses that were completed.
    completed: Cell<u64>,
    killed: Cell<bool>,
    /// Something has changed that the connection's task has to look at.
    changed: Notify,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn new(worker: Rc<Worker>, info: ConnectionInfo, tls: Option<Rc<TlsInfo>>) -> Rc<Self> {
        let (streams, completed, killed) = (Cell::new(0), Cell::new(0), Cell::new(false));
        let tls = tls.map(OnceCell::from).unwrap_or_default();
        let alt_svc = worker.alt_svc(&info);
        Rc::new(Self { worker, info, tls, alt_svc, streams, completed, killed, changed: Notify::new() })
    }

    /// What is known of its TLS.
    pub(crate) fn tls(&self) -> Option<&TlsInfo> {
        self.tls.get().map(|tls| &**tls)
    }

    /// The handshake is complete. Once.
    pub(crate) fn set_tls(&self, tls: TlsInfo) {
        let _ = self.tls.set(Rc::new(tls));
    }

    /// Makes the connection's task look at what has changed.
    pub(crate) fn nudge(&self) {
        self.changed.notify_one();
    }

    /// Waits for a nudge. One that came while nobody waited counts.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Ends the connection now, whatever its streams do.
    pub(crate) fn kill(&self) {
        self.killed.set(true);
        self.nudge();
    }

    /// Waits until the connection is to end.
    pub(crate) async fn killed(&self) {
        while !self.is_killed() {
            self.changed().await;
        }
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.get()
    }

    /// Streams that have not ended.
    pub(crate) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Responses that were completed since the last call.
    pub(crate) fn take_completed(&self) -> u64 {
        self.completed.take()
    }
}

/// Tells the journal that the connection itself was refused or ended.
pub(crate) fn refused(connection: &Connection, reason: Reason) {
    connection.worker.tell_refused(&connection.info, reason, None);
}
