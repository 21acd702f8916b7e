//! TLS as clients see it, by every provider: what is served, who is let in, which versions and ciphers there are.
//!
//! The client is OpenSSL's, so that two implementations have to agree.

mod openssl;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use narthex_tests::pki::{Authority, Use};
use narthex_tests::process::Process;
use narthex_tests::{App, AppOptions, Host, Provider};
use openssl::{Seen, ask, closing};
use tempfile::TempDir;

/// How a server's TLS is set up.
#[derive(Clone, Copy, Default)]
struct Setup {
    mtls: bool,
    level: Option<&'static str>,
    suites: &'static [&'static str],
}

/// An app with TLS.
struct Subject {
    // Fields are dropped in order.
    app: Process,
    host: Option<Host>,
    address: SocketAddr,
    authority: Authority,
    rogue: Authority,
    _directory: TempDir,
}

/// A port that was free a moment ago: a binding has to name one.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}

impl Subject {
    fn start(provider: Provider, setup: Setup) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let authority = Authority::new(directory.path(), "ca");
        let rogue = Authority::new(directory.path(), "rogue");
        let certificate = authority.issue("server", Use::Server);
        let (certificate, ca) = (certificate.display().to_string(), authority.file().display().to_string());
        let port = free_port();
        let mut options = AppOptions::new("app", format!("https://127.0.0.1:{port}/"));
        let host = match provider {
            Provider::Embedded => {
                options = options.arguments(["--tls", &certificate]);
                if setup.mtls {
                    options = options.arguments(["--client-ca", &ca]);
                }
                if let Some(level) = setup.level {
                    options = options.arguments(["--security-level", level]);
                }
                for suite in setup.suites {
                    options = options.arguments(["--cipher-suite", suite]);
                }
                None
            }
            Provider::Shared => {
                let host = Host::start(directory.path());
                let mut words = vec![
                    "add".to_owned(),
                    "sslcert".to_owned(),
                    format!("ipport=127.0.0.1:{port}"),
                    format!("certfile={certificate}"),
                    format!("keyfile={certificate}"),
                ];
                if setup.mtls {
                    words.extend(["clientcertnegotiation=require".to_owned(), format!("cafile={ca}")]);
                }
                words.extend(setup.level.map(|level| format!("securitylevel={level}")));
                if !setup.suites.is_empty() {
                    words.push(format!("ciphersuites={}", setup.suites.join(",")));
                }
                host.operate(&words.iter().map(String::as_str).collect::<Vec<_>>());
                Some(host)
            }
        };
        let mut app = App::spawn(provider, host.as_ref(), &options);
        app.line("ready ");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { app, host, address, authority, rogue, _directory: directory }
    }

    fn ask(&self, arguments: &[&str], request: &str) -> Seen {
        ask(self.address, &self.authority.file(), arguments, request)
    }

    fn get(&self, arguments: &[&str]) -> Seen {
        self.ask(arguments, &closing("GET /whoami", "", ""))
    }
}

fn served_with_tls(provider: Provider) {
    let mut subject = Subject::start(provider, Setup::default());
    let seen = subject.get(&[]);
    assert!(seen.is_ok() && seen.text.contains("\r\n\r\napp"), "T1: {}", seen.text);
    let seen = subject.ask(&[], &closing("POST /echo", "Content-Length: 9\r\n", "hello-tls"));
    assert!(seen.is_ok() && seen.text.contains("\r\n\r\nhello-tls"), "T2: {}", seen.text);
    let seen = subject.ask(&[], &closing("PUT /", "", ""));
    assert!(seen.is_ok(), "a PUT without a body: {}", seen.text);
    assert!(subject.get(&[]).text.contains("Verify return code: 0 (ok)"));
    // What is no TLS is refused, and nobody else notices.
    for garbage in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0; 200], &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3], b""] {
        let mut stream = TcpStream::connect(subject.address).expect("the server accepts connections");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket has time-outs");
        stream.write_all(garbage).expect("a socket takes a few bytes");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{garbage:?}");
    }
    assert!(subject.get(&[]).is_ok());
    assert!(!subject.app.has_ended());
}

fn who_is_let_in(provider: Provider) {
    let subject = Subject::start(provider, Setup { mtls: true, ..Setup::default() });
    let show = |file: &std::path::Path, version: &str| {
        let file = file.display().to_string();
        let arguments = [version, "-cert", &file, "-key", &file];
        subject.ask(&arguments, &closing("GET /certificate", "", ""))
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let seen = show(&subject.authority.issue("alice", Use::Client), version);
        assert!(seen.is_ok() && seen.text.contains("CN=alice DNS:client.test "), "T3 {version}: {}", seen.text);
        let seen = subject.get(&[version]);
        assert!(!seen.is_ok() && seen.text.contains("alert"), "T4 {version}: {}", seen.text);
        let seen = show(&subject.rogue.issue("alice", Use::Client), version);
        assert!(!seen.is_ok() && seen.text.contains("alert"), "another authority, {version}: {}", seen.text);
        let seen = show(&subject.authority.issue("mallory", Use::Server), version);
        assert!(!seen.is_ok(), "a server's certificate, {version}: {}", seen.text);
    }
}

fn a_certificate_is_an_identity(provider: Provider) {
    let subject = Subject::start(provider, Setup { mtls: true, ..Setup::default() });
    let file = subject.authority.issue("alice", Use::Client).display().to_string();
    let seen = subject.ask(&["-cert", &file, "-key", &file], &closing("GET /identity", "", ""));
    assert!(seen.is_ok() && seen.text.contains("client.test by ClientCertificate"), "{}", seen.text);
    let subject = Subject::start(provider, Setup::default());
    let seen = subject.ask(&[], &closing("GET /identity", "", ""));
    assert!(seen.text.contains("403"), "{}", seen.text);
}

fn versions_and_ciphers(provider: Provider) {
    let subject = Subject::start(provider, Setup::default());
    for (arguments, served) in [
        (&["-tls1_3"][..], true),
        (&["-tls1_2"], true),
        (&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], false),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], true),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], true),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], false),
        (&["-tls1_2", "-cipher", "AES128-GCM-SHA256"], false),
        (&["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], true),
    ] {
        let seen = subject.get(arguments);
        assert_eq!(seen.is_ok(), served, "{arguments:?}: {}", seen.text);
        assert!(served || seen.text.contains("alert"), "{arguments:?} ends without an alert: {}", seen.text);
    }
    let modern = Subject::start(provider, Setup { level: Some("modern"), ..Setup::default() });
    assert!(modern.get(&["-tls1_3"]).is_ok());
    assert!(!modern.get(&["-tls1_2"]).is_ok());
    let suites = &["TLS_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"];
    let chosen = Subject::start(provider, Setup { suites, ..Setup::default() });
    for (arguments, served) in [
        (&["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"][..], true),
        (&["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], false),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], true),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], false),
    ] {
        assert_eq!(chosen.get(arguments).is_ok(), served, "{arguments:?}");
    }
}

fn sessions_are_resumed(provider: Provider) {
    let subject = Subject::start(provider, Setup::default());
    for version in ["-tls1_2", "-tls1_3"] {
        let file = subject.authority.file().with_file_name(format!("session{version}"));
        let file = file.display().to_string();
        let first = subject.get(&[version, "-sess_out", &file]);
        assert!(first.text.contains("New, TLSv1"), "{version}: {}", first.text);
        let second = subject.get(&[version, "-sess_in", &file]);
        assert!(second.is_ok() && second.text.contains("Reused, TLSv1"), "{version}: {}", second.text);
    }
}

fn alpn_decides(provider: Provider) {
    let subject = Subject::start(provider, Setup::default());
    for (offered, spoken) in [("h2,http/1.1", "HTTP/2"), ("http/1.1", "HTTP/1.1")] {
        let flag = if offered.starts_with("h2") { "--http2" } else { "--http1.1" };
        let mut command = Command::new("curl");
        command.args(["-s", "-i", "--max-time", "10", flag, "--cacert"]).arg(subject.authority.file());
        let output = command.arg(format!("https://{}/headers", subject.address)).output();
        let output = output.expect("curl is there: apt-get install curl");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.starts_with(spoken), "{offered}: {text}");
        assert!(text.contains("alt-svc: h3="), "{offered} is not told of HTTP/3: {text}");
    }
}

providers! {
    requests_are_served_over_tls_and_what_is_no_tls_is_not: super::served_with_tls;
    clients_are_let_in_by_certificate_and_the_app_sees_whose: super::who_is_let_in;
    a_certificate_is_an_identity_to_the_layer_that_takes_certificates: super::a_certificate_is_an_identity;
    only_the_chosen_versions_and_ciphers_are_spoken: super::versions_and_ciphers;
    sessions_are_resumed_in_both_versions: super::sessions_are_resumed;
    alpn_decides_which_http_is_spoken: super::alpn_decides;
}

#[test]
fn who_names_another_host_in_the_request_does_not_get_past_its_client_certificates() {
    let subject = Subject::start(Provider::Shared, Setup::default());
    let host = subject.host.as_ref().expect("the provider has a host");
    let (certificate, ca) = (subject.authority.issue("other", Use::Server), subject.authority.file());
    let (certificate, ca) = (certificate.display(), ca.display());
    let key = format!("hostnameport=secret.test:{}", subject.address.port());
    let (certificate, key_file) = (format!("certfile={certificate}"), format!("keyfile={certificate}"));
    let ca = format!("cafile={ca}");
    host.operate(&["add", "sslcert", &key, &certificate, &key_file, &ca, "clientcertnegotiation=require"]);
    let request = "GET /whoami HTTP/1.1\r\nHost: secret.test\r\nConnection: close\r\n\r\n";
    let seen = subject.ask(&[], request);
    assert!(seen.text.contains("HTTP/1.1 421 "), "{}", seen.text);
    assert!(subject.get(&[]).is_ok());
}

#[test]
fn a_cipher_suite_that_there_is_not_keeps_a_server_from_starting() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let certificate = Authority::new(directory.path(), "ca").issue("server", Use::Server).display().to_string();
    let options = AppOptions::new("app", "https://127.0.0.1:0/");
    let options = options.arguments(["--tls", &certificate, "--cipher-suite", "RC4-SHA"]);
    let mut app = App::spawn(Provider::Embedded, None, &options);
    assert!(!app.wait(Duration::from_secs(10)).success());
    let log = app.log();
    assert!(log.contains("RC4-SHA") && log.contains("TLS_AES_128_GCM_SHA256"), "{log}");
}
