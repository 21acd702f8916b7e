//! What one request and its response cost on the wire. Run it twice under `valgrind --tool=callgrind` with different
//! numbers of rounds and divide the difference: `cargo run --release --example wire_cost -- 100000`.

use std::net::SocketAddr;

use narthex_proto::wire::{AppEnd, AppEvent, BodyLength, HostEnd, HttpVersion, Received, Request, ResponseHead};

const HEAD: &[u8] = b"GET /MyApp/ping HTTP/1.1\r\nHost: localhost:8888\r\nUser-Agent: wire-cost\r\nAccept: */*\r\n\r\n";

/// As many requests as one turn of a loaded worker has.
const BATCH: usize = 16;

fn main() {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let rounds: usize = rounds.unwrap_or(100_000);
    let mut host = HostEnd::<usize>::new();
    let mut app = AppEnd::<usize>::new();
    app.grant(BATCH as u32);
    let mut done = 0;
    while done < rounds {
        app_to_host(&mut app, &mut host, &mut done);
        host_sends(&mut host);
        host_to_app(&mut host, &mut app);
    }
    println!("{done} rounds");
}

#[inline(never)]
fn host_sends(host: &mut HostEnd<usize>) {
    let request = Request {
        registration: 1,
        version: HttpVersion::Http11,
        tls: false,
        upgrade: false,
        expect_continue: false,
        length: BodyLength::None,
        peer: SocketAddr::from(([127, 0, 0, 1], 50_000)),
        local: SocketAddr::from(([127, 0, 0, 1], 8888)),
        path_base: b"/MyApp",
        target: b"/ping",
        certificate: b"",
        head: HEAD,
    };
    while host.credit() > 0 {
        host.open(&request, 0).expect("there is credit");
    }
}

#[inline(never)]
fn host_to_app(host: &mut HostEnd<usize>, app: &mut AppEnd<usize>) {
    let bytes = host.output();
    let mut rest = bytes.as_slice();
    while let Ok(Received::Event { used, event }) = app.receive(rest) {
        rest = rest.get(used..).unwrap_or_default();
        let AppEvent::Request { id, request } = event else {
            continue;
        };
        let registration = request.registration as usize;
        app.attach(id, registration).expect("the stream is new");
        let head = ResponseHead::new(200, BodyLength::Exact(4));
        let sent = app.respond_with(
            id,
            head,
            |block| {
                block.line(b"content-type", b"text/plain");
                block.line(b"content-length", b"4");
            },
            b"pong",
            true,
        );
        assert_eq!(sent, Ok(Some(registration)));
        app.grant(1);
    }
    bytes.clear();
}

#[inline(never)]
fn app_to_host(app: &mut AppEnd<usize>, host: &mut HostEnd<usize>, done: &mut usize) {
    let bytes = app.output();
    let mut rest = bytes.as_slice();
    while let Ok(Received::Event { used, event }) = host.receive(rest) {
        rest = rest.get(used..).unwrap_or_default();
        if let narthex_proto::wire::HostEvent::Response { body, .. } = event {
            assert_eq!(body, b"pong");
            *done += 1;
        }
    }
    bytes.clear();
}
