//! A host that logs, an app, and what is in the host's log folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use narthex_tests::{App, AppOptions, Client, Host, Provider, Response};
use serde_json::Value;
use tempfile::TempDir;

/// How long what must happen may take.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// JSON lines with everything that a test asks for.
pub(crate) const JSON: &str = "access_log = \"json\"\naccess_log_fields = \"time,cs-method,cs-uri-stem,cs-uri-query,cs-version,\
     cs(User-Agent),cs(Referer),cs(Cookie),cs-host,sc-status,sc-bytes,cs-bytes,time-taken\"";
/// What a client asks for a WebSocket with.
pub(crate) const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub(crate) struct Stage {
    // Fields are dropped in order: the app leaves while its host still runs.
    pub(crate) app: App,
    pub(crate) host: Host,
    pub(crate) directory: TempDir,
}

impl Stage {
    pub(crate) fn new(settings: &str) -> Self {
        Self::with(2, settings)
    }

    pub(crate) fn with(workers: usize, settings: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let host = Host::start_configured(directory.path(), workers, &format!("[settings]\n{settings}\n"));
        let app = App::start(Provider::Shared, Some(&host), &AppOptions::new("shop", "http://127.0.0.1:0/"));
        Self { app, host, directory }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.app.address).expect("the host accepts connections")
    }

    /// Asks on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Response {
        self.get_with(target, "")
    }

    /// Asks on a connection of its own, with these header lines.
    pub(crate) fn get_with(&self, target: &str, lines: &str) -> Response {
        ask(&mut self.connect(), "GET", target, lines)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// The lines of all access logs, after a flush.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.host.operate(&["flush", "logbuffer"]);
        lines(&self.logs())
    }

    /// The lines of JSON logs.
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.lines().iter().map(|line| object(line)).collect()
    }

    /// Waits for this many lines of JSON logs: a client may see its answer before the host takes it for complete.
    pub(crate) fn await_objects(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + SOON;
        loop {
            let objects = self.objects();
            if objects.len() >= count || Instant::now() > deadline {
                assert_eq!(objects.len(), count, "{objects:#?}");
                return objects;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn set(&self, setting: &str, value: &str) {
        self.host.operate(&["add", "setting", &format!("settingtype={setting}"), &format!("value={value}")]);
    }
}

/// Sends a request without a body, unless `lines` has its end and one.
pub(crate) fn send(client: &mut Client, method: &str, target: &str, lines: &str) {
    let end = if lines.contains("\r\n\r\n") { "" } else { "\r\n" };
    let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{lines}{end}");
    client.send(request.as_bytes()).unwrap_or_else(|error| panic!("{method} {target} cannot be sent: {error}"));
}

pub(crate) fn ask(client: &mut Client, method: &str, target: &str, lines: &str) -> Response {
    send(client, method, target, lines);
    client.response_within(method == "HEAD", SOON).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
}

pub(crate) fn object(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?} is no object: {error}"))
}

/// The access logs' files below a folder, in order.
pub(crate) fn files(logs: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let found = fs::read_dir(folder).map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect());
        let mut found: Vec<PathBuf> = found.unwrap_or_default();
        found.sort();
        found
    };
    entries(logs).iter().filter(|site| !site.ends_with("httperr")).flat_map(|site| entries(site)).collect()
}

/// The lines of the access logs below a folder, without headings.
pub(crate) fn lines(logs: &Path) -> Vec<String> {
    let text: String = files(logs).iter().map(|file| fs::read_to_string(file).expect("a log is text")).collect();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}
