//! What can keep a service from being installed, or started, each with what to do about it.

use std::io;
use std::path::PathBuf;

use super::Scope;

/// Why something could not be done with a service.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A service cannot have this name.
    #[error("{0:?} cannot be a service's name: use letters, digits, `-`, `_` and `.`, at most 64, the first a letter")]
    Name(String),
    /// A text would break out of its line in the unit.
    #[error("{0:?} has a control character, which no service manager takes: remove it")]
    ControlCharacter(String),
    /// The machine has another service manager, or none.
    #[error(
        "this machine is not run by systemd (there is no /run/systemd/system): let its own supervisor run `{0} run`, which stops on \
         SIGTERM; `{0} install --print` shows the unit for systemd"
    )]
    NoServiceManager(String),
    /// Services of the machine are root's.
    #[error(
        "only root may {verb} services of the machine: run `sudo {command}`, or `{command} --user` for a service of your own"
    )]
    NotRoot {
        /// What was to be done.
        verb: &'static str,
        /// What was typed.
        command: String,
    },
    /// A user's service manager does not run.
    #[error(
        "your user's systemd does not answer: log in in the usual way instead of with su or sudo, or let it run without a login with \
         `sudo loginctl enable-linger {0}` and `export XDG_RUNTIME_DIR=/run/user/$(id -u)`"
    )]
    NoUserManager(String),
    /// A service could not see its own program.
    #[error(
        "{0} is below a directory that services do not see ({1}): copy it, `sudo install -m 755 {0} /usr/local/bin/`, and install it \
         from there, or install it as a service of your own with --user"
    )]
    ProgramHidden(PathBuf, &'static str),
    /// The program's place cannot be written into a unit.
    #[error("cannot make a service of {0}: its path, or one of its arguments, is not UTF-8 or has a control character")]
    NotText(PathBuf),
    /// It is not there.
    #[error("{name} is not installed as a service: `{command}` does that")]
    NotInstalled {
        /// The service.
        name: String,
        /// What installs it.
        command: String,
    },
    /// It is not this program's to remove.
    #[error("a package has installed {name} ({unit}): remove that, as in `sudo apt remove {name}`, or only stop it: `{stop}`")]
    OfPackage {
        /// The service.
        name: String,
        /// Its unit.
        unit: String,
        /// What stops it.
        stop: String,
    },
    /// The account that was asked for is not there.
    #[error("there is no user {0:?} for the service to run as: `sudo useradd --system --no-create-home {0}` makes it")]
    NoSuchAccount(String),
    /// A user has no such directory.
    #[error("cannot find your home directory: set HOME")]
    NoHome,
    /// A file could not be written or removed.
    #[error("cannot {what} {}: {source}", .path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// With which.
        path: PathBuf,
        /// What the OS said.
        source: io::Error,
    },
    /// The service manager refused, or failed.
    #[error("`{command}` failed: {message}")]
    Refused {
        /// What was run.
        command: String,
        /// What it said.
        message: String,
    },
    /// The service did not start.
    #[error("{name} did not start: {message}\nIts last words:\n{log}\nmore: `{command}`")]
    Failed {
        /// The service.
        name: String,
        /// What the service manager says.
        message: String,
        /// The end of its log.
        log: String,
        /// What shows the rest.
        command: String,
    },
}

impl Scope {
    /// The option that means it, with the space before it.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::System => "",
            Self::User => " --user",
        }
    }
}
