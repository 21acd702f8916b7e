//! What an app learns of its clients, and how it gets rid of them, on either provider.
#![cfg(unix)]

use std::time::Duration;

use crate::client::{Client, Place, Running};
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request};
use axum::routing::get;
use axum::{Router, extract::State};
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use narthex::{NotInformed, RequestControl, Server};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

on_both! {
    a_client_that_closes_its_side_is_noticed_at_once_and_still_answered
    a_client_that_resets_its_connection_is_noticed_after_its_handler_was_dropped
    an_answered_client_is_not_gone
    a_task_can_break_the_connection_off
    a_response_that_was_begun_can_be_broken_off
    a_handler_that_cancels_is_not_answered_for
    requests_have_no_control_unless_it_is_wanted
    interim_responses_come_before_the_response_and_at_once
    an_interim_response_that_cannot_be_sent_is_refused
}

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq)]
enum Event {
    Begun,
    HandlerDropped,
    /// What a task of its own was told.
    Gone(bool),
}

type Events = mpsc::UnboundedSender<Event>;

/// Reports its end.
struct Guard(Events);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(Event::HandlerDropped);
    }
}

fn watch(control: RequestControl, events: &Events) {
    let events = events.clone();
    tokio::spawn(async move { events.send(Event::Gone(control.disconnected().await)) });
}

fn app(events: Events) -> Router {
    Router::new()
        .route("/ping", get(async || "pong"))
        .route("/gone", get(gone))
        .route("/never", get(never))
        .route("/now", get(now))
        .route("/cancel/task", get(cancel_in_a_task))
        .route("/cancel/begun", get(cancel_begun))
        .route("/cancel/now", get(cancel_now))
        .route("/hints", get(hints))
        .route("/refused", get(refused))
        .route("/has", get(async |request: Request| request.extensions().get::<RequestControl>().is_some().to_string()))
        .with_state(events)
}

type Control = Extension<RequestControl>;

async fn gone(Extension(control): Control, State(events): State<Events>) -> String {
    watch(control.clone(), &events);
    events.send(Event::Begun).unwrap();
    let gone = control.disconnected().await;
    format!("{gone} {}", control.is_disconnected())
}

async fn never(Extension(control): Control, State(events): State<Events>) {
    let _guard = Guard(events.clone());
    watch(control.clone(), &events);
    events.send(Event::Begun).unwrap();
    std::future::pending().await
}

async fn now(Extension(control): Control, State(events): State<Events>) -> String {
    watch(control.clone(), &events);
    tokio::spawn(async move {
        control.disconnected().await;
        control.cancel();
    });
    "now".to_owned()
}

async fn cancel_in_a_task(Extension(control): Control, State(events): State<Events>) {
    let _guard = Guard(events.clone());
    watch(control.clone(), &events);
    tokio::task::spawn_blocking(move || control.cancel());
    std::future::pending().await
}

async fn cancel_begun(Extension(control): Control, State(events): State<Events>) -> Body {
    let pieces = futures_util::stream::unfold(0, move |piece| {
        let (control, events) = (control.clone(), events.clone());
        async move {
            if piece == 1 {
                watch(control.clone(), &events);
                tokio::spawn(async move { control.cancel() });
                std::future::pending::<()>().await;
            }
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"first")), piece + 1))
        }
    });
    Body::from_stream(pieces)
}

async fn cancel_now(Extension(control): Control, State(events): State<Events>) -> &'static str {
    watch(control.clone(), &events);
    control.cancel();
    "not sent"
}

/// One when the handler begins, one by a task while it works, and one just before it answers.
async fn hints(Extension(control): Control, State(events): State<Events>) -> &'static str {
    control.early_hints(["</a.css>; rel=preload", "</b.js>; rel=preload"].map(HeaderValue::from_static)).unwrap();
    events.send(Event::Begun).unwrap();
    let (go, gone) = oneshot::channel();
    let task = control.clone();
    std::thread::spawn(move || {
        // Fields that only a response has, or only the server knows.
        let fields = [(CONTENT_LENGTH, "5"), (CONNECTION, "close"), (HeaderName::from_static("x-step"), "2")];
        let fields = fields.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
        task.inform(StatusCode::PROCESSING, fields).unwrap();
        go.send(()).unwrap();
    });
    gone.await.unwrap();
    control.early_hints([]).unwrap();
    tokio::spawn(async move {
        control.disconnected().await;
        let late = control.early_hints([]) == Err(NotInformed::TooLate);
        events.send(Event::Gone(late)).unwrap();
    });
    "the response"
}

async fn refused(Extension(control): Control) -> String {
    let inform = |status| control.inform(StatusCode::from_u16(status).unwrap(), HeaderMap::new());
    for status in [100, 101, 200, 404] {
        assert_eq!(inform(status), Err(NotInformed::Status(StatusCode::from_u16(status).unwrap())));
    }
    let sent = (0..100).take_while(|_| inform(103).is_ok()).count();
    format!("{sent} {:?}", inform(103))
}

fn server(place: &Place) -> (Server<Router>, mpsc::UnboundedReceiver<Event>) {
    let (events, seen) = mpsc::unbounded_channel();
    (place.serving(app(events), "http://127.0.0.1:0/"), seen)
}

async fn start(place: &Place) -> (Running, mpsc::UnboundedReceiver<Event>) {
    let (server, events) = server(place);
    (Running::start(server.request_control(true)).await, events)
}

async fn next(events: &mut mpsc::UnboundedReceiver<Event>) -> Event {
    timeout(PATIENCE, events.recv()).await.expect("an event").unwrap()
}

async fn ask(running: &Running, target: &str) -> Client {
    let mut client = running.connect().await;
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
    client
}

async fn a_client_that_closes_its_side_is_noticed_at_once_and_still_answered(place: &Place) {
    let (running, mut events) = start(place).await;
    let mut other = ask(&running, "/gone").await;
    assert_eq!(next(&mut events).await, Event::Begun);
    let mut client = ask(&running, "/gone").await;
    assert_eq!(next(&mut events).await, Event::Begun);
    let closed = Instant::now();
    client.0.shutdown().await.unwrap();
    assert_eq!(next(&mut events).await, Event::Gone(true));
    assert_eq!(client.reply().await.text(), "true true");
    assert!(closed.elapsed() < Duration::from_secs(5), "before its time to be answered is over");
    assert!(timeout(Duration::from_millis(50), other.reply()).await.is_err(), "the other one is still there");
}

async fn a_client_that_resets_its_connection_is_noticed_after_its_handler_was_dropped(place: &Place) {
    let (running, mut events) = start(place).await;
    let client = ask(&running, "/never").await;
    assert_eq!(next(&mut events).await, Event::Begun);
    client.0.set_zero_linger().unwrap();
    drop(client);
    let both = [next(&mut events).await, next(&mut events).await];
    assert!(both.contains(&Event::HandlerDropped) && both.contains(&Event::Gone(true)), "{both:?}");
    assert_eq!(running.get("/ping").await.text(), "pong");
}

async fn an_answered_client_is_not_gone(place: &Place) {
    let (running, mut events) = start(place).await;
    let mut client = running.connect().await;
    for _ in 0..3 {
        assert_eq!(client.get("/now").await.text(), "now");
        assert_eq!(next(&mut events).await, Event::Gone(false));
    }
    assert_eq!(client.get("/ping").await.text(), "pong", "a cancel comes too late");
}

async fn a_task_can_break_the_connection_off(place: &Place) {
    let (running, mut events) = start(place).await;
    let mut client = ask(&running, "/cancel/task").await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.cut_off), (0, true));
    let both = [next(&mut events).await, next(&mut events).await];
    assert!(both.contains(&Event::HandlerDropped) && both.contains(&Event::Gone(true)), "{both:?}");
    assert_eq!(running.get("/ping").await.text(), "pong");
}

async fn a_response_that_was_begun_can_be_broken_off(place: &Place) {
    let (running, mut events) = start(place).await;
    let reply = ask(&running, "/cancel/begun").await.reply().await;
    assert!(reply.cut_off, "{reply:?}");
    assert_eq!(next(&mut events).await, Event::Gone(true));
}

async fn a_handler_that_cancels_is_not_answered_for(place: &Place) {
    let (running, mut events) = start(place).await;
    let reply = ask(&running, "/cancel/now").await.reply().await;
    assert_eq!((reply.status, reply.cut_off), (0, true));
    assert_eq!(next(&mut events).await, Event::Gone(true));
}

async fn requests_have_no_control_unless_it_is_wanted(place: &Place) {
    let (server, _events) = server(place);
    let running = Running::start(server).await;
    assert_eq!(running.get("/has").await.text(), "false");
    let (running, _events) = start(place).await;
    assert_eq!(running.get("/has").await.text(), "true");
}

async fn interim_responses_come_before_the_response_and_at_once(place: &Place) {
    let (running, mut events) = start(place).await;
    let mut client = running.connect().await;
    for _ in 0..2 {
        client.send(b"GET /hints HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(next(&mut events).await, Event::Begun);
        let first = client.reply().await;
        assert_eq!(first.status, 103);
        let links: Vec<_> = first.head.lines().filter(|line| line.starts_with("link: ")).collect();
        assert_eq!(links, ["link: </a.css>; rel=preload", "link: </b.js>; rel=preload"]);
        let second = client.reply().await;
        assert_eq!(second.status, 102);
        let head = second.head.to_ascii_lowercase();
        assert!(head.contains("x-step: 2") && !head.contains("content-length") && !head.contains("connection"), "{head}");
        assert_eq!(client.reply().await.status, 103);
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.text()), (200, "the response"));
        assert_eq!(next(&mut events).await, Event::Gone(true), "after the response it is too late");
    }
    client.send(b"GET /hints HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 200, "HTTP/1.0 has no interim responses");
}

async fn an_interim_response_that_cannot_be_sent_is_refused(place: &Place) {
    let (running, _events) = start(place).await;
    let mut client = running.connect().await;
    client.send(b"GET /refused HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for _ in 0..16 {
        assert_eq!(client.reply().await.status, 103);
    }
    assert_eq!(client.reply().await.text(), "16 Err(TooMany)");
}
