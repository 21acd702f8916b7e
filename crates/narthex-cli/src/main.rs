//! `narthex`: the host, the demo, and the questions one can ask a host.

mod admin;
mod args;
mod demo;
mod exit;
mod explain;
mod host;
mod log;
mod output;
mod servicestate;
mod stop;

use args::{Command, Show};
use clap::Parser;
use exit::Exit;

fn main() -> Exit {
    let result = match args::Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::DemoApp(arguments) => demo::app::run(&arguments),
        Command::Host(arguments) => host::run(arguments),
        Command::Show { what: Show::Servicestate(arguments) } => servicestate::run(&arguments.resolve()),
        Command::Explain(arguments) => explain::run(&arguments),
    };
    exit::report(result)
}
