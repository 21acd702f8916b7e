//! Fragments in responses, and the bytes that messages have beside their JSON.

use super::*;

/// Opens a stream whose response has begun with `body`.
fn begun(host: &mut Host, app: &mut App, body: &[u8]) -> StreamId {
    let id = open(host, app, &with_body());
    app.respond_with(id, ResponseHead::new(200, BodyLength::Unknown), |_| {}, body, false).unwrap();
    to_host(app, host, |_| ());
    id
}

#[test]
fn a_fragment_is_answered_when_the_client_has_it_and_leaves_the_window_as_it_was() {
    let (mut host, mut app) = pair(1);
    let id = begun(&mut host, &mut app, b"abc");
    let window = app.send_window(id);
    app.send_fragment(id, "http://a/x", 5, None).unwrap();
    assert_eq!((app.send_window(id), app.finish(id)), (0, Err(StreamError::FragmentUnanswered)));
    let asked = HostEvent::Fragment { id, url: "http://a/x", offset: 5, length: None };
    assert_eq!(to_host(&mut app, &mut host, |event| event == asked), [true]);
    let long = 10 * INITIAL_WINDOW as usize;
    host.fragment_found(id, long as u64);
    assert_eq!(host.send_data(id, b"more of the request", false), Ok(None), "the other direction goes on");
    host.consumed(id, 3 + long - 1);
    assert!(!to_app(&mut host, &mut app, |event| matches!(event, AppEvent::Fragment { .. })).contains(&true));
    host.consumed(id, 1);
    let sent = AppEvent::Fragment { id, sent: Some(long as u64) };
    assert_eq!(to_app(&mut host, &mut app, |event| event == sent), [true]);
    assert_eq!(app.send_window(id), window);
    assert_eq!(app.finish(id), Ok(Some("handler")));
}

#[test]
fn a_missing_fragment_and_an_empty_part_are_answered_at_once() {
    let (mut host, mut app) = pair(1);
    let id = begun(&mut host, &mut app, b"abc");
    for sent in [None, Some(0)] {
        app.send_fragment(id, "http://a/x", 0, Some(0)).unwrap();
        to_host(&mut app, &mut host, |_| ());
        match sent {
            None => host.fragment_missing(id),
            Some(length) => host.fragment_found(id, length),
        }
        assert_eq!(to_app(&mut host, &mut app, |event| event == AppEvent::Fragment { id, sent }), [true]);
    }
    host.fragment_missing(id);
    host.fragment_found(id, 1);
    assert!(host.output().is_empty(), "nothing was asked");
}

#[test]
fn a_stream_that_is_cancelled_needs_no_answer_to_its_fragment() {
    let (mut host, mut app) = pair(2);
    let (one, two) = (begun(&mut host, &mut app, b""), begun(&mut host, &mut app, b""));
    for id in [one, two] {
        app.send_fragment(id, "http://a/x", 0, None).unwrap();
    }
    app.cancel(one, CancelCode::HANDLER_GONE);
    host.cancel(two, CancelCode::CLIENT_GONE);
    let events = to_host(&mut app, &mut host, |event| format!("{event:?}"));
    assert!(events[0].starts_with("Fragment") && events[1].starts_with("Cancelled") && events.len() == 2, "{events:?}");
    host.fragment_found(one, 5);
    host.fragment_missing(two);
    assert_eq!(to_app(&mut host, &mut app, |event| matches!(event, AppEvent::Cancelled { .. })), [true]);
    to_host(&mut app, &mut host, |_| ());
    assert_eq!((host.streams(), app.streams()), (0, 0));
}

#[test]
fn a_fragment_can_only_stand_where_data_can() {
    let (mut host, mut app) = pair(2);
    let waiting = open(&mut host, &mut app, &request(b""));
    assert_eq!(app.send_fragment(waiting, "u", 0, None), Err(StreamError::NotResponded));
    let id = begun(&mut host, &mut app, b"");
    let long = "x".repeat(MAX_HEAD + 1);
    assert_eq!(app.send_fragment(id, &long, 0, None), Err(StreamError::TooLarge { length: MAX_HEAD + 1 }));
    assert!(app.output().is_empty());
    let stray = raw(17, id.to_wire(), b"");
    assert!(matches!(app.receive(&stray), Err(ProtocolError::Misplaced { kind: Kind::FragmentMissing, .. })));
    let fragment = |id: StreamId| raw(16, id.to_wire(), &[&[0; 16][..], b"u"].concat());
    assert!(matches!(host.receive(&fragment(waiting)), Err(ProtocolError::Misplaced { kind: Kind::Fragment, .. })));
    assert!(matches!(host.receive(&raw(16, id.to_wire(), &[0; 15])), Err(ProtocolError::Malformed { .. })));
    assert!(matches!(host.receive(&raw(16, id.to_wire(), &[0xff; 17])), Err(ProtocolError::Malformed { .. })));
    host.receive(&fragment(id)).unwrap();
    for early in [fragment(id), raw(6, id.to_wire(), b"x"), raw(0x87, id.to_wire(), b"")] {
        assert!(matches!(host.receive(&early), Err(ProtocolError::Misplaced { .. })));
    }
}

#[test]
fn bytes_belong_to_the_message_that_can_have_them() {
    let mut connection = ControlConnection::new();
    connection.push(&raw(1, 0, b"NTHX\x03\x00{\"type\":\"hello\",\"role\":\"app\"}"));
    connection.push(&[raw(19, 0, b"abc"), raw(0x82, 0, b"{\"type\":\"later\"}")].concat());
    connection.push(&[raw(19, 0, b"abc"), raw(0x82, 0, b"{\"type\":\"drain\"}")].concat());
    connection.receive().unwrap();
    assert_eq!(connection.receive(), Ok(Some(Message::Unknown)));
    assert!(matches!(connection.receive(), Err(ProtocolError::Malformed { kind: Kind::Bytes, .. })));
    let bytes = vec![0; (16 << 20) + 1];
    let message = Message::StoreFragment { id: 1, url: "http://a/".into(), time_to_live: None, bytes };
    assert!(connection.send(&message).is_err());
    assert!(connection.output().is_empty());
}
