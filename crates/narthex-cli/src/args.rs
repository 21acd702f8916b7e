//! What can be typed. What it means is resolved by the module that does it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::demo::apps::AppName;
use crate::servicestate::{Format, Question, View};

/// Many programs, one port: each gets exactly the requests below its own URL prefix.
#[derive(Debug, Parser)]
#[command(name = "narthex", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show it: start a host and two app programs that share one port, with pages to try
    Demo(DemoArguments),
    /// One of the demo's apps
    #[command(hide = true)]
    DemoApp(DemoAppArguments),
    /// Run the host in the foreground: it owns the ports and gives each app its own requests
    Host(HostArguments),
    /// Show what a running host knows
    Show {
        #[command(subcommand)]
        what: Show,
    },
    /// Say which registration or reservation gets a URL, which bucket decided, and what it shadows
    Explain(ExplainArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Show {
    /// Sessions, URL groups, registered URLs, request queues and their processes
    Servicestate(ServicestateArguments),
}

/// Where the host's socket is.
#[derive(Clone, Debug, Args)]
pub(crate) struct SocketArgument {
    /// The host's socket [default: $NARTHEX_HOST, else the platform's runtime directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArguments {
    /// The port that the apps share; 0 takes a free one
    #[arg(long, default_value_t = 8888)]
    pub(crate) port: u16,
    /// Let other machines reach the demo; otherwise only this one can
    #[arg(long)]
    pub(crate) expose: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoAppArguments {
    #[arg(long)]
    pub(crate) prefix: String,
    #[arg(long, value_enum)]
    pub(crate) name: AppName,
    #[arg(long)]
    pub(crate) socket: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct HostArguments {
    #[command(flatten)]
    pub(crate) socket: SocketArgument,
    /// Worker threads, each with listeners of its own [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Listen only on this address; may be repeated [default: as each prefix says]
    #[arg(long, value_name = "IP")]
    pub(crate) listen: Vec<IpAddr>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServicestateArguments {
    /// What the listing starts from [default: session]
    #[arg(long, value_enum)]
    view: Option<View>,
    /// Whether properties are listed as well [default: yes]
    #[arg(long, value_enum)]
    verbose: Option<YesNo>,
    /// Print the state as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: SocketArgument,
    /// The same in netsh's spelling: view=session|requestq, verbose=yes|no
    #[arg(value_name = "KEY=VALUE")]
    netsh: Vec<NetshPair>,
}

impl ServicestateArguments {
    /// What is asked. Of two spellings of one thing, netsh's comes last and wins.
    pub(crate) fn resolve(self) -> Question {
        let (mut view, mut verbose) = (self.view.unwrap_or(View::Session), self.verbose.unwrap_or(YesNo::Yes));
        for pair in self.netsh {
            match pair {
                NetshPair::View(typed) => view = typed,
                NetshPair::Verbose(typed) => verbose = typed,
            }
        }
        let format = match self.json {
            true => Format::Json,
            false => Format::Text { view, properties: verbose == YesNo::Yes },
        };
        Question { format, socket: self.socket.socket }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum YesNo {
    Yes,
    No,
}

/// `key=value`, as netsh takes it: in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NetshPair {
    View(View),
    Verbose(YesNo),
}

impl FromStr for NetshPair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((key, value)) = text.split_once('=') else {
            return Err("expected view=session|requestq or verbose=yes|no".to_owned());
        };
        match key.to_ascii_lowercase().as_str() {
            "view" => View::from_str(value, true).map(Self::View).map_err(|_| "the views are session and requestq".to_owned()),
            "verbose" => YesNo::from_str(value, true).map(Self::Verbose).map_err(|_| "verbose is yes or no".to_owned()),
            _ => Err(format!("unknown key {key:?}; expected view or verbose")),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The URL, such as `http://example.com:8888/path`
    pub(crate) url: String,
    /// The local address that the request would arrive on, for prefixes that are bound to an IP
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) local: Option<SocketAddr>,
    /// Print the explanation as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) socket: SocketArgument,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace()).map(|arguments| arguments.command)
    }

    fn question(line: &str) -> Question {
        match parse(line).unwrap() {
            Command::Show { what: Show::Servicestate(arguments) } => arguments.resolve(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_of_the_arguments_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_demo_uses_port_8888_and_stays_on_this_machine_unless_told_otherwise() {
        let Command::Demo(plain) = parse("narthex demo").unwrap() else { panic!() };
        assert_eq!((plain.port, plain.expose), (8888, false));
        let Command::Demo(told) = parse("narthex demo --port 9000 --expose").unwrap() else { panic!() };
        assert_eq!((told.port, told.expose), (9000, true));
        assert!(parse("narthex demo --port 65536").is_err());
    }

    #[test]
    fn the_host_listens_on_every_address_given() {
        let Command::Host(host) = parse("narthex host --socket /s --workers 2 --listen 127.0.0.1 --listen ::1").unwrap() else {
            panic!()
        };
        assert_eq!(host.socket.socket, Some("/s".into()));
        assert_eq!(host.workers, Some(2));
        assert_eq!(host.listen, ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert!(parse("narthex host --workers 0").is_err());
    }

    #[test]
    fn servicestate_starts_from_sessions_with_their_properties() {
        assert_eq!(
            question("narthex show servicestate"),
            Question { format: Format::Text { view: View::Session, properties: true }, socket: None }
        );
    }

    #[test]
    fn servicestate_takes_flags_and_the_spelling_of_netsh() {
        let wanted = Question { format: Format::Text { view: View::Requestq, properties: false }, socket: None };
        for line in [
            "narthex show servicestate --view requestq --verbose no",
            "narthex show servicestate view=requestq verbose=no",
            "narthex show servicestate VIEW=RequestQ Verbose=NO",
            "narthex show servicestate --view session verbose=no view=requestq",
        ] {
            assert_eq!(question(line), wanted, "{line}");
        }
        assert_eq!(question("narthex show servicestate --json --socket /s").format, Format::Json);
    }

    #[test]
    fn a_key_that_netsh_does_not_have_is_a_usage_error() {
        for line in
            ["narthex show servicestate veiw=requestq", "narthex show servicestate view=queue", "narthex show servicestate x"]
        {
            assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::ValueValidation, "{line}");
        }
    }

    #[test]
    fn explain_takes_a_url_and_the_address_it_arrives_on() {
        let Command::Explain(explain) = parse("narthex explain http://a:8888/x --local 127.0.0.1:8888").unwrap() else {
            panic!()
        };
        assert_eq!(explain.url, "http://a:8888/x");
        assert_eq!(explain.local, Some("127.0.0.1:8888".parse().unwrap()));
        assert!(parse("narthex explain").is_err());
    }
}
