//! The ways to servers: TCP, TLS, Unix sockets; HTTP/1.1 and HTTP/2.

use std::convert::Infallible;

use axum::Router;
use axum::routing::{any, post};
use futures_util::future::join_all;
use http::{HeaderMap, Request, Version};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use narthex::forward::{Forward, HostPolicy, Upstream};
use narthex::{ClientCertificates, Demand, Provider, Server, Tls};
use tokio::net::UnixListener;

use super::stage::{Connection, Scripted, running, running_with, script};
use crate::client::{Place, Running};

on_both! {
    a_server_may_be_at_a_unix_socket
    a_server_may_speak_http2_without_being_asked
    a_server_may_have_tls
}

/// A certificate for localhost that is its own authority, and its key.
pub(crate) fn certificate() -> (String, String) {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (key.cert.pem(), key.signing_key.serialize_pem())
}

/// Tells the version and what the request is for.
fn telling() -> Router {
    Router::new()
        .route(
            "/sum",
            post(async |request: axum::extract::Request| {
                let collected = request.into_body().collect().await.unwrap();
                let trailer = collected.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
                format!("{} {}", collected.to_bytes().len(), trailer.map_or("-".into(), |sum| sum.to_str().unwrap().to_owned()))
            }),
        )
        .fallback(any(async |version: Version, uri: http::Uri, headers: HeaderMap| {
            let host = uri.authority().map(|authority| authority.to_string());
            let host = host.or_else(|| Some(headers.get("host")?.to_str().ok()?.to_owned()));
            format!("{version:?} {} {}", uri.path(), host.unwrap_or_default())
        }))
}

async fn a_server_may_be_at_a_unix_socket(place: &Place) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("app.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, telling()).await });
    let upstream = |base: &str| Upstream::new(format!("unix:{}{base}", socket.display())).unwrap();
    let forward = Forward::new().route("/", upstream("")).route("/based", upstream(":/base"));
    let running = running(place, forward).await;
    assert_eq!(running.get("/x").await.text(), "HTTP/1.1 /x a");
    assert_eq!(running.get("/based").await.text(), "HTTP/1.1 /base/based a");
}

/// A server of HTTP/1.1 and HTTP/2 without TLS.
async fn http2() -> Scripted {
    script(|connection: Connection, _| async {
        let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| {
            let app = telling();
            async move { Ok::<_, Infallible>(tower::ServiceExt::oneshot(app, request).await.unwrap()) }
        });
        let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection.0), service).await;
    })
    .await
}

async fn a_server_may_speak_http2_without_being_asked(place: &Place) {
    let server = http2().await;
    let running = running(place, Forward::new().route("/", server.upstream().http2())).await;
    assert_eq!(running.get("/x").await.text(), "HTTP/2.0 /x a");
    for reply in join_all((0..20).map(|_| running.get("/y"))).await {
        assert_eq!(reply.text(), "HTTP/2.0 /y a");
    }
    let mut client = running.connect().await;
    client
        .send(
            b"POST /sum HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
              3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n",
        )
        .await;
    assert_eq!(client.reply().await.text(), "3 3");
    // One of the client's bodies that has no end yet does not keep others back.
    assert_eq!(server.connections(), 1);
}

async fn a_server_may_have_tls(place: &Place) {
    let (pem, key) = certificate();
    // Both ways to an app of Narthex's own, which has HTTP/2.
    let server = Server::new(telling()).prefix("https://localhost:0/").tls(Tls::pem(&pem, &key)).provider(Provider::embedded());
    let origin = Running::start(server.workers(1)).await;
    let port = origin.prefixes[0].port();
    let upstream = || Upstream::new(format!("https://localhost:{port}")).unwrap().authorities(&pem);
    let forward = Forward::new()
        .route("/1", upstream().http1())
        .route("/2", upstream())
        .route("/strange", Upstream::new(format!("https://localhost:{port}")).unwrap().authorities(certificate().0))
        .route("/named", Upstream::new(format!("https://127.0.0.1:{port}")).unwrap().authorities(&pem));
    let running = running(place, forward).await;
    // Its own host, and not the client's.
    assert_eq!(running.get("/1").await.text(), format!("HTTP/1.1 /1 localhost:{port}"));
    assert_eq!(running.get("/2").await.text(), format!("HTTP/2.0 /2 localhost:{port}"));
    assert_eq!(running.get("/strange").await.status, 502, "its authority is not trusted");
    assert_eq!(running.get("/named").await.status, 502, "its certificate is for another name");
}

#[tokio::test]
async fn a_server_may_want_to_know_who_asks() {
    let ((pem, key), (own, own_key)) = (certificate(), certificate());
    let directory = tempfile::tempdir().unwrap();
    let authorities = directory.path().join("clients.pem");
    std::fs::write(&authorities, &own).unwrap();
    let tls = Tls::pem(&pem, &key).client_certificates(ClientCertificates::new(Demand::Required).authorities(authorities));
    let server = Server::new(telling()).prefix("https://localhost:0/").tls(tls).provider(Provider::embedded());
    let origin = Running::start(server.workers(1)).await;
    let upstream = || {
        // By its name, and at an address of one's own choice.
        let upstream = Upstream::new(format!("https://127.0.0.1:{}", origin.prefixes[0].port())).unwrap();
        upstream.authorities(&pem).server_name("localhost").host(HostPolicy::Client)
    };
    let forward = Forward::new().route("/known", upstream().identity(own, own_key)).route("/unknown", upstream());
    let running = running(&Place::embedded(), forward).await;
    let mut client = running.connect().await;
    client.send(b"GET /known HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let reply = client.reply().await;
    assert!(reply.text().contains("/known localhost"), "{reply:?}");
    assert_eq!(running.get("/unknown").await.status, 502);
}

#[tokio::test]
async fn websockets_do_not_go_to_servers_that_are_set_to_http2() {
    let upstream = http2().await.upstream().http2();
    let running = running_with(upstream).await;
    let mut client = running.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 502);
}
