//! A response that its app breaks off never looks like a whole one.

use std::time::Duration;

use narthex_proto::wire::GroupSettings;
use narthex_tests::{Client, ReadError, Response, Subject};

use crate::regressions::stage::{PROVIDERS, Stage, connect};
use crate::regressions::wire_app::WireApp;

fn ask(client: &mut Client, target: &str, version: &str) {
    client.send(format!("GET {target} HTTP/{version}\r\nHost: x\r\n\r\n").as_bytes()).expect("the server reads");
}

/// Without a length the connection's end is the body's end, so that only a reset can say that something is missing.
fn is_broken(version: &str, outcome: &Result<Response, ReadError>) -> bool {
    matches!((version, outcome), (_, Err(ReadError::Reset)) | ("1.1", Err(ReadError::Closed(_))))
}

fn shown(outcome: Result<Response, ReadError>) -> String {
    match outcome {
        Ok(answer) => format!("a whole answer comes: {} {:?}", answer.status, answer.text()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_response_whose_body_fails_does_not_end_like_a_whole_one() {
    for provider in PROVIDERS {
        let subject = Subject::start(provider);
        for version in ["1.0", "1.1"] {
            let mut client = subject.connect();
            ask(&mut client, "/break-off?chunks=2&size=5&ms=200", version);
            let outcome = client.response_within(false, Duration::from_secs(5));
            assert!(is_broken(version, &outcome), "{provider}, HTTP/{version}: {}", shown(outcome));
        }
    }
}

#[test]
fn a_response_that_its_app_cancels_does_not_end_like_a_whole_one() {
    let stage = Stage::new();
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    let mut session = app.session();
    for version in ["1.0", "1.1"] {
        let mut client = connect(address);
        ask(&mut client, "/", version);
        let id = session.request();
        session.begin_answer(id);
        session.send_data(id, b"first half", false);
        std::thread::sleep(Duration::from_millis(200));
        session.cancel(id);
        let outcome = client.response_within(false, Duration::from_secs(5));
        assert!(is_broken(version, &outcome), "HTTP/{version}: {}", shown(outcome));
    }
}

#[test]
fn a_response_whose_app_dies_does_not_end_like_a_whole_one() {
    let stage = Stage::new();
    for version in ["1.0", "1.1"] {
        let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
        let mut session = app.session();
        let mut client = connect(address);
        ask(&mut client, "/", version);
        let id = session.request();
        session.begin_answer(id);
        session.send_data(id, b"first half", false);
        std::thread::sleep(Duration::from_millis(200));
        drop((session, app));
        let outcome = client.response_within(false, Duration::from_secs(5));
        assert!(is_broken(version, &outcome), "HTTP/{version}: {}", shown(outcome));
    }
}
