//! Prefixes that come and go while clients are served.
#![cfg(unix)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::client::{Client, Place, Reply};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use narthex::{Error, FineTune, OperatingMode, Provider, Server, ServerHandle, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const PATIENCE: Duration = Duration::from_secs(10);

on_both! {
    a_prefix_can_be_added_and_removed
    a_port_opens_with_its_first_prefix_and_closes_with_its_last
    a_request_of_a_prefix_that_is_removed_is_finished
    a_handler_may_remove_the_prefix_that_it_is_called_by
    what_cannot_be_done_changes_nothing
    a_server_moves_to_another_port_under_traffic
    what_was_added_and_removed_lasts
    fragments_are_named_by_the_first_prefix_that_there_is
    a_forged_host_reaches_only_the_app_of_the_port_it_came_to
}

fn port(server: &ServerHandle) -> u16 {
    server.prefixes()[0].port().get()
}

async fn get_at(port: u16, target: &str) -> Reply {
    Client(TcpStream::connect(("127.0.0.1", port)).await.unwrap()).get(target).await
}

async fn is_closed(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_err()
}

async fn start(place: &Place, prefix: &str) -> ServerHandle {
    place.server(prefix).start().await.unwrap()
}

async fn a_prefix_can_be_added_and_removed(place: &Place) {
    let server = start(place, "http://127.0.0.1:0/one/").await;
    let port = port(&server);
    assert_eq!(get_at(port, "/two/ping").await.status, 404);
    let two = server.add_prefix(format!("http://127.0.0.1:{port}/two")).await.unwrap();
    assert_eq!(two.to_string(), format!("http://127.0.0.1:{port}/two/"));
    assert_eq!(get_at(port, "/two/seen").await.text().split(' ').nth(2), Some("base=/two"));
    assert_eq!(server.prefixes().len(), 2);
    server.remove_prefix(format!("http://127.0.0.1:{port}/ONE/")).await.unwrap();
    assert_eq!(server.prefixes(), [two]);
    assert_eq!(get_at(port, "/one/ping").await.status, 404);
    assert_eq!(get_at(port, "/two/ping").await.text(), "pong");
}

async fn a_port_opens_with_its_first_prefix_and_closes_with_its_last(place: &Place) {
    let server = start(place, "http://127.0.0.1:0/").await;
    let old = port(&server);
    let new = server.add_prefix("http://127.0.0.1:0/new/").await.unwrap();
    let new_port = new.port().get();
    assert_eq!(get_at(new_port, "/new/ping").await.text(), "pong");
    let other = server.add_prefix(format!("http://127.0.0.1:{new_port}/other/")).await.unwrap();
    server.remove_prefix(new.as_str()).await.unwrap();
    assert_eq!(get_at(new_port, "/other/ping").await.text(), "pong");
    server.remove_prefix(other.as_str()).await.unwrap();
    assert!(is_closed(new_port).await);
    assert_eq!(get_at(old, "/ping").await.text(), "pong");
    let again = server.add_prefix(new.as_str()).await.unwrap();
    assert_eq!(again, new);
    assert_eq!(get_at(new_port, "/new/ping").await.text(), "pong");
    server.stop();
    timeout(PATIENCE, server.stopped()).await.expect("a stop").unwrap();
    assert!(is_closed(new_port).await && is_closed(old).await);
}

async fn a_request_of_a_prefix_that_is_removed_is_finished(place: &Place) {
    let server = start(place, "http://127.0.0.1:0/").await;
    let extra = server.add_prefix("http://127.0.0.1:0/extra/").await.unwrap();
    let mut busy = Client(TcpStream::connect(("127.0.0.1", extra.port().get())).await.unwrap());
    busy.begin_len("/extra/len").await;
    timeout(PATIENCE, server.remove_prefix(extra.as_str())).await.expect("it does not wait for requests").unwrap();
    assert!(is_closed(extra.port().get()).await);
    busy.send(b"abc").await;
    assert_eq!(busy.reply().await.text(), "3");
}

async fn a_handler_may_remove_the_prefix_that_it_is_called_by(place: &Place) {
    type Slot = Arc<std::sync::OnceLock<ServerHandle>>;
    let slot = Slot::default();
    let moves = async |State(slot): State<Slot>| {
        let server = slot.get().unwrap();
        let new = server.add_prefix("http://127.0.0.1:0/new/").await.unwrap();
        server.remove_prefix(server.prefixes()[0].as_str()).await.unwrap();
        new.port().to_string()
    };
    let app = Router::new().route("/move", get(moves)).with_state(Arc::clone(&slot));
    let server = place.serving(app, "http://127.0.0.1:0/").start().await.unwrap();
    let _ = slot.set(server.clone());
    let old = port(&server);
    let new: u16 = get_at(old, "/move").await.text().parse().unwrap();
    assert!(is_closed(old).await);
    assert_eq!(get_at(new, "/new/move").await.status, 200);
}

async fn what_cannot_be_done_changes_nothing(place: &Place) {
    let server = start(place, "http://127.0.0.1:0/a/").await;
    let first = server.prefixes()[0].clone();
    let port = first.port();
    assert!(matches!(server.add_prefix("nonsense").await, Err(Error::Prefix { .. })));
    assert!(matches!(server.add_prefix(first.as_str()).await, Err(Error::Conflict(_))));
    let error = server.add_prefix(format!("https://127.0.0.1:{port}/b/")).await.unwrap_err();
    assert!(matches!(error, Error::NoCertificate(_) | Error::Refused { .. }), "{error}");
    assert!(matches!(server.remove_prefix(first.as_str()).await, Err(Error::LastPrefix(_))));
    let error = server.remove_prefix(format!("http://127.0.0.1:{port}/b/")).await.unwrap_err();
    assert!(error.to_string().contains(first.as_str()), "{error}");
    assert!(matches!(server.remove_prefix("http://127.0.0.1:0/a/").await, Err(Error::NoSuchPrefix { .. })));
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let held_port = held.local_addr().unwrap().port();
    let error = server.add_prefix(format!("http://127.0.0.1:{held_port}/")).await.unwrap_err();
    assert!(error.to_string().contains(&held_port.to_string()), "{error}");
    assert_eq!(server.prefixes(), [first]);
    assert_eq!(get_at(port.get(), "/a/ping").await.text(), "pong");
    server.stop();
    timeout(PATIENCE, server.stopped()).await.expect("a stop").unwrap();
    assert!(matches!(server.add_prefix("http://127.0.0.1:0/b/").await, Err(Error::NotRunning)));
}

async fn a_server_moves_to_another_port_under_traffic(place: &Place) {
    let server = start(place, "http://127.0.0.1:0/").await;
    let current = Arc::new(AtomicU16::new(port(&server)));
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|index| {
            let (current, over, answered) = (Arc::clone(&current), Arc::clone(&over), Arc::clone(&answered));
            tokio::spawn(async move {
                while !over.load(SeqCst) {
                    let port = current.load(SeqCst);
                    let mut client = Client(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
                    for _ in 0..=index {
                        assert_eq!(client.get("/slow/1").await.text(), "slow");
                        answered.fetch_add(1, SeqCst);
                    }
                }
            })
        })
        .collect();
    let more = async |count: usize| {
        let enough = answered.load(SeqCst) + count;
        let answered = async {
            while answered.load(SeqCst) < enough {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, answered).await.expect("the clients are answered");
    };
    for _ in 0..3 {
        let old = server.prefixes()[0].clone();
        more(50).await;
        let new = server.add_prefix("http://127.0.0.1:0/").await.unwrap();
        current.store(new.port().get(), SeqCst);
        // Each client has by now read where to go, and has ended what it was at.
        more(200).await;
        server.remove_prefix(old.as_str()).await.unwrap();
        assert!(is_closed(old.port().get()).await);
    }
    more(50).await;
    over.store(true, SeqCst);
    for client in clients {
        client.await.unwrap();
    }
}

async fn what_was_added_and_removed_lasts(place: &Place) {
    let server = start(place, "http://127.0.0.1:0/old/").await;
    let old = server.prefixes()[0].clone();
    let new = server.add_prefix("http://127.0.0.1:0/new/").await.unwrap();
    server.remove_prefix(old.as_str()).await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(server.prefixes(), std::slice::from_ref(&new));
    assert_eq!(get_at(new.port().get(), "/new/ping").await.text(), "pong");
    assert!(is_closed(old.port().get()).await);
    server.add_prefix(old.as_str()).await.unwrap();
    server.remove_prefix(new.as_str()).await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(server.prefixes(), [old]);
}

#[tokio::test]
async fn what_was_added_and_removed_is_so_when_the_host_is_back() {
    let mut place = Place::shared();
    let server = start(&place, "http://127.0.0.1:0/old/").await;
    let old = server.prefixes()[0].clone();
    let new = server.add_prefix("http://127.0.0.1:0/new/").await.unwrap();
    server.remove_prefix(old.as_str()).await.unwrap();
    drop(place.host.take());
    let adding = tokio::spawn({
        let server = server.clone();
        async move { server.add_prefix("http://127.0.0.1:0/third/").await }
    });
    assert!(server.is_active());
    place.start_host();
    let third = timeout(PATIENCE, adding).await.expect("it is added when the host is back").unwrap().unwrap();
    assert_eq!(server.prefixes(), [new.clone(), third.clone()]);
    assert_eq!(get_at(new.port().get(), "/new/ping").await.text(), "pong");
    assert_eq!(get_at(third.port().get(), "/third/ping").await.text(), "pong");
    assert!(is_closed(old.port().get()).await);
}

async fn fragments_are_named_by_the_first_prefix_that_there_is(place: &Place) {
    let server = start(place, "http://127.0.0.1:0/old/").await;
    let old = server.prefixes()[0].clone();
    let new = server.add_prefix("http://127.0.0.1:0/new/").await.unwrap();
    server.remove_prefix(old.as_str()).await.unwrap();
    server.store_fragment("/f", narthex::CachePolicy::UntilFlushed, "ABCD").await.unwrap();
    let expected = if place.host.is_some() { "<BC>" } else { "<bc>" };
    assert_eq!(get_at(new.port().get(), "/new/fragment").await.text(), expected);
}

/// One GET over TLS, and all that comes back.
async fn secure_get(port: u16, authority: &std::path::Path) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(b"GET /who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    answer
}

fn named(name: &'static str) -> Router {
    Router::new().route("/who", get(async move || name))
}

async fn a_forged_host_reaches_only_the_app_of_the_port_it_came_to(place: &Place) {
    let one = place.serving(named("one"), "http://+:0/").start().await.unwrap();
    let two = place.serving(named("two"), "http://+:0/").start().await.unwrap();
    let three = place.serving(named("three"), "http://127.0.0.1:0/").start().await.unwrap();
    let servers = [(&one, "one"), (&two, "two"), (&three, "three")];
    for (server, name) in servers {
        for (other, _) in servers {
            for host in ["x", "127.0.0.1", "localhost"] {
                let mut client = Client(TcpStream::connect(("127.0.0.1", port(server))).await.unwrap());
                let head = format!("GET /who HTTP/1.1\r\nHost: {host}:{}\r\n\r\n", port(other));
                client.send(head.as_bytes()).await;
                assert_eq!(client.reply().await.text(), name, "Host: {host}:{}", port(other));
                let absolute = format!("GET http://{host}:{}/who HTTP/1.1\r\nHost: {host}\r\n\r\n", port(other));
                client.send(absolute.as_bytes()).await;
                assert_eq!(client.reply().await.text(), name, "{absolute}");
            }
        }
    }
}

#[tokio::test]
async fn one_thread_that_accepts_for_all_opens_and_closes_ports_too() {
    let tune = FineTune::default().operating_mode(OperatingMode::SingleAcceptor);
    let server = Place::embedded().server("http://127.0.0.1:0/").fine_tune(tune).start().await.unwrap();
    let new = server.add_prefix("http://127.0.0.1:0/new/").await.unwrap();
    assert_eq!(get_at(new.port().get(), "/new/ping").await.text(), "pong");
    server.remove_prefix(new.as_str()).await.unwrap();
    assert!(is_closed(new.port().get()).await);
    server.restart().await.unwrap();
    assert_eq!(get_at(port(&server), "/ping").await.text(), "pong");
}

#[tokio::test]
async fn a_port_with_tls_can_be_added_if_there_is_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let without = Place::embedded().server("http://127.0.0.1:0/").start().await.unwrap();
    assert!(matches!(without.add_prefix("https://127.0.0.1:0/").await, Err(Error::NoCertificate(_))));
    let tls = Tls::development(directory.path(), ["localhost"]);
    let server = Server::new(named("tls")).prefix("http://127.0.0.1:0/").provider(Provider::embedded()).tls(tls);
    let server = server.workers(2).start().await.unwrap();
    let secure = server.add_prefix("https://127.0.0.1:0/").await.unwrap();
    assert!(secure_get(secure.port().get(), &directory.path().join("ca.pem")).await.ends_with("\r\n\r\ntls"));
    server.remove_prefix(secure.as_str()).await.unwrap();
    assert!(is_closed(secure.port().get()).await);
    assert_eq!(get_at(port(&server), "/who").await.text(), "tls");
    // The UDP socket of HTTP/3 went with it.
    assert_eq!(server.add_prefix(secure.as_str()).await.unwrap(), secure);
}
