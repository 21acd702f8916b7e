//! The demo.

use std::path::PathBuf;

use clap::Args;

use crate::demo::apps::AppName;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct DemoArguments {
    /// The port that the apps share; 0 takes a free one
    #[arg(long, default_value_t = 8888)]
    pub(crate) port: u16,
    /// Let other machines reach the demo; otherwise only this one can
    #[arg(long)]
    pub(crate) expose: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct DemoAppArguments {
    #[arg(long)]
    pub(crate) prefix: String,
    #[arg(long, value_enum)]
    pub(crate) name: AppName,
    #[arg(long)]
    pub(crate) socket: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::{all_mean, usage_error};
    use super::*;

    #[test]
    fn the_demo_uses_port_8888_and_stays_on_this_machine_unless_told_otherwise() {
        all_mean(&["narthex demo"], Command::Demo(DemoArguments { port: 8888, expose: false }));
        all_mean(&["narthex demo --port 9000 --expose"], Command::Demo(DemoArguments { port: 9000, expose: true }));
        usage_error("narthex demo --port 65536");
    }
}
