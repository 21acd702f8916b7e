//! Clients that are waited for, and how long.

use std::time::{Duration, Instant};

use narthex_tests::h2::frame::{self, END_STREAM};
use narthex_tests::h2::{Connection, End};
use narthex_tests::{App, AppOptions, Host, PATIENCE, Provider};
use tempfile::TempDir;

use crate::http2::stage::{answer, read_for};

const SHORT: &str = "[timeouts]\nidleconnectiontimeout = 1\nheaderwaittimeout = 1\n";

/// What ends by a time-out of a second ends within this.
const SOON: Duration = Duration::from_secs(6);

struct Stage {
    // Fields are dropped in order.
    app: App,
    _host: Host,
    _directory: TempDir,
}

fn stage() -> Stage {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let host = Host::start_configured(directory.path(), 1, SHORT);
    let app = App::start(Provider::Shared, Some(&host), &AppOptions::new("app", "http://127.0.0.1:0/"));
    Stage { app, _host: host, _directory: directory }
}

#[track_caller]
fn ends(connection: &mut Connection) {
    let end = connection.ending(SOON);
    assert!(matches!(end, End::Closed | End::Reset), "{end:?}");
}

#[test]
fn a_connection_without_streams_is_told_to_go() {
    let stage = stage();
    let mut connection = Connection::open(stage.app.address);
    connection.serves(1).expect("it is served");
    assert_eq!(connection.ending(PATIENCE), End::Closed);
    assert_eq!(connection.goaways.last(), Some(&(1, 0)), "{:?}", connection.goaways);
}

#[test]
fn pings_do_not_keep_a_connection_without_streams() {
    let stage = stage();
    let mut connection = Connection::open(stage.app.address);
    let begun = Instant::now();
    while connection.goaways.is_empty() && begun.elapsed() < SOON {
        connection.send(&frame::ping(0, *b"stay up!"));
        if read_for(&mut connection, Duration::from_millis(100)).is_some() {
            break;
        }
    }
    assert!(!connection.goaways.is_empty(), "it stays up");
}

#[test]
fn a_preface_that_does_not_come_to_its_end_is_not_waited_for() {
    let stage = stage();
    for part in [&frame::PREFACE[..5], &frame::PREFACE[..20], frame::PREFACE] {
        let mut connection = Connection::silent(stage.app.address);
        connection.send(part);
        ends(&mut connection);
    }
}

#[test]
fn a_field_block_that_does_not_come_to_its_end_is_not_waited_for() {
    let stage = stage();
    let mut connection = Connection::open(stage.app.address);
    let block = connection.request("GET", "/", &[]);
    connection.send(&frame::frame(frame::HEADERS, END_STREAM, 1, block));
    ends(&mut connection);
}

#[test]
fn a_stream_that_is_served_keeps_its_connection() {
    let stage = stage();
    let mut connection = Connection::open(stage.app.address);
    connection.get(1, "/slow?ms=3000");
    let answer = answer(&mut connection, 1);
    assert_eq!((answer.status, answer.text().as_str()), (200, "slow"));
}
