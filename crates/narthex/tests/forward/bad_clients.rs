//! What clients do wrong is not said of the servers.

use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use narthex::forward::{CircuitBreaker, CircuitState, Forward, Upstream};
use tower::ServiceExt;

use super::stage::{Scripted, app, script};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Reads requests to their end.
fn reading() -> Router {
    Router::new().fallback(async |_: Bytes| "read")
}

async fn http2() -> Scripted {
    script(async |connection, _| {
        let service = TowerToHyperService::new(reading());
        let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(connection.0), service).await;
    })
    .await
}

/// The status of what a client gets, and how often the server is said to have failed.
async fn blamed<B>(upstream: &Upstream, body: B) -> (u16, u64)
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let response = Forward::new().route("/", upstream.clone()).oneshot(Request::post("/").body(body).unwrap()).await.unwrap();
    assert_eq!(upstream.status().circuit, Some(CircuitState::Closed));
    (response.status().as_u16(), upstream.status().servers[0].failures)
}

#[tokio::test]
async fn what_is_wrong_with_a_requests_body_is_not_its_servers_fault() {
    let http1 = Upstream::new(format!("http://{}", app(reading()).await)).unwrap();
    let http2 = http2().await;
    for upstream in [http1, http2.upstream().http2()] {
        let upstream = upstream.head_timeout(Duration::from_millis(200)).circuit_breaker(CircuitBreaker::new().failures(1));
        let begun = || stream::iter([Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"abc")))]);
        let breaks = StreamBody::new(begun().chain(stream::iter([Err("the connection is gone".into())])));
        let too_long = Limited::new(StreamBody::new(begun()), 2);
        let stops = StreamBody::new(begun().chain(stream::pending()));
        assert_eq!(blamed(&upstream, breaks).await, (400, 0));
        assert_eq!(blamed(&upstream, too_long).await, (413, 0));
        assert_eq!(blamed(&upstream, stops).await, (408, 0));
        assert_eq!(blamed(&upstream, Full::new(Bytes::from_static(b"abc"))).await, (200, 0));
    }
}

#[tokio::test]
async fn the_host_in_a_url_goes_before_that_of_the_field() {
    let shop = Router::new().fallback(async |request: axum::extract::Request| format!("{:?}", request.headers()["host"]));
    let shop = Upstream::new(format!("http://{}", app(shop).await)).unwrap();
    let forward = Forward::new().route("shop.example/", shop);
    let asked = Request::get("http://shop.example/").header("host", "evil.example").body(Full::<Bytes>::default()).unwrap();
    let response: Response<_> = forward.oneshot(asked).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "\"shop.example\"");
}

#[tokio::test]
async fn no_spelling_of_a_path_goes_past_routes_and_hooks() {
    let other = Router::new().fallback(async || "other");
    let api = Router::new().fallback(async |uri: http::Uri| uri.to_string());
    let [other, api] = [app(other).await, app(api).await].map(|at| Upstream::new(format!("http://{at}")).unwrap());
    let forward = Forward::new().route("/", other).route("/api", api).before(|request| async move {
        if request.uri.path().starts_with("/api/secret") {
            return Err(Response::builder().status(403).body("").unwrap());
        }
        Ok(request)
    });
    for (path, status, text) in [
        ("/%61pi/x%20y?q=%61", 200, "/api/x%20y?q=%61"),
        ("/api/%73ecret", 403, ""),
        ("/x/..%2fapi/secret", 400, r#"{"error":"Bad Request"}"#),
        ("/apis", 200, "other"),
    ] {
        let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
        let response = forward.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), text, "{path}");
    }
}
