//! Starting and stopping a host.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use std::sync::Arc;

use narthex_http::{Admission, Settings, rendezvous};
use tokio::sync::{mpsc, oneshot};

use crate::config::{ConfigError, ConfigFile};
use crate::control::answers::Configuration;
use crate::control::{self, Control, settings};
use crate::socket::HostSocket;
use crate::worker;

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
    reload: mpsc::UnboundedSender<()>,
    control: Option<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
}

impl Host {
    /// Opens the host's socket and starts its threads. Ports open when apps register.
    ///
    /// # Errors
    /// If another host has the socket, or it cannot be made.
    pub fn start(options: HostOptions) -> Result<Self, StartError> {
        let beside = |name: &str| options.socket.with_file_name(name);
        let file = ConfigFile::new(options.config.clone().unwrap_or_else(|| beside("narthex.toml")));
        let configuration = Configuration::open(file)?;
        let config = Arc::clone(configuration.current());
        let socket = HostSocket::open(&options.socket, options.shared)?;
        let path = socket.path.clone();
        let admission = Admission::new(settings::caps(&config));
        let mut engine = Settings::default();
        engine.limits = settings::limits(&config);
        engine.timeouts = settings::machine_timeouts(&config);
        engine.cooking = config.settings.cooking;
        let mut senders = Vec::new();
        let mut workers = Vec::new();
        for index in 0..options.workers.max(1) {
            let (sender, commands) = mpsc::unbounded_channel();
            let (settings, admission) = (engine.clone(), admission.clone());
            let run = move || worker::run(settings, admission, commands);
            workers.push(narthex_http::spawn_worker(format!("narthex-host-{index}"), run).map_err(StartError::Thread)?);
            senders.push(sender);
        }
        let (stop, stopped) = oneshot::channel();
        let (reload, reloads) = mpsc::unbounded_channel();
        let run = move || control::run(Control::new(&options, configuration, senders), socket, reloads, stopped);
        let control = narthex_http::spawn_worker("narthex-control".to_owned(), run).map_err(StartError::Thread)?;
        Ok(Self { socket: path, stop: Some(stop), reload, control: Some(control), workers })
    }

    /// The path of the host's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Reads the configuration file again, as `narthex reload` has it done. A file with a mistake changes nothing; the log
    /// says what is wrong with it.
    pub fn reload(&self) {
        // A control thread that is gone has nothing to reload.
        let _ = self.reload.send(());
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
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}
