//! A request that waits behind another must not hold up the answer to the first.

use std::time::{Duration, Instant};

use narthex_tests::{Client, Subject};

use crate::regressions::stage::PROVIDERS;

fn ask_for_two(subject: &Subject, first: &str) -> Client {
    let mut client = subject.connect();
    let requests = format!("GET {first} HTTP/1.1\r\nHost: x\r\n\r\nGET /whoami HTTP/1.1\r\nHost: x\r\n\r\n");
    client.send(requests.as_bytes()).expect("the server reads");
    client
}

fn both_answers_come(first: &str, length: usize) {
    for provider in PROVIDERS {
        let subject = Subject::start(provider);
        let mut client = ask_for_two(&subject, first);
        let limit = Duration::from_secs(8);
        let answer = client.response_within(false, limit).unwrap_or_else(|error| panic!("{provider}, {first}: {error}"));
        assert_eq!((answer.status, answer.body.len()), (200, length), "{provider}");
        assert!(answer.body.iter().all(|byte| *byte == b'x'), "{provider}: other bytes come");
        let second = client.response_within(false, limit).unwrap_or_else(|error| panic!("{provider}, the second: {error}"));
        assert_eq!(second.text(), "app", "{provider}");
    }
}

#[test]
fn a_pipelined_request_does_not_stall_a_long_response_before_it() {
    both_answers_come("/bytes?n=10000000", 10_000_000);
}

#[test]
fn a_pipelined_request_does_not_stall_a_stream_of_small_pieces_before_it() {
    both_answers_come("/stream?chunks=3000&size=100", 300_000);
}

#[test]
fn a_pipelined_request_does_not_hold_back_the_pieces_of_a_slow_stream() {
    const PIECE: &[u8] = b"5\r\nxxxxx\r\n";
    for provider in PROVIDERS {
        let subject = Subject::start(provider);
        let mut client = ask_for_two(&subject, "/drip?chunks=2&size=5&ms=2000");
        let asked = Instant::now();
        assert_eq!(client.head().unwrap_or_else(|error| panic!("{provider}: {error}")).status, 200);
        assert_eq!(client.bytes(PIECE.len()).expect("the first piece comes"), PIECE, "{provider}");
        let first = asked.elapsed();
        assert!(first < Duration::from_millis(1500), "{provider}: the first piece comes with the second, after {first:?}");
        assert_eq!(client.bytes(PIECE.len()).expect("the second piece comes"), PIECE, "{provider}");
        assert_eq!(client.bytes(5).expect("the stream ends"), b"0\r\n\r\n", "{provider}");
        assert_eq!(client.response(false).expect("the second answer comes").text(), "app", "{provider}");
    }
}
