//! Clients that lose their interest.

use narthex_tests::Provider;
use narthex_tests::h3::Connection;

use crate::http3::stage::{both, eventually, start};

both! {
    a_client_that_wants_no_answer_ends_the_handler;
    a_client_that_takes_its_request_back_ends_the_handler_that_reads_it;
    a_client_that_does_both_ends_the_handler_and_others_are_served;
    a_client_that_leaves_ends_all_its_handlers;
    a_client_that_stops_a_download_ends_it_and_others_go_on;
    a_client_that_stops_a_download_that_it_did_not_read_ends_it;
}

async fn held(connection: &Connection, count: &str) {
    eventually(&format!("{count} requests are held"), async || connection.get("/held").await.text() == count).await;
}

async fn a_client_that_wants_no_answer_ends_the_handler(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    for method in ["GET", "POST"] {
        let mut stream = connection.open(method, "/hold", &[]).await.expect("the connection is there");
        if method == "GET" {
            stream.request.finish();
        }
        held(&connection, "1").await;
        stream.response.stop();
        held(&connection, "0").await;
    }
}

async fn a_client_that_takes_its_request_back_ends_the_handler_that_reads_it(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let mut stream = connection.open("POST", "/hold?read", &[]).await.expect("the connection is there");
    stream.request.data(b"some").await.expect("the server reads");
    held(&connection, "1").await;
    stream.request.reset();
    held(&connection, "0").await;
}

async fn a_client_that_does_both_ends_the_handler_and_others_are_served(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(connection.open("POST", "/hold", &[]).await.expect("the connection is there"));
    }
    held(&connection, "20").await;
    for stream in streams.iter_mut().skip(5) {
        stream.cancel();
    }
    held(&connection, "5").await;
    drop(streams);
    held(&connection, "0").await;
}

async fn a_client_that_leaves_ends_all_its_handlers(provider: Provider) {
    let secure = start(provider);
    let (leaving, staying) = (secure.http3().await, secure.http3().await);
    let mut streams = Vec::new();
    for connection in [&leaving, &leaving, &staying] {
        let mut stream = connection.open("GET", "/hold", &[]).await.expect("the connection is there");
        stream.request.finish();
        streams.push(stream);
    }
    held(&staying, "3").await;
    leaving.leave();
    held(&staying, "1").await;
}

async fn a_client_that_stops_a_download_ends_it_and_others_go_on(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let mut stopped = connection.open("GET", "/bytes?n=1000000000", &[]).await.expect("the connection is there");
    stopped.request.finish();
    assert!(stopped.response.body(100_000).await.expect("a beginning").len() >= 100_000);
    stopped.response.stop();
    assert_eq!(connection.get("/bytes?n=2000000").await.body.len(), 2_000_000);
}

async fn a_client_that_stops_a_download_that_it_did_not_read_ends_it(provider: Provider) {
    let secure = start(provider);
    let (connection, watching) = (secure.http3().await, secure.http3().await);
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = connection.open("GET", "/hold?pour", &[]).await.expect("the connection is there");
        stream.request.finish();
        streams.push(stream);
    }
    held(&watching, "5").await;
    // Until nothing moves any more: the client gives no more room.
    let mut before = 0;
    eventually("nothing comes any more", async || {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let now = connection.quic.stats().udp_rx.bytes;
        std::mem::replace(&mut before, now) == now
    })
    .await;
    streams[0].response.stop();
    held(&watching, "4").await;
    streams[1].cancel();
    held(&watching, "3").await;
    connection.leave();
    held(&watching, "0").await;
}
