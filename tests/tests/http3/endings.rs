//! Servers that stop.

use std::time::Duration;

use narthex_tests::Provider;
use narthex_tests::h3::{End, NO_ERROR, REQUEST_REJECTED};
use narthex_tests::web_socket::{Message, WebSocket};

use crate::http3::stage::{both, start};

both! {
    a_server_that_stops_says_so_and_finishes_what_it_has;
    a_server_that_stops_closes_connections_that_do_nothing;
    a_server_that_stops_does_not_wait_for_ever;
    a_client_whose_address_changes_keeps_its_connection;
}

async fn a_server_that_stops_says_so_and_finishes_what_it_has(provider: Provider) {
    let mut secure = start(provider);
    let mut connection = secure.http3().await;
    let mut upload = connection.open("POST", "/len", &[]).await.expect("the connection is there");
    upload.request.data(b"before ").await.expect("the server reads");
    let mut download = connection.open("GET", "/drip?chunks=100&size=100&ms=5", &[]).await.expect("the connection is there");
    download.request.finish();
    download.response.body(100).await.expect("a beginning");
    let (last, refused) = (download.id(), download.id() + 4);
    assert!(upload.id() < last);

    secure.server().terminate();
    let said = connection.said(|said| said.goaway.is_some()).await;
    assert_eq!(said.goaway, Some(refused));
    let mut late = connection.open("GET", "/whoami", &[]).await.expect("the connection is there");
    assert_eq!(late.answer().await.err(), Some(End::Reset(REQUEST_REJECTED)), "it may be sent to another server");
    upload.request.data(b"after").await.expect("the server reads");
    assert_eq!(upload.answer().await.expect("an answer").text(), "12");
    assert_eq!(download.response.whole().await.expect("an answer").body.len(), 10_000);
    connection.leave();
    assert!(secure.server().wait(Duration::from_secs(20)).success());
}

async fn a_server_that_stops_closes_connections_that_do_nothing(provider: Provider) {
    let mut secure = start(provider);
    let (unused, used) = (secure.http3().await, secure.http3().await);
    assert_eq!(used.get("/whoami").await.status, 200);
    secure.server().terminate();
    for connection in [unused, used] {
        assert_eq!(connection.closed().await, Some(NO_ERROR));
    }
    assert!(secure.server().wait(Duration::from_secs(20)).success());
}

async fn a_server_that_stops_does_not_wait_for_ever(provider: Provider) {
    let mut secure = start(provider);
    let connection = secure.http3().await;
    let mut held = connection.open("GET", "/hold", &[]).await.expect("the connection is there");
    held.request.finish();
    let mut socket = WebSocket::over_http3(&connection, "/ws").await;
    socket.exchange("hello".into()).await;
    secure.server().terminate();
    assert!(secure.server().wait(Duration::from_secs(30)).success());
    let end = held.response.whole().await;
    let is_refused = |status: u16| matches!(status, 502 | 503);
    assert!(end.as_ref().map_or(true, |answer| is_refused(answer.status)), "{end:?}");
    assert!(matches!(socket.next().await, None | Some(Message::Close(_))));
    assert_eq!(connection.closed().await, Some(NO_ERROR));
}

async fn a_client_whose_address_changes_keeps_its_connection(provider: Provider) {
    let secure = start(provider);
    let client = secure.client();
    let connection = client.connect(secure.address()).await.expect("the server speaks HTTP/3");
    let mut upload = connection.open("POST", "/echo", &[]).await.expect("the connection is there");
    upload.request.data(b"before ").await.expect("the server reads");
    upload.response.body(7).await.expect("a beginning");
    let before = client.address();
    client.move_elsewhere();
    assert_ne!(client.address(), before);
    upload.request.data(b"after").await.expect("the server reads");
    assert_eq!(upload.answer().await.expect("an answer").text(), "before after");
    assert_eq!(connection.get("/bytes?n=1000000").await.body.len(), 1_000_000);
}
