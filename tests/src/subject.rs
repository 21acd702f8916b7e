//! What a suite runs against: the app on a listener of its own, or the app behind a host. Ports are free ones.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Client;
use crate::process::{Process, app_program, narthex_program};

const SOCKET: &str = "host.sock";

/// How the app gets its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// From a listener of its own.
    Embedded,
    /// From a host.
    Shared,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Shared => "shared",
        })
    }
}

/// A running `narthex host` with a socket of its own.
#[derive(Debug)]
pub struct Host {
    /// The process.
    pub process: Process,
    socket: PathBuf,
}

impl Host {
    /// Starts a host whose socket is in `directory`, and waits until it answers there.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(directory: &Path) -> Self {
        Self::start_with(directory, 2)
    }

    /// As `start`, with this many workers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(directory: &Path, workers: usize) -> Self {
        Self::start_by(Command::new(narthex_program()), directory, workers)
    }

    /// As `start_with`, by a command that may be a shell's: `narthex`'s arguments are added to it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_by(mut command: Command, directory: &Path, workers: usize) -> Self {
        let socket = directory.join(SOCKET);
        command.arg("host").arg("--socket").arg(&socket);
        command.args(["--listen", "127.0.0.1", "--workers", &workers.to_string()]);
        let mut process = Process::start("host", &mut command);
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(
                Instant::now() < deadline && !process.has_ended(),
                "the host does not answer; its output:\n{}",
                process.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, socket }
    }

    /// As `start_with`, with this configuration file.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_configured(directory: &Path, workers: usize, toml: &str) -> Self {
        std::fs::write(directory.join("narthex.toml"), toml).expect("the configuration file can be written");
        Self::start_with(directory, workers)
    }

    /// Starts a host that takes over from this one, and waits until it has. Returns the one before it, which ends by itself.
    ///
    /// # Panics
    /// When it does not.
    pub fn replace(&mut self, workers: usize) -> Process {
        let mut command = Command::new(narthex_program());
        command.args(["host", "--take-over", "--socket"]).arg(&self.socket);
        command.args(["--listen", "127.0.0.1", "--workers", &workers.to_string()]);
        let mut process = Process::start("host", &mut command);
        process.line("ready ");
        std::mem::replace(&mut self.process, process)
    }

    /// What `narthex` prints that is given these words as arguments.
    ///
    /// # Panics
    /// When it fails.
    pub fn operate(&self, words: &[&str]) -> String {
        let mut command = Command::new(narthex_program());
        let output = command.args(words).arg("--socket").arg(&self.socket).output().expect("the narthex command can be started");
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "narthex {words:?} fails: {problem}");
        String::from_utf8(output.stdout).expect("narthex prints text")
    }

    /// What `narthex` prints as JSON that is given these words as arguments.
    ///
    /// # Panics
    /// When it fails.
    pub fn operate_json(&self, words: &[&str]) -> serde_json::Value {
        let text = self.operate(&[words, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("narthex {words:?} prints no JSON ({error}): {text}"))
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

/// What an app is started with.
#[derive(Clone, Debug)]
pub struct AppOptions {
    /// The UrlPrefixes to register.
    pub prefixes: Vec<String>,
    /// What `/whoami` answers.
    pub name: String,
    /// Further arguments.
    pub arguments: Vec<String>,
}

impl AppOptions {
    /// An app that registers one prefix.
    pub fn new(name: &str, prefix: impl Into<String>) -> Self {
        Self { prefixes: vec![prefix.into()], name: name.to_owned(), arguments: Vec::new() }
    }

    /// Registers one more prefix.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefixes.push(prefix.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }
}

/// A running app.
#[derive(Debug)]
pub struct App {
    /// The process.
    pub process: Process,
    /// Where clients reach it.
    pub address: SocketAddr,
}

impl App {
    /// Starts an app and waits until it serves. `host` is needed for the shared provider.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(provider: Provider, host: Option<&Host>, options: &AppOptions) -> Self {
        let mut process = Self::spawn(provider, host, options);
        let ready = process.line("ready ");
        let address = address_of(&ready).unwrap_or_else(|| panic!("no address in the ready line {ready:?}"));
        Self { process, address }
    }

    /// Starts an app that is not expected to serve.
    pub fn spawn(provider: Provider, host: Option<&Host>, options: &AppOptions) -> Process {
        let mut command = Command::new(app_program());
        command.args(["--provider", &provider.to_string(), "--name", &options.name]);
        for prefix in &options.prefixes {
            command.args(["--prefix", prefix]);
        }
        if let Some(host) = host {
            command.arg("--host-socket").arg(host.socket());
        }
        command.args(&options.arguments);
        Process::start(&options.name, &mut command)
    }
}

/// The loopback address with the port of the first prefix of a ready line.
fn address_of(ready: &str) -> Option<SocketAddr> {
    let (_, rest) = ready.split_whitespace().next()?.split_once("://")?;
    let authority = rest.split('/').next()?;
    let port: u16 = authority.rsplit(':').next()?.parse().ok()?;
    Some(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// One app, and the host it needs, if any.
#[derive(Debug)]
pub struct Subject {
    // Fields are dropped in order: the app leaves while its host still runs.
    /// The app.
    pub app: App,
    /// The host, for the shared provider.
    pub host: Option<Host>,
    _directory: TempDir,
}

impl Subject {
    /// Starts the app under test at the root of a free port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(provider: Provider) -> Self {
        Self::start_with(provider, &AppOptions::new("app", "http://127.0.0.1:0/"))
    }

    /// Starts the app under test as `options` say.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(provider: Provider, options: &AppOptions) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
        let app = App::start(provider, host.as_ref(), options);
        Self { app, host, _directory: directory }
    }

    /// Connects to it.
    ///
    /// # Panics
    /// When it does not accept.
    pub fn connect(&self) -> Client {
        Client::connect(self.app.address).expect("the server accepts connections")
    }

    /// What goes into `Host`.
    pub fn authority(&self) -> String {
        self.app.address.to_string()
    }
}
