//! Two ends that talk to each other, and ends that meet nonsense.

use std::sync::Arc;

use super::*;
use crate::deflate::{Config, Offer};
use crate::mask::MaskKey;
use crate::settings::{Delivery, Limits};

fn keys() -> MaskKeys {
    let mut next = 0x1234_5678_u32;
    Box::new(move || {
        next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        MaskKey::new(next.to_be_bytes())
    })
}

/// A server and a client, who have agreed on compression if `config` is given.
fn pair(settings: Settings, config: Option<Config>) -> (Connection, Connection) {
    let deflate = || {
        config.map(|config| {
            let agreement = config.accept(&Offer::new(&config)).unwrap();
            (agreement, Arc::new(Compressors::new(&config)))
        })
    };
    let settings = Arc::new(settings);
    (Connection::server(settings.clone(), deflate()), Connection::client(settings, keys(), deflate()))
}

/// All that `connection` finds in `bytes`, given in pieces.
fn events(connection: &mut Connection, bytes: &[u8], piece: usize) -> Result<Vec<Event<'static>>, ProtocolError> {
    let mut events = Vec::new();
    for piece in bytes.chunks(piece) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        while let Some(event) = connection.receive(&mut input)? {
            events.push(owned(event));
        }
        assert!(input.is_empty());
    }
    Ok(events)
}

fn owned(event: Event<'_>) -> Event<'static> {
    match event {
        Event::Text(text) => Event::Text(text.into_owned().into()),
        Event::Binary(data) => Event::Binary(data.into_owned().into()),
        Event::Ping(data) => Event::Ping(data.into_owned().into()),
        Event::Pong(data) => Event::Pong(data.into_owned().into()),
        Event::Close(close) => Event::Close(close.map(Close::into_owned)),
        Event::Piece(piece) => Event::Piece(crate::Piece { data: piece.data.into_owned().into(), ..piece }),
    }
}

fn answer(connection: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    connection.answer(&mut out);
    out
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Connection>() <= 88, "{}", size_of::<Connection>());
    assert!(size_of::<Reader>() <= 32, "{}", size_of::<Reader>());
    assert!(size_of::<Writer>() <= 40, "{}", size_of::<Writer>());
}

#[test]
fn either_end_closes_and_the_other_answers() {
    let (mut server, mut client) = pair(Settings::default(), None);
    let mut out = Vec::new();
    client.close(Some(&Close::new(CloseCode::GOING_AWAY, "bye").unwrap()), &mut out).unwrap();
    assert_eq!(client.text("more", &mut Vec::new()), Err(SendError::Closing));
    assert_eq!(client.close(None, &mut Vec::new()), Err(SendError::Closing));

    let close = Close::new(CloseCode::GOING_AWAY, "bye").unwrap();
    assert_eq!(events(&mut server, &out, 1), Ok(vec![Event::Close(Some(close))]));
    assert_eq!(server.text("more", &mut Vec::new()), Err(SendError::Closing));
    assert!(!server.is_done());
    let out = answer(&mut server);
    assert_eq!(out, [0x88, 2, 0x03, 0xe9]);
    assert!(server.is_done());
    assert_eq!(answer(&mut server), []);

    assert!(!client.is_done());
    assert_eq!(events(&mut client, &out, 9), Ok(vec![Event::Close(Some(CloseCode::GOING_AWAY.into()))]));
    assert!(client.is_done());
    assert_eq!(answer(&mut client), []);
}

#[test]
fn both_ends_may_close_at_once() {
    let (mut server, mut client) = pair(Settings::default(), None);
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    server.close(None, &mut to_client).unwrap();
    client.close(None, &mut to_server).unwrap();
    assert_eq!(events(&mut server, &to_server, 1), Ok(vec![Event::Close(None)]));
    assert_eq!(events(&mut client, &to_client, 1), Ok(vec![Event::Close(None)]));
    assert!(server.is_done() && client.is_done());
    assert_eq!(answer(&mut server), []);
}

#[test]
fn messages_come_until_the_peer_has_closed_and_not_after() {
    let (mut server, mut client) = pair(Settings::default(), None);
    server.close(None, &mut Vec::new()).unwrap();
    let mut out = Vec::new();
    client.text("before", &mut out).unwrap();
    client.ping(b"", &mut out).unwrap();
    client.close(None, &mut out).unwrap();
    let end = out.len();
    out.extend_from_slice(b"\xff\xffnonsense");
    let expected = vec![Event::Text("before".into()), Event::Ping([][..].into()), Event::Close(None)];
    assert_eq!(events(&mut server, &out, end).as_ref(), Ok(&expected));
    assert_eq!(answer(&mut server), [], "a pong after a close");
}

#[test]
fn the_latest_ping_is_answered_once() {
    let (mut server, mut client) = pair(Settings::default(), None);
    let mut out = Vec::new();
    for payload in ["first", "second", "third"] {
        client.ping(payload.as_bytes(), &mut out).unwrap();
    }
    assert_eq!(events(&mut server, &out, 3).unwrap().len(), 3);
    assert_eq!(answer(&mut server), b"\x8a\x05third");
    assert_eq!(answer(&mut server), []);
    assert_eq!(client.ping(&[0; 126], &mut out), Err(SendError::Write(WriteError::ControlTooLong(126))));
}

#[test]
fn a_ping_before_a_close_is_answered_before_it() {
    let (mut server, mut client) = pair(Settings::default(), None);
    let mut out = Vec::new();
    client.ping(b"?", &mut out).unwrap();
    client.close(None, &mut out).unwrap();
    events(&mut server, &out, 99).unwrap();
    assert_eq!(answer(&mut server), b"\x8a\x01?\x88\x00");
}

#[test]
fn each_error_is_told_by_its_code_and_ends_the_connection() {
    let limits = Settings { limits: Limits::of_size(10), ..Settings::default() };
    for (bytes, code) in [
        (&b"\x81\x05hello"[..], 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x82\x8b\0\0\0\0", 1009),
        (b"\x88\x81\0\0\0\0\x03", 1002),
        (b"\x88\x82\0\0\0\0\x03\xed", 1002),
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", 1007),
    ] {
        for piece in [1, 99] {
            let (mut server, mut client) = pair(limits, None);
            let error = events(&mut server, bytes, piece).unwrap_err();
            assert_eq!(error.close_code().get(), code, "{error}");
            let mut late = b"\x81\x80\0\0\0\0".to_vec();
            assert_eq!(server.receive(&mut &mut late[..]), Ok(None));
            assert_eq!(server.binary(b"", &mut Vec::new()), Err(SendError::Closing));
            let out = answer(&mut server);
            assert!(server.is_done());
            let close = CloseCode::new(code).unwrap().into();
            assert_eq!(events(&mut client, &out, 99), Ok(vec![Event::Close(Some(close))]));
        }
    }
}

#[test]
fn a_message_may_be_written_in_parts_with_pings_between() {
    let long = "Zażółć gęślą jaźń. ".repeat(40);
    for config in [None, Some(Config::default()), Some(Config { server_context_takeover: true, ..Config::default() })] {
        let (mut server, mut client) = pair(Settings::default(), config);
        let mut out = Vec::new();
        assert_eq!(server.append(b"", true, &mut out), Err(WriteError::NothingBegun.into()));
        for _ in 0..2 {
            // Cut inside a character.
            server.begin(Kind::Text, &long.as_bytes()[..3], &mut out).unwrap();
            server.ping(b"?", &mut out).unwrap();
            server.append(b"", false, &mut out).unwrap();
            assert_eq!(server.text("another", &mut out), Err(WriteError::MessageBegun.into()));
            assert_eq!(server.header(Kind::Text, 9).err(), Some(WriteError::MessageBegun.into()));
            server.append(&long.as_bytes()[3..], true, &mut out).unwrap();
            server.begin(Kind::Binary, b"", &mut out).unwrap();
            server.append(b"", true, &mut out).unwrap();
        }
        let once = [Event::Ping(b"?"[..].into()), Event::Text(long.clone().into()), Event::Binary([][..].into())];
        for piece in [1, 7, out.len()] {
            let mut client = std::mem::replace(&mut client, pair(Settings::default(), config).1);
            assert_eq!(events(&mut client, &out, piece), Ok([once.clone(), once.clone()].concat()));
            assert!(client.reader.is_idle());
        }
    }
}

#[test]
fn pieces_come_as_they_arrive_and_then_the_whole() {
    let text = "日本語テキスト".repeat(30);
    for config in [None, Some(Config::default())] {
        for delivery in [Delivery::Pieces, Delivery::Both] {
            for piece in [1, 5, 2000] {
                let (mut server, mut client) = pair(Settings { delivery, ..Settings::default() }, config);
                let mut out = Vec::new();
                client.text(&text, &mut out).unwrap();
                client.begin(Kind::Text, text.as_bytes(), &mut out).unwrap();
                client.append(&[], true, &mut out).unwrap();
                let (mut data, mut wholes, mut ends) = (Vec::new(), 0, 0);
                for event in events(&mut server, &out, piece).unwrap() {
                    match event {
                        Event::Piece(piece) => {
                            assert_eq!(piece.first, data.is_empty());
                            data.extend_from_slice(&piece.data);
                            if piece.last {
                                ends += 1;
                                assert_eq!(data, text.as_bytes());
                                data.clear();
                            }
                        }
                        Event::Text(whole) => {
                            wholes += 1;
                            assert!(whole == text && wholes == ends);
                        }
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!((ends, wholes), (2, if delivery == Delivery::Both { 2 } else { 0 }));
                assert!(server.is_idle());
            }
        }
    }
}

#[test]
fn a_broadcast_fits_between_messages_that_refer_to_each_other() {
    let keeping = Config { server_context_takeover: true, ..Config::default() };
    for config in [None, Some(Config::default()), Some(keeping)] {
        let (mut server, mut client) = pair(Settings::default(), config);
        let text = "the same words, in the same order, again and again, for a message that is long enough";
        let to_all = "something else entirely, which moves what came before it out of its place in the peer's window";
        let broadcast = Broadcast::text(to_all, config.map(|config| Arc::new(Compressors::new(&config))));
        let mut out = Vec::new();
        for _ in 0..3 {
            server.text(text, &mut out).unwrap();
            out.extend_from_slice(server.broadcast(&broadcast).unwrap());
        }
        let both = [Event::Text(text.into()), Event::Text(to_all.into())];
        assert_eq!(events(&mut client, &out, 10), Ok([both.clone(), both.clone(), both].concat()));
    }
}

#[test]
fn context_takeover_makes_the_second_message_small() {
    let keeping = Config { server_context_takeover: true, client_context_takeover: true, ..Config::default() };
    let (mut server, mut client) = pair(Settings::default(), Some(keeping));
    let text = "{\"type\":\"position\",\"x\":1.25,\"y\":17.5,\"name\":\"a player with a name\",\"team\":\"blue\"}";
    for (from, to) in [(0, 1), (1, 0)] {
        let ends = [&mut server, &mut client];
        let (mut first, mut second) = (Vec::new(), Vec::new());
        ends[from].text(text, &mut first).unwrap();
        ends[from].text(text, &mut second).unwrap();
        assert!(second.len() < first.len() / 4, "{} then {}", first.len(), second.len());
        for bytes in [first, second] {
            assert_eq!(events(ends[to], &bytes, 3), Ok(vec![Event::Text(text.into())]));
        }
    }
}

#[test]
fn a_small_message_that_inflates_beyond_the_limit_is_1009() {
    let limits = Limits { max_inflated_size: 1000, ..Limits::default() };
    for delivery in [Delivery::Whole, Delivery::Pieces, Delivery::Both] {
        for (len, expected) in [(500, None), (501, Some(ProtocolError::TooBig(1000)))] {
            for piece in [1, 99] {
                let (mut server, mut client) = pair(Settings { limits, delivery }, Some(Config::default()));
                let mut out = Vec::new();
                client.begin(Kind::Binary, &[0; 500], &mut out).unwrap();
                client.append(&vec![0; len], true, &mut out).unwrap();
                assert!(out.len() < 99);
                let error = events(&mut server, &out, piece).err();
                assert_eq!(error, expected);
                assert!(error.is_none_or(|error| error.close_code() == CloseCode::MESSAGE_TOO_BIG));
            }
        }
    }
}

#[test]
fn what_does_not_compress_is_sent_as_it_is_unless_the_context_is_kept() {
    let noise: Vec<u8> = (0..300_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for server_context_takeover in [false, true] {
        let config = Config { server_context_takeover, ..Config::default() };
        let (mut server, mut client) = pair(Settings::default(), Some(config));
        let mut out = Vec::new();
        for _ in 0..2 {
            server.binary(&noise, &mut out).unwrap();
        }
        assert_eq!(out[0] & 0x40 != 0, server_context_takeover);
        assert_eq!(events(&mut client, &out, 7), Ok(vec![Event::Binary(noise.clone().into()); 2]));
    }
}

#[test]
fn a_header_and_the_caller_s_own_bytes_are_a_message() {
    let (mut server, mut client) = pair(Settings::default(), None);
    let data = vec![7; 70_000];
    let mut out = server.header(Kind::Binary, 70_000).unwrap().to_vec();
    out.extend_from_slice(&data);
    assert_eq!(events(&mut client, &out, 4096), Ok(vec![Event::Binary(data.into())]));
}
