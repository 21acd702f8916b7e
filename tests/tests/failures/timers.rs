//! The timers: what they are by default, where they come from, and whose run when.

use std::time::{Duration, Instant};

use narthex_proto::wire::{GroupSettings, Owner, Properties, QueueSettings, Timeouts};
use narthex_tests::wire_app::WireApp;
use narthex_tests::{Client, Ending};
use serde_json::{Value, json};

use crate::failures::scene::timed;
use crate::failures::stage::{SOON, Stage, get, seen, send};

const SECOND: Duration = Duration::from_secs(1);
/// Longer than a timer of one second needs, also on a busy machine.
const LONGER: Duration = Duration::from_millis(1800);
const PART: &str = "GET /part HTTP/1.1\r\nHost:";

fn of_session(app: &mut WireApp, timeouts: Timeouts) {
    let properties = Properties { timeouts, ..Properties::default() };
    app.try_set(Owner::Session, properties, QueueSettings::default()).expect("a session has timers");
}

/// The timers of the only group, as `show servicestate` has them.
fn shown(stage: &Stage) -> Value {
    stage.state()["sessions"][0]["groups"][0]["timeouts"].take()
}

fn shown_of(group: Timeouts) -> Value {
    let stage = Stage::new();
    let _app = WireApp::at(&stage.host, "http://127.0.0.1:0/", timed(group));
    shown(&stage)
}

/// A connection whose first request the app has answered.
fn second_request(app: &WireApp, address: std::net::SocketAddr) -> Client {
    let mut session = app.session();
    let mut client = Client::connect(address).expect("the host accepts connections");
    get(&mut client, "/first");
    let id = session.request();
    session.answer(id, "");
    assert_eq!(client.response_within(false, SOON).expect("the app answers").status, 200);
    client
}

/// How long it takes until the connection is closed; `None` if it stays open.
fn closed_after(client: &mut Client, wait: Duration) -> Option<Duration> {
    let begun = Instant::now();
    match client.ending(wait) {
        Ending::Open => None,
        Ending::Closed => Some(begun.elapsed()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_timer_has_its_documented_default() {
    let other_than_the_hosts = Timeouts { drain_entity_body: Some(7), ..Timeouts::default() };
    let expected = json!({
        "idle_connection": 120, "header_wait": 120, "entity_body": 120, "drain_entity_body": 7, "request_queue": 120,
        "min_send_rate": 150,
    });
    assert_eq!(shown_of(other_than_the_hosts), expected);
    let timers = shown_of(Timeouts { request_queue: Some(7), ..Timeouts::default() });
    assert_eq!(timers["drain_entity_body"], 120);
}

#[test]
fn zero_inherits_and_the_largest_value_disables() {
    let zero = Some(0);
    let all = Timeouts {
        idle_connection: zero,
        header_wait: zero,
        entity_body: zero,
        drain_entity_body: zero,
        request_queue: zero,
        min_send_rate: zero,
    };
    assert_eq!(shown_of(all), Value::Null, "all are the host's");
    let timers = shown_of(Timeouts { entity_body: Some(7), ..all });
    assert_eq!([&timers["header_wait"], &timers["request_queue"], &timers["min_send_rate"]], [120, 120, 150]);
    let never = Some(Timeouts::DISABLED);
    let all = Timeouts {
        idle_connection: never,
        header_wait: never,
        entity_body: never,
        drain_entity_body: never,
        request_queue: never,
        min_send_rate: Some(Timeouts::NO_MIN_SEND_RATE),
    };
    let timers = shown_of(all);
    let names = ["idle_connection", "header_wait", "entity_body", "drain_entity_body", "request_queue", "min_send_rate"];
    // Zero is how the state shows "never".
    assert!(names.iter().all(|name| timers[name] == 0), "{timers}");
}

#[test]
fn a_group_goes_before_its_session_and_a_session_before_the_host() {
    let stage = Stage::new();
    stage.verb("add timeout timeouttype=headerwaittimeout value=90");
    let own = Timeouts { entity_body: Some(3), ..Timeouts::default() };
    let (mut app, _) = WireApp::at(&stage.host, "http://127.0.0.1:0/", timed(own));
    of_session(&mut app, Timeouts { entity_body: Some(5), request_queue: Some(6), ..Timeouts::default() });
    let timers = shown(&stage);
    let of = |timers: &Value| ["entity_body", "request_queue", "header_wait"].map(|name| timers[name].as_u64());
    assert_eq!(of(&timers), [Some(3), Some(6), Some(90)]);

    // 0 gives the group's own up again.
    let none = Properties { timeouts: Timeouts { entity_body: Some(0), ..Timeouts::default() }, ..Properties::default() };
    app.change(none, QueueSettings::default());
    stage.verb("delete timeout timeouttype=headerwaittimeout");
    assert_eq!(of(&shown(&stage)), [Some(5), Some(6), Some(120)]);
}

#[test]
fn a_sessions_timer_ends_its_groups_requests() {
    let stage = Stage::new();
    let (mut app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    of_session(&mut app, Timeouts { request_queue: Some(1), ..Timeouts::default() });
    let mut client = Client::connect(address).expect("the host accepts connections");
    get(&mut client, "/");
    assert_eq!(seen(&mut client), "503 Service Unavailable, retry after 1, open");
}

#[test]
fn the_first_request_on_a_connection_waits_by_the_machines_timer_and_the_second_by_the_groups() {
    let stage = Stage::new();
    let (app, address) =
        WireApp::at(&stage.host, "http://127.0.0.1:0/", timed(Timeouts { header_wait: Some(1), ..Timeouts::default() }));
    let mut first = Client::connect(address).expect("the host accepts connections");
    send(&mut first, PART);
    let mut second = second_request(&app, address);
    let begun = Instant::now();
    send(&mut second, PART);
    assert_eq!(seen(&mut second), "408 Request Timeout, closed");
    assert!(begun.elapsed() >= SECOND - Duration::from_millis(50), "{:?}", begun.elapsed());
    assert_eq!(first.ending(LONGER - SECOND), Ending::Open, "the group's timer is not for the first request");
}

#[test]
fn a_group_without_header_wait_is_waited_for_from_the_second_request_on() {
    let stage = Stage::with("[timeouts]\nheaderwaittimeout = 1\n");
    let never = Timeouts { header_wait: Some(Timeouts::DISABLED), ..Timeouts::default() };
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", timed(never));
    let mut second = second_request(&app, address);
    send(&mut second, PART);
    let mut first = Client::connect(address).expect("the host accepts connections");
    send(&mut first, PART);
    assert_eq!(seen(&mut first), "408 Request Timeout, closed");
    assert_eq!(second.ending(LONGER - SECOND), Ending::Open, "the machine's timer is not for the second request");
}

#[test]
fn the_machines_timers_change_by_verb_while_the_host_runs() {
    let stage = Stage::new();
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    let connect = || Client::connect(address).expect("the host accepts connections");
    let mut before = connect();
    stage.verb("add timeout timeouttype=headerwaittimeout value=1");
    let mut silent = connect();
    let mut part = connect();
    send(&mut part, PART);
    assert_eq!(seen(&mut part), "408 Request Timeout, closed");
    assert!(closed_after(&mut silent, SOON).is_some());
    stage.verb("delete timeout timeouttype=headerwaittimeout");
    stage.verb("add timeout timeouttype=idleconnectiontimeout value=1");
    let mut after = connect();
    let mut idle = second_request(&app, address);
    let after_answer = closed_after(&mut idle, SOON).expect("an idle connection is closed");
    assert!(after_answer >= SECOND - Duration::from_millis(100), "{after_answer:?}");
    assert_eq!(after.ending(Duration::from_millis(100)), Ending::Open, "the timer is the default again");
    assert_eq!(before.ending(Duration::from_millis(100)), Ending::Open, "what is waited for is waited for as long as it was");
    let ports = |client: &Client| {
        (client.local_address().expect("connected").port(), client.peer_address().map_or(address.port(), |peer| peer.port()))
    };
    let lines = stage.errors_of(&[(ports(&silent), 1), (ports(&idle), 1)]);
    let lines: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines, ["- - - - - Timer_HeaderWait -", "- - - - - Timer_ConnectionIdle -"]);
}

#[test]
fn a_disabled_timer_does_not_run() {
    let stage = Stage::with("[timeouts]\nidleconnectiontimeout = 1\n");
    let never = Timeouts { idle_connection: Some(Timeouts::DISABLED), ..Timeouts::default() };
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", timed(never));
    let (by_default, other) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    let mut kept = second_request(&app, address);
    let mut closed = second_request(&by_default, other);
    assert!(closed_after(&mut closed, SOON).is_some());
    assert_eq!(kept.ending(LONGER - SECOND), Ending::Open);
}
