//! Requests that are handed on, and clients that send no more.

use super::*;

#[test]
fn a_delegated_request_is_over_for_its_app_and_its_slot_is_free_at_the_host() {
    let (mut host, mut app) = pair(1);
    let id = open(&mut host, &mut app, &with_body());
    app.delegate(id, "blog", "http://+:80/blog/").unwrap();
    assert_eq!(app.streams(), 0);
    let seen = to_host(&mut app, &mut host, |event| match event {
        HostEvent::Delegated { queue, url, data, .. } => (queue.to_owned(), url.to_owned(), data),
        other => panic!("{other:?}"),
    });
    assert_eq!(seen, [("blog".to_owned(), "http://+:80/blog/".to_owned(), "exchange")]);
    assert_eq!(host.streams(), 0);
}

#[test]
fn a_request_cannot_be_delegated_after_its_response_or_to_a_name_without_end() {
    let (mut host, mut app) = pair(1);
    let id = open(&mut host, &mut app, &with_body());
    let long = "q".repeat(MAX_HEAD);
    assert!(matches!(app.delegate(id, &long, ""), Err(StreamError::TooLarge { .. })));
    let response = Response { head: ResponseHead::new(200, BodyLength::Unknown), headers: b"", body: b"" };
    app.respond(id, &response, false).unwrap();
    assert_eq!(app.delegate(id, "blog", ""), Err(StreamError::AlreadyResponded));
}

#[test]
fn a_delegation_of_a_stream_that_the_host_has_cancelled_frees_its_slot_in_silence() {
    let (mut host, mut app) = pair(1);
    let id = open(&mut host, &mut app, &with_body());
    host.cancel(id, CancelCode::CLIENT_GONE);
    app.delegate(id, "blog", "").unwrap();
    assert_eq!(to_host(&mut app, &mut host, |_| ()).len(), 0);
    assert_eq!(host.streams(), 0);
}

#[test]
fn the_app_is_told_when_the_client_sends_no_more() {
    let (mut host, mut app) = pair(1);
    let id = open(&mut host, &mut app, &with_body());
    host.client_closed(id);
    let told = to_app(&mut host, &mut app, |event| event == AppEvent::ClientClosed { id });
    assert_eq!(told, [true]);
}
