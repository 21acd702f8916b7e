//! What clients and apps see of each other.

use std::time::Duration;

use narthex_tests::h2::frame::{self, CANCEL, END_HEADERS, END_STREAM, INITIAL_WINDOW_SIZE};
use narthex_tests::h2::{Connection, End, hpack};
use narthex_tests::{App, AppOptions, Client, Ending, Host, PATIENCE, Provider};
use tempfile::TempDir;

use crate::http2::stage::{answer, open, read_for, server, start, start_with};

providers! {
    a_hundred_streams_are_served_side_by_side;
    large_bodies_pass_both_ways;
    large_heads_are_refused;
    bodies_beyond_the_limit_are_refused;
    http_1_and_http_2_are_served_on_one_port;
    an_upgrade_to_h2c_is_ignored;
    web_sockets_reach_the_app_over_a_stream;
    the_app_is_asked_for_the_body_when_it_reads_it;
    a_stream_that_is_reset_stops_the_app;
    a_server_that_stops_lets_streams_end;
    requests_are_http_2_to_the_app;
}

fn a_hundred_streams_are_served_side_by_side(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    for stream in 0..100 {
        connection.get(stream * 2 + 1, if stream % 2 == 0 { "/slow?ms=200" } else { "/whoami" });
    }
    for stream in 0..100 {
        let answer = answer(&mut connection, stream * 2 + 1);
        assert_eq!((answer.status, answer.text().as_str()), (200, if stream % 2 == 0 { "slow" } else { "app" }));
    }
}

#[test]
fn streams_of_one_connection_go_to_different_apps() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let host = Host::start(directory.path());
    let one = App::start(Provider::Shared, Some(&host), &AppOptions::new("one", "http://127.0.0.1:0/one/"));
    let port = one.address.port();
    let two = AppOptions::new("two", format!("http://127.0.0.1:{port}/two/"));
    let _two = App::start(Provider::Shared, Some(&host), &two);
    let mut connection = Connection::open(one.address);
    for stream in 0..100 {
        connection.get(stream * 2 + 1, if stream % 2 == 0 { "/one/whoami" } else { "/two/whoami" });
    }
    for stream in 0..100 {
        let answer = answer(&mut connection, stream * 2 + 1);
        assert_eq!(answer.text(), if stream % 2 == 0 { "one" } else { "two" }, "stream {stream}");
    }
    connection.get(201, "/three/");
    assert_eq!(answer(&mut connection, 201).status, 404);
}

fn large_bodies_pass_both_ways(provider: Provider) {
    const SIZE: usize = 10_000_000;
    let subject = start(provider);
    let mut connection = open(&subject);
    connection.get(1, &format!("/bytes?n={SIZE}"));
    let download = answer(&mut connection, 1);
    assert_eq!((download.body.len(), download.header("content-length")), (SIZE, Some("10000000")));

    connection.post(3, "/len", &[]);
    upload(&mut connection, 3, SIZE);
    assert_eq!(answer(&mut connection, 3).text(), SIZE.to_string());
    // Both at a time: what is sent comes back.
    connection.post(5, "/", &[]);
    upload(&mut connection, 5, 1_000_000);
    assert_eq!(answer(&mut connection, 5).body.len(), 1_000_000);
}

/// Sends a body as fast as the server gives room.
fn upload(connection: &mut Connection, stream: u32, size: usize) {
    let of_stream = i64::from(connection.settings.get(&INITIAL_WINDOW_SIZE).copied().unwrap_or(65_535));
    // The connection's own is at least as large when it is new, and made larger by an update that may already have come.
    let mut room = of_stream.min(65_535);
    let mut left = size;
    while left > 0 {
        while room < 16_384 {
            let update = connection.until(PATIENCE, |frame| frame.kind == frame::WINDOW_UPDATE && frame.stream == stream);
            let more = update.expect("the server gives room").number(0).expect("an update has a number");
            room += i64::from(more);
        }
        let now = left.min(16_384);
        left -= now;
        room -= 16_384;
        let end = if left == 0 { END_STREAM } else { 0 };
        connection.send(&frame::data(stream, end, vec![7; now]));
    }
}

/// Sends a head in as many frames as it needs.
fn head(connection: &mut Connection, stream: u32, fields: &[(&str, &str)]) {
    let block = connection.request("GET", "/", fields);
    let pieces: Vec<_> = block.chunks(16_000).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let end = if index + 1 == pieces.len() { END_HEADERS } else { 0 };
        let (kind, flags) = if index == 0 { (frame::HEADERS, END_STREAM) } else { (frame::CONTINUATION, 0) };
        connection.send(&frame::frame(kind, flags | end, stream, piece));
    }
}

fn large_heads_are_refused(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    head(&mut connection, 1, &[("x-a", &"v".repeat(14_000))]);
    assert_eq!(answer(&mut connection, 1).status, 200, "14 000 bytes");
    head(&mut connection, 3, &[("x-a", &"v".repeat(17_000))]);
    assert_eq!(answer(&mut connection, 3).status, 431, "17 000 bytes");
    let names: Vec<_> = (0..200).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
    head(&mut connection, 5, &many);
    assert_eq!(answer(&mut connection, 5).status, 431, "200 fields");
    connection.get(7, &format!("/?{}", "q".repeat(9_000)));
    assert_eq!(answer(&mut connection, 7).status, 414, "a target of 9 000 bytes");
    connection.serves(9).expect("the connection serves on");
}

fn bodies_beyond_the_limit_are_refused(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    connection.post(1, "/len", &[("content-length", "30000001")]);
    assert_eq!(answer(&mut connection, 1).status, 413, "before the body comes");
    connection.serves(3).expect("the connection serves on");
}

fn http_1_and_http_2_are_served_on_one_port(provider: Provider) {
    let subject = start(provider);
    let mut old = subject.connect();
    let mut new = open(&subject);
    for stream in [1, 3, 5] {
        new.serves(stream).expect("HTTP/2 is served");
        old.send(format!("GET /headers HTTP/1.1\r\nHost: {}\r\n\r\n", subject.authority()).as_bytes()).expect("it is open");
        let response = old.response(false).expect("HTTP/1.1 is served");
        assert!(response.text().contains(r#""version":"HTTP/1.1""#), "{}", response.text());
    }
}

fn an_upgrade_to_h2c_is_ignored(provider: Provider) {
    let subject = start(provider);
    let mut client = subject.connect();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        subject.authority()
    );
    for _ in 0..2 {
        client.send(request.as_bytes()).expect("it is open");
        let response = client.response(false).expect("it is answered");
        assert_eq!((response.status, response.version.as_str()), (200, "HTTP/1.1"));
    }
    let preface = "PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut client = Client::connect(subject.app.address).expect("it listens");
    client.send(preface.as_bytes()).expect("it is open");
    let refused = client.response(false).expect("it is answered");
    assert!(refused.status >= 400, "{}", refused.status);
    assert!(matches!(client.ending(PATIENCE), Ending::Closed | Ending::Reset));
}

fn requests_are_http_2_to_the_app(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    connection.get(1, "/headers?a=b");
    let text = answer(&mut connection, 1).text();
    assert!(text.contains(r#""version":"HTTP/2.0""#), "{text}");
    assert!(text.contains(&subject.authority()), "{text}");
}

/// A frame of a client's WebSocket, masked by zeros.
fn web_socket_text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("it is short");
    [&[0x81, 0x80 | length, 0, 0, 0, 0][..], text.as_bytes()].concat()
}

fn web_sockets_reach_the_app_over_a_stream(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    let authority = connection.authority().to_owned();
    let block = hpack::block([
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/ws"),
        (":authority", &authority),
        ("sec-websocket-version", "13"),
    ]);
    connection.send(&frame::headers(1, 0, block));
    connection.until(PATIENCE, |frame| frame.kind == frame::HEADERS && frame.stream == 1).expect("it is answered");
    assert_eq!(connection.answers[&1].status, 200, "{:?}", connection.answers[&1]);
    for text in ["hello", "over", "a stream"] {
        connection.send(&frame::data(1, 0, web_socket_text(text)));
        let echo = connection.until(PATIENCE, |frame| frame.kind == frame::DATA && frame.stream == 1).expect("it is echoed");
        let length = u8::try_from(text.len()).expect("it is short");
        assert_eq!(echo.payload, [&[0x81, length][..], text.as_bytes()].concat());
    }
    connection.serves(3).expect("other streams are served");
    // A close frame without a reason; then both ends say that nothing more comes.
    connection.send(&frame::data(1, 0, [0x88, 0x80, 0, 0, 0, 0]));
    connection.send(&frame::data(1, END_STREAM, []));
    let ended = answer(&mut connection, 1);
    assert!(ended.ended || ended.reset.is_some());
    connection.serves(5).expect("the connection serves on");
}

fn the_app_is_asked_for_the_body_when_it_reads_it(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    connection.post(1, "/len", &[("expect", "100-continue"), ("content-length", "5")]);
    connection.until(PATIENCE, |frame| frame.kind == frame::HEADERS).expect("an interim response comes");
    assert_eq!(connection.answers[&1].interim, [100]);
    connection.send(&frame::data(1, END_STREAM, "hello"));
    let answer = answer(&mut connection, 1);
    assert_eq!((answer.status, answer.text().as_str()), (200, "5"));
}

/// Ticks of processor time that a process has used.
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().expect("it is a number")).sum()
}

fn a_stream_that_is_reset_stops_the_app(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    connection.get(1, "/stream?chunks=1000000000&size=65536");
    let enough = |connection: &Connection| connection.answers.get(&1).is_some_and(|answer| answer.body.len() > 1_000_000);
    while !enough(&connection) {
        connection.next(PATIENCE).expect("the response streams");
    }
    connection.send(&frame::reset(1, CANCEL));
    assert_eq!(read_for(&mut connection, Duration::from_millis(300)), None, "the connection is still open");
    let before = ticks(subject.app.process.id());
    std::thread::sleep(Duration::from_millis(500));
    let used = ticks(subject.app.process.id()) - before;
    assert!(used < 10, "the app goes on: {used} ticks in half a second");
    connection.serves(3).expect("the connection serves on");
}

fn a_server_that_stops_lets_streams_end(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    connection.get(1, "/slow?ms=1000");
    assert_eq!(read_for(&mut connection, Duration::from_millis(200)), None);
    server(&subject).terminate();
    let is_goaway = |frame: &frame::Frame| frame.kind == frame::GOAWAY;
    connection.until(PATIENCE, is_goaway).expect("it says that it goes");
    connection.until(PATIENCE, is_goaway).expect("it says which stream was the last");
    let answer = answer(&mut connection, 1);
    assert_eq!((answer.status, answer.text().as_str()), (200, "slow"));
    assert_eq!(connection.goaways, [((1 << 31) - 1, 0), (1, 0)]);
    assert_eq!(connection.ending(PATIENCE), End::Closed);
}

#[test]
fn a_body_beyond_the_limit_is_refused_while_it_comes() {
    let subject = start_with(Provider::Embedded, &[]);
    let mut connection = open(&subject);
    connection.post(1, "/len", &[]);
    let (mut room, mut sent) = (0_i64, 0_usize);
    while !connection.answers.get(&1).is_some_and(|answer| answer.status != 0 || answer.reset.is_some()) && sent < 40_000_000 {
        if sent == 0 {
            room = i64::from(connection.settings[&INITIAL_WINDOW_SIZE].min(65_535));
        }
        if room < 16_384 {
            let update = |frame: &frame::Frame| frame.stream == 1;
            let frame = connection.until(PATIENCE, update).expect("there is room, or an answer");
            if frame.kind == frame::WINDOW_UPDATE {
                room += i64::from(frame.number(0).expect("an update has a number"));
            }
            continue;
        }
        connection.send(&frame::data(1, 0, [0; 16_384]));
        room -= 16_384;
        sent += 16_384;
    }
    let answer = &connection.answers[&1];
    // The app may see the broken body first, and answers by its own status.
    assert!(matches!(answer.status, 413 | 418) || answer.reset.is_some(), "{answer:?}");
    assert!(sent < 31_000_000, "{sent} bytes were taken");
    connection.serves(3).expect("the connection serves on");
}
