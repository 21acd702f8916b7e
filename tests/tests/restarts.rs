//! Apps and hosts that are restarted while clients ask: nothing is lost.
#![allow(clippy::disallowed_methods, reason = "processes die and are born in real time")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use narthex_tests::load::{Asked, Load};
use narthex_tests::process::narthex_program;
use narthex_tests::secure::free_port;
use narthex_tests::{App, AppOptions, Client, Host, Process, Provider};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

const RESTARTS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(20);
/// A named queue waits for 10 s if nobody says otherwise.
const LESS_THAN_GRACE: Duration = Duration::from_secs(5);

struct Stage {
    host: Host,
    directory: TempDir,
}

impl Stage {
    fn new(settings: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let host = Host::start_configured(directory.path(), 2, &format!("[settings]\n{settings}\n"));
        Self { host, directory }
    }

    fn app(&self, name: &str, port: u16, queue: &str) -> App {
        let options = AppOptions::new(name, format!("http://127.0.0.1:{port}/")).arguments(["--queue", queue]);
        App::start(Provider::Shared, Some(&self.host), &options)
    }
}

fn stop(mut app: App) {
    app.process.terminate();
    assert!(app.process.wait(PATIENCE).success());
}

fn failed(results: &BTreeMap<usize, Asked>) -> Vec<(&usize, &Asked)> {
    results.iter().filter(|(_, asked)| asked.result.is_err()).collect()
}

fn whoami(address: SocketAddr) -> String {
    let mut client = Client::connect(address).unwrap();
    client.send(b"GET /whoami HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    client.response(false).unwrap().text()
}

/// Has clients ask while `restart` is called again and again, with `between` requests before each.
fn under_load(address: SocketAddr, between: usize, mut restart: impl FnMut(usize)) -> BTreeMap<usize, Asked> {
    let load = Load::start(address, 5);
    for round in 0..RESTARTS {
        load.more(between);
        restart(round);
    }
    load.more(between);
    load.end()
}

fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

/// Waits until nobody listens there. A host closes its port a moment after the last app has gone.
fn wait_until_refused(address: SocketAddr, limit: Duration, why: &str) {
    let deadline = Instant::now() + limit;
    while !is_refused(address) {
        assert!(Instant::now() < deadline, "the port is open: {why}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_new_process_takes_over_while_the_old_one_drains_and_no_request_fails() {
    let stage = Stage::new("");
    let mut app = stage.app("first", 0, "shop");
    let address = app.address;
    let results = under_load(address, 100, |round| {
        let next = stage.app(&format!("app{round}"), address.port(), "shop");
        stop(std::mem::replace(&mut app, next));
    });
    assert!(failed(&results).is_empty(), "{:?}", failed(&results));
    assert_eq!(whoami(address), format!("app{}", RESTARTS - 1));
}

/// Processes that are nobody's children end with this.
struct Successors<'a>(&'a Stage);

impl Successors<'_> {
    fn ids(&self) -> Vec<u32> {
        let state = self.0.host.operate_json(&["show", "servicestate"]);
        let queues = state["queues"].as_array().unwrap().iter();
        queues.flat_map(|queue| queue["processes"].as_array().unwrap()).map(|id| id.as_u64().unwrap() as u32).collect()
    }
}

impl Drop for Successors<'_> {
    fn drop(&mut self) {
        for id in self.ids() {
            let _ = std::process::Command::new("kill").args(["-9", &id.to_string()]).status();
        }
    }
}

#[test]
fn a_queue_is_restarted_by_a_verb_and_no_request_fails() {
    let stage = Stage::new("");
    // A successor is started with the same arguments: not with port 0.
    let (mut app, mut other) = (stage.app("one", free_port(), "shop"), None);
    let address = app.address;
    let successors = Successors(&stage);
    let mut before = successors.ids();
    let results = under_load(address, 50, |round| {
        if round == 5 {
            other = Some(stage.app("two", address.port(), "shop"));
            before = successors.ids();
        }
        let said = stage.host.operate(&["restart", "shop"]);
        let all = successors.ids();
        assert!(all.len() == before.len() && !all.iter().any(|id| before.contains(id)), "{said}: {before:?}, then {all:?}");
        before = all;
    });
    assert!(failed(&results).is_empty(), "{:?}", failed(&results));
    // They write where the first ones did, who are heard to the end.
    drop(successors);
    assert!(app.process.wait(PATIENCE).success() && other.unwrap().process.wait(PATIENCE).success());
}

#[test]
fn a_queue_whose_successor_does_not_come_goes_on() {
    let stage = Stage::new("");
    // Its program has been replaced by one that cannot be started.
    let program = stage.directory.path().join("app");
    std::fs::copy(narthex_tests::process::app_program(), &program).unwrap();
    let mut command = std::process::Command::new(&program);
    command.args([
        "--provider",
        "shared",
        "--name",
        "app",
        "--prefix",
        "http://127.0.0.1:0/",
        "--queue",
        "shop",
        "--host-socket",
    ]);
    let mut process = Process::start("app", command.arg(stage.host.socket()));
    process.line("ready ");
    std::fs::remove_file(&program).unwrap();
    std::fs::write(&program, "no program").unwrap();
    let restart = |queue: &str| {
        let mut command = std::process::Command::new(narthex_program());
        let output = command.args(["restart", queue, "--socket"]).arg(stage.host.socket()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let error = restart("shop");
    assert!(error.contains("goes on: it cannot start its successor"), "{error}");
    assert_eq!(processes(&stage), 1);
    let error = restart("nobody");
    assert!(error.contains("there is no request queue \"nobody\""), "{error}");
    process.terminate();
    assert!(process.wait(PATIENCE).success());
}

#[test]
fn web_sockets_are_told_that_the_server_restarts_and_when_to_come() {
    let stage = Stage::new("");
    let options = AppOptions::new("app", "http://127.0.0.1:0/").arguments(["--queue", "shop"]);
    let app = App::start(Provider::Shared, Some(&stage.host), &options);
    let url = format!("ws://{}/hub", app.address);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut socket, _) = runtime.block_on(tokio_tungstenite::connect_async(url)).unwrap();
    app.process.terminate();
    let end = runtime.block_on(async { tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() });
    let Message::Close(Some(frame)) = end else { panic!("{end:?}") };
    assert_eq!(u16::from(frame.code), 1012);
    assert_eq!(frame.reason, "the server restarts: reconnect within 1 s, at random");
}

#[test]
fn requests_wait_while_the_only_process_is_stopped_and_started() {
    let stage = Stage::new("");
    let app = stage.app("first", 0, "shop");
    let address = app.address;
    let mut running = Some(app);
    let results = under_load(address, 100, |round| {
        running.take().into_iter().for_each(stop);
        running = Some(stage.app(&format!("app{round}"), address.port(), "shop"));
    });
    assert!(failed(&results).is_empty(), "{:?}", failed(&results));
}

#[test]
fn a_process_that_is_killed_loses_only_what_must_not_be_asked_twice() {
    let stage = Stage::new("");
    let mut app = stage.app("first", 0, "shop");
    let address = app.address;
    let results = under_load(address, 100, |round| {
        app.process.crash();
        app = stage.app(&format!("app{round}"), address.port(), "shop");
    });
    let lost = failed(&results);
    let safe: Vec<_> = lost.iter().filter(|(_, asked)| asked.safe).collect();
    assert!(safe.is_empty(), "{safe:?}");
    // What a process had in hand, and no more: no client was refused or waited in vain.
    assert!(lost.iter().all(|(_, asked)| asked.result.as_ref().is_err_and(|error| error.starts_with("502"))), "{lost:?}");
}

#[test]
fn what_kills_every_process_that_reads_it_is_not_asked_for_ever() {
    let stage = Stage::new("");
    let mut app = stage.app("first", 0, "shop");
    let address = app.address;
    let mut client = Client::connect(address).unwrap();
    client.send(b"GET /slow?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    for round in 0..2 {
        let in_progress = || stage.host.operate_json(&["show", "servicestate"])["queues"][0]["in_progress"].clone();
        let deadline = Instant::now() + PATIENCE;
        while in_progress() != 1 {
            assert!(Instant::now() < deadline, "the request does not reach process {round}");
        }
        app.process.crash();
        app = stage.app("next", address.port(), "shop");
    }
    assert_eq!(client.response(false).unwrap().status, 502);
    assert_eq!(whoami(address), "next");
}

#[test]
fn a_queue_waits_as_long_as_it_is_told_and_then_its_port_is_closed() {
    let stage = Stage::new("restart_grace = 1");
    let app = stage.app("only", 0, "shop");
    let address = app.address;
    let mut waiting = Client::connect(address).unwrap();
    stop(app);
    waiting.send(b"GET /whoami HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(!is_refused(address), "the port stays open");
    let response = waiting.response(false).unwrap();
    assert_eq!((response.status, response.header("retry-after").is_some()), (503, true));
    wait_until_refused(address, PATIENCE, "nobody has come");
    assert_eq!(stage.host.operate_json(&["show", "servicestate"])["sessions"].as_array().unwrap().len(), 0);
}

#[test]
fn who_registers_the_url_with_another_queue_does_not_wait() {
    let stage = Stage::new("");
    let app = stage.app("old", 0, "old");
    let address = app.address;
    stop(app);
    let app = stage.app("new", address.port(), "new");
    assert_eq!(whoami(address), "new");
    // With the old queue nothing is left of the old process.
    stop(app);
    let options = AppOptions::new("unnamed", format!("http://127.0.0.1:{}/", address.port()));
    let app = App::start(Provider::Shared, Some(&stage.host), &options);
    assert_eq!(whoami(address), "unnamed");
    stop(app);
    wait_until_refused(address, LESS_THAN_GRACE, "a queue without a name waits for nobody");
}

#[test]
fn grace_can_be_switched_off_for_the_whole_host() {
    let stage = Stage::new("restart_grace = 0");
    let app = stage.app("only", 0, "shop");
    let address = app.address;
    stop(app);
    wait_until_refused(address, LESS_THAN_GRACE, "there is no grace");
}

fn processes(stage: &Stage) -> usize {
    stage.host.operate_json(&["show", "servicestate"])["sessions"].as_array().unwrap().len()
}

#[test]
fn a_host_is_replaced_under_load_and_no_request_fails() {
    let mut stage = Stage::new("");
    let named = stage.app("named", 0, "shop");
    let prefix = format!("http://127.0.0.1:{}/blog/", named.address.port());
    let unnamed = App::start(Provider::Shared, Some(&stage.host), &AppOptions::new("unnamed", prefix));
    let load = Load::start(named.address, 5);
    let other = Load::start_at(named.address, "/blog", 5);
    let mut predecessors = Vec::new();
    for round in 0..RESTARTS {
        load.more(100);
        other.more(100);
        predecessors.push(stage.host.replace(1 + round % 3));
    }
    load.more(100);
    other.more(100);
    for results in [load.end(), other.end()] {
        assert!(failed(&results).is_empty(), "{:?}", failed(&results));
    }
    for mut predecessor in predecessors {
        assert!(predecessor.wait(Duration::from_secs(60)).success());
    }
    assert_eq!(processes(&stage), 2);
    stop(unnamed);
    stop(named);
}

#[test]
fn a_web_socket_of_a_replaced_host_goes_on_while_new_clients_reach_its_successor() {
    let mut stage = Stage::new("");
    let app = stage.app("app", 0, "shop");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = format!("ws://{}/ws", app.address);
    let (mut socket, _) = runtime.block_on(tokio_tungstenite::connect_async(url)).unwrap();
    let mut before = stage.host.replace(2);
    let echo = runtime.block_on(async {
        socket.send(Message::text("still there?")).await.unwrap();
        tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap()
    });
    assert_eq!(echo, Message::text("still there?"));
    assert_eq!(whoami(app.address), "app");
    // It is the last of the host before, which ends with it.
    assert!(!before.has_ended());
    drop(socket);
    assert!(before.wait(PATIENCE).success());
    assert_eq!(whoami(app.address), "app");
}

#[test]
fn who_cannot_take_over_says_why_and_the_host_goes_on() {
    let stage = Stage::new("");
    let app = stage.app("app", 0, "shop");
    let run = |directory: &std::path::Path| {
        let mut command = std::process::Command::new(narthex_program());
        let output = command.args(["host", "--take-over", "--socket"]).arg(directory.join("host.sock")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let nowhere = TempDir::new().unwrap();
    let (code, error) = run(nowhere.path());
    assert!(
        code != Some(0) && error.contains("cannot take over") && error.contains("no Narthex host answers"),
        "{code:?} {error}"
    );
    std::fs::write(stage.directory.path().join("narthex.toml"), "[settings]\nsingle_acceptor = true\n").unwrap();
    let (code, error) = run(stage.directory.path());
    assert!(code != Some(0) && error.contains("single_acceptor"), "{code:?} {error}");
    assert_eq!(whoami(app.address), "app");
}

#[test]
fn an_operator_drains_an_app_and_kicks_one_that_may_not_come_back() {
    let stage = Stage::new("");
    let prefix = format!("http://127.0.0.1:{}/", free_port());
    let start = |name: &str| App::start(Provider::Shared, Some(&stage.host), &AppOptions::new(name, &prefix));
    let id = || stage.host.operate_json(&["show", "servicestate"])["sessions"][0]["id"].to_string();
    let mut drained = start("drained");
    let address = drained.address;
    let mut client = Client::connect(address).unwrap();
    client.send(b"GET /slow?ms=300 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let in_progress = || stage.host.operate_json(&["show", "servicestate"])["queues"][0]["in_progress"].clone();
    let deadline = Instant::now() + PATIENCE;
    while in_progress() != 1 {
        assert!(Instant::now() < deadline, "the request does not reach the app");
    }
    stage.host.operate(&["delete", "session", &format!("id={}", id())]);
    assert_eq!(client.response(false).unwrap().text(), "slow");
    assert!(drained.process.wait(PATIENCE).success());

    let mut kicked = start("kicked");
    let said = stage.host.operate(&["delete", "session", &format!("id={}", id()), "mode=kick"]);
    assert!(said.contains(&format!("process {} is cut off", kicked.process.id())), "{said}");
    wait_until_refused(address, PATIENCE, "its URL is still there");
    // Long enough for it to have tried to come back.
    for _ in 0..20 {
        assert!(is_refused(address), "it has come back: {}", kicked.process.log());
        assert!(!kicked.process.has_ended(), "it has given up: {}", kicked.process.log());
        std::thread::sleep(Duration::from_millis(25));
    }
    let after = start("after");
    assert_eq!(whoami(after.address), "after");
}
