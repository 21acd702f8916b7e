//! One request, and many at a time.

use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use http::{HeaderMap, HeaderValue};
use tokio::task::spawn_local;

use crate::http3::side::{STREAM_WINDOW, answer, run, serve};

#[test]
fn a_get_is_answered_and_its_handler_knows_the_connection() {
    run(async || {
        let server = serve(|_| {});
        let mut client = server.connect().await;
        assert_eq!(client.get("/").await, (200, b"hello".to_vec()));
        assert_eq!(client.get("/who").await, (200, b"Http3 true localhost true".to_vec()));
    });
}

#[test]
fn a_head_has_the_length_and_no_body() {
    run(async || {
        let mut client = serve(|_| {}).connect().await;
        let mut stream = client.open("HEAD", "/").await;
        stream.finish().await.unwrap();
        let response = stream.recv_response().await.unwrap();
        assert_eq!(response.headers()["content-length"], "5");
        assert!(stream.recv_data().await.unwrap().is_none());
    });
}

#[test]
fn a_megabyte_comes_back_through_windows_of_64_kib_with_its_trailers() {
    run(async || {
        let mut client = serve(|_| {}).connect().await;
        let (mut send, mut receive) = client.open("POST", "/echo").await.split();
        let body: Vec<u8> = (0..1 << 20).map(|at: u32| (at / 7) as u8).collect();
        let expected = body.clone();
        spawn_local(async move {
            for piece in body.chunks(10_000) {
                send.send_data(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("42"));
            send.send_trailers(trailers).await.unwrap();
            send.finish().await.unwrap();
        });
        assert_eq!(receive.recv_response().await.unwrap().status(), 200);
        let mut got = Vec::new();
        while let Some(mut piece) = receive.recv_data().await.unwrap() {
            got.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
        }
        assert!(got == expected);
        assert_eq!(receive.recv_trailers().await.unwrap().unwrap()["x-sum"], "42");
    });
}

#[test]
fn a_hundred_requests_are_answered_at_a_time() {
    run(async || {
        let mut client = serve(|_| {}).connect().await;
        let mut streams = Vec::new();
        for _ in 0..100 {
            streams.push(client.open("POST", "/echo").await);
        }
        for (nth, stream) in streams.iter_mut().enumerate().rev() {
            stream.send_data(Bytes::from(nth.to_string())).await.unwrap();
            stream.finish().await.unwrap();
            assert_eq!(answer(stream).await, (200, nth.to_string().into_bytes()));
        }
    });
}

#[test]
fn a_body_that_is_too_large_is_answered_413_and_its_rest_is_not_wanted() {
    run(async || {
        let mut client = serve(|settings| settings.limits.max_body = Some(9)).connect().await;
        let uri = "https://localhost/read";
        let request = http::Request::post(uri).header("content-length", "10").body(()).unwrap();
        let mut stream = client.requests.send_request(request).await.unwrap();
        assert_eq!(answer(&mut stream).await.0, 413);
        let stopped = loop {
            match stream.send_data(Bytes::from_static(b"0")).await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        assert!(matches!(stopped, StreamError::RemoteTerminate { code: Code::H3_NO_ERROR, .. }), "{stopped:?}");
    });
}

#[test]
fn a_head_that_is_too_large_is_answered_431() {
    run(async || {
        let mut client = serve(|settings| settings.limits.max_head = 2_000).connect().await;
        // The client must not know the limit yet, or it would not send it.
        let (mut send, mut receive) = client.quic.open_bi().await.unwrap();
        send.write_all(&[1, 0x60, 0]).await.unwrap();
        let first = receive.read_chunk(100, true).await.unwrap().unwrap();
        assert!(first.bytes.ends_with(b"\x03431"), "{:?}", first.bytes);
        assert_eq!(client.get("/").await.0, 200);
    });
}

#[test]
fn a_request_that_is_not_one_is_reset_and_the_others_go_on() {
    run(async || {
        let mut client = serve(|_| {}).connect().await;
        // `:method: GET` twice, and an empty `:authority`.
        for bytes in [&[1, 4, 0, 0, 0xd1, 0xd1][..], &[1, 7, 0, 0, 0xd1, 0xd7, 0xc1, 0x50, 0]] {
            let (mut send, mut receive) = client.quic.open_bi().await.unwrap();
            send.write_all(bytes).await.unwrap();
            let error = receive.read_chunk(100, true).await.unwrap_err();
            assert!(matches!(error, quinn::ReadError::Reset(code) if code.into_inner() == 0x10e), "{error}");
        }
        assert_eq!(client.get("/").await.0, 200);
    });
}

#[test]
fn a_client_that_resets_its_stream_ends_the_handlers_future() {
    run(async || {
        let server = serve(|_| {});
        let mut client = server.connect().await;
        let mut stream = client.open("POST", "/hold").await;
        while server.held.get() == 0 {
            tokio::task::yield_now().await;
        }
        stream.stop_stream(Code::H3_REQUEST_CANCELLED);
        stream.stop_sending(Code::H3_REQUEST_CANCELLED);
        while server.held.get() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(client.get("/").await.0, 200);
    });
}

#[test]
fn a_web_socket_has_a_tunnel_of_its_own() {
    run(async || {
        let client = serve(|_| {}).connect().await;
        let (mut send, mut receive) = client.quic.open_bi().await.unwrap();
        // CONNECT, https, `:authority: localhost`, `:path: /chat`, `:protocol: websocket`.
        let mut head = vec![0, 0, 0xcf, 0xd7, 0x50, 9];
        head.extend_from_slice(b"localhost\x51\x05/chat\x27\x02:protocol\x09websocket");
        let mut frame = vec![1, u8::try_from(head.len()).unwrap()];
        frame.extend_from_slice(&head);
        frame.extend_from_slice(b"\x00\x05to it");
        send.write_all(&frame).await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"\x00\x05to it") {
            got.extend_from_slice(&receive.read_chunk(1_000, true).await.unwrap().unwrap().bytes);
        }
        // HEADERS with `:status: 200` first.
        assert_eq!((got[0], got[4]), (1, 0xd9));
        send.finish().unwrap();
        assert!(receive.read_chunk(1_000, true).await.unwrap().is_none());
    });
}

#[test]
fn a_client_that_gives_no_window_holds_little_memory_and_nobody_else() {
    run(async || {
        let server = serve(|_| {});
        let mut client = server.connect().await;
        let mut stream = client.open("GET", "/large").await;
        stream.finish().await.unwrap();
        assert_eq!(client.get("/").await.0, 200);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let sent = client.quic.stats().udp_rx.bytes;
        assert!(sent < u64::from(STREAM_WINDOW) + 60_000, "{sent}");
        assert_eq!(answer(&mut stream).await.1.len(), 4 << 20);
    });
}
