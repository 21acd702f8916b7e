//! What changes while clients ask: new processes, another file, a queue that an operator stops.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use narthex_tests::web_socket::Message;
use rustix::process::Signal;

use super::stage::{NODE, Stage, is_alive, programs};

#[test]
fn a_rolling_restart_loses_no_request() {
    let stage = Stage::start(&["--instances", "2", "--queue", "blog"], &NODE);
    let load = stage.load("/blog/whoami");
    for restart in 1..=4 {
        load.goes_on(50);
        let old = stage.pid("/blog/");
        if restart % 2 == 0 {
            stage.signal(Signal::USR2);
        } else {
            stage.host.operate(&["restart", "blog"]);
        }
        stage.until(|| stage.run.log().matches("is ready").count() == 2 + 2 * restart);
        stage.until(|| !is_alive(old));
    }
    load.goes_on(50);
    load.nothing_was_lost();
}

#[tokio::test]
async fn a_web_socket_is_told_goodbye_by_its_program_and_can_come_back() {
    let stage = tokio::task::spawn_blocking(|| Stage::start(&[], &NODE)).await.unwrap();
    let url = format!("ws://{}/blog/echo", stage.address());
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.expect("the program wants a WebSocket");
    stage.signal(Signal::USR2);
    let goodbye = socket.next().await.expect("something comes").expect("it is a message");
    assert!(matches!(&goodbye, Message::Close(Some(close)) if u16::from(close.code) == 1012), "{goodbye:?}");
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.expect("the new one wants a WebSocket");
    socket.send(Message::text("again")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("again"));
}

#[tokio::test]
async fn the_end_does_not_wait_for_web_sockets_which_are_told_goodbye() {
    let mut stage = tokio::task::spawn_blocking(|| Stage::start(&[], &NODE)).await.unwrap();
    let url = format!("ws://{}/blog/echo", stage.address());
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.expect("the program wants a WebSocket");
    let begun = std::time::Instant::now();
    stage.run.terminate();
    let goodbye = socket.next().await.expect("something comes").expect("it is a message");
    assert!(matches!(&goodbye, Message::Close(Some(close)) if u16::from(close.code) == 1012), "{goodbye:?}");
    // The answer to it; then the connection ends.
    while socket.next().await.is_some() {}
    assert!(stage.run.wait(super::stage::PATIENCE).success(), "{}", stage.run.log());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn a_new_process_that_does_not_start_leaves_the_old_one_where_it_is() {
    for listen in ["port", "fd"] {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("server.mjs");
        std::fs::copy(programs().join("server.js"), &program).unwrap();
        let options = ["--listen", listen, "--watch", program.to_str().unwrap(), "--cwd", directory.path().to_str().unwrap()];
        let stage = Stage::start(&options, &["node", "server.mjs"]);
        let first = stage.pid("/blog/");
        std::fs::write(&program, "this is no program").unwrap();
        stage.until_logged("goes on");
        assert_eq!(stage.pid("/blog/"), first);
        // Mended, it takes over by itself.
        std::fs::copy(programs().join("server.js"), &program).unwrap();
        stage.until(|| stage.pid("/blog/") != first);
    }
}

const TWO: &str = r#"
[one]
prefix = "http://127.0.0.1:PORT/one/"
command = ["node", "server.js"]
cwd = "PROGRAMS"

[two]
prefix = "http://127.0.0.1:PORT/two/"
command = ["node", "server.js"]
cwd = "PROGRAMS"
"#;

#[test]
fn a_changed_file_changes_what_has_changed_in_it_and_nothing_else() {
    let stage = Stage::configured(TWO);
    stage.until_served("/one/");
    stage.until_served("/two/");
    let (one, two) = (stage.pid("/one/"), stage.pid("/two/"));
    let load = stage.load("/one/whoami");

    // Another command, and one program more.
    let more = TWO.replacen("[two]", "[two]\nenv = { A = \"1\" }", 1)
        + "[three]\nprefix = \"http://127.0.0.1:PORT/three/\"\ncommand = [\"python3\", \"server.py\"]\ncwd = \"PROGRAMS\"\n";
    stage.configure(&more);
    stage.until_served("/three/");
    stage.until(|| stage.pid("/two/") != two);
    assert_eq!(stage.pid("/one/"), one);

    // A mistake changes nothing.
    stage.configure(&more.replace("[three]", "[three]\nprefx = 1"));
    stage.until_logged("Everything stays as it is");
    assert!(stage.run.log().contains("unknown field `prefx`"), "{}", stage.run.log());
    assert_eq!(stage.get("/three/whoami").status, 200);

    // Other prefixes, more processes, and one program less; at once, by signal.
    stage.configure(&TWO.replace("/two/\"", "/zwei/\"").replacen("[one]", "[one]\ninstances = 2", 1));
    stage.signal(Signal::HUP);
    stage.until_served("/zwei/");
    stage.until(|| stage.get("/two/whoami").status == 404 && stage.get("/three/whoami").status == 404);
    stage.until_logged("one.2 is ready");
    stage.until(|| stage.pid("/one/") != one);
    stage.until(|| stage.pid("/one/") == one);

    // And fewer again.
    stage.configure(&TWO.replace("/two/\"", "/zwei/\""));
    stage.signal(Signal::HUP);
    let second = || (0..4).find_map(|_| Some(stage.pid("/one/")).filter(|pid| *pid != one));
    stage.until(|| second().is_none());
    assert!(is_alive(one));
    load.nothing_was_lost();
}

#[test]
fn what_a_program_is_registered_with_can_change_too() {
    let stage = Stage::configured(TWO);
    stage.until_served("/one/");
    stage.configure(&TWO.replacen("[one]", "[one]\non_demand = true", 1));
    stage.until_logged("one is stopped");
    stage.until_served("/one/");
    // It is served before its line is read here.
    stage.until(|| stage.run.log().matches("ready one ").count() == 2);
}

#[test]
fn an_operator_pauses_and_resumes_a_program_by_its_queue() {
    let stage = Stage::start(&["--queue", "blog"], &NODE);
    let state = stage.host.operate_json(&["show", "servicestate"]);
    let queue = state["sessions"].as_array().unwrap().iter().find_map(|session| {
        let group = session["groups"].as_array()?.iter().find(|group| group["urls"].to_string().contains("/blog/"))?;
        group["queue"].as_u64()
    });
    let id = format!("id={}", queue.unwrap_or_else(|| panic!("no queue in {state}")));
    let address = stage.address();
    let running = std::thread::spawn(move || super::stage::get(address, "/blog/slow?ms=1000"));
    stage.until_logged("slow begins");
    stage.host.operate(&["update", "queue", &id, "state=inactive"]);
    assert_eq!(stage.get("/blog/whoami").status, 503);
    assert_eq!(running.join().unwrap().text(), "slow but sure");
    stage.host.operate(&["update", "queue", &id, "state=active"]);
    assert_eq!(stage.get("/blog/whoami").status, 200);
}

#[test]
fn two_runs_of_one_queue_share_it_and_one_may_go() {
    let stage = Stage::start(&["--queue", "blog"], &NODE);
    let prefix = format!("http://127.0.0.1:{}/blog/", stage.port);
    let mut command = std::process::Command::new(narthex_tests::process::narthex_program());
    command.args(["run", "--socket"]).arg(stage.host.socket()).args(["--prefix", &prefix, "--queue", "blog", "--cwd"]);
    command.arg(programs()).args(["--", "node", "server.js"]);
    let mut second = narthex_tests::Process::start("second", &mut command);
    second.line("ready server ");
    let load = stage.load("/blog/whoami");
    load.goes_on(50);
    second.terminate();
    assert!(second.wait(Duration::from_secs(20)).success());
    load.goes_on(50);
    load.nothing_was_lost();
}
