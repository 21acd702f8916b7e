//! Handlers that block, by every provider: in a pool, with an end.
#![cfg(all(unix, feature = "axum"))]

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use crate::client::{Place, Running};
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use narthex::{BlockingPool, OpaqueErrors, blocking};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

on_both! {
    functions_take_requests_and_extractors
    a_body_that_is_too_large_is_413
    what_blocks_holds_up_nobody_else
    a_full_pool_is_503_and_says_when_to_come_again
    a_panic_is_an_opaque_500_with_a_request_id
    a_server_that_stops_waits_for_what_runs
    what_is_stuck_does_not_keep_a_server_from_stopping
}

async fn start(place: &Place, app: Router) -> Running {
    Running::start(place.serving(app, "http://127.0.0.1:0/").workers(1)).await
}

/// A handler that tells when it runs, and then waits until the other end says something or goes.
fn held(pool: &BlockingPool) -> (Router, tokio::sync::mpsc::UnboundedReceiver<()>, mpsc::Sender<()>) {
    let (runs, is_running) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let handler = pool.handler(move |_: Request<Bytes>| {
        runs.send(()).unwrap();
        let _ = released.lock().unwrap().recv();
        "done"
    });
    (Router::new().route("/held", get(handler)).route("/ping", get(async || "pong")), is_running, release)
}

async fn functions_take_requests_and_extractors(place: &Place) {
    let whole = |request: Request<Bytes>| Response::new(format!("{} {:?}", request.uri(), request.body()));
    let app = Router::new()
        .route("/whole", post(blocking(|request: Request<Bytes>| format!("{} {:?}", request.uri(), request.body()))))
        .route_service("/service", blocking(whole_as_axum(whole)))
        .route("/path/{id}", get(blocking(|Path(id): Path<u32>| Json(id + 1))))
        .route(
            "/both/{id}",
            post(blocking(|(Path(id), body): (Path<u32>, Bytes)| (StatusCode::CREATED, format!("{id} {body:?}")))),
        )
        .route("/thread", get(blocking(|| std::thread::current().name().unwrap_or_default().to_owned())));
    let running = start(place, app).await;
    let mut client = running.connect().await;
    assert_eq!(client.post("/whole?q", b"abc").await.text(), "/whole?q b\"abc\"");
    assert_eq!(client.post("/service?q", b"").await.text(), "/service?q b\"\"");
    assert_eq!(client.get("/path/7").await.text(), "8");
    assert_eq!(client.get("/path/x").await.status, 400);
    let both = client.post("/both/1", b"x").await;
    assert_eq!((both.status, both.text()), (201, "1 b\"x\""));
    assert!(client.get("/thread").await.text().starts_with("narthex-blocking-"));
    running.stop().await;
}

fn whole_as_axum(function: impl Fn(Request<Bytes>) -> Response<String>) -> impl Fn(Request<Bytes>) -> Response<axum::body::Body> {
    move |request| function(request).into_response()
}

async fn a_body_that_is_too_large_is_413(place: &Place) {
    let handler = BlockingPool::new().max_body(10).handler(|request: Request<Bytes>| request.body().len().to_string());
    let running = start(place, Router::new().route("/", post(handler))).await;
    assert_eq!(running.connect().await.post("/", &[0; 10]).await.text(), "10");
    let reply = running.connect().await.post("/", &[0; 11]).await;
    assert_eq!((reply.status, reply.text()), (413, "{\"error\":\"Payload Too Large\"}"));
    running.stop().await;
}

async fn what_blocks_holds_up_nobody_else(place: &Place) {
    let (app, mut is_running, release) = held(&BlockingPool::new());
    let running = start(place, app).await;
    let mut blocked = running.connect().await;
    blocked.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    is_running.recv().await.unwrap();
    assert_eq!(running.get("/ping").await.text(), "pong");
    drop(release);
    assert_eq!(blocked.reply().await.text(), "done");
    running.stop().await;
}

async fn a_full_pool_is_503_and_says_when_to_come_again(place: &Place) {
    let pool = BlockingPool::new().max_threads(1).queue_length(0);
    let (app, mut is_running, release) = held(&pool);
    let running = start(place, app).await;
    let mut blocked = running.connect().await;
    blocked.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    is_running.recv().await.unwrap();
    let reply = running.get("/held").await;
    assert_eq!((reply.status, reply.text()), (503, "{\"error\":\"Service Unavailable\"}"));
    for field in ["retry-after: 1\r\n", "cache-control: no-store\r\n", "content-type: application/json\r\n"] {
        assert!(reply.head.contains(field), "{}", reply.head);
    }
    drop(release);
    assert_eq!(blocked.reply().await.text(), "done");
    assert_eq!(running.get("/held").await.text(), "done", "the pool goes on");
    running.stop().await;
}

async fn a_panic_is_an_opaque_500_with_a_request_id(place: &Place) {
    let app = Router::new()
        .route("/blocking", get(blocking(|| -> &'static str { panic!("the password is 1234") })))
        .route("/async", get(async || -> &'static str { panic!("the password is 1234") }))
        .route("/ping", get(blocking(|| "pong")));
    let bare = start(place, app.clone()).await;
    let running = start(place, app.layer(OpaqueErrors)).await;
    for target in ["/blocking", "/async"] {
        let mut client = running.connect().await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.text()), (500, "{\"error\":\"Internal Server Error\"}"));
        let id = reply.head.split("x-request-id: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        assert_eq!(id.map(str::len), Some(32), "{}", reply.head);
        assert_eq!(client.get("/ping").await.text(), "pong", "the connection goes on");

        let without_layer = bare.get(target).await;
        assert_eq!((without_layer.status, without_layer.text().contains("1234")), (500, false));
        assert_eq!(bare.get("/ping").await.text(), "pong");
    }
    running.stop().await;
    bare.stop().await;
}

async fn a_server_that_stops_waits_for_what_runs(place: &Place) {
    let pool = BlockingPool::new().max_threads(1);
    let (app, mut is_running, release) = held(&pool);
    let running = start(place, app).await;
    let (mut first, mut second) = (running.connect().await, running.connect().await);
    first.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    is_running.recv().await.unwrap();
    second.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let waits = async {
        while pool.waiting() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waits).await.expect("the second request comes into the queue");
    running.handle.stop();
    drop(release);
    assert_eq!(first.reply().await.text(), "done");
    assert_eq!(second.reply().await.text(), "done", "and for what waits in the queue");
    timeout(PATIENCE, running.ended).await.expect("the server stops").unwrap().unwrap();
}

async fn what_is_stuck_does_not_keep_a_server_from_stopping(place: &Place) {
    let (app, mut is_running, release) = held(&BlockingPool::new());
    let server = place.serving(app, "http://127.0.0.1:0/").workers(1).shutdown_timeout(Duration::from_millis(20));
    let running = Running::start(server).await;
    let mut stuck = running.connect().await;
    stuck.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    is_running.recv().await.unwrap();
    running.handle.stop();
    timeout(PATIENCE, running.ended).await.expect("the server stops").unwrap().unwrap();
    drop(release);
}
