//! Requests that one app hands over to another one.
#![cfg(unix)]

use crate::client::{Place, Reply, Running};
use axum::Router;
use axum::extract::{Path, Request};
use axum::routing::any;
use http_body_util::BodyExt;
use narthex::{Delegation, FineTune, PathBase, Provider, RequestQueue, Server};

/// Hands everything over.
fn front() -> Router {
    Router::new()
        .route("/to/{queue}", any(async |Path(queue): Path<String>| Delegation::to(queue)))
        .route("/basket", any(async || Delegation::to("back").url("/Back/basket?from=front")))
        .route("/nonsense", any(async || Delegation::to("back").url("no path")))
        .route("/read/{queue}", any(read))
}

async fn read(Path(queue): Path<String>, request: Request) -> Delegation {
    let _ = request.into_body().collect().await;
    Delegation::to(queue)
}

/// Tells what it was given.
fn back() -> Router {
    Router::new().fallback(async |base: PathBase, request: Request| {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        format!("{} {} base={base} body={}", head.method, head.uri, body.len())
    })
}

struct Apps {
    place: Place,
    front: Running,
    _back: Running,
}

impl Apps {
    async fn start() -> Self {
        Self::start_with(true).await
    }

    async fn start_with(delegates: bool) -> Self {
        let place = Place::shared();
        let tune = FineTune::default().accepts_per_worker(2);
        let front = Server::new(front()).prefix("http://127.0.0.1:0/front/").delegates(delegates).fine_tune(tune).workers(1);
        let front = Running::start(front.provider(Provider::shared_at(place.socket()))).await;
        let queue = RequestQueue::new().named("back").accepts_delegation(true);
        let _back = Running::start(app(&place, &front, "Back", queue)).await;
        Self { place, front, _back }
    }

    async fn get(&self, target: &str) -> Reply {
        self.front.get(target).await
    }
}

fn app(place: &Place, beside: &Running, path: &str, queue: RequestQueue) -> Server<Router> {
    let prefix = format!("http://127.0.0.1:{}/{path}/", beside.address().port());
    Server::new(back()).prefix(prefix).queue(queue).workers(1).provider(Provider::shared_at(place.socket()))
}

#[tokio::test]
async fn the_other_app_sees_the_url_below_its_own_prefix() {
    let apps = Apps::start().await;
    assert_eq!(apps.get("/front/basket?gone").await.text(), "GET /basket?from=front base=/Back body=0");
}

#[tokio::test]
async fn without_another_url_the_other_app_sees_the_whole_path() {
    let apps = Apps::start().await;
    assert_eq!(apps.get("/front/to/back?q").await.text(), "GET /front/to/back?q base= body=0");
}

#[tokio::test]
async fn a_body_that_was_not_read_goes_along() {
    let apps = Apps::start().await;
    let mut client = apps.front.connect().await;
    for _ in 0..3 {
        assert_eq!(client.post("/front/basket", &[7; 20_000]).await.text(), "POST /basket?from=front base=/Back body=20000");
    }
    let mut waiting = apps.front.connect().await;
    waiting.send(b"POST /front/basket HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(waiting.reply().await.status, 100);
    waiting.send(b"abc").await;
    assert_eq!(waiting.reply().await.text(), "POST /basket?from=front base=/Back body=3");
}

#[tokio::test]
async fn a_delegated_request_costs_the_first_app_nothing() {
    let apps = Apps::start().await;
    let mut client = apps.front.connect().await;
    // More than ten times as many as it takes at once.
    for _ in 0..50 {
        assert_eq!(client.get("/front/basket").await.status, 200);
    }
}

#[tokio::test]
async fn a_body_that_was_begun_stays() {
    let apps = Apps::start().await;
    assert_eq!(apps.front.connect().await.post("/front/read/back", b"abc").await.status, 500);
    assert_eq!(apps.get("/front/read/back").await.status, 200, "there is none");
}

#[tokio::test]
async fn what_cannot_be_delegated_is_answered_503() {
    let apps = Apps::start().await;
    let closed = Running::start(app(&apps.place, &apps.front, "closed", RequestQueue::new().named("closed"))).await;
    assert_eq!(apps.get("/front/to/nowhere").await.status, 503);
    assert_eq!(apps.get("/front/to/closed").await.status, 503);
    assert_eq!(apps.get("/front/nonsense").await.status, 503);
    closed.handle.change(narthex::Change::new().accepts_delegation(true)).await.unwrap();
    assert_eq!(apps.get("/front/to/closed").await.text(), "GET /front/to/closed base= body=0");
}

#[tokio::test]
async fn an_app_delegates_only_if_it_has_said_so() {
    let apps = Apps::start_with(false).await;
    assert_eq!(apps.get("/front/basket").await.status, 500);
    apps.front.handle.change(narthex::Change::new().delegates(true)).await.unwrap();
    assert_eq!(apps.get("/front/basket").await.status, 200);
}

#[tokio::test]
async fn an_embedded_app_has_nobody_to_delegate_to() {
    let server = Server::new(front()).prefix("http://127.0.0.1:0/front/").delegates(true).provider(Provider::embedded());
    let running = Running::start(server.workers(1)).await;
    let mut client = running.connect().await;
    assert_eq!(client.get("/front/basket").await.status, 503);
    assert_eq!(running.connect().await.post("/front/read/back", b"abc").await.status, 500);
}
