//! Settings that are changed while clients are served.
#![cfg(unix)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::client::{Place, Running};
use axum::Router;
use axum::routing::get;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use narthex::{CachePolicy, Change, Error, FineTune, Http503Verbosity, Logging, Principal, Timeouts};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

on_both! {
    an_app_can_be_switched_off_and_on
    the_longest_body_can_be_changed
    a_timer_can_be_changed
    timers_of_no_length_are_inherited_ones
    a_server_that_does_not_run_cannot_be_changed
    a_value_out_of_range_changes_nothing
    connections_can_be_bounded
    output_can_be_paced
    a_503_says_as_much_as_it_is_told
}

async fn change(running: &Running, change: Change) {
    running.handle.change(change).await.unwrap();
}

async fn an_app_can_be_switched_off_and_on(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    change(&running, Change::new().active(false)).await;
    assert_eq!(client.get("/ping").await.status, 503);
    change(&running, Change::new().active(true)).await;
    assert_eq!(running.get("/ping").await.status, 200);
}

async fn the_longest_body_can_be_changed(place: &Place) {
    let running = Running::start(place.server("http://127.0.0.1:0/").max_body(5)).await;
    let post = async || running.connect().await.post("/len", &[0; 10]).await.status;
    assert_eq!(post().await, 413);
    change(&running, Change::new().max_body(10)).await;
    assert_eq!(post().await, 200);
    change(&running, Change::new().max_body(9)).await;
    assert_eq!(post().await, 413);
    change(&running, Change::new().max_body(None)).await;
    assert_eq!(post().await, 200);
}

async fn a_timer_can_be_changed(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    assert_eq!(client.get("/ping").await.status, 200);
    assert!(timeout(Duration::from_millis(1500), client.reply()).await.is_err(), "it may be idle for long");
    change(&running, Change::new().timeouts(Timeouts::default().idle_connection(Duration::from_secs(1)))).await;
    let mut client = running.connect().await;
    assert_eq!(client.get("/ping").await.status, 200);
    let idle = Instant::now();
    assert!(client.reply().await.cut_off);
    assert!(idle.elapsed() >= Duration::from_millis(900), "{:?}", idle.elapsed());
}

async fn timers_of_no_length_are_inherited_ones(place: &Place) {
    let zero = Duration::ZERO;
    let timeouts = Timeouts::default().idle_connection(zero).header_wait(zero).entity_body(zero).drain_entity_body(zero);
    let server = place.server("http://127.0.0.1:0/").timeouts(timeouts.request_queue(zero).min_send_rate(0));
    let running = Running::start(server).await;
    let mut client = running.connect().await;
    client.begin_len("/len").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.send(b"abc").await;
    assert_eq!(client.reply().await.text(), "3");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(client.get("/ping").await.text(), "pong");
}

async fn a_server_that_does_not_run_cannot_be_changed(place: &Place) {
    let server = place.server("http://127.0.0.1:0/");
    let handle = server.handle();
    assert!(matches!(handle.change(Change::new().active(false)).await, Err(Error::NotRunning)));
    let running = Running::start(server).await;
    assert_eq!(running.get("/ping").await.status, 200);
    running.stop().await;
    assert!(matches!(handle.change(Change::new().active(false)).await, Err(Error::NotRunning)));
}

async fn a_value_out_of_range_changes_nothing(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    let error = running.handle.change(Change::new().active(false).max_bandwidth(1)).await.unwrap_err();
    assert!(error.to_string().contains("max_bandwidth(1): it takes 1024 to "), "{error}");
    assert_eq!(running.get("/ping").await.status, 200);
    let error = place.server("http://127.0.0.1:0/").max_connections(0).run().await.unwrap_err();
    assert!(error.to_string().contains("max_connections(0)"), "{error}");
}

#[tokio::test]
async fn the_length_of_a_queue_can_be_changed() {
    let place = Place::shared();
    let tune = FineTune::default().accepts_per_worker(1);
    let running = Running::start(place.server("http://127.0.0.1:0/").workers(1).fine_tune(tune)).await;
    // The app takes one from each of the host's two workers, and answers when the body has come.
    let six = async || {
        let mut clients = Vec::new();
        for _ in 0..6 {
            let mut client = running.connect().await;
            client.send(b"POST /len HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n").await;
            clients.push(client);
        }
        clients
    };
    let all_are_answered = async || {
        let mut clients = six().await;
        for client in &mut clients {
            client.send(b"abc").await;
        }
        for client in &mut clients {
            assert_eq!(client.reply().await.text(), "3");
        }
    };
    all_are_answered().await;
    change(&running, Change::new().queue_length(1)).await;
    let mut clients = six().await;
    let replies: FuturesUnordered<_> = clients.iter_mut().map(|client| client.reply()).collect();
    let first: Vec<_> = replies.take(3).map(|reply| reply.status).collect().await;
    assert_eq!(first, [503; 3]);
    drop(clients);
    change(&running, Change::new().queue_length(6)).await;
    all_are_answered().await;
}

#[tokio::test]
async fn what_the_host_refuses_is_an_error_and_changes_nothing() {
    let place = Place::shared();
    let running = place.start("http://127.0.0.1:0/").await;
    let many = (0..65).map(Principal::User);
    let error = running.handle.change(Change::new().active(false).openers(many)).await.unwrap_err();
    assert!(matches!(error, Error::ChangeRefused { .. }), "{error}");
    assert_eq!(running.get("/ping").await.status, 200);
}

/// Waits until the app answers again.
async fn is_back(running: &Running) {
    let back = async {
        while TcpStream::connect(running.address()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), back).await.expect("the app registers again");
}

#[tokio::test]
async fn a_change_survives_the_hosts_restart() {
    let mut place = Place::shared();
    let running = place.start("http://127.0.0.1:0/").await;
    change(&running, Change::new().max_body(5)).await;
    change(&running, Change::new().queue_length(7)).await;
    drop(place.host.take());
    place.start_host();
    is_back(&running).await;
    assert_eq!(running.connect().await.post("/len", &[0; 6]).await.status, 413);
    assert_eq!(running.connect().await.post("/len", &[0; 5]).await.text(), "5");
}

#[tokio::test]
async fn a_change_without_a_host_is_made_when_it_is_back() {
    let mut place = Place::shared();
    let running = place.start("http://127.0.0.1:0/").await;
    drop(place.host.take());
    let handle = running.handle.clone();
    let changed = tokio::spawn(async move { handle.change(Change::new().max_body(5)).await });
    assert!(timeout(Duration::from_millis(100), running.handle.change(Change::new().active(true))).await.is_err());
    assert!(!changed.is_finished());
    place.start_host();
    timeout(Duration::from_secs(10), changed).await.expect("a change").unwrap().unwrap();
    assert_eq!(running.connect().await.post("/len", &[0; 6]).await.status, 413);
}

#[tokio::test]
async fn an_embedded_server_says_what_it_does_not_have() {
    let running = Place::embedded().start("http://127.0.0.1:0/").await;
    let error = running.handle.change(Change::new().active(false).queue_length(5).delegates(true)).await.unwrap_err();
    assert!(error.to_string().contains("delegates, queue_length"), "{error}");
    assert_eq!(running.get("/ping").await.status, 200, "nothing was changed");
}

async fn connections_can_be_bounded(place: &Place) {
    let running = Running::start(place.server("http://127.0.0.1:0/").max_connections(1)).await;
    let one_more = async || {
        let mut client = running.connect().await;
        // A host finds out by the request whose connection it is.
        if place.host.is_some() {
            client.send(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n").await;
        }
        client.reply().await.status
    };
    let mut first = running.connect().await;
    assert_eq!(first.get("/ping").await.status, 200);
    assert_eq!(one_more().await, 503);
    change(&running, Change::new().max_connections(2)).await;
    let mut second = running.connect().await;
    assert_eq!(second.get("/ping").await.status, 200);
    assert_eq!(one_more().await, 503);
    change(&running, Change::new().max_connections(None)).await;
    assert_eq!(running.get("/ping").await.status, 200);
}

async fn output_can_be_paced(place: &Place) {
    let running = Running::start(place.server("http://127.0.0.1:0/").max_bandwidth(20_000)).await;
    let takes = async || {
        let begun = Instant::now();
        assert_eq!(running.get("/big/20000").await.body.len(), 20_000);
        begun.elapsed()
    };
    assert!(takes().await > Duration::from_millis(700));
    change(&running, Change::new().max_bandwidth(None)).await;
    assert!(takes().await < Duration::from_millis(500));
    change(&running, Change::new().max_bandwidth(20_000)).await;
    assert!(takes().await > Duration::from_millis(700));
}

async fn a_503_says_as_much_as_it_is_told(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    change(&running, Change::new().active(false)).await;
    assert!(running.get("/ping").await.head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    change(&running, Change::new().verbosity(Http503Verbosity::Full)).await;
    assert!(running.get("/ping").await.head.starts_with("HTTP/1.1 503 Disabled\r\n"));
    change(&running, Change::new().verbosity(Http503Verbosity::Basic)).await;
    assert!(running.get("/ping").await.cut_off);
}

#[tokio::test]
async fn the_host_caches_only_for_apps_that_let_it() {
    let place = Place::shared();
    let count = Arc::new(AtomicUsize::new(0));
    let app = Router::new().route("/", get(async move || (CachePolicy::UntilFlushed, count.fetch_add(1, SeqCst).to_string())));
    let running = Running::start(place.serving(app, "http://127.0.0.1:0/").response_cache(false)).await;
    for expected in ["0", "1"] {
        assert_eq!(running.get("/").await.text(), expected);
    }
    change(&running, Change::new().response_cache(true)).await;
    let mut client = running.connect().await;
    let mut same = false;
    // A response is kept from the moment when the host has it all.
    for _ in 0..50 {
        let first = client.get("/").await;
        same |= first.body == client.get("/").await.body;
    }
    assert!(same);
}

#[tokio::test]
async fn the_host_logs_as_the_app_says() {
    let place = Place::shared();
    let server = place.server("http://127.0.0.1:0/").logging(Logging::w3c().site("shop").fields(["cs-method", "cs-uri-stem"]));
    let running = Running::start(server).await;
    assert_eq!(running.get("/ping").await.status, 200);
    let folder = place.socket().with_file_name("log").join("shop");
    let logged = async {
        loop {
            let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let text: String = files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect();
            if text.contains("GET /ping") {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let text = timeout(Duration::from_secs(10), logged).await.expect("a line in the log");
    assert!(text.contains("#Fields: cs-method cs-uri-stem"), "{text}");
}
