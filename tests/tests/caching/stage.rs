//! A host, an app whose answers have numbers, and clients that tell a stored answer from a new one.

use std::time::{Duration, Instant};

use narthex_tests::{App, AppOptions, Client, Host, Provider, Response};
use tempfile::TempDir;

/// How long what must happen may take.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Makes any answer cacheable.
pub(crate) const CACHED: &str = "policy=flush";

pub(crate) struct Stage {
    // Fields are dropped in order: the app leaves while its host still runs.
    pub(crate) app: App,
    pub(crate) host: Host,
    _directory: TempDir,
}

impl Stage {
    /// A host with one worker, so that what is stored is there for the next request.
    pub(crate) fn new() -> Self {
        Self::with(1, "")
    }

    pub(crate) fn with(workers: usize, settings: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let host = Host::start_configured(directory.path(), workers, &format!("[settings]\n{settings}\n"));
        let app = App::start(Provider::Shared, Some(&host), &AppOptions::new("app", "http://127.0.0.1:0/"));
        Self { app, host, _directory: directory }
    }

    pub(crate) fn connect(&self) -> Asker {
        Asker(Client::connect(self.app.address).expect("the host accepts connections"))
    }

    /// Asks on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Response {
        self.connect().get(target)
    }

    /// Asks on a connection of its own, with these header lines.
    pub(crate) fn get_with(&self, target: &str, lines: &str) -> Response {
        self.connect().get_with(target, lines)
    }

    /// The URL of an answer, as operators name it.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://127.0.0.1:{}{target}", self.app.address.port())
    }

    /// What is cached, as JSON.
    pub(crate) fn cached(&self) -> Vec<serde_json::Value> {
        let shown = self.host.operate_json(&["show", "cachestate"]);
        shown.as_array().unwrap_or_else(|| panic!("no list: {shown}")).clone()
    }

    pub(crate) fn set(&self, setting: &str, value: &str) {
        self.host.operate(&["add", "setting", &format!("settingtype={setting}"), &format!("value={value}")]);
    }
}

/// A connection to the host.
pub(crate) struct Asker(pub(crate) Client);

impl Asker {
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.get_with(target, "")
    }

    pub(crate) fn get_with(&mut self, target: &str, lines: &str) -> Response {
        self.ask("GET", target, lines)
    }

    /// Sends a request without a body, unless `lines` has its end and one.
    pub(crate) fn ask(&mut self, method: &str, target: &str, lines: &str) -> Response {
        self.send(method, target, lines);
        self.answer(method)
    }

    pub(crate) fn send(&mut self, method: &str, target: &str, lines: &str) {
        let end = if lines.contains("\r\n\r\n") { "" } else { "\r\n" };
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{lines}{end}");
        self.0.send(request.as_bytes()).unwrap_or_else(|error| panic!("{method} {target} cannot be sent: {error}"));
    }

    pub(crate) fn answer(&mut self, method: &str) -> Response {
        self.0.response_within(method == "HEAD", SOON).unwrap_or_else(|error| panic!("{method}: {error}"))
    }
}

/// A target of the app's, with the query encoded where that matters.
pub(crate) fn answer(query: &str) -> String {
    format!("/answer?{}", query.replace(' ', "%20").replace('"', "%22").replace('\t', "%09").replace('+', "%2B"))
}

/// The number of the app's answer.
pub(crate) fn count(response: &Response) -> u64 {
    let count = response.header("x-count").and_then(|count| count.parse().ok());
    count.unwrap_or_else(|| panic!("no number in {response:?}"))
}

/// Whether the answer is a stored one.
pub(crate) fn is_stored(response: &Response) -> bool {
    response.has("age")
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}
