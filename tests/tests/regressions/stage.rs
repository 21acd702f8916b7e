//! A host for several apps, and what tests read from its clients' connections.

use std::net::SocketAddr;
use std::time::Duration;

use narthex_tests::{App, AppOptions, Client, Ending, Host, Provider, Response};
use tempfile::TempDir;

/// Both ways in which an app gets its requests.
pub(crate) const PROVIDERS: [Provider; 2] = [Provider::Embedded, Provider::Shared];

/// A host with a socket of its own.
pub(crate) struct Stage {
    pub(crate) host: Host,
    _directory: TempDir,
}

impl Stage {
    /// A host with one worker, so that every connection and every app meet on it.
    pub(crate) fn new() -> Self {
        Self::with_workers(1)
    }

    pub(crate) fn with_workers(workers: usize) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        Self { host: Host::start_with(directory.path(), workers), _directory: directory }
    }

    /// Starts the app under test; its name is what `/whoami` answers.
    pub(crate) fn app(&self, name: &str, prefix: impl Into<String>) -> App {
        App::start(Provider::Shared, Some(&self.host), &AppOptions::new(name, prefix))
    }
}

/// Connects to a server that is there.
pub(crate) fn connect(address: SocketAddr) -> Client {
    Client::connect(address).expect("the server accepts connections")
}

/// Sends `GET target`.
pub(crate) fn get(client: &mut Client, target: &str) {
    let sent = client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    sent.unwrap_or_else(|error| panic!("GET {target} cannot be sent: {error}"));
}

/// Asks on a connection of its own.
pub(crate) fn ask(address: SocketAddr, target: &str) -> Response {
    let mut client = connect(address);
    get(&mut client, target);
    client.response_within(false, Duration::from_secs(5)).unwrap_or_else(|error| panic!("GET {target}: {error}"))
}

/// Everything that comes until the connection ends or is quiet for this long.
pub(crate) fn rest(client: &mut Client, quiet: Duration) -> (String, Ending) {
    let mut bytes = Vec::new();
    loop {
        match client.ending(quiet) {
            Ending::Data(more) => bytes.extend(more),
            ending => return (String::from_utf8_lossy(&bytes).into_owned(), ending),
        }
    }
}

/// An ending, for a failure's message.
pub(crate) fn shown(ending: &Ending) -> String {
    match ending {
        Ending::Data(bytes) => format!("{:?}", String::from_utf8_lossy(bytes).lines().next().unwrap_or_default()),
        other => format!("{other:?}"),
    }
}

/// Whether a line feed comes without its carriage return.
pub(crate) fn has_bare_line_feed(text: &str) -> bool {
    text.split('\n').rev().skip(1).any(|line| !line.ends_with('\r'))
}
