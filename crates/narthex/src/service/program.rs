//! The program that is to be a service: this one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Scope, Service, ServiceError};

/// What the service manager starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

impl Program {
    /// With the word that the service is started with, if there is one, and these arguments.
    pub(super) fn this(service: &Service, arguments: &[OsString]) -> Result<Self, ServiceError> {
        let path = std::env::current_exe().map_err(|source| ServiceError::File {
            what: "find the program",
            path: std::env::args_os().next().unwrap_or_default().into(),
            source,
        })?;
        Ok(Self { path, arguments: service.command.iter().map(OsString::from).chain(arguments.iter().cloned()).collect() })
    }

    /// As texts that fit a line.
    pub(super) fn texts(&self) -> Result<Vec<&str>, ServiceError> {
        let parts = std::iter::once(self.path.as_os_str()).chain(self.arguments.iter().map(OsString::as_os_str));
        parts
            .map(|part| part.to_str().filter(|text| !text.chars().any(char::is_control)))
            .collect::<Option<_>>()
            .ok_or_else(|| ServiceError::NotText(self.path.clone()))
    }

    /// Whether a service of `scope` will see the program: one of the machine has no homes and a `/tmp` of its own.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only systemd hides directories"))]
    pub(super) fn check_place(&self, scope: Scope) -> Result<(), ServiceError> {
        const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
        let hidden = HIDDEN.into_iter().find(|place| scope == Scope::System && self.path.starts_with(place));
        hidden.map_or(Ok(()), |place| Err(ServiceError::ProgramHidden(self.path.clone(), place)))
    }
}

/// How this program is called in advice.
pub(super) fn as_typed(service: &Service) -> String {
    let typed = std::env::args_os().next().unwrap_or_default();
    let path = Path::new(&typed);
    // `sudo` has another PATH: a bare name may not be found there.
    let found = if path.components().count() > 1 { path.to_owned() } else { std::env::current_exe().unwrap_or(path.to_owned()) };
    let word = service.command.as_deref().map(|word| format!(" {word}")).unwrap_or_default();
    format!("{}{word}", found.display())
}
