//! An app behind proxies, which are the tests themselves.

use std::time::Duration;

use narthex_tests::{App, AppOptions, Client, Host, Provider, Response};
use serde_json::Value;
use tempfile::TempDir;

/// The proxies' own addresses: the tests', and some more.
pub(crate) const TRUSTED: [&str; 2] = ["127.0.0.1", "10.0.0.0/8"];
/// How long what must happen may take.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) struct Stage {
    // Fields are dropped in order: the app leaves while its host still runs.
    pub(crate) app: App,
    pub(crate) host: Option<Host>,
    pub(crate) directory: TempDir,
}

impl Stage {
    /// Trusts these proxies, and expects PROXY headers if `headers`.
    pub(crate) fn new(provider: Provider, trusted: &[&str], headers: bool) -> Self {
        Self::accepting(provider, trusted, headers, false)
    }

    /// As `new`, with one thread that accepts for all workers if `alone`.
    pub(crate) fn accepting(provider: Provider, trusted: &[&str], headers: bool, alone: bool) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let mut arguments = vec!["--connection-info".to_owned()];
        let host = if provider == Provider::Shared {
            let log = "access_log = \"json\"\naccess_log_fields = \"c-ip,cs-uri-stem\"";
            let settings = format!("[settings]\ntrusted_proxies = {trusted:?}\nsingle_acceptor = {alone}\n{log}\n");
            Some(Host::start_configured(directory.path(), 2, &settings))
        } else {
            arguments.extend(trusted.iter().map(|network| format!("--trusted-proxy={network}")));
            arguments.extend(alone.then(|| "--single-acceptor".to_owned()));
            arguments.extend(headers.then(|| "--proxy-protocol".to_owned()));
            None
        };
        let options = AppOptions::new("app", "http://127.0.0.1:0/").arguments(arguments);
        let app = App::start(provider, host.as_ref(), &options);
        let stage = Self { app, host, directory };
        if headers && stage.host.is_some() {
            stage.set("proxy_protocol", &stage.app.address.to_string());
        }
        stage
    }

    /// An app with a listener of its own and these arguments.
    pub(crate) fn embedded_with(arguments: &[&str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let options = AppOptions::new("app", "http://127.0.0.1:0/").arguments(arguments.iter().copied());
        Self { app: App::start(Provider::Embedded, None, &options), host: None, directory }
    }

    /// Sets it while clients are served.
    pub(crate) fn set(&self, setting: &str, value: &str) {
        let host = self.host.as_ref().expect("embedded servers have no operator");
        host.operate(&["add", "setting", &format!("settingtype={setting}"), &format!("value={value}")]);
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.app.address).expect("the server accepts connections")
    }

    /// A connection that begins with these bytes.
    pub(crate) fn begin(&self, header: impl AsRef<[u8]>) -> Client {
        let mut client = self.connect();
        client.send(header.as_ref()).expect("the server reads");
        client
    }

    /// Whom the app sees.
    pub(crate) fn seen(&self, header: impl AsRef<[u8]>) -> Seen {
        seen(&mut self.begin(header), "")
    }
}

/// A client as the app sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) address: String,
    pub(crate) tls: bool,
}

impl Seen {
    pub(crate) fn at(address: impl ToString, tls: bool) -> Self {
        Self { address: address.to_string(), tls }
    }

    pub(crate) fn of(body: &str) -> Self {
        let told: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{body:?} is no object: {error}"));
        Self::at(told["peer"].as_str().expect("the app sees an address"), told["tls"].as_bool().expect("the app sees whether"))
    }
}

pub(crate) fn get(client: &mut Client, path: &str, lines: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n").as_bytes()).expect("the server reads");
    client.response_within(false, SOON).unwrap_or_else(|error| panic!("no answer: {error}"))
}

/// Whom the app sees in a request with these header lines.
pub(crate) fn seen(client: &mut Client, lines: &str) -> Seen {
    Seen::of(&get(client, "/headers", lines).text())
}

/// Version 2, by a proxy of TCP over IPv4 or IPv6, with these type-length-values.
pub(crate) fn binary(client: &str, values: &[u8]) -> Vec<u8> {
    let client: std::net::SocketAddr = client.parse().expect("an address");
    let (family, ip, own) = match client.ip() {
        std::net::IpAddr::V4(ip) => (0x11, ip.octets().to_vec(), vec![10, 0, 0, 1]),
        std::net::IpAddr::V6(ip) => (0x21, ip.octets().to_vec(), vec![0xfd; 16]),
    };
    let ports = [client.port().to_be_bytes(), 443_u16.to_be_bytes()].concat();
    signed(0x21, family, &[ip, own, ports, values.to_vec()].concat())
}

/// Version 2, whatever it is.
pub(crate) fn signed(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("a length").to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, rest].concat()
}
