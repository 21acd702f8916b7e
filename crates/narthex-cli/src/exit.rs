//! The exit codes, in one place, and how an error is told.

use std::process::{ExitCode, Termination};

use crate::output;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done = 0,
    /// It could not, or the host refused; standard error says why.
    Failed = 1,
    /// The command line could not be understood.
    Usage = 2,
    /// No host answers where one was expected, or its service does not run: a script may start one, or wait.
    #[cfg(unix)]
    NoHost = 3,
    /// The host is not installed as a service.
    #[cfg(unix)]
    NotInstalled = 4,
    /// Nothing fails, but something will some day: only where `--strict` asks for it.
    #[cfg(unix)]
    Warned = 5,
}

/// The codes for `--help` and the man pages.
#[cfg(windows)]
pub(crate) const CODES: &str = "\
Exit codes:
  0  done
  1  refused by HTTP.sys, or failed; standard error says why
  2  the command line could not be understood";

/// The codes for `--help` and the man pages.
#[cfg(unix)]
pub(crate) const CODES: &str = "\
Exit codes:
  0  done
  1  refused by the host, or failed; standard error says why
  2  the command line could not be understood
  3  no host answers: start one with `narthex host`; of `host status`: the service does not run
  4  of `host status`: the host is not installed as a service
  5  of `doctor --strict`: nothing fails, but there are warnings";

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Tells an error on standard error, causes included.
pub(crate) fn report(result: anyhow::Result<()>) -> Exit {
    let Err(error) = result else { return Exit::Done };
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        // Nobody may be reading any more, here and below; the exit code still says it. Help is no error and goes to
        // standard output.
        let _ = usage.print();
        return if usage.exit_code() == 0 { Exit::Done } else { Exit::Usage };
    }
    #[cfg(unix)]
    if let Some(Said(exit)) = error.downcast_ref() {
        return *exit;
    }
    output::complain(&format!("narthex: {}", text(&error)));
    of(&error)
}

/// How a command ends that has said on standard output already what there is to say.
#[cfg(unix)]
#[derive(Debug, thiserror::Error)]
#[error("{0:?}")]
pub(crate) struct Said(pub(crate) Exit);

#[cfg(windows)]
fn of(_: &anyhow::Error) -> Exit {
    Exit::Failed
}

#[cfg(unix)]
fn of(error: &anyhow::Error) -> Exit {
    use narthex_host::admin::AdminError;
    let asked = matches!(error.downcast_ref(), Some(AdminError::NoHost(_)));
    let registered_with = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(narthex::Error::NoHost { .. })));
    if asked || registered_with { Exit::NoHost } else { Exit::Failed }
}

/// The error and its causes, except those that an error above has already told.
fn text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("no such file").context("cannot open x: no such file").context("cannot start");
        assert_eq!(text(&error), "cannot start: cannot open x: no such file");
    }

    #[cfg(unix)]
    #[test]
    fn only_an_absent_host_has_a_code_of_its_own() {
        use narthex_host::admin::AdminError;
        let error = |error: AdminError| of(&error.into());
        assert_eq!(error(AdminError::NoHost("/s".into())), Exit::NoHost);
        assert_eq!(error(AdminError::AccessDenied("/s".into())), Exit::Failed);
        assert_eq!(error(AdminError::Refused("it is reserved".to_owned())), Exit::Failed);
    }
}
