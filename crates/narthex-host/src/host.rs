//! Starting and stopping a host.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use std::sync::Arc;

use narthex_http::{Acceptor, Admission, Bandwidth, Settings, rendezvous};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::activation::PassedSockets;
use crate::admin::AdminError;
use crate::cache::CacheBudget;
use crate::config::{ConfigError, ConfigFile};
use crate::control::answers::Configuration;
use crate::control::{self, Control, Means, Wish, settings};
use crate::log::{LogOptions, Logs};
use crate::socket::HostSocket;
use crate::succession::{self, Inheritance};
use crate::trace::Traces;
use crate::worker::{self, WorkerOptions};

/// How long a stop waits for the disk that the logs are on.
const LOGS: Duration = Duration::from_secs(5);
/// How long a stop waits for the collector of traces.
const SPANS: Duration = Duration::from_secs(1);

/// What a host starts with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostOptions {
    /// Where apps find it. Default: [`rendezvous::own_socket`].
    pub socket: PathBuf,
    /// The configuration file. Default: `narthex.toml` beside the socket. It need not exist.
    pub config: Option<PathBuf>,
    /// Where logs are written unless the configuration says. Default: `log` beside the socket.
    pub logs: Option<PathBuf>,
    /// Programs of other users may connect; what they may register, the reservations say. Default: they may not.
    pub shared: bool,
    /// Threads that serve clients. Default: one per core.
    pub workers: usize,
    /// The only addresses to listen on, whatever prefixes ask for and the configuration's `iplisten` says. Default: none,
    /// which means as each prefix and the configuration say.
    pub listen: Vec<IpAddr>,
    /// Take over from the host that has the socket: its sockets change hands while clients connect, its apps register here, and it serves
    /// the connections that it has to their end. Default: no; a second host on a socket is an error.
    pub take_over: bool,
    /// Sockets that are open already: the one at [`socket`](Self::socket), and ports. Default: none.
    pub passed: PassedSockets,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            socket: rendezvous::own_socket(),
            config: None,
            logs: None,
            shared: false,
            workers: narthex_http::default_workers(),
            listen: Vec::new(),
            take_over: false,
            passed: PassedSockets::default(),
        }
    }
}

/// Why a host cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another host has the socket.
    #[error("another Narthex host is running at {0}: use it, stop it, or choose another socket with --socket or NARTHEX_HOST")]
    AlreadyRunning(PathBuf),
    /// The socket cannot be made.
    #[error("cannot open the host's socket at {0}: {1}; choose another place with --socket or NARTHEX_HOST")]
    Socket(PathBuf, #[source] io::Error),
    /// The host that has the socket cannot be taken over from. It goes on.
    #[error("cannot take over from the host at {0}: {1}")]
    TakeOver(PathBuf, #[source] AdminError),
    /// The configuration file has a mistake, or cannot be read.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The OS refuses a thread.
    #[error("cannot start the host's threads: {0}")]
    Thread(#[source] io::Error),
}

/// A running host. Dropping it stops it at once; [`stop`](Self::stop) lets requests finish.
#[derive(Debug)]
pub struct Host {
    socket: PathBuf,
    stop: Option<oneshot::Sender<Duration>>,
    wishes: mpsc::UnboundedSender<Wish>,
    replaced: watch::Receiver<bool>,
    control: Option<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
    logs: Logs,
    traces: Traces,
}

impl Host {
    /// Opens the host's socket and starts its threads. Ports open when apps register.
    ///
    /// # Errors
    /// If another host has the socket, or it cannot be made.
    pub fn start(options: HostOptions) -> Result<Self, StartError> {
        let beside = |name: &str| options.socket.with_file_name(name);
        let file = match &options.config {
            Some(named) => ConfigFile::new(named.clone()),
            None => ConfigFile::own(beside("narthex.toml")),
        };
        let configuration = Configuration::open(file)?;
        let config = Arc::clone(configuration.current());
        let (socket, inherited) = if options.take_over {
            let refused = |error| StartError::TakeOver(options.socket.clone(), error);
            if config.settings.single_acceptor {
                return Err(refused(AdminError::Refused("a host with single_acceptor cannot take sockets over".to_owned())));
            }
            let Inheritance { socket, listeners, apps } = succession::take_over(&options.socket).map_err(refused)?;
            (socket, Some((listeners, apps)))
        } else {
            (HostSocket::open(&options.socket, options.shared, options.passed.take_control(&options.socket))?, None)
        };
        let path = socket.path.clone();
        let admission = Admission::new(settings::caps(&config));
        let logs = config.settings.log_directory.clone().or_else(|| options.logs.clone()).unwrap_or_else(|| beside("log"));
        let mut logs = LogOptions::new(logs);
        logs.error_log = settings::error_log(&config);
        let traces = Traces::default();
        traces.configure(&config.settings.traces);
        let mut means = Means {
            traces: traces.clone(),
            logs: Logs::start(logs).map_err(StartError::Thread)?,
            log_directory: config.settings.log_directory.clone(),
            admission: Arc::clone(&admission),
            cache: CacheBudget::new(config.settings.max_cache_size),
            bandwidth: Bandwidth::new(config.settings.max_bandwidth.unwrap_or(0)),
            acceptor: None,
            started: Instant::now(),
        };
        let mut engine = Settings::default();
        engine.limits = settings::limits(&config);
        engine.timeouts = settings::machine_timeouts(&config);
        engine.cooking = config.settings.cooking;
        engine.trusted_proxies = Arc::new(config.settings.trusted_proxies.clone());
        engine.proxy_protocol = Arc::new(settings::proxy_protocol(&config));
        engine.request_ids = config.settings.request_ids;
        let count = options.workers.max(1);
        let mut inboxes = Vec::new();
        if config.settings.single_acceptor {
            let (acceptor, dealt) = Acceptor::start("narthex-acceptor".to_owned(), count).map_err(StartError::Thread)?;
            means.acceptor = Some(acceptor);
            inboxes = dealt;
        }
        let mut inboxes = inboxes.into_iter();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let mut workers = Vec::new();
        for (index, commands) in receivers.into_iter().enumerate() {
            let others = senders.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, sender)| sender.downgrade());
            let worker = WorkerOptions {
                settings: engine.clone(),
                admission: Arc::clone(&admission),
                bandwidth: Arc::clone(&means.bandwidth),
                is_paced: config.settings.max_bandwidth.is_some(),
                logs: means.logs.clone(),
                traces: means.traces.clone(),
                cache: Arc::clone(&means.cache),
                cache_settings: settings::cache(&config),
                started: means.started,
                others: others.collect(),
                inbox: inboxes.next(),
            };
            let run = move || worker::run(worker, commands);
            workers.push(narthex_http::spawn_worker(format!("narthex-host-{index}"), run).map_err(StartError::Thread)?);
        }
        let logs = means.logs.clone();
        let (stop, stopped) = oneshot::channel();
        let (wishes, wished) = mpsc::unbounded_channel();
        let (replaced, is_replaced) = watch::channel(false);
        let run = move || {
            let mut control = Control::new(&options, configuration, senders, means);
            control.keep_open(options.passed.take_ports());
            if let Some((listeners, apps)) = inherited {
                control.inherit(listeners, apps);
            }
            control::run(control, socket, replaced, wished, stopped)
        };
        let control = narthex_http::spawn_worker("narthex-control".to_owned(), run).map_err(StartError::Thread)?;
        Ok(Self { socket: path, stop: Some(stop), logs, wishes, replaced: is_replaced, control: Some(control), workers, traces })
    }

    /// The path of the host's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Reads the configuration file again, as `narthex reload` has it done. A file with a mistake changes nothing; the log
    /// says what is wrong with it. What is returned ends when that is done; it is begun without anybody waiting.
    pub fn reload(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (done, is_done) = oneshot::channel();
        // A control thread that is gone has nothing to reload.
        let _ = self.wishes.send(Wish::Reload(done));
        async move {
            let _ = is_done.await;
        }
    }

    /// Whether all of the host's threads turn: asks each, and waits for its answer. A thread that hangs gives none, and one that has
    /// panicked makes it `false`.
    pub fn turns(&self) -> impl Future<Output = bool> + Send + 'static + use<> {
        let (reply, answer) = oneshot::channel();
        let _ = self.wishes.send(Wish::Turn(reply));
        async move { answer.await.unwrap_or(false) }
    }

    /// Waits until another host has taken over. This one should then be [stopped](Self::stop): clients are told to connect anew with
    /// their next response, and those that are idle should get some seconds for it.
    pub fn replaced(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut replaced = self.replaced.clone();
        async move {
            if replaced.wait_for(|replaced| *replaced).await.is_err() {
                // A host that has ended is not replaced any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops accepting, lets requests in progress finish for `within`, ends what is left. Blocks until all is over.
    pub fn stop(mut self, within: Duration) {
        self.end(within);
    }

    fn end(&mut self, within: Duration) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(within);
        }
        for thread in self.control.take().into_iter().chain(self.workers.drain(..)) {
            if thread.join().is_err() {
                tracing::error!("a thread of the host had panicked");
            }
        }
        // The workers have handed over their last lines and spans.
        self.logs.stop(LOGS);
        self.traces.flush(SPANS);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}
