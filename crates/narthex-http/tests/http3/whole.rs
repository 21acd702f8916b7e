//! The connection as a whole: its end, its address, its beginning.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;

use crate::http3::side::{answer, client, endpoint, run, serve, serve_with};

#[test]
fn a_connection_that_drains_finishes_what_it_has_and_takes_nothing_more() {
    run(async || {
        let server = serve(|_| {});
        let mut client = server.connect().await;
        let mut stream = client.open("POST", "/echo").await;
        stream.send_data(Bytes::from_static(b"one ")).await.unwrap();
        stream.recv_response().await.unwrap();
        server.worker.drain();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.send_data(Bytes::from_static(b"two")).await.unwrap();
        stream.finish().await.unwrap();
        let mut length = 0;
        while let Some(piece) = stream.recv_data().await.unwrap() {
            length += bytes::Buf::remaining(&piece);
        }
        assert_eq!(length, 7);
        drop((stream, client.requests));
        client.driver.await.unwrap();
        server.worker.emptied().await;
    });
}

#[test]
fn a_connection_is_closed_when_it_was_idle_for_too_long() {
    run(async || {
        let server = serve(|settings| settings.timeouts.idle_connection = Some(Duration::from_millis(100)));
        let mut client = server.connect().await;
        assert_eq!(client.get("/").await.0, 200);
        let closed = client.quic.closed().await;
        assert!(matches!(closed, quinn::ConnectionError::ApplicationClosed(close) if close.error_code.into_inner() == 0x100));
    });
}

#[test]
fn a_connection_that_is_killed_ends_at_once() {
    run(async || {
        let server = serve(|_| {});
        let mut client = server.connect().await;
        let _stream = client.open("POST", "/hold").await;
        while server.held.get() == 0 {
            tokio::task::yield_now().await;
        }
        server.worker.kill_connections();
        client.quic.closed().await;
        server.worker.emptied().await;
        while server.held.get() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_client_whose_address_changes_keeps_its_connection() {
    run(async || {
        let mut client = serve(|_| {}).connect().await;
        assert_eq!(client.get("/").await.0, 200);
        let before = client.endpoint.local_addr().unwrap();
        client.endpoint.rebind(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
        assert_ne!(client.endpoint.local_addr().unwrap(), before);
        assert_eq!(client.get("/").await.0, 200);
    });
}

#[test]
fn early_data_is_answered_if_it_changes_nothing() {
    run(async || {
        let server = serve_with(|_| {}, true);
        let endpoint = endpoint(&server);
        let quic = endpoint.connect(server.address, "localhost").unwrap().await.unwrap();
        let mut first = client(endpoint.clone(), quic).await;
        assert_eq!(first.get("/").await.0, 200);
        let connecting = endpoint.connect(server.address, "localhost").unwrap();
        let (quic, accepted) = connecting.into_0rtt().unwrap_or_else(|_| panic!("there is a session to resume"));
        let mut second = client(endpoint.clone(), quic).await;
        let mut post = second.open("POST", "/echo").await;
        assert_eq!(second.get("/").await.0, 200);
        post.finish().await.unwrap();
        assert_eq!(answer(&mut post).await, (200, Vec::new()));
        assert!(accepted.await);
    });
}

#[test]
fn a_client_that_takes_its_requests_back_over_and_over_is_closed() {
    run(async || {
        let client = serve(|_| {}).connect().await;
        let flooding = client.quic.clone();
        tokio::task::spawn_local(async move {
            while let Ok((mut send, _receive)) = flooding.open_bi().await {
                let _ = send.write_all(&[1]).await;
                let _ = send.reset(0x10c_u32.into());
            }
        });
        let closed = client.quic.closed().await;
        assert!(matches!(closed, quinn::ConnectionError::ApplicationClosed(close) if close.error_code.into_inner() == 0x107));
    });
}

#[test]
fn a_client_may_make_any_number_of_requests_that_it_takes_the_answers_of() {
    run(async || {
        let mut client = serve(|_| {}).connect().await;
        for _ in 0..1_500 {
            assert_eq!(client.get("/").await.0, 200);
        }
    });
}
