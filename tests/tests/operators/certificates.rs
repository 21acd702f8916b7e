//! TLS bindings end to end: typed as operators type them, and answered to a client that is not ours.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::operators::machine::{Machine, eventually};
use crate::operators::openssl::{Certificate, Connection, Handshake, handshake, verifying};

/// An https registration names its port: a binding has to be there before it.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}

pub(crate) fn directory(machine: &Machine) -> PathBuf {
    machine.config().parent().expect("it is in a directory").to_owned()
}

/// A host with a certificate of its own authority for localhost on a port.
fn with_self_signed() -> (Machine, u16) {
    let (machine, port) = (Machine::new(), free_port());
    machine.narthex(&format!("add sslcert hostnameport=localhost:{port} self-signed")).done();
    (machine, port)
}

#[track_caller]
fn name_at(port: u16, server_name: &str) -> String {
    handshake(port, server_name, &[]).map_or_else(|| "none".to_owned(), |handshake| handshake.name)
}

#[test]
fn a_self_signed_binding_is_added_changed_shown_and_deleted() {
    let (machine, port) = with_self_signed();
    let app = machine.app(&[&format!("https://localhost:{port}/")]);
    assert_eq!(app.port(), port);
    let authority = directory(&machine).join("tls/ca.pem").display().to_string();
    let verified = handshake(port, "localhost", &verifying(&authority, "localhost")).expect("it is trusted");
    assert_eq!(verified.name, "localhost");
    assert!(handshake(port, "localhost", &verifying(&authority, "other.example")).is_none(), "it is for another name");
    assert!(handshake(port, "other.example", &[]).is_none(), "no binding is for this name");
    let answer = Connection::open(port, "localhost").get("/whoami");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let key = format!("hostnameport=localhost:{port}");
    let shown = machine.narthex(&format!("show sslcert {key}")).done();
    let line = |name: &str| shown.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default().to_owned();
    assert!(
        line("Names").ends_with(": DNS:localhost, IP:127.0.0.1, IP:::1") && line("Subject").ends_with(": CN=localhost"),
        "{shown}"
    );
    assert!(line("Valid until").contains("days left)") && line("Problem").is_empty(), "{shown}");

    assert!(handshake(port, "localhost", &["-tls1_2"]).is_some());
    machine.narthex(&format!("update sslcert {key} disabletls12=enable")).done();
    assert!(handshake(port, "localhost", &["-tls1_2"]).is_none(), "it was forbidden");
    assert!(handshake(port, "localhost", &["-tls1_3"]).is_some());
    let done = machine.narthex(&format!("update sslcert {key} reject=enable")).done();
    let admit = format!("narthex update sslcert {key} reject=disable");
    assert!(done.contains("warning: ") && done.contains(&admit), "{done}");
    assert!(handshake(port, "localhost", &[]).is_none());
    machine.sh(&admit).done();
    assert!(handshake(port, "localhost", &[]).is_some());

    let done = machine.narthex(&format!("delete sslcert {key}")).done();
    let remedy = format!("narthex add sslcert {key} self-signed");
    assert!(done.contains(&format!("warning: handshakes for https://localhost:{port}/")) && done.contains(&remedy), "{done}");
    assert!(handshake(port, "localhost", &[]).is_none());
    assert!(machine.narthex(&format!("show sslcert {key}")).refused().contains("no binding"));
    machine.sh(&remedy).done();
    assert_eq!(name_at(port, "localhost"), "localhost", "the command of the warning mends it");
}

#[test]
fn a_registration_without_a_binding_is_refused_with_the_command_that_helps() {
    let (machine, port) = (Machine::new(), free_port());
    let prefix = format!("https://localhost:{port}/");
    let Err(log) = machine.try_app(None, &[&prefix]) else { panic!("no handshake would be answered") };
    let (_, command) = log.split_once("an operator can add one: ").unwrap_or_else(|| panic!("{log}"));
    machine.sh(command.lines().next().expect("it is on the line")).done();
    machine.app(&[&prefix]);
}

#[test]
fn a_port_speaks_one_of_http_and_https() {
    let (machine, port) = with_self_signed();
    let refused = |prefix: &str| match machine.try_app(None, &[prefix]) {
        Err(log) => log,
        Ok(_) => panic!("{prefix} was registered"),
    };
    let secure = machine.app(&[&format!("https://localhost:{port}/")]);
    let log = refused(&format!("http://localhost:{port}/a/"));
    assert!(log.contains("the port already speaks https; use https or another port"), "{log}");
    let plain = machine.app(&["http://localhost:0/"]);
    let open = plain.port();
    machine.narthex(&format!("add sslcert hostnameport=localhost:{open} self-signed")).done();
    let log = refused(&format!("https://localhost:{open}/a/"));
    assert!(log.contains("the port already speaks http; use http or another port"), "{log}");
    assert_eq!(plain.status("/whoami"), 200);
    assert_eq!(name_at(secure.port(), "localhost"), "localhost");
}

/// A host with a certificate in files for localhost, which an app uses.
fn with_files() -> (Machine, u16, Certificate, String) {
    let (machine, port) = (Machine::new(), free_port());
    let certificate = Certificate::new(&directory(&machine), "first", &["localhost"]);
    let key = format!("hostnameport=localhost:{port}");
    machine.narthex(&format!("add sslcert {key} {}", certificate.options())).done();
    (machine, port, certificate, key)
}

#[test]
fn a_renewal_is_taken_and_drops_no_connection() {
    let (machine, port, certificate, key) = with_files();
    let _app = machine.app(&[&format!("https://localhost:{port}/")]);
    let mut open = Connection::open(port, "localhost");
    open.get("/whoami");
    assert_eq!(name_at(port, "localhost"), "first");
    Certificate::new(&directory(&machine), "second", &["localhost"]).replace(&certificate);
    eventually("the new certificate", || (name_at(port, "localhost") == "second").then_some(()));
    assert!(open.get("/whoami").starts_with("HTTP/1.1 200 "), "a connection outlives the certificate that it began with");

    let other = Certificate::new(&directory(&machine), "third", &["localhost"]);
    fs::rename(other.key, &certificate.key).expect("a file can be renamed");
    let problem = || machine.narthex(&format!("show sslcert {key}")).done().lines().any(|line| line.contains("Problem"));
    eventually("the problem", || problem().then_some(()));
    machine.logged("it goes on with what it had");
    assert_eq!(name_at(port, "localhost"), "second", "the old certificate goes on");
    assert!(open.get("/whoami").starts_with("HTTP/1.1 200 "));
    fs::rename(other.certificate, &certificate.certificate).expect("a file can be renamed");
    eventually("the other half", || (name_at(port, "localhost") == "third").then_some(()));
    assert!(!problem(), "it is solved");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (machine, port, first, key) = with_files();
    let other = Certificate::new(&directory(&machine), "other", &["localhost"]);
    let mismatched = Certificate { certificate: other.certificate.clone(), key: first.key.clone() }.options();
    let shown = || {
        let text = machine.narthex("show sslcert --json").done();
        // The days that are left of a new certificate are one fewer a second later.
        text.lines().filter(|line| !line.contains("days_left")).collect::<String>()
    };
    let before = shown();
    let second = free_port();
    for line in [
        format!("update sslcert {key} {mismatched}"),
        format!("add sslcert hostnameport=localhost:{second} {mismatched}"),
        format!("add sslcert ipport=127.0.0.1:{port} certfile=/nowhere.pem keyfile=/nowhere.key"),
        format!("add sslcert ipport=127.0.0.1:{port} certfile={0} keyfile={0}", other.certificate.display()),
        format!("add sslcert ipport=127.0.0.1:{port} acme"),
        format!("add sslcert {key} self-signed"),
        format!("delete sslcert hostnameport=localhost:{second}"),
    ] {
        let refused = machine.narthex(&line).refused();
        assert!(refused.trim_end().lines().count() == 1, "{line}: {refused}");
    }
    let refused = machine.narthex(&format!("update sslcert {key} {mismatched}")).refused();
    assert!(refused.contains("key") && refused.contains("nothing was changed"), "{refused}");
    assert_eq!(shown(), before);
}

#[test]
fn the_exact_name_decides_then_a_wildcard_then_the_directory_then_the_address() {
    let (machine, port) = (Machine::new(), free_port());
    let here = directory(&machine);
    let certificates = here.join("sites");
    fs::create_dir(&certificates).expect("a directory can be made");
    for name in ["shop.example", "other.test"] {
        Certificate::new(&here, "directory", &[name]).join(&certificates.join(format!("{name}.pem")));
    }
    let bind = |key: &str, label: &str, name: &str| {
        machine.narthex(&format!("add sslcert {key} {}", Certificate::new(&here, label, &[name]).options())).done();
    };
    let keys = ["hostnameport=shop.example:", "hostnameport=*.example:", "ccs=", "ipport=127.0.0.1:", "ipport=0.0.0.0:"];
    let [exact, wildcard, ccs, address, any] = keys.map(|key| format!("{key}{port}"));
    bind(&any, "any", "any.test");
    bind(&address, "address", "address.test");
    machine.narthex(&format!("add sslcert {ccs} directory={}", certificates.display())).done();
    bind(&wildcard, "wildcard", "*.example");
    bind(&exact, "exact", "shop.example");
    machine.narthex(&format!("add urlacl url=https://+:{port}/ user=Everyone")).done();
    let _app = machine.app(&[&format!("https://+:{port}/")]);
    for (name, label) in [
        ("shop.example", "exact"),
        ("SHOP.example", "exact"),
        ("sub.example", "wildcard"),
        ("a.sub.example", "address"),
        ("other.test", "directory"),
        ("unknown.test", "address"),
        ("", "address"),
    ] {
        assert_eq!(name_at(port, name), label, "{name:?}");
    }
    for (key, next) in [(&exact, "wildcard"), (&wildcard, "directory"), (&ccs, "address"), (&address, "any"), (&any, "none")] {
        let done = machine.narthex(&format!("delete sslcert {key}")).done();
        assert_eq!(done.contains("warning: "), next == "none", "{done}");
        assert_eq!(name_at(port, "shop.example"), next, "after {key}");
    }
}

#[test]
fn settings_for_http2_http3_and_alt_svc_take_effect() {
    let (machine, port) = with_self_signed();
    let _app = machine.app(&[&format!("https://localhost:{port}/")]);
    let alpn = || handshake(port, "localhost", &["-alpn", "h2,http/1.1"]).and_then(|Handshake { alpn, .. }| alpn);
    let offered = || Connection::open(port, "localhost").get("/whoami").to_ascii_lowercase().contains("\r\nalt-svc: h3=");
    let set = |setting: &str, value: bool| {
        machine.narthex(&format!("add setting settingtype={setting} value={value}")).done();
    };
    assert_eq!(alpn().as_deref(), Some("h2"));
    eventually("alt-svc", || offered().then_some(()));
    set("http2", false);
    assert_eq!(alpn().as_deref(), Some("http/1.1"));
    set("http2", true);
    assert_eq!(alpn().as_deref(), Some("h2"));
    for setting in ["alt_svc", "http3"] {
        set(setting, false);
        eventually(&format!("no alt-svc without {setting}"), || (!offered()).then_some(()));
        set(setting, true);
        eventually(&format!("alt-svc with {setting}"), || offered().then_some(()));
    }
    let key = format!("hostnameport=localhost:{port}");
    machine.narthex(&format!("update sslcert {key} disablehttp2=enable disablequic=enable")).done();
    assert_eq!(alpn().as_deref(), Some("http/1.1"), "a binding has a say of its own");
    eventually("no alt-svc of this binding", || (!offered()).then_some(()));
}

fn pkcs12(directory: &Path, passphrase: &str) -> String {
    let file = directory.join("site.p12");
    Certificate::new(directory, "site", &["localhost"]).pkcs12(&file, passphrase);
    format!("pkcs12file={}", file.display())
}

#[test]
fn a_dump_makes_bindings_again_and_a_passphrase_is_in_it_if_it_is_in_the_configuration() {
    let (machine, copy, port) = (Machine::new(), Machine::new(), free_port());
    let here = directory(&machine);
    let file = pkcs12(&here, "open-sesame");
    fs::write(here.join("pass"), "open-sesame\n").expect("a file can be written");
    let passphrase_file = format!("passphrasefile={}", here.join("pass").display());
    machine.narthex(&format!("add sslcert hostnameport=localhost:{port} {file} {passphrase_file} disablehttp2=enable")).done();
    assert!(!machine.narthex("dump").done().contains("open-sesame"));
    machine.narthex(&format!("add sslcert ipport=127.0.0.1:{port} {file} passphrase=open-sesame")).done();
    assert!(!machine.narthex("show sslcert").done().contains("open-sesame"));
    let dump = machine.narthex("dump").done();
    copy.sh(&dump).done();
    assert_eq!(copy.narthex("dump").done(), dump);
    assert_eq!(copy.narthex("show sslcert").done(), machine.narthex("show sslcert").done());
    let _app = copy.app(&[&format!("https://localhost:{port}/")]);
    let found = handshake(port, "localhost", &["-alpn", "h2,http/1.1"]).expect("the copy answers");
    assert_eq!((found.name.as_str(), found.alpn.as_deref()), ("site", Some("http/1.1")), "{}", found.said);
}
