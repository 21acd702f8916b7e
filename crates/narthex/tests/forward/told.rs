//! What servers are told of clients.

use axum::Router;
use axum::routing::any;
use http::HeaderMap;
use narthex::forward::{Forward, HostPolicy, Route, Upstream};

use super::stage::{app, running};
use crate::client::{Place, Running};

on_both! {
    servers_are_told_who_asks
    what_is_before_the_path_is_told
}

/// Answers with the path, and with what was told in `fields`.
fn telling(fields: &'static [&'static str]) -> Router {
    Router::new().fallback(any(async move |uri: http::Uri, headers: HeaderMap| {
        let mut told = uri.to_string();
        for name in fields {
            for value in headers.get_all(*name) {
                told.push_str(&format!(" {name}={}", value.to_str().unwrap()));
            }
        }
        told
    }))
}

async fn servers_are_told_who_asks(place: &Place) {
    let fields = &["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-real-ip", "host"];
    let origin = app(telling(fields)).await;
    let upstream = || Upstream::new(format!("http://{origin}")).unwrap();
    let forward = || Forward::new().route("/own", upstream().host(HostPolicy::Server)).route("/", upstream());
    let lies =
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: lie\r\nForwarded: for=lie\r\nX-Real-IP: 9\r\n";
    let ask = async |running: &Running, target: &str| {
        let mut client = running.connect().await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: shop\r\n{lies}\r\n").as_bytes()).await;
        client.reply().await.text().to_owned()
    };
    let stranger = running(place, forward()).await;
    let told = "x-forwarded-for=127.0.0.1 x-forwarded-proto=http x-forwarded-host=shop";
    assert_eq!(ask(&stranger, "/x").await, format!("/x {told} host=shop"));
    assert_eq!(ask(&stranger, "/own").await, format!("/own {told} host={origin}"));
    let trusted = running(place, forward().forwarded(true).trusted_proxies(["127.0.0.0/8"]).unwrap()).await;
    assert_eq!(
        ask(&trusted, "/x").await,
        "/x x-forwarded-for=1.2.3.4, 127.0.0.1 x-forwarded-proto=https x-forwarded-host=lie \
         forwarded=for=lie, for=127.0.0.1;proto=http;host=\"shop\" x-real-ip=9 host=shop"
    );
}

async fn what_is_before_the_path_is_told(place: &Place) {
    let origin = app(telling(&["x-forwarded-prefix"])).await;
    let upstream = || Upstream::new(format!("http://{origin}/base")).unwrap();
    let forward = Forward::new()
        .route("/", upstream())
        .route("/strip", Route::to(upstream()).strip_prefix())
        .route("/new", Route::to(upstream()).replace_prefix("/v2"));
    let nested = Router::new().nest_service("/nest", forward.clone()).fallback_service(forward);
    let running = Running::start(place.serving(nested, "http://127.0.0.1:0/app/")).await;
    for (asked, told) in [
        ("/app/x?q", "/base/x?q x-forwarded-prefix=/app"),
        ("/app/", "/base/ x-forwarded-prefix=/app"),
        ("/app/strip/x", "/base/x x-forwarded-prefix=/app/strip"),
        ("/app/strip", "/base/ x-forwarded-prefix=/app/strip"),
        ("/app/new/x", "/base/v2/x x-forwarded-prefix=/app"),
        ("/app/nest/strip/x", "/base/x x-forwarded-prefix=/app/nest/strip"),
    ] {
        assert_eq!(running.get(asked).await.text(), told, "{asked}");
    }
}

#[tokio::test]
async fn a_request_that_comes_back_is_a_loop() {
    // A server that forwards to itself, whose address is known only when it runs.
    let (tell, told) = tokio::sync::watch::channel(None::<Upstream>);
    let forward = Forward::new().before(move |mut parts| {
        let told = told.clone();
        async move {
            if let Some(upstream) = told.borrow().clone() {
                parts.extensions.insert(upstream);
            }
            Ok::<_, http::Response<&str>>(parts)
        }
    });
    let running = running(&Place::embedded(), forward).await;
    tell.send_replace(Some(Upstream::new(format!("http://{}", running.address())).unwrap()));
    let reply = running.get("/").await;
    assert_eq!((reply.status, reply.text()), (508, r#"{"error":"Loop Detected"}"#));
}

#[tokio::test]
async fn a_request_goes_no_further_than_it_wants() {
    let origin = app(telling(&["max-forwards", "via"])).await;
    let running = running(&Place::embedded(), Forward::to(format!("http://{origin}")).unwrap()).await;
    let mut client = running.connect().await;
    let mut ask = async |method: &str, left: &str| {
        client.send(format!("{method} /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: {left}\r\n\r\n").as_bytes()).await;
        client.reply().await
    };
    assert_eq!(ask("OPTIONS", "0").await.status, 204);
    let reply = ask("OPTIONS", "3").await;
    assert!(reply.text().starts_with("/x max-forwards=2 via=1.1 narthex-"), "{reply:?}");
    // It is about no other methods.
    assert!(ask("GET", "0").await.text().starts_with("/x max-forwards=0"));
}
