//! What is particular to an app behind a host.
#![cfg(unix)]

use std::time::Duration;

use crate::client::{Place, Running, app};
use narthex::{Error, Provider, RefusalCode, RequestQueue, Server};

#[tokio::test]
async fn two_apps_share_a_port_and_get_their_own_requests() {
    let place = Place::shared();
    let one = place.start("http://127.0.0.1:0/one/").await;
    let two = place.start(&format!("http://127.0.0.1:{}/two/", one.address().port())).await;
    let mut client = one.connect().await;
    for _ in 0..3 {
        assert!(client.get("/one/seen").await.text().contains(" base=/one "));
        assert!(client.get("/two/seen").await.text().contains(" base=/two "));
    }
    two.stop().await;
    assert_eq!(one.get("/two/ping").await.status, 404);
    assert_eq!(one.get("/one/ping").await.text(), "pong");
}

#[tokio::test]
async fn a_prefix_that_another_app_has_is_refused() {
    let place = Place::shared();
    let one = place.start("http://127.0.0.1:0/one/").await;
    let error = place.server(one.prefixes[0].as_str()).run().await.unwrap_err();
    assert!(matches!(error, Error::Refused { code: RefusalCode::AlreadyRegistered, .. }), "{error}");
    assert!(error.to_string().contains(one.prefixes[0].as_str()), "{error}");
}

#[tokio::test]
async fn without_a_host_the_error_says_where_it_was_looked_for() {
    let nowhere = Place::embedded().socket();
    let error = Server::new(app()).prefix("http://127.0.0.1:0/").provider(Provider::shared_at(&nowhere)).run().await.unwrap_err();
    assert!(error.to_string().contains(nowhere.to_str().unwrap()), "{error}");
    assert!(error.to_string().contains("narthex host"), "{error}");
}

#[tokio::test]
async fn an_app_registers_again_when_its_host_is_back() {
    let mut place = Place::shared();
    let running = place.start("http://127.0.0.1:0/").await;
    assert_eq!(running.get("/ping").await.text(), "pong");
    drop(place.host.take());
    place.start_host();
    let mut answered = false;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if tokio::net::TcpStream::connect(running.address()).await.is_ok() {
            answered = running.get("/ping").await.status == 200;
            if answered {
                break;
            }
        }
    }
    assert!(answered);
    running.stop().await;
}

#[tokio::test]
async fn a_stop_finishes_what_runs_and_gives_the_prefix_back() {
    let place = Place::shared();
    let running = place.start("http://127.0.0.1:0/app/").await;
    let other = place.start(&format!("http://127.0.0.1:{}/other/", running.address().port())).await;
    let mut busy = running.connect().await;
    busy.begin_len("/app/len").await;
    running.handle.stop();
    busy.send(b"abc").await;
    assert_eq!(busy.reply().await.text(), "3");
    running.stop().await;
    assert_eq!(other.get("/app/ping").await.status, 404);
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_its_timeout() {
    let place = Place::shared();
    let server = place.server("http://127.0.0.1:0/").shutdown_timeout(Duration::from_millis(100));
    let running = Running::start(server).await;
    let mut busy = running.connect().await;
    busy.begin_len("/len").await;
    running.stop().await;
    let status = busy.reply().await.status;
    assert!(status >= 500, "{status}");
}

#[tokio::test]
async fn processes_that_name_one_queue_share_its_requests() {
    let place = Place::shared();
    let queue = || RequestQueue::new().named("shared");
    let one = Running::start(place.server("http://127.0.0.1:0/one/").queue(queue())).await;
    let port = one.address().port();
    let two = Running::start(place.server(&format!("http://127.0.0.1:{port}/two/")).queue(queue())).await;
    one.stop().await;
    assert_eq!(two.get("/two/ping").await.text(), "pong");
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let place = Place::shared();
    let running = place.start("http://127.0.0.1:0/").await;
    let mut clients = Vec::new();
    for index in 0..64 {
        let mut client = running.connect().await;
        clients.push(tokio::spawn(async move {
            for round in 0..50 {
                let name = format!("{index}-{round}");
                assert_eq!(client.get(&format!("/hello/{name}")).await.text(), format!("hello {name}"));
                if round % 10 == 0 {
                    assert_eq!(client.get("/slow/5").await.text(), "slow");
                    assert_eq!(client.post("/len", &vec![0; 100 * index]).await.text(), (100 * index).to_string());
                }
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    running.stop().await;
}
