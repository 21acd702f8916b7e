//! A group's timers are for its own requests, and run only while they mean something.

use std::time::Duration;

use narthex_proto::wire::{GroupSettings, Properties, Timeouts};
use narthex_tests::Ending;

use crate::regressions::stage::{Stage, connect, get, shown};
use crate::regressions::wire_app::WireApp;

fn timed(timeouts: Timeouts) -> GroupSettings {
    GroupSettings { properties: Properties { timeouts, ..Properties::default() }, ..GroupSettings::default() }
}

#[test]
fn timers_of_one_app_do_not_apply_to_the_next_apps_requests_on_the_connection() {
    let stage = Stage::new();
    let hurried = timed(Timeouts { request_queue: Some(1), ..Timeouts::default() });
    let (short, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/short/", hurried);
    // It has no sessions, so its requests wait.
    let _other = WireApp::at(&stage.host, &format!("http://{address}/other/"), GroupSettings::default());
    let mut session = short.session();
    let mut client = connect(address);
    get(&mut client, "/short/");
    let id = session.request();
    session.answer(id, "short");
    assert_eq!(client.response(false).expect("the first app answers").text(), "short");
    get(&mut client, "/other/");
    let ending = client.ending(Duration::from_millis(3500));
    assert_eq!(ending, Ending::Open, "the first app's timer ended the second's request: {}", shown(&ending));
}

#[test]
fn an_apps_own_queue_timer_still_ends_its_requests() {
    let stage = Stage::new();
    let hurried = timed(Timeouts { request_queue: Some(1), ..Timeouts::default() });
    let (_short, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/short/", hurried);
    let mut client = connect(address);
    get(&mut client, "/short/");
    let answer = client.response_within(false, Duration::from_secs(5)).expect("the timer answers");
    assert_eq!(answer.status, 503);
}

#[test]
fn the_entity_body_timer_rests_while_the_app_does_not_read_the_body() {
    const TICKS: usize = 7;
    let stage = Stage::new();
    let hurried = timed(Timeouts { entity_body: Some(1), ..Timeouts::default() });
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", hurried);
    let mut session = app.session();
    let mut client = connect(address);
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").expect("the host reads");
    let id = session.request();
    session.begin_answer(id);
    for tick in 0..TICKS {
        std::thread::sleep(Duration::from_millis(450));
        session.send_data(id, b"tick", tick + 1 == TICKS);
    }
    let answer = client.response_within(false, Duration::from_secs(5)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((answer.status, answer.text()), (200, "tick".repeat(TICKS)));
}
