//! WebSockets over HTTP/1.1, HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220), all with TLS: to a handler they are the same.

use std::time::Duration;

use narthex_tests::h3::Connection;
use narthex_tests::web_socket::{Http2, Message, WebSocket};
use narthex_tests::{Provider, Secure, Setup};

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads can be started").block_on(async {
        tokio::time::timeout(Duration::from_secs(170), test).await.expect("what the test waits for does not come");
    });
}

fn start(provider: Provider) -> Secure {
    Secure::start(provider, Setup::default())
}

async fn http1(secure: &Secure, path: &str) -> WebSocket {
    WebSocket::over_http1(secure.address(), &secure.authority.file(), path).await
}

async fn http2(secure: &Secure) -> Http2 {
    Http2::connect(secure.address(), &secure.authority.file()).await
}

fn binary(size: usize, seed: usize) -> Message {
    let bytes = (0..size).map(|at| u8::try_from((at / 3 + seed) % 251).expect("it is small"));
    Message::Binary(bytes.collect::<Vec<_>>().into())
}

/// Everything that a client does with one.
async fn used(mut socket: WebSocket) {
    socket.exchange("text, and ünïcödé".into()).await;
    socket.exchange("".into()).await;
    socket.exchange(binary(1 << 20, 1)).await;
    for seed in 0..20 {
        socket.exchange(binary(seed * 1_000, seed)).await;
    }
    socket.send(Message::Ping("are you there".into())).await;
    assert_eq!(socket.next().await, Some(Message::Pong("are you there".into())));
    socket.close().await;
}

async fn over_http1(provider: Provider) {
    let secure = start(provider);
    used(http1(&secure, "/ws").await).await;
}

async fn over_http2(provider: Provider) {
    let secure = start(provider);
    let mut connection = http2(&secure).await;
    // One after the other on the same connection.
    for _ in 0..2 {
        used(connection.web_socket("/ws").await).await;
    }
}

async fn over_http3(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    for _ in 0..2 {
        used(WebSocket::over_http3(&connection, "/ws").await).await;
    }
    assert_eq!(connection.get("/whoami").await.text(), "app");
}

/// Messages of many WebSockets go their own ways.
async fn interleaved(mut sockets: Vec<WebSocket>) {
    for round in 0..5 {
        for (nth, socket) in sockets.iter_mut().enumerate() {
            socket.send(binary(10_000 * (nth + 1), 10 * nth + round)).await;
        }
        for (nth, socket) in sockets.iter_mut().enumerate().rev() {
            let back = socket.next().await;
            assert!(back == Some(binary(10_000 * (nth + 1), 10 * nth + round)), "{round} {nth}");
        }
    }
    for socket in sockets {
        socket.close().await;
    }
}

async fn many_on_one_connection(provider: Provider) {
    let secure = start(provider);
    let (mut connection, mut sockets) = (http2(&secure).await, Vec::new());
    for _ in 0..6 {
        sockets.push(connection.web_socket("/ws").await);
    }
    interleaved(sockets).await;
    let (connection, mut sockets) = (secure.http3().await, Vec::new());
    for _ in 0..6 {
        sockets.push(WebSocket::over_http3(&connection, "/ws").await);
    }
    interleaved(sockets).await;
}

async fn a_handler_that_wants_none_answers_as_ever(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    // The handler sees a GET, which it has an answer for.
    let mut stream = connection.open_web_socket("/status/403").await.expect("the connection is there");
    assert_eq!(stream.answer().await.map(|answer| answer.status), Ok(403));
    let mut stream = connection.open_web_socket("/whoami").await.expect("the connection is there");
    let answer = stream.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "app"));
    // CONNECT without a protocol has neither scheme nor path.
    assert!(connection.open("CONNECT", "/ws", &[]).await.expect("it is there").answer().await.is_err());
    let plain = connection.get("/ws").await;
    assert!((400..500).contains(&plain.status), "{plain:?}");
    used(WebSocket::over_http3(&connection, "/ws").await).await;
}

/// Waits until the app has so many.
async fn alive(connection: &Connection, count: &str) {
    while connection.get("/held").await.text() != count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn a_client_that_leaves_without_a_word_ends_the_handler(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = WebSocket::over_http3(&connection, "/ws").await;
        socket.exchange("hello".into()).await;
        sockets.push(socket);
    }
    let watching = secure.http3().await;
    alive(&watching, "3").await;
    let mut rest = sockets.split_off(1);
    drop(sockets);
    alive(&watching, "2").await;
    for socket in &mut rest {
        socket.exchange("still here".into()).await;
    }
    connection.leave();
    alive(&watching, "0").await;
    let (mut http2, mut sockets) = (http2(&secure).await, Vec::new());
    for _ in 0..3 {
        sockets.push(http2.web_socket("/ws").await);
    }
    sockets.push(http1(&secure, "/ws").await);
    alive(&watching, "4").await;
    sockets.pop();
    sockets.pop();
    alive(&watching, "2").await;
    drop((http2, sockets));
    alive(&watching, "0").await;
    used(WebSocket::over_http3(&secure.http3().await, "/ws").await).await;
}

macro_rules! both {
    ($($test:ident: $run:ident;)*) => {
        mod embedded {
            $(#[test] fn $test() { super::run(super::$run(narthex_tests::Provider::Embedded)); })*
        }
        mod shared {
            $(#[test] fn $test() { super::run(super::$run(narthex_tests::Provider::Shared)); })*
        }
    };
}

both! {
    messages_and_goodbyes_come_back_over_http1: over_http1;
    messages_and_goodbyes_come_back_over_http2: over_http2;
    messages_and_goodbyes_come_back_over_http3: over_http3;
    many_web_sockets_share_a_connection: many_on_one_connection;
    a_handler_that_wants_no_web_socket_answers_as_ever: a_handler_that_wants_none_answers_as_ever;
    a_client_that_leaves_without_a_word_ends_its_web_sockets: a_client_that_leaves_without_a_word_ends_the_handler;
}

#[test]
fn the_web_sockets_of_two_apps_share_a_connection() {
    run(async {
        let secure = Secure::start(Provider::Shared, Setup { path: "a/", ..Setup::default() });
        let mut b = secure.neighbour("b", "b/");
        let mut connection = http2(&secure).await;
        let (to_a, mut to_b) = (connection.web_socket("/a/ws").await, connection.web_socket("/b/ws").await);
        let http3 = secure.http3().await;
        let (to_a3, mut to_b3) = (WebSocket::over_http3(&http3, "/a/ws").await, WebSocket::over_http3(&http3, "/b/ws").await);
        let (to_a1, mut to_b1) = (http1(&secure, "/a/ws").await, http1(&secure, "/b/ws").await);
        let mut of_b = [&mut to_b, &mut to_b3, &mut to_b1];
        for socket in &mut of_b {
            socket.exchange("to b".into()).await;
        }
        b.process.crash();
        for socket in &mut of_b {
            assert_eq!(socket.next().await, None, "its app is gone");
        }
        for socket in [to_a, to_a3, to_a1] {
            used(socket).await;
        }
    });
}

#[test]
fn a_handshake_goes_to_the_app_that_its_path_names() {
    run(async {
        let secure = Secure::start(Provider::Shared, Setup { path: "a/", ..Setup::default() });
        let _b = secure.neighbour("b", "b/");
        let connection = secure.http3().await;
        for (path, status) in [("/a/ws", 200), ("/b/ws", 200), ("/c/ws", 404)] {
            let mut stream = connection.open_web_socket(path).await.expect("the connection is there");
            let answer = stream.response.head().await.expect("an answer");
            assert_eq!(answer.status, status, "{path}");
            let app = path.contains('a').then_some("app").or(path.contains('b').then_some("b"));
            assert_eq!(answer.header("x-app"), app, "{path}");
        }
    });
}

/// Also if the client's TLS ends without a word.
#[test]
fn a_close_in_order_is_no_refusal() {
    run(async {
        let secure = start(Provider::Shared);
        let (mut over_http2, over_http3) = (http2(&secure).await, secure.http3().await);
        for path in ["/ws", "/hub"] {
            for mut socket in
                [http1(&secure, path).await, over_http2.web_socket(path).await, WebSocket::over_http3(&over_http3, path).await]
            {
                socket.exchange("here".into()).await;
                socket.close().await;
            }
        }
        let host = secure.host.as_ref().expect("there is a host");
        let state = loop {
            let state = host.operate_json(&["show", "servicestate"]);
            if state["queues"][0]["in_progress"] == 0 {
                break state;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(state["refusals"], 0, "{state}");
    });
}
