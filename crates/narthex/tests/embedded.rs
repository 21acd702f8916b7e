//! What is particular to an app that has its ports for itself.

use std::time::Duration;

use crate::client::{Client, Running, app};
use narthex::{Error, Provider, Server};

fn server(prefix: &str) -> Server<axum::Router> {
    Server::new(app()).prefix(prefix).provider(Provider::embedded()).workers(2)
}

async fn start(prefix: &str) -> Running {
    Running::start(server(prefix)).await
}

#[tokio::test]
async fn prefixes_share_a_port_or_have_their_own() {
    let first = start("http://127.0.0.1:0/").await;
    let port = first.address().port();
    first.stop().await;
    let prefixes =
        [format!("http://127.0.0.1:{port}/one/"), format!("http://localhost:{port}/two/"), "http://127.0.0.1:0/".into()];
    let running = Running::start(server("http://*:0/free/").prefixes(prefixes)).await;
    let two = Client(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    assert_eq!({ two }.get("/one/ping").await.text(), "pong");
    assert_eq!(running.get("/free/ping").await.text(), "pong");
    assert_eq!(running.prefixes.len(), 4);
    assert_eq!(running.prefixes[1].port().get(), port);
}

#[tokio::test]
async fn a_stop_finishes_what_runs_and_closes_the_rest() {
    let running = start("http://127.0.0.1:0/").await;
    let (mut busy, mut idle) = (running.connect().await, running.connect().await);
    assert_eq!(idle.get("/ping").await.text(), "pong");
    busy.begin_len("/len").await;
    assert!(running.handle.is_active());
    running.handle.stop();
    assert!(idle.reply().await.cut_off);
    busy.send(b"abc").await;
    assert_eq!(busy.reply().await.text(), "3");
    let (address, handle) = (running.address(), running.handle.clone());
    running.stop().await;
    assert!(!handle.is_active());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_its_timeout() {
    let running = Running::start(server("http://127.0.0.1:0/").shutdown_timeout(Duration::from_millis(100))).await;
    let mut busy = running.connect().await;
    busy.begin_len("/len").await;
    running.stop().await;
    assert!(busy.reply().await.cut_off);
}

#[tokio::test]
async fn what_cannot_be_served_is_an_error_that_names_it() {
    let running = start("http://127.0.0.1:0/").await;
    let taken = format!("http://127.0.0.1:{}/", running.address().port());
    for (prefix, expected) in [
        (taken.as_str(), running.address().port().to_string()),
        ("http://127.0.0.1:70000/", "cannot register http://127.0.0.1:70000/: ".to_owned()),
        ("https://127.0.0.1:0/", "Server::tls(Tls::pem_files".to_owned()),
        ("http://192.0.2.1:8000/", "does not have that address".to_owned()),
    ] {
        let error = server(prefix).run().await.expect_err(prefix).to_string();
        assert!(error.contains(&expected), "{error}");
    }
    let twice = server("http://127.0.0.1:9/").prefix("http://127.0.0.1:9/").run().await;
    assert!(matches!(twice, Err(Error::Conflict(_))));
    assert!(matches!(Server::new(app()).provider(Provider::embedded()).run().await, Err(Error::NoPrefix)));
}

#[tokio::test]
async fn on_bind_can_change_what_is_registered() {
    let server = server("http://127.0.0.1:0/old/").on_bind(|bindings| {
        assert!(!bindings.is_shared());
        bindings.retain(|_| false);
        bindings.add("http://127.0.0.1:0/new/").unwrap();
    });
    let running = Running::start(server).await;
    assert_eq!(running.get("/new/ping").await.text(), "pong");
}
