//! Connections that have left the engine.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use narthex_http::{ConnectionCaps, Exchange, Piece, Request, Upgraded};
use tokio::sync::oneshot;

use crate::engine::client::{send, until_end};
use crate::engine::server::{Server, Work, serve, serve_with};

type Rest = Pin<Box<dyn Future<Output = ()>>>;

/// More than sockets and buffers hold.
const MUCH: usize = 16 << 20;

fn hand_over(exchange: &Exchange, rest: impl FnOnce(Upgraded) -> Rest + 'static) -> Work {
    exchange.hand_over([(&b"upgrade"[..], &b"x"[..])].into_iter(), Box::new(rest)).unwrap();
    None
}

fn echo(mut upgraded: Upgraded) -> Rest {
    let mut poll = move |cx: &mut Context<'_>| -> Poll<std::io::Result<()>> {
        loop {
            ready!(upgraded.poll_flush(cx))?;
            match ready!(upgraded.poll_receive(cx, |bytes| bytes.to_vec())) {
                Some(bytes) => upgraded.send(cx, &Piece::Slice(&bytes))?,
                None => return upgraded.poll_end(cx),
            }
        }
    };
    Box::pin(async move {
        let _ = poll_fn(|cx| poll(cx)).await;
    })
}

/// Echoes; `/panic` panics at the first byte; `/rest` never does anything.
fn app(request: &Request<'_>, exchange: &Exchange) -> Work {
    match request.target {
        "/panic" => hand_over(exchange, |mut upgraded| {
            Box::pin(poll_fn(move |cx| upgraded.poll_receive(cx, |_| panic!("as asked")).map(|_| ())))
        }),
        "/rest" => hand_over(exchange, |upgraded| {
            Box::pin(async move {
                std::future::pending::<()>().await;
                drop(upgraded);
            })
        }),
        _ => hand_over(exchange, echo),
    }
}

fn upgraded(server: &Server, target: &str) -> TcpStream {
    let mut client =
        send(server.address, &format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    client
}

fn echoed(client: &mut TcpStream, text: &str) -> String {
    client.write_all(text.as_bytes()).unwrap();
    let mut back = vec![0; text.len()];
    client.read_exact(&mut back).unwrap();
    String::from_utf8(back).unwrap()
}

#[test]
fn what_a_slow_client_sends_comes_back_whole_although_it_has_closed_its_half() {
    let server = serve(app);
    let client = upgraded(&server, "/");
    let sent: Vec<u8> = (0..MUCH / 4).flat_map(|number: usize| (number as u32).to_le_bytes()).collect();
    let back = std::thread::scope(|scope| {
        scope.spawn(|| {
            (&client).write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        // Meanwhile all there is room for fills up.
        std::thread::sleep(Duration::from_millis(300));
        until_end(&client)
    });
    assert!(back == (sent, false), "{} bytes", back.0.len());
}

#[test]
fn many_connections_take_turns() {
    let server = serve(app);
    let mut clients: Vec<_> = (0..300).map(|_| upgraded(&server, "/")).collect();
    for round in 0..3 {
        for client in &mut clients {
            client.write_all(b"ping").unwrap();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(echoed(client, ", pong"), "ping, ", "{round} {number}");
            let mut rest = [0; 4];
            client.read_exact(&mut rest).unwrap();
            assert_eq!(&rest, b"pong");
        }
        // Places that are free again are taken by others.
        clients.truncate(100);
        clients.extend((0..50).map(|_| upgraded(&server, "/")));
    }
}

#[test]
fn a_panic_ends_its_own_connection() {
    let server = serve(app);
    let mut other = upgraded(&server, "/");
    let mut client = upgraded(&server, "/panic");
    client.write_all(b"x").unwrap();
    until_end(&client);
    assert_eq!(echoed(&mut other, "goes on"), "goes on");
}

#[test]
fn another_thread_wakes_a_connection_at_rest() {
    static WAKE: Mutex<Option<oneshot::Sender<u8>>> = Mutex::new(None);
    let server = serve(|_, exchange| {
        hand_over(exchange, |mut upgraded| {
            let (wake, woken) = oneshot::channel();
            *WAKE.lock().unwrap() = Some(wake);
            Box::pin(async move {
                let byte = woken.await.unwrap();
                poll_fn(|cx| Poll::Ready(upgraded.send(cx, &Piece::Slice(&[byte])))).await.unwrap();
            })
        })
    });
    let client = upgraded(&server, "/");
    std::thread::sleep(Duration::from_millis(50));
    let wake = loop {
        if let Some(wake) = WAKE.lock().unwrap().take() {
            break wake;
        }
        std::thread::yield_now();
    };
    wake.send(b'!').unwrap();
    assert_eq!(until_end(&client), (b"!".to_vec(), false));
}

#[test]
fn connections_at_rest_are_killed_and_end_with_their_worker() {
    static KILL: AtomicBool = AtomicBool::new(false);
    let server = serve_with(
        |_| {},
        ConnectionCaps::default(),
        |worker| {
            let worker = Rc::downgrade(worker);
            tokio::task::spawn_local(async move {
                while !KILL.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                worker.upgrade().unwrap().kill_connections();
            });
        },
        app,
    );
    let (resting, mut busy) = (upgraded(&server, "/rest"), upgraded(&server, "/"));
    assert_eq!(echoed(&mut busy, "here"), "here");
    KILL.store(true, Ordering::Relaxed);
    until_end(&resting);
    until_end(&busy);
    let last = upgraded(&server, "/rest");
    server.finish();
    until_end(&last);
}
