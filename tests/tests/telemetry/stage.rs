//! An app, and the host that it is behind, if it is.

use std::time::{Duration, Instant};

use narthex_tests::{App, AppOptions, Client, Host, Provider, Response};
use serde_json::Value;
use tempfile::TempDir;

/// How long what must happen may take.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Stage {
    // Fields are dropped in order: the app leaves while its host still runs.
    pub(crate) app: App,
    pub(crate) host: Option<Host>,
    pub(crate) directory: TempDir,
}

impl Stage {
    /// A host with these settings and an app with these arguments, or an app alone.
    pub(crate) fn new(provider: Provider, settings: &str, arguments: &[String]) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let host = (provider == Provider::Shared)
            .then(|| Host::start_configured(directory.path(), 2, &format!("[settings]\n{settings}\n")));
        let options = AppOptions::new("app", "http://127.0.0.1:0/shop/").arguments(arguments.iter().cloned());
        Self { app: App::start(provider, host.as_ref(), &options), host, directory }
    }

    pub(crate) fn host(&self) -> &Host {
        self.host.as_ref().expect("there is a host")
    }

    /// Sets it while clients are served.
    pub(crate) fn set(&self, setting: &str, value: &str) {
        self.host().operate(&["add", "setting", &format!("settingtype={setting}"), &format!("value={value}")]);
    }

    pub(crate) fn get(&self, target: &str, fields: &str) -> Response {
        let mut client = Client::connect(self.app.address).expect("the server accepts connections");
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).expect("the request can be sent");
        client.response(false).expect("it is answered")
    }

    /// What the app sees in the fields of this name.
    pub(crate) fn seen(&self, name: &str, fields: &str) -> Vec<String> {
        let response = self.get("/shop/headers", fields);
        let seen: Value = serde_json::from_str(&response.text()).expect("the app answers in JSON");
        let all = seen["headers"].as_array().expect("a list of fields");
        let named = all.iter().filter(|field| field[0] == name);
        named.map(|field| field[1].as_str().expect("a text").to_owned()).collect()
    }

    /// The one value that the app sees in the fields of this name.
    pub(crate) fn seen_once(&self, name: &str, fields: &str) -> String {
        let mut seen = self.seen(name, fields);
        assert_eq!(seen.len(), 1, "{name}: {seen:?}");
        seen.remove(0)
    }

    /// Waits for a line of the host's logs below this folder that has this in it.
    pub(crate) fn logged(&self, folder: &str, part: &str) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            self.host().operate(&["flush", "logbuffer"]);
            let files = std::fs::read_dir(self.directory.path().join("log").join(folder)).into_iter().flatten();
            let texts = files.flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
            if let Some(line) =
                texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).find(|line| line.contains(part))
            {
                return line;
            }
            assert!(Instant::now() < deadline, "no line of the logs has {part:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
