//! Clients that cost a server more than themselves: each is sent away or held back, at bounded memory, while others are served.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use narthex_tests::h2::frame::{self, CANCEL, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, INITIAL_WINDOW_SIZE};
use narthex_tests::h2::{Connection, End, hpack};
use narthex_tests::{Provider, Subject};

use crate::http2::stage::{open, read_for, server, start};

providers! {
    streams_that_are_opened_and_reset;
    streams_that_the_server_is_made_to_reset;
    streams_whose_bodies_make_the_server_reset_them;
    blocks_without_an_end;
    empty_pieces_of_a_block;
    settings;
    pings;
    window_updates_of_the_connection;
    window_updates_of_a_stream;
    empty_data;
    priorities;
    fields_that_are_kept_and_repeated;
    more_fields_than_fit;
    fields_of_no_length;
    responses_that_nobody_takes;
    answers_that_nobody_takes;
    bodies_that_nobody_reads;
    bodies_in_single_bytes;
}

/// How much the server may grow.
const ROOM: u64 = 24 * 1024 * 1024;
const LIMIT: Duration = Duration::from_secs(5);

/// What a process has resident, in bytes.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS is there");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") * 1024
}

/// Others are served at once.
fn serves_others(subject: &Subject) {
    let begun = Instant::now();
    open(subject).serves(1).expect("others are served");
    assert!(begun.elapsed() < Duration::from_secs(1), "others wait for {:?}", begun.elapsed());
}

/// Plays a flood on a connection until the server ends it or it is over; what was sent in all, and what has become of the connection.
fn flood(subject: &Subject, connection: &mut Connection, pieces: impl Iterator<Item = Vec<u8>> + Send) -> Option<End> {
    let before = resident(server(subject).id());
    let begun = Instant::now();
    let mut sender = connection.sender();
    let ended = AtomicBool::new(false);
    let end = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for piece in pieces {
                if ended.load(Ordering::Relaxed) || begun.elapsed() > LIMIT || sender.write_all(&piece).is_err() {
                    return;
                }
            }
        });
        let others = scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            serves_others(subject);
        });
        let mut end = None;
        while end.is_none() && begun.elapsed() < LIMIT && !writer.is_finished() {
            end = read_for(connection, Duration::from_millis(50));
        }
        ended.store(true, Ordering::Relaxed);
        let _ = writer.join();
        assert!(others.join().is_ok(), "others are not served");
        end.or_else(|| read_for(connection, Duration::from_millis(500)))
    });
    serves_others(subject);
    let grown = resident(server(subject).id()).saturating_sub(before);
    println!("the server has grown by {} KiB; {end:?} {:?}", grown >> 10, connection.goaways);
    assert!(grown < ROOM, "the server has grown by {} MiB", grown >> 20);
    end
}

/// The flood ends its connection, which is told why.
fn sent_away(provider: Provider, pieces: impl Fn(&Connection) -> Box<dyn Iterator<Item = Vec<u8>> + Send>, codes: &[u32]) {
    let subject = start(provider);
    let mut connection = open(&subject);
    let pieces = pieces(&connection);
    let end = flood(&subject, &mut connection, pieces);
    let code = connection.goaways.last().map(|(_, code)| *code);
    assert!(code.is_some_and(|code| codes.contains(&code)), "GOAWAYs {:?}, {end:?}", connection.goaways);
    let end = end.unwrap_or_else(|| connection.ending(LIMIT));
    assert!(matches!(end, End::Closed | End::Reset), "{end:?}");
}

const CALM: &[u32] = &[ENHANCE_YOUR_CALM];

/// The same bytes again and again, many at a time.
fn repeated(bytes: Vec<u8>, times: usize) -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
    const TOGETHER: usize = 100;
    Box::new(std::iter::repeat_n(bytes.repeat(TOGETHER), times / TOGETHER))
}

/// CVE-2023-44487.
fn streams_that_are_opened_and_reset(provider: Provider) {
    let pieces = |connection: &Connection| -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
        let block = connection.request("GET", "/slow?ms=1000", &[]);
        Box::new((0..50_000_u32).map(move |n| {
            let stream = n * 2 + 1;
            [frame::headers(stream, END_STREAM, &block), frame::reset(stream, CANCEL)].concat()
        }))
    };
    sent_away(provider, pieces, CALM);
}

/// `MadeYouReset`, CVE-2025-8671: the server resets, so that no RST_STREAM of the client is counted.
fn streams_that_the_server_is_made_to_reset(provider: Provider) {
    let pieces = |connection: &Connection| -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
        let block = connection.request("POST", "/slow?ms=1000", &[]);
        Box::new((0..50_000_u32).map(move |n| {
            let stream = n * 2 + 1;
            // A window that overflows is a stream's error.
            [frame::headers(stream, 0, &block), frame::window_update(stream, (1 << 31) - 1)].concat()
        }))
    };
    sent_away(provider, pieces, CALM);
}

fn streams_whose_bodies_make_the_server_reset_them(provider: Provider) {
    let pieces = |connection: &Connection| -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
        let block = connection.request("POST", "/slow?ms=1000", &[("content-length", "1")]);
        Box::new((0..50_000_u32).map(move |n| {
            let stream = n * 2 + 1;
            [frame::headers(stream, 0, &block), frame::data(stream, 0, "too long")].concat()
        }))
    };
    sent_away(provider, pieces, CALM);
}

/// CVE-2024-27316.
fn blocks_without_an_end(provider: Provider) {
    let pieces = |connection: &Connection| -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
        let block = connection.request("GET", "/", &[]);
        let first = frame::frame(frame::HEADERS, END_STREAM, 1, block);
        let more = frame::frame(frame::CONTINUATION, 0, 1, hpack::block([("x-a", "v".repeat(1_000))]));
        Box::new(std::iter::once(first).chain(repeated(more, 200_000)))
    };
    sent_away(provider, pieces, &[ENHANCE_YOUR_CALM, frame::PROTOCOL_ERROR, frame::COMPRESSION_ERROR]);
}

fn empty_pieces_of_a_block(provider: Provider) {
    let pieces = |connection: &Connection| -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
        let block = connection.request("GET", "/", &[]);
        let first = frame::frame(frame::HEADERS, END_STREAM, 1, block);
        Box::new(std::iter::once(first).chain(repeated(frame::frame(frame::CONTINUATION, 0, 1, []), 1_000_000)))
    };
    sent_away(provider, pieces, &[ENHANCE_YOUR_CALM, frame::PROTOCOL_ERROR]);
}

fn settings(provider: Provider) {
    sent_away(provider, |_| repeated(frame::settings(&[(INITIAL_WINDOW_SIZE, 1_000)]), 1_000_000), CALM);
}

fn pings(provider: Provider) {
    sent_away(provider, |_| repeated(frame::ping(0, *b"flooding"), 1_000_000), CALM);
}

/// Nobody reads while the flood comes: what the server says last must not be lost with what it did not read.
#[test]
fn a_client_that_reads_late_is_told_why_it_is_sent_away() {
    let subject = start(Provider::Embedded);
    let mut connection = open(&subject);
    let mut sender = connection.sender();
    let writer = std::thread::spawn(move || {
        repeated(frame::ping(0, *b"flooding"), 1_000_000).all(|pings| sender.write_all(&pings).is_ok());
    });
    std::thread::sleep(Duration::from_millis(100));
    let end = connection.ending(LIMIT);
    assert!(writer.join().is_ok());
    assert_eq!(connection.goaways.last().map(|(_, code)| *code), Some(ENHANCE_YOUR_CALM), "{end:?}");
}

fn window_updates_of_the_connection(provider: Provider) {
    sent_away(provider, |_| repeated(frame::window_update(0, 1), 1_000_000), CALM);
}

fn window_updates_of_a_stream(provider: Provider) {
    let pieces = |connection: &Connection| -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
        let first = frame::headers(1, END_STREAM, connection.request("GET", "/slow?ms=9000", &[]));
        Box::new(std::iter::once(first).chain(repeated(frame::window_update(1, 1), 1_000_000)))
    };
    sent_away(provider, pieces, CALM);
}

fn empty_data(provider: Provider) {
    let pieces = |connection: &Connection| -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
        let first = frame::headers(1, 0, connection.request("POST", "/len", &[]));
        Box::new(std::iter::once(first).chain(repeated(frame::data(1, 0, []), 1_000_000)))
    };
    sent_away(provider, pieces, CALM);
}

fn priorities(provider: Provider) {
    sent_away(provider, |_| repeated(frame::frame(frame::PRIORITY, 0, 1, frame::dependency(0)), 1_000_000), CALM);
}

/// An HPACK bomb: one large field is kept, and then named by a byte each, thousands of times in one block.
fn fields_that_are_kept_and_repeated(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    let block = [connection.request("GET", "/", &[]), hpack::kept("x-bomb", &"v".repeat(3_900))].concat();
    let mut first = Some(frame::headers(1, END_STREAM, block));
    let block = [connection.request("GET", "/", &[]), hpack::indexed(62).repeat(16_000)].concat();
    let bombs = (1..100_u32).map(move |n| {
        let bomb = frame::headers(n * 2 + 1, END_STREAM, &block);
        first.take().map_or_else(|| bomb.clone(), |first| [first, bomb.clone()].concat())
    });
    let end = flood(&subject, &mut connection, bombs);
    let refused =
        |stream: u32| connection.answers.get(&stream).is_some_and(|answer| answer.status == 431 || answer.reset.is_some());
    assert!(end.is_some() || (1..100).all(|n| refused(n * 2 + 1)), "{end:?} {:?}", connection.answers);
}

fn more_fields_than_fit(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    let block = connection.request("GET", "/", &[("x-a", &"v".repeat(10_000)), ("x-b", &"v".repeat(6_000))]);
    let more = hpack::block([("x-a", "v".repeat(15_000))]);
    let pieces = (0..50_u32).map(move |n| {
        let stream = n * 2 + 1;
        let rest = frame::frame(frame::CONTINUATION, END_HEADERS, stream, &more);
        [frame::frame(frame::HEADERS, END_STREAM, stream, &block), rest].concat()
    });
    let end = flood(&subject, &mut connection, pieces);
    let refused =
        |stream: u32| connection.answers.get(&stream).is_some_and(|answer| answer.status == 431 || answer.reset.is_some());
    assert!(end.is_some() || (0..50).all(|n| refused(n * 2 + 1)), "{end:?} {:?}", connection.answers);
}

/// CVE-2019-9516: fields without a name cost memory and have no length.
fn fields_of_no_length(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    let block = [connection.request("GET", "/", &[]), hpack::block([("", "")]).repeat(5_000)].concat();
    let pieces = (0..200_u32).map(move |n| frame::headers(n * 2 + 1, END_STREAM, &block));
    let end = flood(&subject, &mut connection, pieces);
    let served = connection.answers.values().filter(|answer| answer.status == 200).count();
    assert_eq!(served, 0, "{end:?}");
}

/// CVE-2019-9511 and 9517: many large responses, and no room for any.
fn responses_that_nobody_takes(provider: Provider) {
    let subject = start(provider);
    let mut connection = Connection::open_with(subject.app.address, &[(INITIAL_WINDOW_SIZE, 1)]);
    connection.replenish = false;
    let block = connection.request("GET", "/stream?chunks=100000&size=65536", &[]);
    let pieces = (0..99_u32).map(move |n| frame::headers(n * 2 + 1, END_STREAM, &block));
    let app_before = resident(subject.app.process.id());
    assert_eq!(flood(&subject, &mut connection, pieces), None, "it may wait");
    let grown = resident(subject.app.process.id()).saturating_sub(app_before);
    assert!(grown < ROOM, "the app has grown by {} MiB", grown >> 20);
    // Another stream of the same connection goes on.
    connection.send(&frame::settings(&[(INITIAL_WINDOW_SIZE, 100)]));
    connection.get(1001, "/");
    let answer = connection.answer(1001).expect("other streams go on");
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
}

/// The client reads nothing from its socket, and asks on.
fn answers_that_nobody_takes(provider: Provider) {
    let subject = start(provider);
    let connection = open(&subject);
    let before = resident(server(&subject).id());
    let mut sender = connection.sender();
    sender.set_write_timeout(Some(Duration::from_millis(300))).expect("the socket has options");
    let _ = sender.write_all(&frame::window_update(0, 1 << 30));
    let _ = sender.write_all(&frame::settings(&[(INITIAL_WINDOW_SIZE, 1 << 30)]));
    let block = connection.request("GET", "/bytes?n=10000000", &[]);
    let begun = Instant::now();
    for n in 0..99_u32 {
        if sender.write_all(&frame::headers(n * 2 + 1, END_STREAM, &block)).is_err() {
            break;
        }
    }
    while begun.elapsed() < Duration::from_secs(3) && sender.write_all(&frame::ping(0, [0; 8]).repeat(20)).is_ok() {}
    serves_others(&subject);
    let grown = resident(server(&subject).id()).saturating_sub(before);
    assert!(grown < ROOM, "the server has grown by {} MiB", grown >> 20);
}

/// Uploads to handlers that never read them: what waits is no more than the windows.
fn bodies_that_nobody_reads(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    let window = connection.settings.get(&INITIAL_WINDOW_SIZE).copied().unwrap_or(65_535).min(65_535);
    let block = connection.request("POST", "/slow?ms=4000", &[]);
    let pieces = (0..90_u32).map(move |n| {
        let stream = n * 2 + 1;
        let body = frame::data(stream, 0, vec![7; 8_192]).repeat(usize::try_from(window / 8_192).unwrap_or_default());
        [frame::headers(stream, 0, &block), body].concat()
    });
    let end = flood(&subject, &mut connection, pieces);
    assert_eq!((end, connection.goaways.as_slice()), (None, &[][..]));
    connection.serves(1001).expect("other streams go on");
}

/// What a byte costs the server is not to be what a frame costs it.
fn bodies_in_single_bytes(provider: Provider) {
    let subject = start(provider);
    let mut connection = open(&subject);
    let block = connection.request("POST", "/slow?ms=4000", &[]);
    let pieces = (0..90_u32).map(move |n| {
        let stream = n * 2 + 1;
        [frame::headers(stream, 0, &block), frame::data(stream, 0, [7]).repeat(10_000)].concat()
    });
    let end = flood(&subject, &mut connection, pieces);
    let code = connection.goaways.last().map(|(_, code)| *code);
    assert!(end.is_none() || code == Some(ENHANCE_YOUR_CALM), "{end:?}, {code:?}");
}
