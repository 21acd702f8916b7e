//! `narthex`: the host, the demo, and netsh's verbs for a running host.

mod accounts;
mod admin;
mod args;
mod dashboard;
mod demo;
mod doctor;
mod documents;
mod exit;
mod forward;
mod host;
mod listing;
mod log;
mod new;
mod output;
mod prefix;
mod run;
mod service;
mod stop;
mod top;
mod verbs;

use args::Command;
use exit::Exit;

fn main() -> Exit {
    exit::report(args::parse(std::env::args_os()).and_then(run))
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::DemoApp(arguments) => demo::app::run(&arguments),
        Command::Host(mut arguments) => match arguments.service.take() {
            Some(verb) => service::run(verb),
            None => host::run(arguments),
        },
        Command::New(arguments) => new::run(&arguments),
        Command::Run(arguments) => run::run(*arguments),
        Command::Forward(arguments) => forward::run(&arguments),
        Command::RunChild(arguments) => run::become_child(&arguments),
        Command::RunGuard(arguments) => run::guard(&arguments),
        Command::Show(what) => verbs::show(what),
        Command::Add(what) => verbs::add(what),
        Command::Update(what) => verbs::update(what),
        Command::Delete(what) => verbs::delete(what),
        Command::Flush(what) => verbs::flush(&what),
        Command::Dump(socket) => verbs::dump(&socket),
        Command::Top(typed) => top::run(&typed),
        Command::Restart(typed) => verbs::restart(typed),
        Command::Reload(asking) => verbs::reload(&asking),
        Command::Explain(arguments) => verbs::explain(arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Completions(arguments) => documents::completions(&arguments),
        Command::Man(arguments) => documents::man(&arguments),
    }
}
