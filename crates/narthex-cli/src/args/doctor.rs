//! `narthex doctor`.

use std::path::PathBuf;

use clap::Args;

use super::Asking;

#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// The configuration file [default: that of the host's service, else the platform's place]
    #[arg(long, value_name = "PATH", env = "NARTHEX_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Let warnings fail too, with exit code 5
    #[arg(long)]
    pub(crate) strict: bool,
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::{all_mean, usage_error};
    use super::*;

    #[test]
    fn the_doctor_is_told_what_to_look_at() {
        let typed = DoctorArguments { config: Some("/c".into()), strict: true, ..DoctorArguments::default() };
        all_mean(&["narthex doctor --strict --config /c", "narthex doctor config=/c --strict"], Command::Doctor(typed));
        usage_error("narthex doctor please");
    }
}
