//! Each frame there and back, and each way in which a peer can break the protocol.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;

use super::*;

mod delegation;
mod files;
mod fragments;

type Host = HostEnd<&'static str>;
type App = AppEnd<&'static str>;

fn request(head: &[u8]) -> Request<'_> {
    Request {
        registration: 7,
        version: HttpVersion::Http11,
        tls: false,
        upgrade: false,
        expect_continue: false,
        length: BodyLength::None,
        peer: SocketAddr::from(([10, 0, 0, 1], 50_000)),
        local: SocketAddr::from(([127, 0, 0, 1], 80)),
        path_base: b"/MyApp",
        target: b"/ping",
        certificate: b"",
        head,
    }
}

fn pair(credit: u32) -> (Host, App) {
    let (mut host, mut app) = (Host::new(), App::new());
    app.grant(credit);
    let event = to_host(&mut app, &mut host, |event| format!("{event:?}"));
    assert_eq!(event, [format!("Credit({credit})")]);
    (host, app)
}

fn to_host<R>(app: &mut App, host: &mut Host, map: impl Fn(HostEvent<'_, &'static str>) -> R) -> Vec<R> {
    let bytes = std::mem::take(app.output());
    let (mut rest, mut events) = (&bytes[..], Vec::new());
    while let Received::Event { used, event } = host.receive(rest).unwrap() {
        events.push(map(event));
        rest = &rest[used..];
    }
    events
}

fn to_app<R>(host: &mut Host, app: &mut App, map: impl Fn(AppEvent<'_, &'static str>) -> R) -> Vec<R> {
    let bytes = std::mem::take(host.output());
    let (mut rest, mut events) = (&bytes[..], Vec::new());
    while let Received::Event { used, event } = app.receive(rest).unwrap() {
        events.push(map(event));
        rest = &rest[used..];
    }
    events
}

/// Opens a stream and brings it to the app.
fn open(host: &mut Host, app: &mut App, request: &Request<'_>) -> StreamId {
    let id = host.open(request, "exchange").unwrap();
    to_app(host, app, |_| ());
    app.attach(id, "handler").unwrap();
    id
}

fn with_body<'a>() -> Request<'a> {
    Request { length: BodyLength::Unknown, ..request(b"POST / HTTP/1.1\r\n\r\n") }
}

#[test]
fn a_request_arrives_as_it_was_sent() {
    let v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 443, 0, 3);
    let long = vec![b'x'; MAX_HEAD];
    let (mut host, mut app) = pair(3);
    for request in [
        request(b"GET /MyApp/ping HTTP/1.1\r\n\r\n"),
        Request {
            version: HttpVersion::Http3,
            tls: true,
            upgrade: true,
            peer: v6.into(),
            path_base: b"",
            target: b"",
            ..request(b"")
        },
        Request {
            version: HttpVersion::Http10,
            expect_continue: true,
            length: BodyLength::Exact(u64::MAX),
            local: v6.into(),
            ..request(&long)
        },
    ] {
        let id = host.open(&request, "").unwrap();
        let same = to_app(&mut host, &mut app, |event| event == AppEvent::Request { id, request });
        assert_eq!(same, [true]);
    }
    assert_eq!(host.open(&request(b""), ""), Err(OpenError::NoCredit));
}

#[test]
fn a_request_that_no_frame_can_say_costs_no_credit() {
    let (mut host, _) = pair(1);
    let long = vec![b'x'; MAX_HEAD + 1];
    assert_eq!(host.open(&request(&long), ""), Err(OpenError::TooLarge));
    let target = &long[..];
    let request_line = Request { target, ..request(b"") };
    assert_eq!(host.open(&request_line, ""), Err(OpenError::TooLarge));
    let upgrade = Request { upgrade: true, ..with_body() };
    assert_eq!(host.open(&upgrade, ""), Err(OpenError::UpgradeWithBody));
    assert_eq!((host.credit(), host.output().len()), (1, 0));
}

#[test]
fn a_small_response_is_one_frame_and_closes_the_stream() {
    let (mut host, mut app) = pair(1);
    let id = open(&mut host, &mut app, &request(b""));
    let mut head = ResponseHead::new(200, BodyLength::Exact(4));
    head.close = true;
    let response = Response { head, headers: b"a: b\r\n", body: b"pong" };
    assert_eq!(app.respond(id, &response, true), Ok(Some("handler")));
    assert_eq!(app.output().len(), HEADER_LEN + 16 + 6 + 4);
    let same = to_host(&mut app, &mut host, |event| {
        event == HostEvent::Response { id, head, headers: b"a: b\r\n", body: b"pong", end: true, closed: Some("exchange") }
    });
    assert_eq!(same, [true]);
    assert_eq!((host.streams(), app.streams()), (0, 0));
}

#[test]
fn a_cache_policy_arrives_as_it_was_sent_and_costs_four_bytes() {
    let day = NonZeroU32::new(86_400).unwrap();
    let longest = CachePolicy::TimeToLive(NonZeroU32::MAX);
    for cache in [CachePolicy::UntilFlushed, CachePolicy::TimeToLive(day), longest] {
        let (mut host, mut app) = pair(1);
        let id = open(&mut host, &mut app, &request(b""));
        let head = ResponseHead { cache: Some(cache), ..ResponseHead::new(200, BodyLength::Exact(4)) };
        let response = Response { head, headers: b"a: b\r\n", body: b"pong" };
        app.respond(id, &response, true).unwrap();
        assert_eq!(app.output().len(), HEADER_LEN + 16 + 4 + 6 + 4);
        let same = to_host(&mut app, &mut host, |event| {
            event == HostEvent::Response { id, head, headers: b"a: b\r\n", body: b"pong", end: true, closed: Some("exchange") }
        });
        assert_eq!(same, [true]);
    }
}

#[test]
fn a_refused_response_with_a_cache_policy_leaves_nothing_behind() {
    let (mut host, mut app) = pair(1);
    let id = open(&mut host, &mut app, &request(b""));
    let head = ResponseHead { cache: Some(CachePolicy::UntilFlushed), ..ResponseHead::new(200, BodyLength::None) };
    let lines = |length: usize| move |block: &mut HeaderBlock<'_>| block.lines(&vec![b'x'; length]);
    let refused = app.respond_with(id, head, lines(MAX_HEAD + 1), b"", true);
    assert_eq!(refused, Err(StreamError::TooLarge { length: MAX_HEAD + 1 }));
    assert!(app.output().is_empty());
    app.respond_with(id, head, lines(MAX_HEAD), b"", true).unwrap();
}

#[test]
fn header_lines_written_one_by_one_equal_a_block() {
    let (mut host, mut app) = pair(2);
    let head = ResponseHead::new(204, BodyLength::None);
    let id = open(&mut host, &mut app, &request(b""));
    let write = |block: &mut HeaderBlock<'_>| {
        block.line(b"a", b"b");
        block.line(b"c", b"");
    };
    app.respond_with(id, head, write, b"", true).unwrap();
    let bytes = app.output().split_off(0);
    assert!(bytes.ends_with(b"a: b\r\nc: \r\n"));
    host.receive(&bytes).unwrap();

    let id = open(&mut host, &mut app, &request(b""));
    let long = |block: &mut HeaderBlock<'_>| block.lines(&[b'x'; MAX_HEAD + 1]);
    let refused = app.respond_with(id, head, long, b"", true);
    assert!(matches!(refused, Err(StreamError::TooLarge { .. })));
    assert!(app.output().is_empty(), "a refused response leaves nothing behind");
    app.respond_with(id, head, write, b"", true).unwrap();
}

#[test]
fn the_apps_end_stops_the_request_body() {
    let (mut host, mut app) = pair(2);
    let id = open(&mut host, &mut app, &with_body());
    host.send_data(id, b"late", false).unwrap();
    let response = Response { head: ResponseHead::new(413, BodyLength::None), headers: b"", body: b"" };
    app.respond(id, &response, true).unwrap();
    to_host(&mut app, &mut host, |_| ());
    assert_eq!(host.send_window(id), 0);
    assert_eq!(host.send_data(id, b"more", true), Err(StreamError::Closed));
    // The slot is taken again while the late bytes are still on their way.
    let next = host.open(&with_body(), "next").unwrap();
    assert_ne!(next, id);
    let events = to_app(&mut host, &mut app, |e| matches!(e, AppEvent::Request { .. }));
    assert_eq!(events, [true], "the late bytes are no event");
}

#[test]
fn a_cancelled_slot_is_not_taken_before_the_app_confirms() {
    let (mut host, mut app) = pair(3);
    let id = open(&mut host, &mut app, &with_body());
    assert_eq!(host.cancel(id, CancelCode::CLIENT_GONE), Some("exchange"));
    assert_eq!((host.get(id), host.streams()), (None, 1));
    let other = host.open(&with_body(), "other").unwrap();
    assert_eq!(other.to_string(), "2.0");
    let cancelled = to_app(&mut host, &mut app, |event| match event {
        AppEvent::Cancelled { data, .. } => data,
        _ => None,
    });
    assert_eq!(cancelled, [Some("handler"), None]);
    assert_eq!(to_host(&mut app, &mut host, |_| ()).len(), 0);
    assert_eq!(host.open(&with_body(), "third").unwrap().to_string(), "1.1");
}

#[test]
fn a_late_frame_or_a_kept_id_never_reaches_the_slots_next_stream() {
    let (mut host, mut app) = pair(2);
    let upgrade = Request { upgrade: true, ..request(b"") };
    let old = open(&mut host, &mut app, &upgrade);
    let mut head = ResponseHead::new(101, BodyLength::None);
    head.upgrade = true;
    assert_eq!(app.respond_with(old, head, |_| {}, b"", true), Ok(None));
    to_host(&mut app, &mut host, |_| ());
    let bytes = vec![1; INITIAL_WINDOW as usize];
    assert_eq!(host.send_data(old, &bytes, false), Ok(None));
    to_app(&mut host, &mut app, |_| ());
    // The host ends the tunnel while WINDOW and CANCEL are on their way to it.
    app.consumed(old, bytes.len());
    assert_eq!(app.cancel(old, CancelCode::HANDLER_GONE), Some("handler"));
    assert_eq!(host.send_data(old, b"", true), Ok(Some("exchange")));
    let new = host.open(&with_body(), "next").unwrap();
    assert_eq!((old.to_string(), new.to_string()), ("1.0".into(), "1.1".into()));
    assert_eq!(to_host(&mut app, &mut host, |_| ()).len(), 0);
    assert_eq!(host.send_window(new), INITIAL_WINDOW as usize);

    assert_eq!((host.get(old), host.get(new)), (None, Some(&"next")));
    assert_eq!(host.cancel(old, CancelCode::CLIENT_GONE), None);
    assert_eq!(host.send_data(old, b"x", false), Err(StreamError::Closed));
    to_app(&mut host, &mut app, |_| ());
    assert_eq!(app.attach(old, "stale"), Err("stale"));
    assert_eq!(app.finish(old), Err(StreamError::Closed));
}

#[test]
fn a_response_longer_than_a_frame_is_split() {
    let (mut host, mut app) = pair(1);
    let id = open(&mut host, &mut app, &request(b""));
    // A peer of a later version may grant more than this one would.
    app.receive(&raw(8, id.to_wire(), &(1u32 << 20).to_le_bytes())).unwrap();
    let (headers, body) = (vec![b'h'; MAX_HEAD], vec![b'b'; MAX_PAYLOAD + 10]);
    let head = ResponseHead::new(200, BodyLength::Unknown);
    let write = |block: &mut HeaderBlock<'_>| block.lines(&headers);
    let closed = app.respond_with(id, head, write, &body, true);
    assert_eq!(closed, Ok(Some("handler")));
    let lengths = frame_lengths(app.output());
    assert_eq!(lengths, [16 + MAX_HEAD, MAX_PAYLOAD, 10]);
}

fn frame_lengths(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [a, b, c, ..] = *bytes {
        let length = u32::from_le_bytes([a, b, c, 0]) as usize;
        lengths.push(length);
        bytes = &bytes[HEADER_LEN + length..];
    }
    lengths
}

#[test]
fn the_body_of_an_expecting_client_waits_for_the_first_window() {
    let (mut host, mut app) = pair(1);
    let expecting = Request { expect_continue: true, ..with_body() };
    let id = open(&mut host, &mut app, &expecting);
    assert_eq!(host.send_window(id), 0);
    let refused = host.send_data(id, b"x", false);
    assert_eq!(refused, Err(StreamError::WindowExceeded { available: 0 }));
    app.want_body(id);
    app.want_body(id);
    let available = INITIAL_WINDOW as usize;
    let proceed = to_host(&mut app, &mut host, |event| event == HostEvent::Window { id, available, proceed: true });
    assert_eq!(proceed, [true]);
}

#[test]
fn a_window_is_returned_when_half_of_it_is_consumed() {
    let (mut host, mut app) = pair(1);
    let id = open(&mut host, &mut app, &with_body());
    let half = INITIAL_WINDOW as usize / 2;
    host.send_data(id, &vec![1; 2 * half], false).unwrap();
    to_app(&mut host, &mut app, |_| ());
    app.consumed(id, half - 1);
    assert!(app.output().is_empty());
    app.consumed(id, 1);
    to_host(&mut app, &mut host, |_| ());
    assert_eq!(host.send_window(id), half);
}

#[test]
fn a_drained_session_refuses_requests_but_finishes_what_runs() {
    let (mut host, mut app) = pair(3);
    let id = open(&mut host, &mut app, &with_body());
    app.drain();
    let drained = to_host(&mut app, &mut host, |event| event == HostEvent::Drain);
    assert_eq!(drained, [true]);
    assert_eq!(host.open(&request(b""), ""), Err(OpenError::Draining));
    host.send_data(id, b"rest", true).unwrap();
    assert_eq!(to_app(&mut host, &mut app, |_| ()).len(), 1);
}

/// A frame as a hostile peer might write it.
fn raw(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(&stream.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn what_breaks_the_protocol_is_a_typed_error() {
    let (mut host, mut app) = pair(1);
    let id = open(&mut host, &mut app, &with_body()).to_wire();
    let full = vec![0; INITIAL_WINDOW as usize + 1];
    let error_at_host = |bytes: &[u8]| {
        let (mut host, mut app) = pair(1);
        open(&mut host, &mut app, &with_body());
        host.receive(bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(error_at_host(&[0, 0, 5, 6, 1, 0, 0, 0]), ProtocolError::TooLarge { length: 5 << 16 });
    assert_eq!(error_at_host(&raw(0x46, id, b"")), ProtocolError::UnknownKind(0x46));
    assert_eq!(error_at_host(&raw(0, 0, b"")), ProtocolError::UnknownKind(0));
    let mut response = raw(4, id, &[200, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let overrun = [response.clone(), raw(6, id, &full)].concat();
    host.receive(&response).unwrap();
    let overrun = host.receive(&overrun[response.len()..]).map(|_| ());
    assert!(matches!(overrun, Err(ProtocolError::WindowExceeded { .. })));
    response[12] = 1;
    let mut cut_policy = raw(4, id, &[200, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    cut_policy[3] |= 0x80;
    for (bytes, kind) in [
        (response, Kind::Response),
        (cut_policy, Kind::Response),
        (raw(0x84, id, &[200, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Kind::Response),
        (raw(8, id, &[0; 4]), Kind::Window),
        (raw(9, 0, &[1]), Kind::Credit),
        (raw(9, id, &[1, 0, 0, 0]), Kind::Credit),
        (raw(0x89, 0, &[1, 0, 0, 0]), Kind::Credit),
        (raw(5, id, &[101, 0]), Kind::Inform),
        (raw(7, id, b""), Kind::Trailers),
        (raw(13, 0, b"x"), Kind::Drain),
        (raw(14, id, b"x"), Kind::Delegate),
        (raw(14, id, b"\x02\0x"), Kind::Delegate),
        (raw(14, id, b"\x01\0\xff"), Kind::Delegate),
    ] {
        let error = error_at_host(&bytes);
        assert!(matches!(error, ProtocolError::Malformed { kind: k, .. } if k == kind), "{error}");
        assert_eq!(error.blame(), Blame::Peer);
    }
    for (bytes, kind) in [
        (raw(6, id, b"x"), Kind::Data),
        (raw(0x87, id, b""), Kind::Trailers),
        (raw(3, id, b""), Kind::Request),
        (raw(15, id, b""), Kind::ClientClosed),
        (raw(14, 9, b"\0\0"), Kind::Delegate),
        (raw(4, 9, b""), Kind::Response),
        (raw(1, 0, b""), Kind::Hello),
    ] {
        let error = error_at_host(&bytes);
        assert!(matches!(error, ProtocolError::Misplaced { kind: k, .. } if k == kind), "{error}");
    }
    let grants = [raw(9, 0, &[255; 4]), raw(9, 0, &[1, 0, 0, 0])];
    let mut host = Host::new();
    host.receive(&grants[0]).unwrap();
    let overflow = host.receive(&grants[1]).map(|_| ());
    assert_eq!(overflow, Err(ProtocolError::Overflow { what: "credit" }));
    let second = raw(0x83, 2, b"");
    assert!(matches!(app.receive(&second), Err(ProtocolError::CreditExceeded)));
}

#[test]
fn a_ping_is_answered_by_the_machine() {
    let (mut host, mut app) = pair(1);
    host.ping(5);
    assert_eq!(to_app(&mut host, &mut app, |_| ()).len(), 0);
    let pong = to_host(&mut app, &mut host, |event| event == HostEvent::Pong(5));
    assert_eq!(pong, [true]);
}

#[test]
fn a_silent_peer_is_pinged_once_and_then_given_up() {
    let mut timer = PingTimer::new(1_000);
    assert_eq!(timer.on_time(2_000), Beat::Wait(16_000));
    assert_eq!(timer.on_time(16_000), Beat::Ping(31_000));
    assert_eq!(timer.on_time(20_000), Beat::Wait(31_000));
    let mut heard = timer;
    heard.heard(20_000);
    assert_eq!(heard.on_time(31_000), Beat::Wait(35_000));
    assert_eq!(timer.on_time(31_000), Beat::Dead);
    // A process that was paused asks before it judges.
    let mut paused = PingTimer::new(1_000);
    assert_eq!(paused.on_time(100_000), Beat::Ping(115_000));
    assert_eq!(paused.on_time(115_000), Beat::Dead);
}

fn every_message() -> Vec<Message> {
    let id = 3;
    let value = serde_json::json!({"sessions": [1, 2]});
    let mut hello = Hello::new(Role::Data);
    hello.token = Some("t".into());
    hello.app_worker = Some(1);
    vec![
        Message::Hello(hello),
        Message::Register {
            id,
            group: GroupSettings {
                queue: QueueSettings {
                    name: Some("q".into()),
                    openers: vec![Principal::User(1000), Principal::Everyone],
                    ..QueueSettings::default()
                },
                properties: Properties {
                    timeouts: Timeouts { header_wait: Some(10), ..Timeouts::default() },
                    logging: Some(Logging::default()),
                    ..Properties::default()
                },
            },
            urls: vec!["http://+:0/a/".into()],
            into: Some(3),
        },
        Message::Set {
            id,
            of: Owner::Group(4),
            properties: Properties { state: Some(Activity::Inactive), ..Properties::default() },
            queue: QueueSettings { verbosity: Some(Verbosity::Full), ..QueueSettings::default() },
        },
        Message::StoreFragment {
            id,
            url: "http://a/x".into(),
            time_to_live: NonZeroU32::new(7),
            bytes: (0..3 * MAX_PAYLOAD).map(|at| at as u8).collect(),
        },
        Message::StoreFragment { id, url: "http://a/y".into(), time_to_live: None, bytes: vec![] },
        Message::DeleteFragment { id, url: "http://a/x".into() },
        Message::Done { id },
        Message::Ask { id, question: serde_json::json!({ "verb": "show-urlacl" }) },
        Message::Answer { id, answer: serde_json::json!([1]) },
        Message::Registered { id, group: 1, urls: vec![RegisteredUrl { url: "http://+:4711/a/".into(), registration: 9 }] },
        Message::Unregister { id, urls: vec![] },
        Message::Unregistered { id },
        Message::Refused { id, code: RefusalCode::AlreadyRegistered, message: "m".into() },
        Message::Drain,
        Message::Restart { id },
        Message::Restarting { id, pid: Some(7) },
        Message::Restarting { id, pid: None },
        Message::Leave,
        Message::ShowServiceState { id },
        Message::ServiceState { id, state: value.clone() },
        Message::Answer {
            id,
            // Longer than a frame.
            answer: "x".repeat(3 * MAX_PAYLOAD).into(),
        },
    ]
}

#[test]
fn every_message_arrives_as_it_was_sent_however_the_bytes_are_cut() {
    for size in [1, 7, 4096, usize::MAX] {
        let (mut here, mut there) = (ControlConnection::new(), ControlConnection::new());
        for message in every_message() {
            here.send(&message).unwrap();
        }
        here.ping(4);
        let bytes = std::mem::take(here.output());
        let mut received = Vec::new();
        for part in bytes.chunks(size.max(bytes.len() / 100_000).min(bytes.len())) {
            there.push(part);
            while let Some(message) = there.receive().unwrap() {
                received.push(message);
            }
        }
        assert_eq!(received, every_message());
        here.push(&there.output().split_off(0)[..]);
        // The answer to the ping comes before the other end's greeting; that is a stranger's behaviour.
        assert_eq!(here.receive(), Err(ProtocolError::NotNarthex));
    }
}

#[test]
fn a_data_connection_goes_on_with_the_bytes_after_the_greeting() {
    let mut app = ControlConnection::new();
    app.send(&Message::Hello(Hello::new(Role::Data))).unwrap();
    let mut bytes = std::mem::take(app.output());
    bytes.extend_from_slice(&raw(9, 0, &[1, 0, 0, 0]));
    let mut host = ControlConnection::new();
    host.push(&bytes);
    assert!(matches!(host.receive(), Ok(Some(Message::Hello(_)))));
    let (input, output) = host.into_parts();
    assert_eq!((input, output), (raw(9, 0, &[1, 0, 0, 0]), vec![]));
}

#[test]
fn both_ends_learn_that_their_versions_do_not_fit() {
    let (mut old, mut new) = (ControlConnection::new(), ControlConnection::new());
    old.push(&raw(1, 0, b"NTHX\x09\x00{\"type\":\"other\"}"));
    let error = old.receive().unwrap_err();
    assert_eq!(error, ProtocolError::Version { ours: 3, theirs: 9 });
    assert_eq!(error.blame(), Blame::Versions);
    assert!(error.to_string().contains("version 9") && error.to_string().contains("version 3"));
    let mut greeting = std::mem::take(old.output());
    assert_eq!(&greeting[HEADER_LEN..], b"NTHX\x03\x00{}");
    // The other end would be of version 9; here it is this one that reads a greeting of another version.
    greeting[HEADER_LEN + 4] = 8;
    new.send(&Message::Hello(Hello::new(Role::App))).unwrap();
    new.output().clear();
    new.push(&greeting);
    assert_eq!(new.receive(), Err(ProtocolError::Version { ours: 3, theirs: 8 }));
    assert!(new.output().is_empty(), "it has greeted already");
}

#[test]
fn a_stranger_is_recognised_by_its_first_bytes() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"GET ", &raw(2, 0, b"{}"), &raw(1, 0, b"NTHY..")] {
        let mut connection = ControlConnection::new();
        connection.push(bytes);
        assert_eq!(connection.receive(), Err(ProtocolError::NotNarthex));
    }
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    let mut connection = ControlConnection::new();
    connection.push(&raw(1, 0, b"NTHX\x03\x00{\"type\":\"hello\",\"role\":\"router\",\"new\":1}"));
    connection.push(&raw(0x82, 0, b"{\"type\":\"reboot\",\"id\":1}"));
    connection.push(&raw(0x82, 0, b"[]"));
    let hello = Hello::new(Role::Unknown);
    assert_eq!(connection.receive(), Ok(Some(Message::Hello(hello))));
    assert_eq!(connection.receive(), Ok(Some(Message::Unknown)));
    assert!(matches!(connection.receive(), Err(ProtocolError::Message(_))));
}

#[test]
fn a_message_that_is_longer_than_its_reader_takes_ends_the_connection_before_it_is_whole() {
    let (mut here, mut there) = (ControlConnection::new(), ControlConnection::new());
    there.limit_received(1000);
    here.send(&Message::Hello(Hello::new(Role::App))).unwrap();
    here.send(&Message::Unregister { id: 1, urls: vec!["x".repeat(900)] }).unwrap();
    there.push(&std::mem::take(here.output()));
    assert!(matches!(there.receive(), Ok(Some(Message::Hello(_)))));
    assert!(matches!(there.receive(), Ok(Some(Message::Unregister { .. }))));
    // In one frame, and in parts that never end.
    here.send(&Message::Unregister { id: 2, urls: vec!["x".repeat(1000)] }).unwrap();
    let mut parts = std::mem::take(here.output());
    there.push(&parts);
    assert!(there.receive().is_err());
    parts[3] &= 0x7f;
    let mut there = ControlConnection::new();
    there.limit_received(2000);
    here.send(&Message::Hello(Hello::new(Role::App))).unwrap();
    there.push(here.output());
    assert!(matches!(there.receive(), Ok(Some(Message::Hello(_)))));
    there.push(&parts);
    assert!(matches!(there.receive(), Ok(None)));
    there.push(&parts);
    assert!(there.receive().is_err());
}
