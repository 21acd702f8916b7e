//! What a handler keeps with a connection, and how it learns that the client has left.

use std::cell::Cell;
use std::net::Shutdown;
use std::rc::Rc;
use std::task::Poll;

use narthex_http::Piece;

use crate::engine::client::{exchange, send, until_end};
use crate::engine::server::{hold, ok, serve};

#[test]
fn what_is_attached_lasts_from_request_to_request_and_not_to_another_connection() {
    let server = serve(|_, exchange| {
        let before = exchange.attachment().and_then(|any| any.downcast::<Cell<u8>>().ok());
        let count = before.unwrap_or_else(|| {
            let fresh = Rc::new(Cell::new(b'0'));
            exchange.attach(Some(fresh.clone()));
            fresh
        });
        count.set(count.get() + 1);
        let _ = exchange.send(200, std::iter::empty(), Piece::Slice(&[count.get()]));
        None
    });
    let twice = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    for _ in 0..2 {
        let answer = exchange(server.address, twice);
        assert!(answer.contains("\r\n\r\n1HTTP/1.1 ") && answer.ends_with("\r\n\r\n2"), "{answer}");
    }
}

#[test]
fn what_is_attached_goes_with_the_connection_although_a_handle_is_kept() {
    struct Told(std::sync::mpsc::SyncSender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    static GONE: std::sync::Mutex<Option<std::sync::mpsc::SyncSender<()>>> = std::sync::Mutex::new(None);
    let (sender, gone) = std::sync::mpsc::sync_channel(1);
    *GONE.lock().unwrap() = Some(sender);
    let server = serve(|_, exchange| {
        exchange.attach(Some(Rc::new(Told(GONE.lock().unwrap().take().unwrap()))));
        std::mem::forget(exchange.clone());
        ok(exchange);
        None
    });
    exchange(server.address, "GET / HTTP/1.0\r\n\r\n");
    gone.recv_timeout(crate::engine::client::PATIENCE).unwrap();
}

#[test]
fn a_handler_is_polled_when_its_client_closes_also_after_the_body() {
    let server = serve(|request, exchange| {
        if request.target == "/deaf" {
            return hold(exchange);
        }
        let exchange = exchange.clone();
        assert!(!exchange.client_has_closed());
        Some(Box::pin(std::future::poll_fn(move |_| {
            if !exchange.client_has_closed() {
                return Poll::Pending;
            }
            ok(&exchange);
            Poll::Ready(())
        })))
    });
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n123"] {
        let stream = send(server.address, request);
        std::thread::sleep(std::time::Duration::from_millis(20));
        stream.shutdown(Shutdown::Write).unwrap();
        let (answer, _) = until_end(&stream);
        assert!(answer.ends_with(b"\r\n\r\nok"), "{}", String::from_utf8_lossy(&answer));
    }
}
