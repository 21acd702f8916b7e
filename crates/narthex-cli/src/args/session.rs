//! Server sessions: what apps are to the host.

use clap::{Args, ValueEnum};
use narthex_host::admin::Leaving;

use super::Asking;
use super::number::number;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeavingMode {
    /// It finishes what it has, and stops
    Drain,
    /// It is cut off, with what it has in hand, and its process may not come back
    Kick,
}

impl From<LeavingMode> for Leaving {
    fn from(typed: LeavingMode) -> Self {
        match typed {
            LeavingMode::Drain => Self::Drain,
            LeavingMode::Kick => Self::Kick,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct DeleteSession {
    /// The session's number, as `show servicestate` has it, decimal or 0x
    #[arg(long, value_name = "NUMBER", value_parser = number::<u64>)]
    pub(crate) id: u64,
    /// How it leaves
    #[arg(long, value_enum, ignore_case = true, default_value = "drain")]
    pub(crate) mode: LeavingMode,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[cfg(test)]
mod tests {
    use super::super::tests::all_mean;
    use super::super::{Command, Delete};
    use super::*;

    #[test]
    fn a_session_is_named_by_its_number_and_leaves_in_order_unless_told() {
        let session = |mode| Command::Delete(Delete::Session(DeleteSession { id: 26, mode, asking: Asking::default() }));
        all_mean(&["narthex delete session id=26", "narthex delete session --id 0x1A"], session(LeavingMode::Drain));
        all_mean(&["narthex delete session id=26 mode=Kick"], session(LeavingMode::Kick));
    }
}
