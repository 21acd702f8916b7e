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
            let _ = writeln!(std::io::stderr(), "narthex: {}", text(&error));
            Exit::Failed
        }
    }
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
}
