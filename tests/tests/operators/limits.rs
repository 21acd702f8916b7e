//! Timers and limits that are set while an app runs hold from then on.

use std::time::{Duration, Instant};

use narthex_tests::Ending;

use crate::operators::machine::{Machine, get, request};

#[test]
fn the_header_timer_holds_for_the_next_connection() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/"]);
    machine.narthex("add timeout timeouttype=headerwaittimeout value=1").done();
    let mut client = app.connect();
    let begun = Instant::now();
    client.send(b"GET / HTTP/1.1\r\nHo").expect("the host reads");
    let response = client.response_within(false, Duration::from_secs(10)).expect("the host does not wait for long");
    assert_eq!(response.status, 408);
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[test]
fn the_idle_timer_holds_for_the_next_connection() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/"]);
    machine.narthex("add timeout timeouttype=idleconnectiontimeout value=1").done();
    let mut client = app.connect();
    assert_eq!(get(&mut client, "/whoami").status, 200);
    assert_eq!(client.ending(Duration::from_secs(10)), Ending::Closed);
}

/// A setting, a value, a request that it forbids, and the status that says so.
fn limits() -> Vec<(&'static str, &'static str, String, u16)> {
    let with = |field: &str| format!("GET /whoami HTTP/1.1\r\nHost: x\r\n{field}\r\n");
    vec![
        ("max_request_body", "10", format!("POST /len HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{}", "b".repeat(11)), 413),
        ("max_url_length", "64", format!("GET /whoami?{} HTTP/1.1\r\nHost: x\r\n\r\n", "q".repeat(64)), 414),
        ("max_request_bytes", "256", with(&format!("X-Long: {}\r\n", "v".repeat(300))), 431),
        ("max_header_count", "5", with(&"X-One: 1\r\n".repeat(6)), 431),
        ("max_field_length", "64", with(&format!("X-Long: {}\r\n", "v".repeat(64))), 431),
        ("url_segment_max_length", "5", with(""), 400),
        ("url_segment_max_count", "1", "GET /status/200 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
    ]
}

#[test]
fn a_limit_holds_at_once_for_an_app_that_runs_and_goes_at_once() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/"]);
    for (setting, value, text, status) in limits() {
        assert_eq!(request(&mut app.connect(), &text).status, 200, "{setting} before");
        machine.narthex(&format!("add setting settingtype={setting} value={value}")).done();
        assert_eq!(request(&mut app.connect(), &text).status, status, "{setting}");
        machine.narthex(&format!("delete setting settingtype={setting}")).done();
        assert_eq!(request(&mut app.connect(), &text).status, 200, "{setting} after");
    }
}

#[test]
fn how_a_path_is_read_changes_at_once() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/"]);
    assert_eq!(app.status("/a\\b"), 400, "strict");
    machine.narthex("add setting settingtype=cooking value=httpsys").done();
    assert_ne!(app.status("/a\\b"), 400, "a separator, as HTTP.sys has it");
}

#[test]
fn the_connections_of_one_client_are_counted_from_then_on() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/"]);
    let mut before = app.connect();
    assert_eq!(get(&mut before, "/whoami").status, 200);
    machine.narthex("add setting settingtype=max_connections_per_client value=2").done();
    let mut counted = [app.connect(), app.connect()];
    for client in &mut counted {
        assert_eq!(get(client, "/whoami").status, 200);
    }
    assert_eq!(app.status("/whoami"), 503);
    assert_eq!(get(&mut before, "/whoami").status, 200, "who is there stays");
    machine.narthex("delete setting settingtype=max_connections_per_client").done();
    assert_eq!(app.status("/whoami"), 200);
}

#[test]
fn the_bandwidth_of_all_clients_is_limited_at_once() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/"]);
    machine.narthex("add setting settingtype=max_bandwidth value=400000").done();
    let begun = Instant::now();
    assert_eq!(get(&mut app.connect(), "/bytes?n=600000").body.len(), 600_000);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}
