//! A host with its error log, the operator's command, and what clients see.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use narthex_tests::process::narthex_program;
use narthex_tests::{Client, Ending, Host, ReadError};
use serde_json::Value;
use tempfile::TempDir;

/// What should happen soon happens within this, also on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// So long a connection is watched that is to stay open.
const MOMENT: Duration = Duration::from_millis(50);

/// A host in a directory of its own.
pub(crate) struct Stage {
    pub(crate) host: Host,
    directory: TempDir,
}

/// The client's port and the server's.
pub(crate) type Ports = (u16, u16);

/// A line of the error log.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The client's port and the server's.
    pub(crate) ports: Ports,
    /// From `cs-version` to `s-queuename`.
    pub(crate) text: String,
}

impl Stage {
    /// A host with the defaults, and one worker, so that every connection and every app meet on it.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// A host with this configuration file.
    pub(crate) fn with(config: &str) -> Self {
        Self::by(Command::new(narthex_program()), config)
    }

    /// As `with`, started by this command.
    pub(crate) fn by(command: Command, config: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        // Other users are to find the host's socket.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("the directory is ours");
        fs::write(directory.path().join("narthex.toml"), config).expect("a file can be written");
        Self { host: Host::start_by(command, directory.path(), 1), directory }
    }

    /// Runs a verb: what it prints, or complains of.
    pub(crate) fn narthex(&self, line: &str) -> Result<String, String> {
        let mut command = Command::new(narthex_program());
        command.args(line.split(' ')).arg("--socket").arg(self.host.socket());
        let output = command.output().unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let text = |bytes| String::from_utf8(bytes).expect("the command prints text");
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Runs a verb that does its work.
    pub(crate) fn verb(&self, line: &str) -> String {
        self.narthex(line).unwrap_or_else(|error| panic!("narthex {line}: {error}"))
    }

    /// What `narthex show servicestate --json` prints.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.verb("show servicestate --json")).expect("the state is JSON")
    }

    /// The named queue's part of the state.
    pub(crate) fn queue(&self, name: &str) -> Option<Value> {
        let mut state = self.state();
        state["queues"].as_array_mut()?.iter_mut().find(|queue| queue["name"] == name).map(Value::take)
    }

    /// Waits until this many requests wait in the named queue.
    pub(crate) fn until_waiting(&self, name: &str, count: u64) {
        eventually(&format!("{count} requests wait in {name}"), || {
            self.queue(name).filter(|queue| queue["waiting"] == count).is_some()
        });
    }

    /// The error log, written out first.
    pub(crate) fn errors(&self) -> Vec<Line> {
        self.verb("flush logbuffer");
        let Ok(files) = fs::read_dir(self.directory.path().join("log/httperr")) else { return Vec::new() };
        let read = |file: std::io::Result<fs::DirEntry>| fs::read_to_string(file.expect("a file of the log").path());
        let text: String = files.map(|file| read(file).expect("the log is text")).collect();
        text.lines().filter(|line| !line.starts_with('#')).map(parse).collect()
    }

    /// The lines about these connections, once each has as many as are wanted.
    pub(crate) fn errors_of(&self, wanted: &[(Ports, usize)]) -> Vec<Line> {
        let deadline = Instant::now() + SOON;
        loop {
            let mut lines = self.errors();
            lines.retain(|line| wanted.iter().any(|(ports, _)| *ports == line.ports));
            let of = |ports: Ports| lines.iter().filter(|line| line.ports == ports).count();
            if wanted.iter().all(|(ports, count)| of(*ports) >= *count) || Instant::now() >= deadline {
                return lines;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn parse(line: &str) -> Line {
    // date time c-ip c-port s-ip s-port cs-version cs-method cs-uri sc-status s-siteid s-reason s-queuename x-request-id
    let fields: Vec<&str> = line.split(' ').collect();
    assert_eq!(fields.len(), 14, "{line:?}");
    let port = |index: usize| fields[index].parse().expect("a port");
    Line { ports: (port(3), port(5)), text: fields[6..13].join(" ") }
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !look() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a request, which the server takes.
pub(crate) fn send(client: &mut Client, request: &str) {
    client.send(request.as_bytes()).unwrap_or_else(|error| panic!("{:?}: {error}", request.lines().next()));
}

/// Sends `GET target`.
pub(crate) fn get(client: &mut Client, target: &str) {
    send(client, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
}

/// The answer and what becomes of the connection, as in `503 Service Unavailable, retry after 1, open`.
pub(crate) fn seen(client: &mut Client) -> String {
    let answer = match client.response_within(false, SOON) {
        Ok(answer) => answer,
        Err(ReadError::Closed(rest)) if rest.is_empty() => return "closed".to_owned(),
        Err(ReadError::Reset) => return "reset".to_owned(),
        Err(error) => return error.to_string(),
    };
    let retry = answer.header("retry-after").map(|after| format!(", retry after {after}")).unwrap_or_default();
    let closes = answer.header("connection") == Some("close");
    let end = ending(client, if closes { SOON } else { MOMENT });
    format!("{} {}{retry}, {end}", answer.status, answer.phrase)
}

/// What becomes of the connection, whatever still comes.
pub(crate) fn ending(client: &mut Client, wait: Duration) -> &'static str {
    loop {
        match client.ending(wait) {
            Ending::Data(_) => {}
            Ending::Closed => return "closed",
            Ending::Reset => return "reset",
            Ending::Open => return "open",
        }
    }
}
