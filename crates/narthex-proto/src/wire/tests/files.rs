//! Files in the place of what is left of a response.

use super::*;

const PART: FilePart = FilePart { offset: 1, length: 2, device: 3, inode: u64::MAX };

/// A stream whose response has begun, and whose file the host knows of.
fn offered(host: &mut Host, app: &mut App) -> StreamId {
    let id = open(host, app, &with_body());
    app.respond_with(id, ResponseHead::new(200, BodyLength::Exact(2)), |_| {}, b"", false).unwrap();
    app.send_file(id, PART).unwrap();
    assert_eq!((app.send_window(id), app.finish(id)), (0, Err(StreamError::FragmentUnanswered)));
    let seen = to_host(app, host, |event| event == HostEvent::File { id, part: PART });
    assert_eq!(seen.last(), Some(&true));
    id
}

#[test]
fn a_file_that_is_taken_ends_its_stream_for_both() {
    let (mut host, mut app) = pair(2);
    let id = offered(&mut host, &mut app);
    assert_eq!(host.file_taken(id), Some("exchange"));
    assert_eq!((host.streams(), host.file_taken(id)), (0, None));
    // The slot is another request's already, and the app learns both in this order.
    let next = host.open(&with_body(), "next").unwrap();
    let taken = AppEvent::FileTaken { id, closed: Some("handler") };
    assert!(to_app(&mut host, &mut app, |event| event == taken)[0]);
    assert!(app.streams() == 1 && next != id);
}

#[test]
fn a_file_that_is_refused_leaves_the_response_to_the_app() {
    let (mut host, mut app) = pair(1);
    let id = offered(&mut host, &mut app);
    host.fragment_missing(id);
    assert_eq!(to_app(&mut host, &mut app, |event| event == AppEvent::Fragment { id, sent: None }), [true]);
    assert_eq!(app.send_data(id, b"ab", true), Ok(Some("handler")));
    to_host(&mut app, &mut host, |_| ());
    assert_eq!(host.streams(), 0);
}

#[test]
fn a_file_on_a_cancelled_stream_is_told_of_and_has_no_consequences() {
    let (mut host, mut app) = pair(2);
    let id = open(&mut host, &mut app, &with_body());
    app.respond_with(id, ResponseHead::new(200, BodyLength::Exact(2)), |_| {}, b"", false).unwrap();
    app.send_file(id, PART).unwrap();
    host.cancel(id, CancelCode::CLIENT_GONE);
    assert_eq!(to_host(&mut app, &mut host, |event| event == HostEvent::File { id, part: PART }), [true]);
    assert_eq!(host.file_taken(id), None);
    host.fragment_missing(id);
    to_app(&mut host, &mut app, |_| ());
    to_host(&mut app, &mut host, |_| ());
    assert_eq!((host.streams(), app.streams()), (0, 0));
}

#[test]
fn an_app_that_gives_up_while_its_file_is_taken_confuses_nobody() {
    let (mut host, mut app) = pair(2);
    let id = offered(&mut host, &mut app);
    app.cancel(id, CancelCode::HANDLER_GONE);
    host.file_taken(id);
    assert_eq!(to_app(&mut host, &mut app, |_| ()).len(), 0);
    assert_eq!(to_host(&mut app, &mut host, |_| ()).len(), 0);
    assert_eq!((host.streams(), app.streams()), (0, 0));
}

#[test]
fn files_stand_where_data_can_and_answers_where_files_were() {
    let (mut host, mut app) = pair(2);
    let waiting = open(&mut host, &mut app, &request(b""));
    assert_eq!(app.send_file(waiting, PART), Err(StreamError::NotResponded));
    let file = |id: StreamId, length: usize| raw(20, id.to_wire(), &vec![0; length]);
    assert!(matches!(host.receive(&file(waiting, 32)), Err(ProtocolError::Misplaced { kind: Kind::File, .. })));
    assert!(matches!(host.receive(&file(waiting, 31)), Err(ProtocolError::Malformed { .. })));
    let stray = raw(21, waiting.to_wire(), b"");
    assert!(matches!(app.receive(&stray), Err(ProtocolError::Misplaced { kind: Kind::FileTaken, .. })));
    let id = offered(&mut host, &mut app);
    for early in [file(id, 32), raw(6, id.to_wire(), b"x"), raw(0x87, id.to_wire(), b"")] {
        assert!(matches!(host.receive(&early), Err(ProtocolError::Misplaced { .. })));
    }
    let sent = raw(18, id.to_wire(), &[0; 8]);
    assert!(matches!(app.receive(&sent), Err(ProtocolError::Misplaced { kind: Kind::FragmentSent, .. })));
}
