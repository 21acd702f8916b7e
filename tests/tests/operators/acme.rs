//! Automatic certificates: the host asks a real ACME server, which comes to it as a CA would.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::operators::certificates::{directory, free_port};
use crate::operators::machine::{Machine, eventually, get, request};
use crate::operators::openssl::{Connection, handshake};
use crate::operators::pebble::{Pebble, Wanted};

const NAME: &str = "shop.example.com";
const AGREED: &str = "acme_terms_agreed = true\n";

/// A host that may ask, with more of a configuration behind its settings.
fn host(pebble: &Pebble, more: &str) -> Machine {
    Machine::with(&format!("{}{AGREED}{more}", pebble.settings()), &["--listen", "127.0.0.1"])
}

fn binding(port: u16) -> String {
    format!("[[binding]]\nhostnameport = \"{NAME}:{port}\"\nacme = true\n")
}

fn key(port: u16) -> String {
    format!("hostnameport={NAME}:{port}")
}

fn add(machine: &Machine, port: u16) -> String {
    machine.narthex(&format!("add sslcert {} acme", key(port))).done()
}

fn shown(machine: &Machine, port: u16) -> Value {
    let text = machine.narthex(&format!("show sslcert {} --json", key(port))).done();
    let all: Value = serde_json::from_str(&text).expect("it is JSON");
    all[0].clone()
}

/// Waits until the order is `order`, and says what is shown then.
fn comes_to(machine: &Machine, port: u16, order: &str) -> Value {
    eventually(&format!("the order to be {order}"), || {
        let shown = shown(machine, port);
        (shown["acme"]["order"] == order).then_some(shown)
    })
}

fn fingerprint(shown: &Value) -> String {
    shown["certificate"]["sha256"].as_str().unwrap_or_else(|| panic!("no certificate in {shown}")).to_owned()
}

fn files(machine: &Machine) -> PathBuf {
    directory(machine).join("acme")
}

fn progress(machine: &Machine) -> Value {
    let text = fs::read_to_string(files(machine).join(format!("{NAME}.json"))).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn has_placed_an_order(machine: &Machine) {
    eventually("an order", || progress(machine)["order"]["url"].is_string().then_some(()));
}

/// Until a port is nobody's.
fn closes(port: u16) {
    eventually("the port to be closed", || TcpStream::connect(("127.0.0.1", port)).is_err().then_some(()));
}

fn name_at(port: u16) -> Option<String> {
    handshake(port, NAME, &[]).map(|handshake| handshake.name)
}

#[test]
fn a_certificate_comes_by_a_handshake_and_a_restart_does_not_ask_again() {
    let pebble = Pebble::start(Wanted::new());
    let mut machine = host(&pebble, "");
    let port = free_port();
    let said = add(&machine, port);
    assert!(said.contains("handshakes are refused") && said.contains(&format!("narthex show sslcert {}", key(port))), "{said}");
    let app = machine.app(&[&format!("https://{NAME}:{port}/")]);
    let valid = comes_to(&machine, port, "valid");
    assert_eq!(name_at(port).as_deref(), Some(NAME));
    assert!(valid["certificate"]["issuer"].as_str().is_some_and(|issuer| issuer.contains("Pebble")), "{valid}");
    assert_eq!(progress(&machine)["challenge"], "tls-alpn-01");
    assert!(machine.narthex("dump").done().contains(&format!("narthex add sslcert {} acme\n", key(port))));
    let second = free_port();
    let said = add(&machine, second);
    assert!(!said.contains("refused"), "the certificate is there for the second port at once: {said}");
    assert_eq!(fingerprint(&shown(&machine, second)), fingerprint(&valid));
    drop(app);
    machine.host.crash();
    machine.restart();
    let _app = machine.app(&[&format!("https://{NAME}:{port}/")]);
    assert_eq!(name_at(port).as_deref(), Some(NAME), "the certificate is there from the first moment");
    assert_eq!(fingerprint(&comes_to(&machine, port, "valid")), fingerprint(&valid));
    assert_eq!(pebble.orders(), 1);
}

#[test]
fn a_certificate_comes_by_a_file_which_the_host_answers_before_apps() {
    let wanted = Wanted::new();
    let http = wanted.http_port;
    let pebble = Pebble::start(wanted);
    let machine = host(&pebble, "acme_challenge = \"http-01\"\n");
    machine.narthex(&format!("add urlacl url=http://+:{http}/ user=Everyone")).done();
    let app = machine.app(&[&format!("http://+:{http}/")]);
    let port = free_port();
    add(&machine, port);
    comes_to(&machine, port, "valid");
    assert_eq!(progress(&machine)["challenge"], "http-01");
    let log = pebble.log();
    let token =
        log.split("/.well-known/acme-challenge/").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("it asked");
    let path = format!("/.well-known/acme-challenge/{token}");
    let answer = eventually("the app to be asked again", || {
        let question = format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
        let answer = request(&mut app.connect(), &question);
        (answer.header("content-type") != Some("application/octet-stream")).then_some(answer)
    });
    assert_eq!(answer.status, get(&mut app.connect(), "/.well-known/acme-challenge/other").status, "the question is over");
    assert_eq!(get(&mut app.connect(), "/whoami").status, 200);
}

#[test]
fn a_port_that_nobody_serves_is_open_for_the_question_only() {
    let wanted = Wanted::new();
    let (tls, http) = (wanted.tls_port, wanted.http_port);
    let pebble = Pebble::start(wanted);
    let machine = host(&pebble, "");
    let port = free_port();
    add(&machine, port);
    comes_to(&machine, port, "valid");
    closes(tls);
    machine.narthex("add setting settingtype=acme_challenge value=http-01").done();
    let other = format!("hostnameport=www.example.com:{port}");
    machine.narthex(&format!("add sslcert {other} acme")).done();
    eventually("the other certificate", || {
        machine.narthex(&format!("show sslcert {other}")).done().contains("Renewed at").then_some(())
    });
    closes(http);
    assert_eq!(pebble.orders(), 2);
}

#[test]
fn a_certificate_is_renewed_before_its_end_and_no_connection_is_dropped() {
    let pebble = Pebble::start(Wanted { lifetime: 9, ..Wanted::new() });
    let port = free_port();
    let machine = host(&pebble, &binding(port));
    let _app = machine.app(&[&format!("https://{NAME}:{port}/")]);
    let first = comes_to(&machine, port, "valid");
    let mut open = Connection::open(port, NAME);
    assert!(open.get_of(NAME, "/whoami").starts_with("HTTP/1.1 200 "));
    let second = eventually("the next certificate", || {
        let now = shown(&machine, port);
        assert!(now["certificate"].is_object(), "the old one goes on: {now}");
        (fingerprint(&now) != fingerprint(&first)).then_some(now)
    });
    let time = |shown: &Value, what: &str| shown["certificate"][what].as_str().expect("it is text").to_owned();
    assert!(time(&second, "not_before") <= time(&first, "not_after"), "in time: {first} {second}");
    assert!(open.get_of(NAME, "/whoami").starts_with("HTTP/1.1 200 "), "a connection outlives its certificate");
}

#[test]
fn a_failure_is_told_with_what_to_do_and_the_next_try_is_later() {
    let pebble = Pebble::start(Wanted::new());
    let (port, wrong) = (free_port(), [free_port(), free_port()]);
    let settings = pebble.settings();
    let elsewhere: String = settings
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("acme_tls_port", _)) => format!("acme_tls_port = {}\n", wrong[0]),
            Some(("acme_http_port", _)) => format!("acme_http_port = {}\n", wrong[1]),
            _ => format!("{line}\n"),
        })
        .collect();
    let mut machine = Machine::with(&format!("{elsewhere}{AGREED}{}", binding(port)), &["--listen", "127.0.0.1"]);
    let _app = machine.app(&[&format!("https://{NAME}:{port}/")]);
    let waits = comes_to(&machine, port, "waiting");
    assert!(waits["certificate"].is_null() && name_at(port).is_none(), "there is none: {waits}");
    // Both ways are tried before anything is waited for.
    assert_eq!((&waits["acme"]["failures"], pebble.orders()), (&2.into(), 2), "{waits}");
    let problem = waits["acme"]["problem"].as_str().expect("there is a problem");
    assert!(problem.contains("HTTP-01") && problem.contains("port 80 from the internet"), "{problem}");
    machine.logged("by TLS-ALPN-01 that shop.example.com is this machine");
    let text = machine.narthex(&format!("show sslcert {}", key(port))).done();
    assert!(text.contains("Failed 2 times, next try at") && text.contains("Problem"), "{text}");
    let pause = seconds_of(&waits["acme"]["next"]) - now();
    assert!((60..=180).contains(&pause), "two minutes, and up to half of that more: {pause} s");
    // Nobody has mended anything.
    machine.host.crash();
    machine.restart();
    assert_eq!(comes_to(&machine, port, "waiting")["acme"], waits["acme"]);
    // The time has come.
    machine.host.crash();
    let file = files(&machine).join(format!("{NAME}.json"));
    let mut edited = progress(&machine);
    edited["next_try"] = "2020-01-01T00:00:00Z".into();
    fs::write(&file, edited.to_string()).expect("the file can be written");
    machine.restart();
    eventually("the third failure", || (progress(&machine)["failures"] == 3).then_some(()));
    // Somebody has mended it.
    machine.edit(|_| format!("{settings}{AGREED}{}", binding(port)));
    machine.narthex("reload").done();
    let valid = comes_to(&machine, port, "valid");
    assert!(valid["acme"]["problem"].is_null() && valid["acme"]["failures"] == 0, "{valid}");
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_secs()).expect("it is not the end of time")
}

/// The seconds of an RFC 3339 time, by the `date` command.
fn seconds_of(time: &Value) -> i64 {
    let time = time.as_str().expect("it is text");
    let output = std::process::Command::new("date").args(["-u", "+%s", "-d", time]).output().expect("date is there");
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or_else(|_| panic!("{time}"))
}

#[test]
fn a_host_that_is_killed_during_an_order_goes_on_with_it() {
    let pebble = Pebble::start(Wanted { hesitates: 2, ..Wanted::new() });
    let port = free_port();
    let mut machine = host(&pebble, &binding(port));
    let has = |machine: &Machine, kind: &str| files(machine).join(format!("{NAME}.{kind}")).exists();
    eventually("a key", || has(&machine, "key").then_some(()));
    machine.host.crash();
    machine.restart();
    has_placed_an_order(&machine);
    machine.host.crash();
    let placed = progress(&machine)["order"].clone();
    machine.restart();
    machine.logged("asking https://localhost");
    eventually("the certificate's file, or a failure", || {
        // The CA may have come while nobody was there.
        (has(&machine, "pem") || progress(&machine)["order"] != placed).then_some(())
    });
    machine.host.crash();
    machine.restart();
    // Where the CA came in vain twice, the host would wait for minutes: somebody says that it is there again.
    machine.narthex("add setting settingtype=acme_contact value=admin@example.com").done();
    let valid = comes_to(&machine, port, "valid");
    let _app = machine.app(&[&format!("https://{NAME}:{port}/")]);
    assert_eq!(name_at(port).as_deref(), Some(NAME), "{valid}");
    let left = fs::read_dir(files(&machine)).expect("it is there").map(|entry| entry.expect("it can be read").file_name());
    let mut left: Vec<_> = left.map(|name| name.to_string_lossy().into_owned()).collect();
    left.sort();
    assert_eq!(left, ["accounts", "shop.example.com.json", "shop.example.com.pem"]);
}

#[test]
fn a_ca_that_is_not_there_keeps_nobody_from_starting() {
    let mut pebble = Pebble::start(Wanted::new());
    pebble.stop();
    let port = free_port();
    let machine = host(&pebble, &binding(port));
    let _app = machine.app(&[&format!("https://{NAME}:{port}/")]);
    let waits = comes_to(&machine, port, "waiting");
    let problem = waits["acme"]["problem"].as_str().expect("there is a problem");
    assert!(problem.contains("cannot ask https://localhost:") && problem.contains("check acme_directory"), "{problem}");
    assert_eq!(name_at(port), None);
    let explained = machine.narthex(&format!("explain https://{NAME}:{port}/ --local 127.0.0.1:{port}")).done();
    assert!(explained.contains(&format!("narthex show sslcert {}", key(port))), "{explained}");
    pebble.restart();
    machine.narthex("add setting settingtype=acme_contact value=admin@example.com").done();
    comes_to(&machine, port, "valid");
    assert_eq!(name_at(port).as_deref(), Some(NAME));
}

#[test]
fn nothing_is_asked_before_the_terms_are_agreed_to() {
    let pebble = Pebble::start(Wanted::new());
    let port = free_port();
    let machine = Machine::with(&format!("{}{}", pebble.settings(), binding(port)), &["--listen", "127.0.0.1"]);
    let agree = "narthex add setting settingtype=acme_terms_agreed value=true";
    let refused = machine.narthex(&format!("add sslcert hostnameport=www.example.com:{port} acme")).refused();
    assert!(refused.contains(agree) && refused.contains("nothing was changed"), "{refused}");
    let stopped = comes_to(&machine, port, "stopped");
    assert!(stopped["acme"]["problem"].as_str().is_some_and(|problem| problem.contains(agree)), "{stopped}");
    assert!(!pebble.log().contains("calling handler"), "{}", pebble.log());
    machine.sh(agree).done();
    comes_to(&machine, port, "valid");
}

#[test]
fn a_binding_that_is_deleted_during_its_order_is_asked_for_no_more_until_it_is_added_again() {
    let wanted = Wanted { hesitates: 3, ..Wanted::new() };
    let tls = wanted.tls_port;
    let pebble = Pebble::start(wanted);
    let machine = host(&pebble, "");
    let port = free_port();
    add(&machine, port);
    has_placed_an_order(&machine);
    machine.narthex(&format!("delete sslcert {}", key(port))).done();
    closes(tls);
    let placed = progress(&machine);
    add(&machine, port);
    comes_to(&machine, port, "valid");
    let said = machine.narthex(&format!("delete sslcert {}", key(port))).done();
    let file = files(&machine).join(format!("{NAME}.pem"));
    assert!(said.contains(&format!("stay in {}", file.display())) && file.exists(), "{said}");
    let said = add(&machine, port);
    assert!(!said.contains("refused") && shown(&machine, port)["certificate"].is_object(), "it is used again: {said}");
    assert!(placed["order"]["url"].is_string() && pebble.orders() <= 3, "{placed} {}", pebble.log());
}

#[test]
fn a_ca_that_wants_to_know_whose_account_it_is_is_told() {
    let pebble = Pebble::start(Wanted {
        external_key: Some("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"),
        ..Wanted::new()
    });
    let port = free_port();
    let machine = host(&pebble, &binding(port));
    let waits = comes_to(&machine, port, "waiting");
    assert!(waits["acme"]["problem"].as_str().is_some_and(|problem| problem.contains("set acme_eab_key_id")), "{waits}");
    let file = directory(&machine).join("eab.key");
    fs::write(&file, "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n").expect("a file can be written");
    machine.narthex(&format!("add setting settingtype=acme_eab_key_file value={}", file.display())).done();
    machine.narthex("add setting settingtype=acme_eab_key_id value=narthex").done();
    comes_to(&machine, port, "valid");
}

#[test]
fn a_ca_that_has_forgotten_the_account_gets_a_new_one() {
    let mut pebble = Pebble::start(Wanted::new());
    let (port, other) = (free_port(), free_port());
    let machine = host(&pebble, &binding(port));
    comes_to(&machine, port, "valid");
    pebble.restart();
    let key = format!("hostnameport=www.example.com:{other}");
    machine.narthex(&format!("add sslcert {key} acme")).done();
    eventually("the other certificate", || {
        machine.narthex(&format!("show sslcert {key}")).done().contains("Renewed at").then_some(())
    });
    let accounts = fs::read_dir(files(&machine).join("accounts")).expect("it is there").count();
    assert_eq!(accounts, 2, "the old key is kept");
}

#[test]
fn a_site_that_has_files_keeps_them_until_the_ca_has_issued() {
    let mut pebble = Pebble::start(Wanted::new());
    pebble.stop();
    let machine = host(&pebble, "");
    let port = free_port();
    let old = crate::operators::openssl::Certificate::new(&directory(&machine), "old", &[NAME]);
    machine.narthex(&format!("add sslcert {} {}", key(port), old.options())).done();
    let _app = machine.app(&[&format!("https://{NAME}:{port}/")]);
    machine.narthex(&format!("update sslcert {} acme", key(port))).done();
    comes_to(&machine, port, "waiting");
    assert_eq!(name_at(port).as_deref(), Some("old"));
    pebble.restart();
    machine.narthex("add setting settingtype=acme_contact value=admin@example.com").done();
    comes_to(&machine, port, "valid");
    assert_eq!(name_at(port).as_deref(), Some(NAME));
}
