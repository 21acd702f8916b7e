//! Servers that stop.

use std::time::Duration;

use narthex_tests::Provider;
use narthex_tests::h3::{End, NO_ERROR, REQUEST_REJECTED};

use crate::stage::{both, start};

both! {
    a_server_that_stops_says_so_and_finishes_what_it_has;
    a_server_that_stops_closes_connections_that_do_nothing;
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
