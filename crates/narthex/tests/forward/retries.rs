//! What is sent again, and what never is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use narthex::forward::{Ejection, Forward, Upstream};

use super::stage::{always, running, running_with, script};
use crate::client::Place;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

on_both! {
    what_cannot_reach_one_server_goes_to_another
}

async fn what_cannot_reach_one_server_goes_to_another(place: &Place) {
    let origin = always(OK).await;
    let upstream = Upstream::new("http://127.0.0.1:1").unwrap().server(format!("http://{}", origin.address)).unwrap();
    let running = running(place, Forward::new().route("/", upstream)).await;
    let mut client = running.connect().await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "ok");
        // Nothing was sent yet: it does not matter what it is.
        assert_eq!(client.post("/", b"body").await.text(), "ok");
    }
}

/// A server that answers once on each connection, and closes it when the second request has come.
async fn forgetful() -> (super::stage::Scripted, Arc<AtomicUsize>) {
    let heads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heads);
    let origin = script(move |mut connection, _| {
        let heads = Arc::clone(&count);
        async move {
            for answers in [true, false] {
                if connection.head().await.is_empty() {
                    return;
                }
                heads.fetch_add(1, Ordering::SeqCst);
                if answers {
                    connection.say(OK).await;
                }
            }
        }
    })
    .await;
    (origin, heads)
}

#[tokio::test]
async fn a_safe_request_that_meets_a_dying_connection_goes_out_again() {
    let (origin, heads) = forgetful().await;
    // Not as a retry: nothing is known of the server yet.
    let upstream = origin.upstream().retries(0).ejection(Ejection::new().failures(1));
    let running = running_with(upstream).await;
    let mut client = running.connect().await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
    assert_eq!((origin.connections(), heads.load(Ordering::SeqCst)), (5, 9));
}

#[tokio::test]
async fn one_that_may_have_done_something_does_not() {
    let (origin, heads) = forgetful().await;
    let running = running_with(origin.upstream()).await;
    let mut client = running.connect().await;
    assert_eq!(client.post("/", b"").await.text(), "ok");
    assert_eq!(client.post("/", b"").await.status, 502);
    assert_eq!(heads.load(Ordering::SeqCst), 2);
    assert_eq!(client.post("/", b"").await.text(), "ok");
}

#[tokio::test]
async fn a_request_is_sent_again_so_often_and_no_more() {
    let origin = script(async |mut connection, _| {
        connection.head().await;
    })
    .await;
    let running = running_with(origin.upstream().retries(2)).await;
    assert_eq!(running.get("/").await.status, 502);
    assert_eq!(origin.connections(), 3);
    let mut client = running.connect().await;
    client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(client.reply().await.status, 502);
    assert_eq!(origin.connections(), 4, "there is no second copy of its body");
}
