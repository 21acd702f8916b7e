//! An app as a service of the machine (feature `service`): `my-app install`, `uninstall`, `start`, `stop`, `status` and `run`,
//! with one line in `main`.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use axum::{Router, routing::get};
//! use narthex::Server;
//! use narthex::service::Service;
//!
//! fn main() -> ExitCode {
//!     Service::new("my-app").description("Answers pings").main(|_invocation| async {
//!         let app = Router::new().route("/ping", get(|| async { "pong" }));
//!         Server::new(app).prefix("http://+:8888/MyApp/").run().await
//!     })
//! }
//! ```
//!
//! | typed | what happens |
//! |---|---|
//! | `my-app`, `my-app run` | the app runs in the foreground; this is also what the service manager starts |
//! | `my-app install` | it becomes a service that starts with the machine, and is told where it was written; again is no error |
//! | `my-app install -- --port 80` | what follows `--` are the app's own arguments whenever the service starts |
//! | `my-app install --print` | the unit is printed, and nothing is changed |
//! | `my-app start`, `my-app stop` | now |
//! | `my-app status` | how it goes; exit code 0: it runs, 3: it does not, 4: it is not installed |
//! | `my-app uninstall` | it is stopped, and all that `install` wrote is removed; `--purge`: also the files that it kept |
//!
//! `--user` after any of them means a service of the user instead of the machine's, which needs no root. Everything else that is
//! typed is the app's own: [`Invocation::arguments`].
//!
//! On Linux the service manager is systemd, on macOS launchd, on Windows the SCM.
//!
//! # What the service manager is told
//! Under systemd (`Type=notify`), and under the SCM in its own words:
//!
//! * `READY=1` when every server that the app has started serves: its prefixes are registered, or its ports open. An app
//!   whose prefix is refused never becomes ready; it ends, and the unit fails with the reason in its log.
//! * `WATCHDOG=1` four times in each `WatchdogSec`, as long as the app's main runtime and every worker of its servers
//!   turn. A handler that blocks its thread for longer has the service killed and started again: use
//!   [`blocking`](crate::blocking()).
//! * `RELOADING=1` when a server begins its next life ([`ServerHandle::restart`](crate::ServerHandle::restart), or the
//!   [`Watchdog`](crate::Watchdog)), and `READY=1` when it serves again.
//! * `STOPPING=1` when all servers finish what runs, with as much time as [`Server::shutdown_timeout`](crate::Server::shutdown_timeout)
//!   gives them (`EXTEND_TIMEOUT_USEC`), whatever the unit says.
//!
//! # The sandbox
//! A service of the machine runs as a user of its own that exists only while it runs (`DynamicUser`), unless
//! [`Service::account`] names one. The file system is read-only but for its state directory (`/var/lib/NAME`, in `STATE_DIRECTORY`,
//! and its working directory) and what [`Service::writable`] names; homes and other programs' temporary files and processes
//! are not there; no privilege can be gained. It reaches the machine's host, and listens by itself above port 1023, or with
//! [`Service::low_ports`] below. `systemctl edit NAME` adds what an app needs besides, such as `MemoryDenyWriteExecute=no` for one
//! that compiles code at run time.

mod command;
mod error;
mod launchd;
mod notify;
mod outcome;
mod program;
mod run;
#[cfg(windows)]
mod scm;
#[cfg(unix)]
#[cfg_attr(target_os = "macos", allow(dead_code, reason = "launchd is asked there"))]
mod systemd;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only systemd has units"))]
mod unit;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::error::BoxError;

pub use command::Verb;
pub use error::ServiceError;
pub use outcome::{Outcome, Scope};
pub use run::Invocation;

/// How long a service may take to stop unless its servers say that they need longer.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const WATCHDOG: Duration = Duration::from_secs(30);

/// What an app is as a service: its name, and what it may do.
#[derive(Clone, Debug)]
#[must_use = "a service does nothing until its main is called"]
pub struct Service {
    name: String,
    description: Option<String>,
    environment: Vec<(String, String)>,
    account: Option<String>,
    low_ports: bool,
    writable: Vec<PathBuf>,
    stop_timeout: Duration,
    watchdog: Duration,
    units: Vec<unit::UnitFile>,
    command: Option<String>,
}

impl Service {
    /// A service that the service manager knows by `name`: letters, digits, `-`, `_` and `.`, at most 64 of them, the first a
    /// letter. Another name is an error of everything but `run`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
            environment: Vec::new(),
            account: None,
            low_ports: false,
            writable: Vec::new(),
            stop_timeout: STOP_TIMEOUT,
            watchdog: WATCHDOG,
            units: Vec::new(),
            command: None,
        }
    }

    /// One line that service managers show beside the name. Default: the name.
    pub fn description(mut self, line: impl Into<String>) -> Self {
        self.description = Some(line.into());
        self
    }

    /// Sets an environment variable for the service, such as `RUST_LOG`. Anybody on the machine can read it in the unit.
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The user account that a service of the machine runs as; it has to exist. Name one if other programs, or reservations
    /// (`narthex add urlacl user=...`), have to know the app by its user. Default: one that systemd makes for as long as the service
    /// runs, whose name is the service's; on macOS root, on Windows `LocalService`.
    pub fn account(mut self, user: impl Into<String>) -> Self {
        self.account = Some(user.into());
        self
    }

    /// Whether a service of the machine may listen on ports below 1024 by itself (`CAP_NET_BIND_SERVICE`). Behind a host it need
    /// not. Default: `false`.
    pub fn low_ports(mut self, allowed: bool) -> Self {
        self.low_ports = allowed;
        self
    }

    /// Lets a service of the machine write below this directory, which has to exist, beside its state directory.
    pub fn writable(mut self, directory: impl Into<PathBuf>) -> Self {
        self.writable.push(directory.into());
        self
    }

    /// How long the service may take to stop before it is killed, unless its servers' shutdown timeouts are longer. Default: 15 s.
    pub fn stop_timeout(mut self, limit: Duration) -> Self {
        self.stop_timeout = limit;
        self
    }

    /// After how long without a sign of life the service is killed and started again (systemd only). Zero: never. Default: 30 s.
    pub fn watchdog(mut self, period: Duration) -> Self {
        self.watchdog = period;
        self
    }

    /// Installs this file for services of `scope` instead of the unit that is made for them. Several may be given: units,
    /// told by their suffixes (`my-app.service`, `my-app.socket`), and for [`Scope::System`] a `my-app.sysusers` and a
    /// `my-app.tmpfiles`, which make accounts and directories (`sysusers.d(5)`, `tmpfiles.d(5)`). `@PROGRAM@` in it is the program's
    /// path, quoted for `ExecStart=`; what is typed after `install --` is not used. Used with systemd only.
    pub fn unit_file(mut self, scope: Scope, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.units.push(unit::UnitFile { scope, name: name.into(), text: text.into() });
        self
    }

    /// The word that comes before the verbs where this program has several commands: `my-app serve install`. The service is started
    /// with it. For programs that [`perform`](Self::perform) verbs by themselves.
    pub fn command(mut self, word: impl Into<String>) -> Self {
        self.command = Some(word.into());
        self
    }

    /// Does what the process's arguments say, and returns what `main` is to return. Call it first in `main`: it makes the runtime
    /// (tokio's, with several threads) on which `app` runs.
    ///
    /// `app` gets what is left of the arguments for it. Its error is printed with its causes, and makes the exit code 1. Other
    /// exit codes are those of the table above, and 2 for words that make no sense after `install` and its like.
    ///
    /// The future is dropped in the end, which stops what it has not awaited.
    pub fn main<F, Fut, E>(self, app: F) -> ExitCode
    where
        F: FnOnce(Invocation) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        match command::parse(&arguments) {
            Ok(command::Typed::App(arguments)) => run::run(&self, Invocation::new(arguments), app),
            #[cfg(feature = "ui")]
            Ok(command::Typed::WithPage(arguments, address)) => {
                crate::ui::ask_for(address.unwrap_or(crate::ui::ANYWHERE));
                run::run(&self, Invocation::new(arguments), app)
            }
            Ok(command::Typed::Verb(verb)) => match self.perform(&verb) {
                Ok(outcome) => {
                    say(&outcome.to_string());
                    ExitCode::from(outcome.exit_code())
                }
                Err(error) => {
                    eprintln!("{}: {error}", self.name);
                    ExitCode::FAILURE
                }
            },
            Ok(command::Typed::Help) => {
                say(&command::help(&arguments, &self.name));
                ExitCode::SUCCESS
            }
            Err(usage) => {
                eprintln!("{}: {usage}\n{}", self.name, command::help(&arguments, &self.name));
                ExitCode::from(2)
            }
        }
    }

    /// Does one of the verbs, for programs that read their arguments by themselves. Blocks until the service manager has done it.
    ///
    /// # Errors
    /// What is in the way, and what to do about it: see [`ServiceError`].
    pub fn perform(&self, verb: &Verb) -> Result<Outcome, ServiceError> {
        self.check()?;
        #[cfg(target_os = "macos")]
        return launchd::perform(self, verb);
        #[cfg(windows)]
        return scm::perform(self, verb);
        #[cfg(not(any(target_os = "macos", windows)))]
        systemd::Systemd::here(verb.scope())?.perform(self, verb)
    }

    fn check(&self) -> Result<(), ServiceError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name = &self.name;
        if name.len() > 64 || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(fits) {
            return Err(ServiceError::Name(name.clone()));
        }
        let pairs = self.environment.iter().flat_map(|(name, value)| [name, value]);
        let texts = pairs.chain(&self.description).chain(&self.account).chain(&self.command);
        match texts.into_iter().find(|text| text.chars().any(char::is_control)) {
            Some(text) => Err(ServiceError::ControlCharacter(text.clone())),
            None => Ok(()),
        }
    }
}

/// A reader that has gone is no error.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}
