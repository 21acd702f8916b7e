//! What can keep a server from running, each with what to do about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use narthex_http::ListenError;
use narthex_proto::prefix::{PrefixError, UrlPrefix};
use narthex_proto::routing::Conflict;
use narthex_proto::wire::{ProtocolError, RefusalCode};

/// Any error, as tower's services have them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of running a server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a server cannot run, or stopped.
///
/// `Debug` prints the message too, since that is what people see of an error that `main` returns.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A prefix is not one.
    #[error("cannot register {prefix}: {source}")]
    Prefix {
        /// As it was given.
        prefix: String,
        /// What is wrong with it, and what to write instead.
        source: PrefixError,
    },
    /// There is nothing to serve.
    #[error("no prefix to serve: give the server at least one, as in Server::new(app).prefix(\"http://+:8888/MyApp/\")")]
    NoPrefix,
    /// Two of the server's own prefixes are in each other's way.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The port cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A prefix needs TLS, and the server has no certificate.
    #[error(
        "cannot serve {0} on a listener of its own: it needs a certificate; give the server one with \
         Server::tls(Tls::pem_files(\"cert.pem\", \"key.pem\")), or start a host that has one (narthex add sslcert)"
    )]
    NoCertificate(String),
    /// A certificate, a key or an option of TLS cannot be used.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// A network of [`Server::trusted_proxies`](crate::Server::trusted_proxies) is none.
    #[error("cannot trust a proxy: {0}")]
    TrustedProxies(#[from] narthex_http::NotANetwork),
    /// The page of [`Server::ui`](crate::Server::ui) is for this machine only.
    #[cfg(feature = "ui")]
    #[error("cannot open the app's page at {0}: it is for this machine only; choose a loopback address, as in 127.0.0.1:9000")]
    UiAddress(std::net::SocketAddr),
    /// A server to forward to has no such address.
    #[cfg(feature = "forward")]
    #[error(transparent)]
    Forward(#[from] crate::forward::AddressError),
    /// Two prefixes need the same port with and without TLS.
    #[error(
        "cannot serve {0}: another prefix has port {1} with the other scheme, and a port has TLS or has not; choose another port"
    )]
    OtherScheme(String, u16),
    /// No host answers where one was asked for.
    #[error("no host answers at {}: start one with `narthex host`, or use Provider::embedded()", places(.tried))]
    NoHost {
        /// The sockets that were tried.
        tried: Vec<PathBuf>,
        /// What the last of them said.
        source: io::Error,
    },
    /// What answers is not a host that this program can talk to.
    #[error("cannot use the host at {}: {source}", .path.display())]
    Host {
        /// Its socket.
        path: PathBuf,
        /// What was wrong.
        source: ProtocolError,
    },
    /// The host does not let the app have its prefixes.
    #[error("{}", refusal(.prefixes, .message))]
    Refused {
        /// What was to be registered.
        prefixes: Vec<String>,
        /// Why, for programs.
        code: RefusalCode,
        /// Why, and what to do about it.
        message: String,
    },
    /// The host does not keep a fragment.
    #[error("{message}")]
    Fragment {
        /// Its name as it was given.
        name: String,
        /// Why, for programs.
        code: RefusalCode,
        /// Why, and what to do about it.
        message: String,
    },
    /// A setting has a value that it cannot have.
    #[error("cannot use {setting}({value}): it takes {least} to {most}")]
    OutOfRange {
        /// Which.
        setting: &'static str,
        /// What it was given.
        value: u64,
        /// The least that it takes.
        least: u64,
        /// The most that it takes.
        most: u64,
    },
    /// The host does not make a [`Change`](crate::Change). Nothing was changed.
    #[error("the host does not make the change: {message}")]
    ChangeRefused {
        /// Why, for programs.
        code: RefusalCode,
        /// Why, and what to do about it.
        message: String,
    },
    /// A [`Change`](crate::Change) has settings that only a host has, and the app has a listener of its own, or is on HTTP.sys. Nothing was
    /// changed.
    #[error("cannot change {} here: only a host of Narthex's has that, and this server has none; make the change without it", .settings.join(", "))]
    NeedsHost {
        /// The settings, as the methods of [`Change`](crate::Change) are called.
        settings: Vec<&'static str>,
    },
    /// There is no running server to be changed, restarted, or to store fragments, or none that could be started again.
    #[error(
        "the server is not running: it can be changed and restarted from its start to its end, store fragments from on_ready on, \
         and be started again if Server::start has started it"
    )]
    NotRunning,
    /// The server runs, or was started before from the same builder.
    #[error(
        "this server was started already: restart it with ServerHandle::restart, start it with ServerHandle::start when it has \
         stopped, or build another one"
    )]
    AlreadyRunning,
    /// A prefix to be removed is not the server's.
    #[error("cannot remove {prefix}: the server does not have it, but {}", listed(.prefixes))]
    NoSuchPrefix {
        /// As it was given.
        prefix: String,
        /// Those that the server has.
        prefixes: Vec<UrlPrefix>,
    },
    /// A prefix to be removed is the only one.
    #[error("cannot remove {0}: it is the server's last prefix; add another one first, or stop the server")]
    LastPrefix(String),
    /// A socket of the server does not listen any more.
    #[error("the listening socket at {address} broke: {source}; restart the server, or give it a watchdog (Server::watchdog)")]
    ListenerBroke {
        /// Where it listened.
        address: SocketAddr,
        /// What the OS said.
        source: io::Error,
    },
    /// The server did not answer its own [`Watchdog`](crate::Watchdog).
    #[error("the server did not answer its watchdog at {address} within {within:?}: does a handler block its thread?")]
    Unresponsive {
        /// Where it was asked.
        address: SocketAddr,
        /// How long it had.
        within: Duration,
    },
    /// Why a server has ended or could not start again, for all who wait for that.
    #[error(transparent)]
    Ended(Arc<Error>),
    /// This kind of provider does not exist on this platform.
    #[error("there is no shared provider on this platform: use Provider::embedded() or Provider::auto()")]
    SharedUnavailable,
    /// HTTP.sys was asked for where there is none.
    #[error("there is no HTTP.sys here ({0}): use Provider::embedded() or Provider::auto()")]
    NoHttpSys(String),
    /// HTTP.sys refuses something, or lacks it.
    #[cfg(any(windows, test))]
    #[error(transparent)]
    HttpSys(#[from] narthex_httpsys::Error),
    /// A worker thread ended by itself, which is a bug in Narthex.
    #[error("a worker thread of the server died; please report this with the panic message that it printed")]
    WorkerDied,
    /// The OS refused something that a server needs.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// What the OS said.
        source: io::Error,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    /// The error itself, unless others have it too.
    pub(crate) fn shared(error: Arc<Self>) -> Self {
        Arc::try_unwrap(error).unwrap_or_else(Self::Ended)
    }
}

/// Sockets, for people.
pub(crate) fn places(tried: &[PathBuf]) -> String {
    let shown: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
    shown.join(" or ")
}

/// Prefixes, for people.
pub(crate) fn listed(prefixes: &[UrlPrefix]) -> String {
    let texts: Vec<&str> = prefixes.iter().map(UrlPrefix::as_str).collect();
    texts.join(" ")
}

fn refusal(prefixes: &[String], message: &str) -> String {
    if message.starts_with("cannot ") {
        return message.to_owned();
    }
    format!("cannot register {}: {message}", prefixes.join(", "))
}
