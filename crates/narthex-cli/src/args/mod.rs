//! What can be typed: one definition for parsing, help, man pages and completions. What it means is resolved by the module
//! that does it.

mod cache;
mod cacheparam;
mod demo;
mod doctor;
mod documents;
mod explain;
mod forward;
mod host;
mod iplisten;
mod new;
mod number;
mod queue;
mod refused;
mod run;
mod servicestate;
mod session;
mod setting;
mod sslcert;
mod timeout;
mod top;
mod urlacl;
mod words;
mod yes_no;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use cache::{DeleteCache, ShowCachestate};
pub(crate) use cacheparam::{AddCacheparam, DeleteCacheparam, ShowCacheparam};
pub(crate) use demo::{DemoAppArguments, DemoArguments};
pub(crate) use doctor::DoctorArguments;
pub(crate) use documents::{CompletionsArguments, ManArguments};
pub(crate) use explain::ExplainArguments;
pub(crate) use forward::ForwardArguments;
pub(crate) use host::{HostArguments, HostService};
pub(crate) use iplisten::{IplistenAddress, ShowIplisten};
pub(crate) use new::{NewArguments, Template};
pub(crate) use queue::{RestartArguments, UpdateQueue};
pub(crate) use run::{Listen, ProgramArguments, RunArguments, RunChildArguments, RunGuardArguments, Span, Variable, name, path};
pub(crate) use servicestate::{ShowServicestate, View};
pub(crate) use session::DeleteSession;
pub(crate) use setting::{AddSetting, DeleteSetting, ShowSetting};
pub(crate) use sslcert::{BindingOptions, ChangeSslcert, DeleteSslcert, Negotiation, ShowSslcert, Switch};
pub(crate) use timeout::{AddTimeout, DeleteTimeout, ShowTimeout};
pub(crate) use top::TopArguments;
pub(crate) use urlacl::{AddUrlacl, DeleteUrlacl, ShowUrlacl};
pub(crate) use yes_no::YesNo;

use crate::exit;

/// Many programs, one port: each gets exactly the requests below its own URL prefix.
#[derive(Debug, Parser)]
#[command(name = "narthex", version, arg_required_else_help = true, disable_help_subcommand = true, after_help = after_help())]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Command {
    /// Show it: start a host and two app programs that share one port, with pages to try
    Demo(DemoArguments),
    /// One of the demo's apps
    #[command(hide = true)]
    DemoApp(DemoAppArguments),
    /// Run the host in the foreground: it owns the ports and gives each app its own requests
    Host(HostArguments),
    /// Start a project: an app that builds, runs and has tests
    New(NewArguments),
    /// Run programs of any language as apps of the host: started, watched, restarted and ended, with logs
    Run(Box<RunArguments>),
    /// Forward a prefix to servers that run already, on this machine or elsewhere
    Forward(ForwardArguments),
    /// Becomes a program that `run` starts
    #[command(hide = true)]
    RunChild(RunChildArguments),
    /// Ends the programs of a `run` that has been killed
    #[command(hide = true)]
    RunGuard(RunGuardArguments),
    /// Show what a running host knows and how it is configured
    #[command(subcommand)]
    Show(Show),
    /// Reserve a URL, or set what a running host goes by
    #[command(subcommand)]
    Add(Add),
    /// Change a TLS binding, where what is not named stays as it is, or stop a request queue
    #[command(subcommand)]
    Update(Update),
    /// End a reservation, set something back to its default, or empty the cache
    #[command(subcommand)]
    Delete(Delete),
    /// Write what a running host has buffered
    #[command(subcommand)]
    Flush(Flush),
    /// Print the host's configuration as commands that make it again
    Dump(SocketArgument),
    /// Let the host read its configuration file again; no connection is dropped
    Reload(Asking),
    /// Restart the processes of a named request queue, one after the other: each starts its successor and leaves when that serves
    Restart(RestartArguments),
    /// Watch who gets how many requests, how fast they are answered, and what waits
    Top(TopArguments),
    /// Say which registration or reservation gets a URL, which bucket decided, and what it shadows
    Explain(ExplainArguments),
    /// Check this machine, and say what to change: rights, ports, limits, kernel settings, certificates, and the host
    Doctor(DoctorArguments),
    /// Print a shell's completions of this command
    Completions(CompletionsArguments),
    /// Print this command's man page, or write those of all verbs into a directory
    Man(ManArguments),
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Show {
    /// Sessions, URL groups, registered URLs, request queues and their processes
    Servicestate(ShowServicestate),
    /// The reservations: which URLs are kept for whom
    Urlacl(ShowUrlacl),
    /// The addresses that the host listens on
    Iplisten(ShowIplisten),
    /// The timers of connections whose app is not known yet
    Timeout(ShowTimeout),
    /// The parameters of the response cache
    Cacheparam(ShowCacheparam),
    /// The host's settings, with what each does
    Setting(ShowSetting),
    /// The TLS bindings: which certificate answers where, and how long it is valid
    Sslcert(ShowSslcert),
    /// The responses in the cache
    Cachestate(ShowCachestate),
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Add {
    /// Reserve a URL: only those named may register it and what is below it
    Urlacl(AddUrlacl),
    /// Listen on this address, and only on those that were added
    Iplisten(IplistenAddress),
    /// Set a timer
    Timeout(AddTimeout),
    /// Set a parameter of the response cache
    Cacheparam(AddCacheparam),
    /// Set one of the host's settings
    Setting(AddSetting),
    /// Bind a certificate to a name, an address or a port: handshakes there are answered with it
    Sslcert(ChangeSslcert),
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Update {
    /// Change the certificate or the options of a TLS binding
    Sslcert(ChangeSslcert),
    /// Stop a request queue, whatever its app says, or let it go on: while it is inactive, clients get 503
    Queue(UpdateQueue),
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Delete {
    /// End a reservation
    Urlacl(DeleteUrlacl),
    /// Take an address off the list; with none left the host listens on every address
    Iplisten(IplistenAddress),
    /// Set a timer back to its default
    Timeout(DeleteTimeout),
    /// Set a parameter of the response cache back to its default
    Cacheparam(DeleteCacheparam),
    /// Set a setting back to its default
    Setting(DeleteSetting),
    /// End a TLS binding
    Sslcert(DeleteSslcert),
    /// Remove responses from the cache
    Cache(DeleteCache),
    /// Send an app away: in order, or at once and for good
    Session(DeleteSession),
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Flush {
    /// The lines that the logs have not written yet
    Logbuffer(Asking),
}

/// Where the host's socket is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct SocketArgument {
    /// The host's socket [default: $NARTHEX_HOST, else the platform's runtime directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

/// Which host is asked, and how its answer is printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(crate) socket: SocketArgument,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn after_help() -> String {
    format!(
        "The verbs are netsh's. Parameters may be typed as it takes them, url=http://+:80/shop/, or as --url http://+:80/shop/.\n\n{}",
        exit::CODES
    )
}

/// What the words of a command line mean.
///
/// # Errors
/// A [`clap::Error`] if they cannot be understood, and also where help or the version is asked for.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> anyhow::Result<Command> {
    Ok(words::understood::<Arguments>(words)?.command)
}

/// The definition without what only the demo's own processes type: for documents.
pub(crate) fn documented() -> clap::Command {
    let whole = words::definition::<Arguments>();
    let mut visible = clap::Command::new("narthex")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .after_help(after_help());
    if let Some(about) = whole.get_about() {
        visible = visible.about(about.clone());
    }
    visible.subcommands(whole.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned())
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::error::ErrorKind;

    use super::*;

    /// What a line without quotes means.
    pub(crate) fn parsed(line: &str) -> anyhow::Result<Command> {
        parse(line.split_whitespace().map(OsString::from))
    }

    /// Asserts that all spellings mean the same.
    pub(crate) fn all_mean(lines: &[&str], meaning: Command) {
        for line in lines {
            assert_eq!(parsed(line).unwrap_or_else(|error| panic!("{line}: {error}")), meaning, "{line}");
        }
    }

    /// Why a line is a usage error.
    pub(crate) fn usage_error(line: &str) -> ErrorKind {
        let error = parsed(line).expect_err(line).downcast::<clap::Error>().expect(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        error.kind()
    }

    #[test]
    fn the_definition_of_the_arguments_is_consistent() {
        words::definition::<Arguments>().debug_assert();
        documented().debug_assert();
    }

    #[test]
    fn every_verb_that_talks_to_a_host_takes_its_socket() {
        let socket = SocketArgument { socket: Some("/s".into()) };
        let asking = Asking { socket: socket.clone(), json: true };
        all_mean(&["narthex dump --socket /s", "narthex dump socket=/s"], Command::Dump(socket));
        all_mean(&["narthex reload --socket=/s --json"], Command::Reload(asking.clone()));
        all_mean(&["narthex flush logbuffer Socket=/s --json"], Command::Flush(Flush::Logbuffer(asking)));
    }

    #[test]
    fn a_verb_without_its_object_and_an_object_that_is_none_are_usage_errors() {
        for line in ["narthex", "narthex add", "narthex show", "narthex show nothing", "narthex nonsense", "narthex dump x"] {
            usage_error(line);
        }
    }

    #[test]
    fn help_is_no_error() {
        for line in ["narthex --help", "narthex add urlacl --help", "narthex --version"] {
            let error = parsed(line).expect_err(line).downcast::<clap::Error>().expect(line);
            assert_eq!(error.exit_code(), 0, "{line}");
        }
    }
}
