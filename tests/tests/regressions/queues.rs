//! A client that leaves takes its request with it, wherever that waits and whatever of it is still to come.

use std::time::{Duration, Instant};

use narthex_proto::wire::{GroupSettings, QueueSettings};
use narthex_tests::{Client, Ending};

use crate::regressions::stage::{Stage, connect, get, shown};
use crate::regressions::wire_app::{Event, WireApp};

const LENGTH: u32 = 5;
const AT_ONCE: Duration = Duration::from_secs(3);

const ANNOUNCED: &str = "Content-Length: 10\r\n";
const BEGUN: &str = "Transfer-Encoding: chunked\r\n";
const EXPECTING: &str = "Expect: 100-continue\r\nContent-Length: 10\r\n";

#[derive(Clone, Copy, Debug)]
enum Leave {
    Reset,
    Finish,
}

fn leave(client: Client, how: Leave) {
    match how {
        Leave::Reset => client.reset().expect("the connection is there"),
        Leave::Finish => drop(client),
    }
}

fn post(client: &mut Client, fields: &str) {
    client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes()).expect("the host reads");
}

fn leavers_make_room(fields: &str, how: Leave) {
    let stage = Stage::new();
    let group =
        GroupSettings { queue: QueueSettings { length: Some(LENGTH), ..QueueSettings::default() }, ..GroupSettings::default() };
    // It has no session yet: what comes waits.
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", group);
    let mut leavers: Vec<Client> = (0..LENGTH).map(|_| connect(address)).collect();
    for client in &mut leavers {
        post(client, fields);
    }
    std::thread::sleep(Duration::from_millis(300));
    let mut refused = connect(address);
    get(&mut refused, "/");
    assert_eq!(refused.response(false).expect("a full queue refuses").status, 503);

    for client in leavers {
        leave(client, how);
    }
    let deadline = Instant::now() + AT_ONCE;
    let mut client = loop {
        let mut client = connect(address);
        get(&mut client, "/");
        match client.ending(Duration::from_millis(300)) {
            Ending::Open => break client,
            seen => {
                assert!(Instant::now() < deadline, "{how:?} with {fields:?}: the places are still taken: {}", shown(&seen));
            }
        }
    };
    let mut session = app.session();
    let id = session.request();
    session.answer(id, "served");
    assert_eq!(client.response_within(false, AT_ONCE).expect("the one who stayed is served").text(), "served");
}

#[test]
fn a_client_that_resets_with_its_body_unsent_frees_its_place_in_the_queue() {
    leavers_make_room(ANNOUNCED, Leave::Reset);
}

#[test]
fn a_client_that_ends_with_its_body_unsent_frees_its_place_in_the_queue() {
    leavers_make_room(ANNOUNCED, Leave::Finish);
}

#[test]
fn a_client_that_leaves_within_a_chunked_body_frees_its_place_in_the_queue() {
    leavers_make_room(BEGUN, Leave::Reset);
    leavers_make_room(BEGUN, Leave::Finish);
}

#[test]
fn a_client_that_leaves_while_it_expects_100_continue_frees_its_place_in_the_queue() {
    leavers_make_room(EXPECTING, Leave::Reset);
    leavers_make_room(EXPECTING, Leave::Finish);
}

#[test]
fn an_app_learns_at_once_that_a_client_has_left_before_sending_its_body() {
    let stage = Stage::new();
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    let mut session = app.session();
    for fields in [EXPECTING, ANNOUNCED, BEGUN] {
        for how in [Leave::Reset, Leave::Finish] {
            let mut client = connect(address);
            post(&mut client, fields);
            let id = session.request();
            leave(client, how);
            assert_eq!(session.event(AT_ONCE), Some(Event::Cancelled(id)), "{how:?} with {fields:?}");
        }
    }
}
