//! Requests that end otherwise than with a whole answer, and hosts that end.

use std::time::{Duration, Instant};

use crate::logging::stage::{HANDSHAKE, JSON, SOON, Stage, ask, eventually, lines, object, send};

#[test]
fn a_download_that_its_client_breaks_off_has_a_line_with_what_was_sent() {
    let stage = Stage::new(JSON);
    let mut client = stage.connect();
    send(&mut client, "GET", "/bytes?n=50000000", "");
    client.bytes(1000).expect("the answer begins");
    client.reset().expect("the connection is there");
    let logged = stage.await_objects(1).remove(0);
    let sent = logged["bytes_sent"].as_u64().expect("bytes are counted");
    assert!((1000..50_000_000).contains(&sent), "{logged}");
    assert_eq!(logged["status"], 200);
    assert!(logged["reason"].is_string(), "{logged}");
}

#[test]
fn a_client_that_leaves_before_its_answer_has_a_line_without_a_status() {
    let stage = Stage::new(JSON);
    let mut client = stage.connect();
    send(&mut client, "GET", "/slow?ms=60000", "");
    std::thread::sleep(Duration::from_millis(100));
    client.reset().expect("the connection is there");
    let logged = stage.await_objects(1).remove(0);
    assert_eq!((logged.get("status"), &logged["path"]), (None, &"/slow".into()), "{logged}");
}

#[test]
fn an_answer_that_its_app_breaks_off_has_one_line() {
    let stage = Stage::new(JSON);
    let mut client = stage.connect();
    send(&mut client, "GET", "/break-off?chunks=3&size=100", "");
    assert!(client.response(false).is_err());
    let logged = stage.await_objects(1).remove(0);
    assert_eq!(logged["path"], "/break-off");
}

#[test]
fn a_client_that_leaves_a_web_socket_without_a_close_is_no_failure() {
    let stage = Stage::new(JSON);
    for path in ["/hub", "/ws"] {
        let mut client = stage.connect();
        assert_eq!(ask(&mut client, "GET", path, HANDSHAKE).status, 101, "{path}");
        drop(client);
    }
    for line in stage.await_objects(2) {
        assert_eq!((&line["status"], line.get("reason")), (&101.into(), None), "{line}");
    }
}

#[test]
fn an_app_that_dies_leaves_a_line_for_each_of_its_requests() {
    let mut stage = Stage::new(JSON);
    let mut clients: Vec<_> = (0..10).map(|_| stage.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        send(client, "GET", &format!("/slow?ms=60000&{number}=1"), "");
    }
    std::thread::sleep(Duration::from_millis(200));
    stage.app.process.crash();
    clients.iter_mut().for_each(|client| assert_eq!(client.response(false).expect("it is answered").status, 502));
    let logged = stage.await_objects(10);
    assert!(logged.iter().all(|line| line["status"] == 502 && line["reason"].is_string()), "{logged:#?}");
}

#[test]
fn a_host_that_is_stopped_loses_no_line() {
    let mut stage = Stage::new(JSON);
    let mut client = stage.connect();
    for number in 0..500 {
        ask(&mut client, "GET", &format!("/?{number}"), "");
    }
    // One is still under way.
    let mut slow = stage.connect();
    send(&mut slow, "GET", "/slow?ms=300", "");
    std::thread::sleep(Duration::from_millis(50));
    stage.host.process.terminate();
    assert_eq!(slow.response(false).expect("a stopping host lets requests finish").status, 200);
    assert!(stage.host.process.wait(SOON).success());
    let logged = lines(&stage.logs());
    assert_eq!(logged.len(), 501);
    assert_eq!(logged.iter().filter(|line| object(line)["path"] == "/slow").count(), 1);
}

#[test]
fn a_host_that_is_killed_has_written_all_but_the_last_second() {
    let mut stage = Stage::new(JSON);
    let mut client = stage.connect();
    let mut asked = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        ask(&mut client, "GET", &format!("/?{}", asked.len()), "");
        asked.push(Instant::now());
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = Instant::now();
    stage.host.process.crash();
    let older = asked.iter().filter(|at| killed.duration_since(**at) > Duration::from_secs(1)).count();
    let logged = lines(&stage.logs());
    assert!((older..=asked.len()).contains(&logged.len()), "{} of {} lines, {older} are older", logged.len(), asked.len());
    for (number, line) in logged.iter().enumerate() {
        assert_eq!(object(line)["query"], number.to_string());
    }
}

#[test]
fn lines_arrive_by_themselves_and_at_once_on_a_flush() {
    let stage = Stage::new(JSON);
    stage.get("/");
    eventually("a line without a flush", || lines(&stage.logs()).len() == 1);
    // The flush hands over what the 250 ms of a buffer would still hold back; often enough that luck does not explain it.
    let mut client = stage.connect();
    for number in 2..22 {
        ask(&mut client, "GET", "/", "");
        assert_eq!(stage.lines().len(), number);
    }
}
