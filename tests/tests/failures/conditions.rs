//! The failures that depend on an app: its queue, its settings, its timers, its end, and clients that leave.

use std::time::Instant;

use narthex_proto::wire::{Activity, CancelCode, GroupSettings, Owner, Properties, QueueSettings, StreamId, Timeouts};
use narthex_tests::wire_app::{Event, Session};
use narthex_tests::{App, AppOptions, Client, Provider};

use crate::failures::scene::{Row, Scene, Seen, own, plain, play, queued, timed};
use crate::failures::stage::{SOON, Stage, eventually, get, send};

const INACTIVE: Option<Activity> = Some(Activity::Inactive);

fn inactive() -> Properties {
    Properties { state: INACTIVE, ..Properties::default() }
}

fn short() -> GroupSettings {
    queued(QueueSettings { length: Some(1), ..QueueSettings::default() })
}

/// Asks for `/held`, and has it taken by the app.
fn held(scene: &mut Scene<'_>) -> (Client, Session, StreamId) {
    held_as(scene, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn held_as(scene: &mut Scene<'_>, request: &str) -> (Client, Session, StreamId) {
    let mut session = scene.app().session();
    let mut client = scene.connect();
    send(&mut client, request);
    let id = session.request();
    (client, session, id)
}

/// A connection whose first request the app has answered.
fn answered(scene: &mut Scene<'_>) -> Client {
    let (mut client, mut session, id) = held(scene);
    session.answer(id, "done");
    assert_eq!(client.response(false).expect("the app answers").text(), "done");
    client
}

/// The app gives the request up, saying why.
fn cancelled(scene: &mut Scene<'_>, code: CancelCode) -> Seen {
    let (client, mut session, id) = held(scene);
    session.cancel_with(id, code);
    Seen::by(client)
}

fn asked(scene: &Scene<'_>) -> Seen {
    let mut client = scene.connect();
    get(&mut client, "/");
    Seen::by(client)
}

/// The client leaves with a reset.
fn leave(client: Client) -> Seen {
    let seen = Seen::new(&client, "");
    client.reset().expect("the client is connected");
    seen
}

const ROWS: &[Row] = &[
    Row {
        name: "queue-full",
        group: short,
        play: |scene| {
            let mut first = scene.connect();
            get(&mut first, "/first");
            scene.until_waiting(1);
            asked(scene)
        },
        seen: "503 Service Unavailable, retry after 1, open",
        line: "HTTP/1.1 GET / 503 group QueueFull queue-full",
    },
    Row {
        name: "queue-inactive",
        group: || queued(QueueSettings { state: INACTIVE, ..QueueSettings::default() }),
        play: |scene| asked(scene),
        seen: "503 Service Unavailable, retry after 1, open",
        line: "HTTP/1.1 GET / 503 group Disabled queue-inactive",
    },
    Row {
        name: "group-inactive",
        group: || own(inactive()),
        play: |scene| asked(scene),
        seen: "503 Service Unavailable, retry after 1, open",
        line: "HTTP/1.1 GET / 503 group Disabled group-inactive",
    },
    Row {
        name: "session-inactive",
        group: plain,
        play: |scene| {
            scene.app().try_set(Owner::Session, inactive(), QueueSettings::default()).expect("a session has a state");
            asked(scene)
        },
        seen: "503 Service Unavailable, retry after 1, open",
        line: "HTTP/1.1 GET / 503 group Disabled session-inactive",
    },
    Row {
        name: "connection-limit",
        group: || own(Properties { max_connections: Some(3), ..Properties::default() }),
        play: |scene| {
            let mut three = [scene.connect(), scene.connect(), scene.connect()];
            three.iter_mut().for_each(|client| get(client, "/"));
            scene.until_waiting(3);
            asked(scene)
        },
        seen: "503 Service Unavailable, retry after 1, open",
        line: "HTTP/1.1 GET / 503 group ConnLimit connection-limit",
    },
    Row {
        name: "app-left-while-waiting",
        group: plain,
        play: |scene| {
            let mut client = scene.connect();
            get(&mut client, "/waits");
            scene.until_waiting(1);
            scene.app = None;
            Seen::by(client)
        },
        seen: "503 Service Unavailable, retry after 1, open",
        line: "HTTP/1.1 GET /waits 503 group N/A app-left-while-waiting",
    },
    Row {
        name: "reserved-without-owner",
        group: plain,
        play: |scene| {
            let port = scene.address.port();
            scene.stage.verb(&format!("add urlacl url=http://127.0.0.1:{port}/kept/ user=everyone"));
            let mut client = scene.connect();
            get(&mut client, "/kept/page");
            Seen::by(client)
        },
        seen: "503 Service Unavailable, retry after 1, open",
        line: "HTTP/1.1 GET /kept/page 503 - N/A -",
    },
    Row {
        name: "waited-too-long",
        group: || timed(Timeouts { request_queue: Some(1), ..Timeouts::default() }),
        play: |scene| asked(scene),
        seen: "503 Service Unavailable, retry after 1, open",
        line: "HTTP/1.1 GET / 503 group Timer_ReqQueue waited-too-long",
    },
    Row {
        name: "died-with-the-request",
        group: plain,
        play: |scene| {
            let (client, session, _) = held(scene);
            drop(session);
            scene.app = None;
            Seen::by(client)
        },
        seen: "502 Bad Gateway, open",
        line: "HTTP/1.1 GET /held 502 group Connection_Abandoned_By_ReqQueue died-with-the-request",
    },
    Row {
        name: "killed-with-the-request",
        group: plain,
        play: |scene| {
            let prefix = format!("http://127.0.0.1:{}/killed/", scene.address.port());
            let options = AppOptions::new("killed", prefix).arguments(["--queue", "killed"]);
            let mut app = App::start(Provider::Shared, Some(&scene.stage.host), &options);
            let mut client = scene.connect();
            get(&mut client, "/killed/slow?ms=60000");
            eventually("the app has the request", || scene.stage.queue("killed").is_some_and(|queue| queue["in_progress"] == 1));
            app.process.crash();
            Seen::by(client)
        },
        seen: "502 Bad Gateway, open",
        line: "HTTP/1.1 GET /killed/slow?ms=60000 502 other Connection_Abandoned_By_ReqQueue killed",
    },
    Row {
        name: "died-within-the-response",
        group: plain,
        play: |scene| {
            let (mut client, mut session, id) = held(scene);
            session.begin_answer(id);
            session.send_data(id, b"first half", false);
            client.head().expect("the response begins");
            drop(session);
            scene.app = None;
            Seen::by_end(client)
        },
        seen: "closed",
        line: "HTTP/1.1 GET /held - group Connection_Abandoned_By_ReqQueue died-within-the-response",
    },
    Row {
        name: "app-cancels",
        group: plain,
        play: |scene| cancelled(scene, CancelCode::REQUEST_CANCELLED),
        seen: "reset",
        line: "HTTP/1.1 GET /held - group Request_Cancelled app-cancels",
    },
    Row {
        name: "app-fails",
        group: plain,
        play: |scene| cancelled(scene, CancelCode::HANDLER_PANICKED),
        seen: "500 Internal Server Error, open",
        line: "HTTP/1.1 GET /held 500 group Internal app-fails",
    },
    Row {
        name: "app-shuts-down",
        group: plain,
        play: |scene| cancelled(scene, CancelCode::SHUTTING_DOWN),
        seen: "503 Service Unavailable, retry after 1, open",
        line: "HTTP/1.1 GET /held 503 group AppShutdown app-shuts-down",
    },
    Row {
        name: "client-resets-while-waiting",
        group: plain,
        play: |scene| {
            let mut client = scene.connect();
            get(&mut client, "/");
            scene.until_waiting(1);
            leave(client)
        },
        seen: "",
        line: "HTTP/1.1 GET / - group Client_Reset client-resets-while-waiting",
    },
    Row {
        name: "client-resets-before-the-answer",
        group: plain,
        play: |scene| {
            let (client, mut session, id) = held(scene);
            let seen = leave(client);
            assert_eq!(session.event(SOON), Some(Event::Cancelled(id)));
            seen
        },
        seen: "",
        line: "HTTP/1.1 GET /held - group Client_Reset client-resets-before-the-answer",
    },
    Row {
        name: "client-resets-within-the-answer",
        group: plain,
        play: |scene| {
            let (mut client, mut session, id) = held(scene);
            session.begin_answer(id);
            session.send_data(id, b"first half", false);
            client.head().expect("the response begins");
            let seen = leave(client);
            assert_eq!(session.event(SOON), Some(Event::Cancelled(id)));
            seen
        },
        seen: "",
        line: "HTTP/1.1 GET /held - group Client_Reset client-resets-within-the-answer",
    },
    Row {
        name: "client-closes-within-its-body",
        group: plain,
        play: |scene| {
            let request = "POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n";
            let (client, mut session, id) = held_as(scene, request);
            let seen = Seen::new(&client, "");
            drop(client);
            assert_eq!(session.event(SOON), Some(Event::Cancelled(id)));
            seen
        },
        seen: "",
        line: "HTTP/1.1 POST /held - group Connection_Dropped client-closes-within-its-body",
    },
    Row {
        name: "client-closes-within-its-head",
        group: plain,
        play: |scene| {
            let mut client = scene.connect();
            send(&mut client, "GET /part HTTP/1.1\r\nHo");
            Seen::new(&client, "")
        },
        seen: "",
        line: "HTTP/1.1 GET /part - - Connection_Dropped -",
    },
    Row {
        name: "body-too-long",
        group: || own(Properties { max_body: Some(9), ..Properties::default() }),
        play: |scene| {
            let mut client = scene.connect();
            send(&mut client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789");
            Seen::by(client)
        },
        seen: "413 Payload Too Large, closed",
        line: "HTTP/1.1 POST / 413 group EntityTooLarge body-too-long",
    },
    Row {
        name: "chunks-too-long",
        group: || own(Properties { max_body: Some(9), ..Properties::default() }),
        play: |scene| {
            let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
            let (mut client, _session, _) = held_as(scene, head);
            send(&mut client, "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n");
            Seen::by(client)
        },
        seen: "413 Payload Too Large, closed",
        line: "HTTP/1.1 POST / 413 group EntityTooLarge chunks-too-long",
    },
    Row {
        name: "chunk-size-no-number",
        group: plain,
        play: |scene| {
            let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
            let (mut client, _session, _) = held_as(scene, head);
            send(&mut client, "five\r\n01234\r\n");
            Seen::by(client)
        },
        seen: "400 Bad Request, closed",
        line: "HTTP/1.1 POST / 400 group Number chunk-size-no-number",
    },
    Row {
        name: "no-length-is-no-body",
        group: plain,
        play: |scene| {
            let (client, mut session, id) = held_as(scene, "POST / HTTP/1.1\r\nHost: x\r\n\r\n");
            session.answer(id, "");
            Seen::by(client)
        },
        seen: "200 OK, open",
        line: "",
    },
    Row {
        name: "unknown-host",
        group: plain,
        play: |scene| {
            let address = scene.app().register("http://localhost:0/", plain()).expect("localhost is free");
            let mut client = Client::connect(address).expect("the host accepts connections");
            send(&mut client, "GET /there HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n");
            Seen::by(client)
        },
        seen: "400 Bad Request, closed",
        line: "HTTP/1.1 GET /there 400 - Hostname -",
    },
    Row {
        name: "no-route",
        group: plain,
        play: |scene| {
            let address = scene.app().register("http://127.0.0.1:0/app/", plain()).expect("the port is free");
            let mut client = Client::connect(address).expect("the host accepts connections");
            get(&mut client, "/other?query");
            Seen::by(client)
        },
        seen: "404 Not Found, closed",
        line: "HTTP/1.1 GET /other?query 404 - NotFound -",
    },
    Row {
        name: "header-wait",
        group: || timed(Timeouts { header_wait: Some(1), ..Timeouts::default() }),
        play: |scene| {
            let mut client = answered(scene);
            send(&mut client, "GET /second HTTP/1.1\r\nHost:");
            Seen::by(client)
        },
        seen: "408 Request Timeout, closed",
        line: "HTTP/1.1 GET /second 408 - Timer_HeaderWait -",
    },
    Row {
        name: "idle",
        group: || timed(Timeouts { idle_connection: Some(1), ..Timeouts::default() }),
        play: |scene| Seen::by(answered(scene)),
        seen: "closed",
        line: "- - - - - Timer_ConnectionIdle -",
    },
    Row {
        name: "entity-body",
        group: || timed(Timeouts { entity_body: Some(1), ..Timeouts::default() }),
        play: |scene| {
            let (client, _session, _) = held_as(scene, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n");
            Seen::by(client)
        },
        seen: "408 Request Timeout, closed",
        line: "HTTP/1.1 POST / 408 group Timer_EntityBody entity-body",
    },
    Row {
        name: "drain",
        group: || timed(Timeouts { drain_entity_body: Some(1), ..Timeouts::default() }),
        play: |scene| {
            let request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n";
            let (mut client, mut session, id) = held_as(scene, request);
            session.answer(id, "early");
            assert_eq!(client.response(false).expect("the app answers early").text(), "early");
            Seen::by_end(client)
        },
        seen: "closed",
        line: "HTTP/1.1 POST / - group Timer_DrainEntityBody drain",
    },
    Row {
        name: "send-rate",
        group: || timed(Timeouts { min_send_rate: Some(200_000), ..Timeouts::default() }),
        play: |scene| {
            let mut session = scene.app().session();
            let mut client = scene.connect();
            get(&mut client, "/endless");
            // Nothing is read of what comes.
            session.pour(Instant::now() + SOON);
            Seen::by_end(client)
        },
        seen: "closed",
        line: "HTTP/1.1 GET /endless - group Timer_MinBytesPerSecond send-rate",
    },
];

#[test]
fn each_failure_has_its_answer_and_its_line_in_the_error_log() {
    // Where processes of a queue leave, none follows.
    play(&Stage::with("[settings]\nrestart_grace = 0\n"), ROWS);
}
