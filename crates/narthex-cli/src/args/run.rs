//! Programs of any language. What a program is, is defined once: its flags here are the keys of a configuration file too.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::SocketArgument;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(
    override_usage = "narthex run --prefix <URL> [OPTIONS] -- <COMMAND>...\n       narthex run --config <FILE>",
    after_help = "SIGTERM ends it in order, SIGUSR2 starts every program anew without losing a request, and with --config SIGHUP \
                  reads the file again. docs/run.md has more."
)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) socket: SocketArgument,
    /// Run the programs of this file, one table each, and follow its changes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ProgramArguments", "name"])]
    pub(crate) config: Option<PathBuf>,
    /// What the program is called in logs and by the host [default: the command's name]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) program: Option<ProgramArguments>,
}

/// A program as it is typed, or written as a table of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Args, Deserialize)]
#[group(id = "ProgramArguments")]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramArguments {
    /// The URL prefix to register, as in http://+:80/blog/; may be repeated
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) prefix: Vec<String>,
    /// So many processes, each with its own port or socket, share the requests [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) instances: Option<u16>,
    /// Where the program listens [default: port]
    #[arg(long, value_enum)]
    pub(crate) listen: Option<Listen>,
    /// The program is ready when this path answers 2xx, and started anew when it fails to three times in a row [default: ready when it
    /// accepts connections]
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub(crate) health: Option<String>,
    /// How often the health path is asked once the program is ready [default: 10s]
    #[arg(long, value_name = "TIME", requires = "health")]
    pub(crate) health_every: Option<Span>,
    /// How long a start may take until the program is ready [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub(crate) ready_within: Option<Span>,
    /// Pass paths on with the prefix; otherwise the program sees /blog/x as /x, with X-Forwarded-Prefix: /blog
    #[arg(long)]
    #[serde(default)]
    pub(crate) keep_prefix: bool,
    /// Share the requests with every other `narthex run` that names the same request queue
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// Add to the program's environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    #[serde(default, deserialize_with = "table")]
    pub(crate) env: Vec<Variable>,
    /// The directory that the program starts in [default: this one; in a file, the file's]
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// Start the program only when a request is there for it, which waits meanwhile
    #[arg(long)]
    #[serde(default)]
    pub(crate) on_demand: bool,
    /// End the program when it has had nothing to do for so long, until the next request [default: never]
    #[arg(long, value_name = "TIME", requires = "on_demand")]
    pub(crate) idle: Option<Span>,
    /// How long a request waits for a program that starts, or starts again; then it is answered 503 [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub(crate) wait: Option<Span>,
    /// How many requests may wait so; one more is answered 503 at once [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) max_waiting: Option<u32>,
    /// How long the program may take to begin its answer; then the client gets 504 [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<Span>,
    /// The longest request body in bytes; 0 for any [default: what the host has]
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_body: Option<u64>,
    /// How long requests that run may take when the program is to end [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub(crate) drain: Option<Span>,
    /// From SIGTERM to SIGKILL, if the program does not end by itself [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub(crate) stop_within: Option<Span>,
    /// Start the program anew, without losing a request, when this file changes, or one in this directory; may be repeated
    #[arg(long, value_name = "PATH")]
    #[serde(default, deserialize_with = "one_or_many")]
    pub(crate) watch: Vec<PathBuf>,
    /// Give up after so many failures in a row [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) give_up_after: Option<u32>,
    /// The program and its arguments, after `--`
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "config")]
    #[serde(deserialize_with = "words")]
    pub(crate) command: Vec<String>,
}

/// How a program is told where to listen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Listen {
    /// On 127.0.0.1, at the port in PORT; HOST has the address
    #[default]
    Port,
    /// On the Unix socket whose path is in NARTHEX_SOCKET
    Socket,
    /// On a socket that it gets open, as file descriptor 3, with LISTEN_FDS and LISTEN_PID (systemd's socket activation)
    Fd,
}

/// A time such as `500ms`, `30s`, `5m` or `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no time: write a number and its unit, as in 500ms, 30s, 5m or \"1h 30m\"");
        // In ISO 8601 `PT5M` would do, and a sign; nobody needs two ways to write it.
        let known = text.chars().next().is_some_and(|first| first.is_ascii_digit());
        let parsed = text.parse::<jiff::SignedDuration>().ok().filter(|_| known).ok_or_else(wrong)?;
        Duration::try_from(parsed).map(Self).map_err(|_| wrong())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// One of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
        Self::new(name.to_owned(), value.to_owned())
    }
}

impl Variable {
    /// The system takes no others.
    fn new(name: String, value: String) -> Result<Self, String> {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!("{name:?} cannot be set in an environment"));
        }
        Ok(Self { name, value })
    }
}

/// A program's name: a word that fits a line of a log, and the name of a file.
pub(crate) fn name(typed: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match typed.len() {
        1..=40 if typed.bytes().all(fits) && !typed.starts_with('.') => Ok(typed.to_owned()),
        _ => Err("a name has at most 40 letters, digits, `-`, `_` and `.`, and does not begin with `.`".to_owned()),
    }
}

/// A path that requests can be sent to.
pub(crate) fn path(typed: &str) -> Result<String, String> {
    let usable = typed.starts_with('/') && typed.parse::<http::uri::PathAndQuery>().is_ok();
    if usable { Ok(typed.to_owned()) } else { Err("write a path that begins with a slash, as in /healthz".to_owned()) }
}

/// `"a"` or `["a", "b"]`.
fn one_or_many<'de, D: Deserializer<'de>, T: From<String>>(from: D) -> Result<Vec<T>, D::Error> {
    struct OneOrMany<T>(std::marker::PhantomData<T>);
    impl<'de, T: From<String>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text, or a list of texts")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![text.to_owned().into()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = list.next_element::<String>()? {
                texts.push(text.into());
            }
            Ok(texts)
        }
    }
    from.deserialize_any(OneOrMany(std::marker::PhantomData))
}

/// A list of words. Not a line: who splits it would have to know quoting.
fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct Words;
    impl<'de> Visitor<'de> for Words {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of words, as in [\"node\", \"server.js\"]")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut words = Vec::new();
            while let Some(word) = list.next_element()? {
                words.push(word);
            }
            Ok(words)
        }
    }
    from.deserialize_any(Words)
}

/// `{ NAME = "value" }`.
fn table<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Variable>, D::Error> {
    struct Table;
    impl<'de> Visitor<'de> for Table {
        type Value = Vec<Variable>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of texts, as in { NODE_ENV = \"production\" }")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Vec<Variable>, A::Error> {
            let mut variables = Vec::new();
            while let Some((name, value)) = table.next_entry()? {
                variables.push(Variable::new(name, value).map_err(A::Error::custom)?);
            }
            Ok(variables)
        }
    }
    from.deserialize_map(Table)
}

/// What becomes the program: it asks to end with whoever started it, and goes on as the command.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct RunChildArguments {
    /// Who started it
    #[arg(long)]
    pub(crate) parent: i32,
    /// File descriptor 3 is a socket to listen on
    #[arg(long)]
    pub(crate) listening: bool,
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::{parsed, usage_error};
    use super::*;

    fn run(line: &str) -> RunArguments {
        match parsed(line).unwrap_or_else(|error| panic!("{line}: {error}")) {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_behind_the_dashes_is_the_programs_own() {
        let typed =
            run("narthex run --prefix http://+:80/blog/ --env A=b=c --idle 5m --on-demand -- node server.js --port=1 x=y");
        let program = typed.program.unwrap();
        assert_eq!(program.command, ["node", "server.js", "--port=1", "x=y"]);
        assert_eq!(program.prefix, ["http://+:80/blog/"]);
        assert_eq!(program.env, [Variable { name: "A".into(), value: "b=c".into() }]);
        assert_eq!(program.idle, Some(Span(Duration::from_secs(300))));
        assert_eq!((program.instances, program.listen, program.keep_prefix), (None, None, false));
    }

    #[test]
    fn a_file_takes_the_place_of_everything_about_one_program() {
        let typed = run("narthex run --config apps.toml --socket /s");
        assert_eq!((typed.config, typed.program), (Some("apps.toml".into()), None));
        for line in [
            "narthex run",
            "narthex run --prefix http://+:80/",
            "narthex run -- node server.js",
            "narthex run --config a.toml --prefix http://+:80/",
            "narthex run --config a.toml --name x",
            "narthex run --config a.toml -- node",
            "narthex run --prefix http://+:80/ --idle 5m -- node",
            "narthex run --prefix http://+:80/ --instances 0 -- node",
            "narthex run --prefix http://+:80/ --health healthz -- node",
            "narthex run --prefix http://+:80/ --wait 5 -- node",
            "narthex run --prefix http://+:80/ --env A -- node",
            "narthex run --prefix http://+:80/ --name a/b -- node",
        ] {
            usage_error(line);
        }
    }

    #[test]
    fn a_time_is_a_number_with_its_unit() {
        let time = |text: &str| text.parse::<Span>().map(|span| span.0);
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("1h 30m"), Ok(Duration::from_secs(5400)));
        for text in ["", "5", "-5s", "PT5M", "five"] {
            assert!(time(text).unwrap_err().contains("30s"), "{text}");
        }
    }
}
