//! The exit codes, in one place, and how an error is told.

use std::io::Write;
use std::process::{ExitCode, Termination};

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done = 0,
    /// It could not; standard error says why.
    Failed = 1,
    // 2 is clap's: the command line could not be understood.
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Tells an error on standard error, causes included.
pub(crate) fn report(result: anyhow::Result<()>) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            // Nobody may be reading any more; the exit code still says it.
            let _ = writeln!(std::io::stderr(), "narthex: {error:#}");
            Exit::Failed
        }
    }
}
