//! What is generated from the definition of the arguments.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum, ignore_case = true)]
    pub(crate) shell: Shell,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ManArguments {
    /// Write a page for every verb into this directory, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::Command;
    use super::super::tests::{all_mean, usage_error};
    use super::*;

    #[test]
    fn documents_are_asked_for_by_shell_and_by_directory() {
        all_mean(&["narthex completions zsh"], Command::Completions(CompletionsArguments { shell: Shell::Zsh }));
        all_mean(&["narthex man"], Command::Man(ManArguments { out: None }));
        let out = Some("/tmp/man".into());
        all_mean(&["narthex man --out /tmp/man", "narthex man out=/tmp/man"], Command::Man(ManArguments { out }));
        usage_error("narthex completions tcsh");
    }
}
