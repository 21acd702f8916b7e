//! The command line of `cargo xtask bench`.

use anyhow::{Context, Result, bail};

use super::{knobs, tls, websocket};

pub(super) const USAGE: &str = "\
usage: cargo xtask bench [options]

  --only PATTERN       only subjects whose name or group contains PATTERN; repeatable
  --rounds N           rounds; every subject runs once in each, medians are reported (default 3; 0: no load, counts only)
  --seconds N          measured seconds per subject and connection count (default 4)
  --warm-up N          seconds of unmeasured load before (default 1)
  --connections A,B    connection counts (default 1,16,64,256)
  --knobs              each knob of FineTune beside its default, instead of the peers: written to bench/results/DATE-knobs
                       (default connections 16,256)
  --tls                TLS, HTTP/2 and HTTP/3 beside nginx: written to bench/results/DATE-tls (default 2 seconds, and connection
                       counts of its own)
  --websocket          WebSocket messages, idle connections and storms beside other servers: written to
                       bench/results/DATE-websocket (default 2 seconds, and connection counts of its own)
  --files              a gigabyte as a file and in a form, beside nginx: written to bench/results/DATE-files
  --callgrind          also count user instructions (valgrind) and system calls (strace) per request
  --emulated           also count instructions per request, user and kernel, in an emulated machine (QEMU)
  --quick              1 round of 1 s at 64 and 256 connections, written to target/bench-quick instead of bench/results
  --list               list the subjects and stop
";

/// The connection counts at which instructions and system calls are counted.
pub(super) const COUNTED_CONNECTIONS: [usize; 2] = [1, 64];

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Request {
    Help,
    List,
    Run(Options),
}

/// What is measured beside what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// Narthex beside other servers.
    Peers,
    /// [`knobs`] beside their defaults.
    Knobs,
    /// [`tls`] beside other servers.
    Tls,
    /// [`websocket`] beside other servers.
    WebSocket,
    /// Files beside nginx.
    Files,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) only: Vec<String>,
    pub(super) rounds: u32,
    pub(super) seconds: u32,
    pub(super) warm_up_seconds: u32,
    pub(super) connections: Vec<usize>,
    pub(super) callgrind: bool,
    pub(super) emulated: bool,
    /// Asked by `--emulated`, in the machine that it has booted: what is counted is told, and nothing is built or written.
    pub(super) in_guest: bool,
    pub(super) quick: bool,
    pub(super) compared: Compared,
    /// As typed, for the page.
    pub(super) command: String,
}

impl Compared {
    /// What selects it on the command line.
    pub(super) fn flag(self) -> Option<&'static str> {
        match self {
            Self::Peers => None,
            Self::Knobs => Some("--knobs"),
            Self::Tls => Some("--tls"),
            Self::WebSocket => Some("--websocket"),
            Self::Files => Some("--files"),
        }
    }
}

impl Options {
    /// Something is to be counted, and not only timed.
    pub(super) fn counts(&self) -> bool {
        self.callgrind || self.emulated || self.in_guest
    }
}

pub(super) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Request> {
    let arguments: Vec<String> = arguments.into_iter().collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let quick = has("--quick");
    let compared = match [has("--knobs"), has("--tls"), has("--websocket"), has("--files")] {
        [false, false, false, false] => Compared::Peers,
        [true, false, false, false] => Compared::Knobs,
        [false, true, false, false] => Compared::Tls,
        [false, false, true, false] => Compared::WebSocket,
        [false, false, false, true] => Compared::Files,
        _ => bail!("--knobs, --tls, --websocket and --files are runs of their own"),
    };
    if compared == Compared::Files && ["--callgrind", "--emulated", "--connections"].iter().any(|flag| has(flag)) {
        bail!("--files has one connection, and is not counted by --callgrind or --emulated");
    }
    if matches!(compared, Compared::Tls | Compared::WebSocket) && has("--connections") {
        bail!("--tls and --websocket have connection counts of their own");
    }
    let connections = match compared {
        Compared::Knobs => knobs::CONNECTIONS.to_vec(),
        Compared::Tls | Compared::WebSocket | Compared::Files => Vec::new(),
        Compared::Peers if quick => vec![64, 256],
        Compared::Peers => vec![1, 16, 64, 256],
    };
    let seconds = match compared {
        Compared::Tls => tls::SECONDS,
        Compared::WebSocket => websocket::SECONDS,
        Compared::Peers | Compared::Knobs | Compared::Files => 4,
    };
    let mut options = Options {
        only: Vec::new(),
        rounds: if quick { 1 } else { 3 },
        seconds: if quick { 1 } else { seconds },
        warm_up_seconds: 1,
        connections,
        callgrind: false,
        emulated: false,
        in_guest: false,
        quick,
        compared,
        command: typed(&arguments),
    };
    let mut rest = arguments.into_iter();
    while let Some(flag) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--only" => options.only.push(value()?.to_lowercase()),
            "--rounds" => options.rounds = number(&flag, &value()?, 0, 100)?,
            "--seconds" => options.seconds = number(&flag, &value()?, 1, 600)?,
            "--warm-up" => options.warm_up_seconds = number(&flag, &value()?, 1, 600)?,
            "--connections" => {
                options.connections =
                    value()?.split(',').map(|count| Ok(number(&flag, count, 1, 10_000)? as usize)).collect::<Result<_>>()?;
            }
            "--callgrind" => options.callgrind = true,
            "--emulated" => options.emulated = true,
            "--in-guest" => options.in_guest = true,
            "--quick" | "--knobs" | "--tls" | "--websocket" | "--files" => {}
            "--list" => return Ok(Request::List),
            "--help" | "-h" => return Ok(Request::Help),
            _ => bail!("unknown option {flag}\n{USAGE}"),
        }
    }
    if options.rounds == 0 && !options.counts() {
        bail!("--rounds 0 leaves nothing to do without --callgrind or --emulated");
    }
    Ok(Request::Run(options))
}

fn number(flag: &str, value: &str, least: u32, most: u32) -> Result<u32> {
    match value.trim().parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => bail!("{flag} takes a whole number from {least} to {most}, not {value}"),
    }
}

fn typed(arguments: &[String]) -> String {
    let mut line = String::from("cargo xtask bench");
    for argument in arguments {
        line.push(' ');
        if argument.contains(char::is_whitespace) {
            line.push_str(&format!("'{argument}'"));
        } else {
            line.push_str(argument);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options> {
        match parse(line.split_whitespace().map(String::from))? {
            Request::Run(options) => Ok(options),
            other => bail!("{other:?}"),
        }
    }

    #[test]
    fn quick_changes_the_defaults_and_explicit_options_still_win() {
        let options = options("--rounds 2 --quick").unwrap();
        assert_eq!((options.rounds, options.seconds), (2, 1));
        assert_eq!(options.connections, [64, 256]);
    }

    #[test]
    fn knobs_have_connection_counts_of_their_own() {
        assert_eq!(options("--knobs --quick").unwrap().connections, knobs::CONNECTIONS);
        assert_eq!(options("--knobs --connections 4").unwrap().connections, [4]);
    }

    #[test]
    fn tls_is_a_run_of_its_own() {
        assert_eq!(options("--tls").unwrap().compared, Compared::Tls);
        assert!(options("--tls --knobs").is_err());
        assert!(options("--tls --connections 4").is_err());
    }

    #[test]
    fn websocket_is_a_run_of_its_own() {
        let websocket = options("--websocket").unwrap();
        assert_eq!((websocket.compared, websocket.seconds), (Compared::WebSocket, websocket::SECONDS));
        assert!(options("--websocket --tls").is_err());
        assert!(options("--websocket --connections 4").is_err());
    }

    #[test]
    fn files_are_a_run_of_their_own() {
        assert_eq!(options("--files").unwrap().compared, Compared::Files);
        assert!(options("--files --tls").is_err());
        assert!(options("--files --callgrind").is_err());
        assert!(options("--files --emulated").is_err());
    }

    #[test]
    fn without_rounds_there_has_to_be_something_to_count() {
        assert!(options("--rounds 0 --quick").is_err());
        for counted in ["--callgrind", "--emulated", "--in-guest"] {
            assert!(options(&format!("--rounds 0 {counted}")).unwrap().counts());
        }
    }

    #[test]
    fn a_value_out_of_range_is_an_error_that_names_the_option() {
        let error = options("--seconds 0").unwrap_err().to_string();
        assert!(error.contains("--seconds"), "{error}");
        assert!(options("--connections 1,x").is_err());
        assert!(options("--rounds 0").is_err());
    }
}
