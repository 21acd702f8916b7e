//! Servers that are not well get no requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use narthex::forward::{CircuitBreaker, CircuitState, Ejection, Forward, Upstream};

use super::stage::{always, running, running_with, script, until};
use crate::client::Place;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BAD: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nbad";

/// A server that is well while `well` is set, and the number of its heads.
async fn changing(well: &Arc<AtomicBool>, heads: &Arc<AtomicUsize>) -> Upstream {
    let (well, heads) = (Arc::clone(well), Arc::clone(heads));
    let origin = script(move |mut connection, _| {
        let (well, heads) = (Arc::clone(&well), Arc::clone(&heads));
        async move {
            while !connection.head().await.is_empty() {
                heads.fetch_add(1, Ordering::SeqCst);
                connection.say(if well.load(Ordering::SeqCst) { OK } else { BAD }).await;
            }
        }
    })
    .await;
    origin.upstream()
}

#[tokio::test]
async fn a_server_that_fails_is_left_alone_for_a_while() {
    let bad = always(BAD).await;
    let back_off = Duration::from_secs(100);
    let upstream = bad.upstream().ejection(Ejection::new().failures(2).back_off(back_off, back_off));
    let forward = Forward::new().route("/", upstream);
    let running = running(&Place::embedded(), forward.clone()).await;
    let mut client = running.connect().await;
    for _ in 0..2 {
        // Its own answer.
        assert_eq!(client.get("/").await.text(), "bad");
    }
    let reply = client.get("/").await;
    assert_eq!((reply.status, reply.text()), (503, r#"{"error":"Service Unavailable"}"#));
    assert!(reply.head.contains("retry-after: 100\r\n"), "{}", reply.head);
    let status = forward.status();
    let [(pattern, upstream)] = status.as_slice() else { panic!("there is one") };
    let server = &upstream.servers[0];
    assert_eq!((pattern.as_str(), server.requests, server.failures, server.in_flight), ("/", 2, 2, 0));
    assert!(server.ejected_for.is_some_and(|left| left > Duration::from_secs(90)));
}

#[tokio::test]
async fn checks_take_servers_out_and_bring_them_back() {
    let (well, checks) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let upstream = changing(&well, &checks).await.health("/healthz", Duration::from_millis(10), Duration::from_secs(5));
    let forward = Forward::new().route("/", upstream);
    let passes = || forward.status()[0].1.servers[0].passes_checks;
    let running = running(&Place::embedded(), forward.clone()).await;
    assert_eq!(running.get("/").await.text(), "ok");
    well.store(false, Ordering::SeqCst);
    until("it is taken out", || !passes()).await;
    assert_eq!(running.get("/").await.status, 503);
    well.store(true, Ordering::SeqCst);
    until("it is brought back", passes).await;
    assert_eq!(running.get("/").await.text(), "ok");
}

#[tokio::test]
async fn checks_end_with_the_last_clone() {
    let (well, heads) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let upstream = changing(&well, &heads).await.health("/", Duration::from_millis(10), Duration::from_secs(5));
    let mut forward = Forward::new().route("/", upstream.clone());
    let request = http::Request::new(narthex::Body::empty());
    drop(tower::Service::call(&mut forward, request).await.unwrap());
    until("it is checked", || heads.load(Ordering::SeqCst) > 3).await;
    drop(forward);
    let before = heads.load(Ordering::SeqCst);
    until("it is still checked", || heads.load(Ordering::SeqCst) > before + 3).await;
    drop(upstream);
    // Twenty times as long as between two checks.
    let quiet = async {
        loop {
            let before = heads.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(200)).await;
            if heads.load(Ordering::SeqCst) == before {
                return;
            }
        }
    };
    tokio::time::timeout(super::stage::PATIENCE, quiet).await.expect("they end");
}

#[tokio::test]
async fn checks_end_with_the_server_and_go_on_with_the_next() {
    let (well, heads) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let upstream = changing(&well, &heads).await.health("/", Duration::from_millis(10), Duration::from_secs(5));
    let forward = Forward::new().route("/", upstream);
    for _ in 0..2 {
        let running = running(&Place::embedded(), forward.clone()).await;
        assert_eq!(running.get("/").await.text(), "ok");
        let before = heads.load(Ordering::SeqCst);
        until("it is checked", || heads.load(Ordering::SeqCst) > before + 3).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_broken_circuit_refuses_at_once_and_tries_again_after_a_while() {
    let (well, heads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let breaker = CircuitBreaker::new().failures(3).cooldown(Duration::from_millis(300));
    let upstream = changing(&well, &heads).await.circuit_breaker(breaker).ejection(Ejection::new().failures(1000));
    let running = running_with(upstream.clone()).await;
    let state = || upstream.status().circuit.unwrap();
    assert_eq!(state(), CircuitState::Closed);
    let mut client = running.connect().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), "bad");
    }
    assert!(matches!(state(), CircuitState::Open { .. }));
    let reply = client.get("/").await;
    assert!(reply.status == 503 && reply.head.contains("retry-after: 1\r\n"), "{reply:?}");
    assert_eq!(heads.load(Ordering::SeqCst), 3);
    until("it is half-open", || state() == CircuitState::HalfOpen).await;
    assert_eq!(client.get("/").await.text(), "bad");
    assert!(matches!(state(), CircuitState::Open { .. }));
    well.store(true, Ordering::SeqCst);
    until("it is half-open", || state() == CircuitState::HalfOpen).await;
    assert_eq!(client.get("/").await.text(), "ok");
    assert_eq!(state(), CircuitState::Closed);
}
