//! `narthex`: on Unix the host, the demo, and netsh's verbs for a running host; on Windows, where HTTP.sys is the host, netsh's verbs
//! for that.

#[cfg(unix)]
mod accounts;
#[cfg(unix)]
mod admin;
#[cfg_attr(windows, path = "args/windows.rs")]
mod args;
#[cfg(unix)]
mod dashboard;
#[cfg(unix)]
mod demo;
#[cfg(unix)]
mod doctor;
mod documents;
mod exit;
#[cfg(unix)]
mod forward;
#[cfg(unix)]
mod host;
#[cfg(windows)]
mod httpsys;
mod listing;
#[cfg(unix)]
mod log;
mod new;
mod output;
#[cfg(unix)]
mod prefix;
#[cfg(unix)]
mod run;
#[cfg(unix)]
mod service;
#[cfg(unix)]
mod stop;
#[cfg(unix)]
mod top;
#[cfg(unix)]
mod verbs;

use args::Command;
use exit::Exit;

fn main() -> Exit {
    exit::report(args::parse(std::env::args_os()).and_then(run))
}

#[cfg(windows)]
fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(arguments) => new::run(&arguments),
        Command::Show(what) => httpsys::show(what),
        Command::Add(what) => httpsys::add(what),
        Command::Update(what) => httpsys::update(what),
        Command::Delete(what) => httpsys::delete(what),
        Command::Completions(arguments) => documents::completions(&arguments),
        Command::Man(arguments) => documents::man(&arguments),
    }
}

#[cfg(unix)]
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
