//! An app that breaks the protocol hurts itself: its client gets at most one answer, and other apps keep theirs.

use std::net::SocketAddr;
use std::time::Duration;

use narthex_proto::wire::{GroupSettings, Kind, StreamId};
use narthex_tests::{Client, ReadError, Response};

use crate::regressions::stage::{Stage, ask, connect, get};
use crate::regressions::wire_app::{Session, WireApp};

const END: u8 = 0x80;
const SMUGGLED: &[u8] = b"HTTP/1.1 200 OK\r\nX-Forged: y\r\nContent-Length: 0\r\n\r\n";

fn frame(kind: Kind, end: bool, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [l0, l1, l2, _] = u32::try_from(payload.len()).expect("payloads are small").to_le_bytes();
    let mut frame = vec![l0, l1, l2, kind as u8 | if end { END } else { 0 }];
    frame.extend(stream.to_le_bytes());
    frame.extend(payload);
    frame
}

/// A RESPONSE payload. `length` is `None` for a body whose end shows its length.
fn response(status: u16, flags: u8, lines: &[u8], length: Option<u64>, body: &[u8]) -> Vec<u8> {
    let kind = if length.is_some() { 1 } else { 2 };
    let mut payload = status.to_le_bytes().to_vec();
    payload.extend([flags, kind]);
    payload.extend(u32::try_from(lines.len()).expect("header blocks are small").to_le_bytes());
    payload.extend(length.unwrap_or_default().to_le_bytes());
    payload.extend(lines);
    payload.extend(body);
    payload
}

fn plain(stream: u32) -> Vec<u8> {
    frame(Kind::Response, true, stream, &response(200, 0, b"", Some(2), b"ok"))
}

/// The bank's app at one port with an offender.
struct Street {
    stage: Stage,
    address: SocketAddr,
}

impl Street {
    fn new() -> (Self, narthex_tests::App) {
        let stage = Stage::new();
        let bank = stage.app("bank", "http://127.0.0.1:0/bank/");
        (Self { stage, address: bank.address }, bank)
    }

    /// Lets a new app get one request and do `offence`. What its client sees is checked, and so is the bank.
    fn suffer(&self, name: &str, offence: impl FnOnce(StreamId) -> Vec<Vec<u8>>) {
        let (app, address) = WireApp::at(&self.stage.host, &format!("http://{}/{name}/", self.address), GroupSettings::default());
        let mut session: Session = app.session();
        let mut client = connect(address);
        assert_bank(&whoami(&mut client).expect("the bank answers before"), name);
        get(&mut client, &format!("/{name}/"));
        let id = session.request();
        for bytes in offence(id) {
            session.write(&bytes);
        }
        // The host gets to read before the client asks on.
        std::thread::sleep(Duration::from_millis(150));
        let broken = match self.offenders_answer(&mut client, name) {
            None => true,
            // The host may close after an answer, but nobody else may answer for the bank.
            Some(_) => match whoami(&mut client) {
                Ok(answer) => {
                    assert_bank(&answer, name);
                    false
                }
                Err(ReadError::Closed(seen)) if seen.is_empty() => true,
                Err(ReadError::Reset) => true,
                Err(error) => panic!("{name}: the client asks the bank and {error}"),
            },
        };
        assert!(broken || client.ending(Duration::from_millis(50)) == narthex_tests::Ending::Open, "{name}: more comes");
        for _ in 0..3 {
            assert_bank(&ask(self.address, "/bank/whoami"), name);
        }
    }

    /// The one final answer to the offender's request, if the connection survives.
    fn offenders_answer(&self, client: &mut Client, name: &str) -> Option<Response> {
        for _ in 0..20 {
            match client.response_within(false, Duration::from_secs(3)) {
                Ok(answer) => {
                    assert!(!answer.has("x-forged"), "{name}: a field is smuggled in: {answer:?}");
                    assert_ne!(answer.status, 101, "{name}: nobody asked for an upgrade");
                    if answer.status >= 200 {
                        return Some(answer);
                    }
                }
                Err(ReadError::Closed(_) | ReadError::Reset) => return None,
                // An app that does not go on is not an offender; it gets its timers.
                Err(ReadError::TimedOut(_)) => panic!("{name}: the client waits for an answer that cannot come"),
                Err(error) => panic!("{name}: {error}"),
            }
        }
        panic!("{name}: interim answers without end")
    }
}

fn whoami(client: &mut Client) -> Result<Response, ReadError> {
    let sent = client.send(b"GET /bank/whoami HTTP/1.1\r\nHost: x\r\n\r\n");
    sent.map_err(|_| ReadError::Reset)?;
    client.response_within(false, Duration::from_secs(3))
}

fn assert_bank(answer: &Response, name: &str) {
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-app")), (200, "bank", Some("bank")), "{name}");
}

#[test]
fn an_app_that_answers_with_a_status_it_may_not_use_hurts_only_itself() {
    let (street, _bank) = Street::new();
    for status in [0, 99, 100, 101, 103, 199, 1000, u16::MAX] {
        street.suffer(&format!("status{status}"), |id| {
            vec![frame(Kind::Response, true, id.to_wire(), &response(status, 0, b"", Some(2), b"ok"))]
        });
    }
    street.suffer("upgrade", |id| vec![frame(Kind::Response, false, id.to_wire(), &response(101, 1, b"", None, SMUGGLED))]);
    street.suffer("upgrade200", |id| vec![frame(Kind::Response, false, id.to_wire(), &response(200, 1, b"", None, SMUGGLED))]);
}

#[test]
fn an_app_that_misuses_interim_responses_hurts_only_itself() {
    let (street, _bank) = Street::new();
    let inform = |id: StreamId, status: u16, lines: &[u8]| {
        frame(Kind::Inform, false, id.to_wire(), &[&status.to_le_bytes()[..], lines].concat())
    };
    for status in [0, 100, 101, 200, u16::MAX] {
        street.suffer(&format!("inform{status}"), |id| vec![inform(id, status, b"a: b\r\n"), plain(id.to_wire())]);
    }
    let smuggled: [&[u8]; 3] =
        [b"a:\n\nHTTP/1.1 200 OK\r\nb: c\r\n", b"a: b\r\n\r\nHTTP/1.1 200 OK\r\n", b"content-length: 0\r\n"];
    for (number, lines) in smuggled.into_iter().enumerate() {
        street.suffer(&format!("inform-lines{number}"), |id| vec![inform(id, 103, lines), plain(id.to_wire())]);
    }
    street.suffer("inform-late", |id| vec![plain(id.to_wire()), inform(id, 103, b"a: b\r\n")]);
}

#[test]
fn an_app_that_sends_more_or_less_than_it_may_hurts_only_itself() {
    let (street, _bank) = Street::new();
    let begin = |id: StreamId, length| frame(Kind::Response, false, id.to_wire(), &response(200, 0, b"", length, b""));
    let data = |id: StreamId, end, bytes: &[u8]| frame(Kind::Data, end, id.to_wire(), bytes);
    street.suffer("window", |id| vec![begin(id, None), data(id, false, &vec![b'z'; 65_537])]);
    street.suffer("too-long", |id| vec![begin(id, Some(10)), data(id, false, &[SMUGGLED, SMUGGLED].concat())]);
    street.suffer("too-short", |id| vec![begin(id, Some(10)), data(id, true, b"zz")]);
    street.suffer("data-first", |id| vec![data(id, false, SMUGGLED)]);
    street.suffer("data-late", |id| vec![plain(id.to_wire()), data(id, true, SMUGGLED)]);
    street.suffer("huge", |id| vec![[&[0xFF, 0xFF, 0xFF, Kind::Response as u8][..], &id.to_wire().to_le_bytes()].concat()]);
}

#[test]
fn an_app_that_answers_twice_or_for_others_hurts_only_itself() {
    let (street, _bank) = Street::new();
    street.suffer("twice", |id| vec![plain(id.to_wire()), plain(id.to_wire())]);
    street.suffer("twice-open", |id| {
        let open = frame(Kind::Response, false, id.to_wire(), &response(200, 0, b"", Some(2), b"ok"));
        vec![open.clone(), open]
    });
    street.suffer("foreign", |id| vec![plain(id.to_wire() + 1)]);
    street.suffer("generation", |id| vec![plain(id.to_wire() + (1 << 20))]);
    street.suffer("session", |_| vec![plain(0)]);
    street.suffer("trailers-first", |id| vec![frame(Kind::Trailers, true, id.to_wire(), b"")]);
    street.suffer("window-zero", |id| vec![frame(Kind::Window, false, id.to_wire(), &[0; 4])]);
    street.suffer("credit", |_| vec![frame(Kind::Credit, false, 0, &[0xFF; 4]), frame(Kind::Credit, false, 0, &[0xFF; 4])]);
}

#[test]
fn an_app_that_smuggles_lines_into_its_header_fields_hurts_only_itself() {
    let (street, _bank) = Street::new();
    let smuggled: [&[u8]; 4] = [
        b"a: b\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"a:\n\nHTTP/1.1 200 OK\r\nb: c\r\n",
        b"a: b\rHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ];
    for (number, lines) in smuggled.into_iter().enumerate() {
        street.suffer(&format!("lines{number}"), |id| {
            vec![frame(Kind::Response, true, id.to_wire(), &response(200, 0, lines, Some(2), b"ok"))]
        });
    }
}
