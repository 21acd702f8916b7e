//! What of an embedded server's settings is in force on its workers, and how it is changed while they run.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use narthex_http::tls::Bindings;
use narthex_http::{Admission, Bandwidth, ConnectionCaps, Settings, Worker};
use narthex_proto::prefix::Scheme;
use narthex_proto::wire::Verbosity;
use tokio::sync::{mpsc, oneshot};

use crate::change::GroupSettings;
use crate::embedded::Prefixes;
use crate::error::{Error, Result};

/// What a worker is told.
#[derive(Clone)]
pub(crate) struct Live {
    engine: Settings,
    bandwidth: Option<Arc<Bandwidth>>,
    tls: Option<Arc<Bindings>>,
    pub(crate) active: bool,
    pub(crate) verbosity: Verbosity,
}

impl Live {
    /// The bytes that a request body may have.
    pub(crate) fn max_body(&self) -> Option<u64> {
        self.engine.limits.max_body
    }

    /// A worker that begins with this.
    pub(crate) fn worker(&self, admission: Arc<Admission>) -> std::rc::Rc<Worker> {
        let worker = Worker::new(self.engine.clone(), admission);
        worker.set_bandwidth(self.bandwidth.clone());
        worker.set_tls(self.tls.clone());
        worker
    }

    /// Goes on with this.
    pub(crate) fn apply(self, worker: &Worker) {
        worker.set_limits(self.engine.limits);
        worker.set_timeouts(self.engine.timeouts);
        worker.set_bandwidth(self.bandwidth);
        worker.set_tls(self.tls);
    }
}

/// What changes for a worker.
pub(crate) enum Update {
    Settings(Live),
    Routes(Arc<Prefixes>),
    Listen {
        address: SocketAddr,
        listener: TcpListener,
        scheme: Scheme,
    },
    ListenQuic {
        address: SocketAddr,
        socket: UdpSocket,
    },
    /// Connections go on.
    Close(SocketAddr),
    /// These ports have HTTP/3.
    AltSvc(Vec<u16>),
}

/// What a worker is to do, and who is to be told when it has.
pub(crate) type Updates = mpsc::UnboundedReceiver<(Update, oneshot::Sender<()>)>;

/// The settings of a running embedded server.
pub(crate) struct Running {
    group: GroupSettings,
    /// What no change of the group changes.
    engine: Settings,
    /// Made when the first limit is set; later ones change it.
    bandwidth: Option<Arc<Bandwidth>>,
    tls: Option<Arc<Bindings>>,
    pub(crate) admission: Arc<Admission>,
    workers: Vec<mpsc::UnboundedSender<(Update, oneshot::Sender<()>)>>,
}

impl Running {
    pub(crate) fn new(group: GroupSettings, engine: Settings, tls: Option<Arc<Bindings>>) -> Self {
        let admission = Admission::new(caps(&group));
        let mut running = Self { group, engine, bandwidth: None, tls, admission, workers: Vec::new() };
        running.set_rate();
        running
    }

    pub(crate) fn live(&self) -> Live {
        let mut engine = self.engine.clone();
        engine.limits.max_body = self.group.max_body.unwrap_or(engine.limits.max_body);
        engine.timeouts = self.group.timeouts.for_engine();
        Live {
            engine,
            bandwidth: self.bandwidth.clone(),
            tls: self.tls.clone(),
            active: self.group.active.unwrap_or(true),
            verbosity: self.group.queue.verbosity.unwrap_or_default(),
        }
    }

    /// For one more worker.
    pub(crate) fn updates(&mut self) -> Updates {
        let (sender, updates) = mpsc::unbounded_channel();
        self.workers.push(sender);
        updates
    }

    /// Makes a change, and returns when all workers go on with it.
    pub(crate) async fn change(&mut self, change: &GroupSettings) -> Result<()> {
        let settings = change.only_hosts_have();
        if !settings.is_empty() {
            return Err(Error::NeedsHost { settings });
        }
        self.group.merge(change);
        self.set_rate();
        self.admission.set_caps(caps(&self.group));
        self.apply().await
    }

    /// Shows these certificates from now on, and returns when all workers do.
    pub(crate) async fn set_tls(&mut self, bindings: Arc<Bindings>) -> Result<()> {
        self.tls = Some(bindings);
        self.apply().await
    }

    async fn apply(&self) -> Result<()> {
        let live = self.live();
        self.tell(|_| Some(Update::Settings(live.clone()))).await
    }

    /// Gives each worker, by its index, what is for it, and returns when they have all done it.
    pub(crate) async fn tell(&self, mut update: impl FnMut(usize) -> Option<Update>) -> Result<()> {
        let mut told = Vec::new();
        for (index, worker) in self.workers.iter().enumerate() {
            let Some(update) = update(index) else { continue };
            let (done, is_done) = oneshot::channel();
            worker.send((update, done)).map_err(|_| Error::WorkerDied)?;
            told.push(is_done);
        }
        for is_done in told {
            is_done.await.map_err(|_| Error::WorkerDied)?;
        }
        Ok(())
    }

    fn set_rate(&mut self) {
        let Some(rate) = self.group.max_bandwidth else { return };
        let rate = rate.unwrap_or(u64::MAX);
        match &self.bandwidth {
            Some(bandwidth) => bandwidth.set_rate(rate),
            None => self.bandwidth = Some(Bandwidth::new(rate)),
        }
    }
}

fn caps(group: &GroupSettings) -> ConnectionCaps {
    let mut caps = ConnectionCaps::default();
    if let Some(Some(most)) = group.max_connections {
        caps.total = caps.total.min(usize::try_from(most).unwrap_or(usize::MAX));
    }
    caps
}
