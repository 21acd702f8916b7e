//! Each knob does what it says, and with any of them an app answers everything.
#![cfg(unix)]

use std::collections::HashMap;
use std::time::Duration;

use crate::client::{self, Client, Place, Running};
use axum::Router;
use axum::routing::get;
use narthex::{Error, FineTune, OperatingMode, Provider, Server};

fn single_acceptor() -> FineTune {
    FineTune::default().operating_mode(OperatingMode::SingleAcceptor)
}

/// Says which worker answers.
fn who() -> Router {
    Router::new().route("/who", get(|| async { format!("{:?}", std::thread::current().id()) }))
}

async fn start_who(fine_tune: FineTune) -> Running {
    let server = Server::new(who()).prefix("http://127.0.0.1:0/").provider(Provider::embedded()).workers(4);
    Running::start(server.fine_tune(fine_tune)).await
}

async fn open(running: &Running, count: usize) -> Vec<(String, Client)> {
    let mut open = Vec::new();
    for _ in 0..count {
        let mut client = running.connect().await;
        let worker = client.get("/who").await;
        assert_eq!(worker.status, 200);
        open.push((worker.text().to_owned(), client));
    }
    open
}

fn by_worker(open: &[(String, Client)]) -> Vec<usize> {
    let mut counts = HashMap::new();
    for (worker, _) in open {
        *counts.entry(worker).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_values().collect();
    counts.sort_unstable();
    counts
}

#[tokio::test]
async fn the_acceptor_deals_connections_evenly_and_refills_the_worker_that_lost_some() {
    let running = start_who(single_acceptor()).await;
    let mut clients = open(&running, 20).await;
    assert_eq!(by_worker(&clients), [5; 4]);

    let worker = clients[0].0.clone();
    clients.retain(|(of, _)| *of != worker);
    // The server sees that they are gone a little later.
    for _ in 0..200 {
        let refill = open(&running, 5).await;
        if refill.iter().all(|(of, _)| *of == worker) {
            return;
        }
        drop(refill);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the worker gets no more than the others");
}

#[tokio::test]
async fn the_acceptors_port_is_free_when_the_server_has_stopped() {
    let running = start_who(single_acceptor()).await;
    let mut clients = open(&running, 4).await;
    let address = running.address();
    running.stop().await;
    assert!(clients[0].1.reply().await.cut_off);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    std::net::TcpListener::bind(address).unwrap();
}

#[tokio::test]
async fn a_value_out_of_range_is_an_error_that_says_the_range() {
    for value in [0, 65_536] {
        let server = Server::new(who()).prefix("http://127.0.0.1:0/").provider(Provider::embedded());
        let error = server.fine_tune(FineTune::default().accepts_per_worker(value)).run().await.unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
        assert_eq!(error.to_string(), format!("cannot use FineTune::accepts_per_worker({value}): it takes 1 to 65535"));
    }
}

/// Every kind of request, many at a time.
async fn everything_is_answered(place: &Place, fine_tune: FineTune) {
    let running = Running::start(place.server("http://127.0.0.1:0/").fine_tune(fine_tune)).await;
    let mut clients = Vec::new();
    for index in 0..16 {
        let mut client = running.connect().await;
        clients.push(tokio::spawn(async move {
            for round in 0..4 {
                let name = format!("{index}-{round}");
                assert_eq!(client.get(&format!("/hello/{name}")).await.text(), format!("hello {name}"));
                assert_eq!(client.get("/slow/5").await.text(), "slow");
                let body = vec![b'b'; 10_000 * index];
                assert_eq!(client.post("/echo", &body).await.body, body);
                assert_eq!(client.get("/stream/10").await.body.len(), 100_000);
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(running.get("/panic").await.status, 500);
    let mut client = running.connect().await;
    client.send(b"GET /slow/50 HTTP/1.1\r\nHost: a\r\n\r\nGET /ping HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.reply().await.text(), "slow");
    assert_eq!(client.reply().await.text(), "pong");
    let stream = running.connect().await.0;
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{}/ws", running.address()), stream).await.unwrap();
    client::exchange(&mut socket, tokio_tungstenite::tungstenite::Message::Binary(vec![7; 100_000].into())).await;
    client::close(socket).await;
    running.stop().await;
}

#[tokio::test]
async fn everything_is_answered_without_inline_completion() {
    for place in [Place::embedded(), Place::shared()] {
        everything_is_answered(&place, FineTune::default().inline_completion(false)).await;
    }
}

#[tokio::test]
async fn everything_is_answered_behind_the_acceptor() {
    everything_is_answered(&Place::embedded(), single_acceptor()).await;
}

#[tokio::test]
async fn everything_is_answered_one_at_a_time() {
    for place in [Place::embedded(), Place::shared()] {
        everything_is_answered(&place, FineTune::default().accepts_per_worker(1)).await;
    }
}

#[tokio::test]
async fn without_inline_completion_others_have_their_turn_before_a_handler_blocks() {
    let (entered, mut has_entered) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let may_go_on = std::sync::Arc::new(std::sync::Mutex::new(may_go_on));
    let block = get(async move || {
        entered.send(()).unwrap();
        may_go_on.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
        "blocked"
    });
    let app = Router::new().route("/block", block);
    let server = Server::new(app).prefix("http://127.0.0.1:0/app/").provider(Provider::embedded()).workers(1);
    let running = Running::start(server.fine_tune(FineTune::default().inline_completion(false))).await;
    let (mut first, mut second, mut third) = (running.connect().await, running.connect().await, running.connect().await);
    for client in [&mut second, &mut third] {
        assert_eq!(client.get("/app/none").await.status, 404);
    }

    // While the first holds the worker, the requests of the others arrive, in this order.
    first.send(b"GET /app/block HTTP/1.1\r\nHost: a\r\n\r\n").await;
    has_entered.recv().await.unwrap();
    second.send(b"GET /app/block HTTP/1.1\r\nHost: a\r\n\r\n").await;
    third.send(b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    go_on.send(()).unwrap();
    assert_eq!(third.reply().await.status, 404, "before the second is let go");
    go_on.send(()).unwrap();
    assert_eq!(first.reply().await.text(), "blocked");
    assert_eq!(second.reply().await.text(), "blocked");
}
