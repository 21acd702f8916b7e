//! HTTP.sys itself, as far as Wine has it: to be run one after the other, since Wine's closes all listeners with any queue.
//!
//! `cargo xtask windows`, or `cargo test --target x86_64-pc-windows-gnu -p narthex-httpsys --test wine -- --test-threads=1`.
#![cfg(windows)]

use std::future::{pending, poll_fn, ready};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use narthex_httpsys::{
    Api, Chunk, Closed, Code, Error, Exchange, Fields, GroupProperty, Head, HttpSys, Intake, Length, Request, Server, Settings,
};
use tokio::time::{sleep, timeout};

/// No test takes so long.
const LIMIT: Duration = Duration::from_secs(20);

struct Site {
    api: Arc<HttpSys>,
    server: Server,
    port: u16,
}

impl Site {
    fn open(path: &str) -> Self {
        let mut site = Self::without_urls();
        site.add(path, 7).unwrap();
        site
    }

    fn without_urls() -> Self {
        let api = HttpSys::open().unwrap();
        let server = Server::open(Arc::clone(&api) as Arc<dyn Api>, &Settings::default()).unwrap();
        Self { api, server, port: free_port() }
    }

    fn add(&mut self, path: &str, context: u64) -> Result<(), Error> {
        self.server.add_url(&format!("http://+:{}{path}", self.port), context)
    }

    async fn take(&self) -> (Request, Exchange) {
        let request = Intake::new(self.server.queue()).next(pending()).await.unwrap().unwrap();
        let exchange = Exchange::new(Arc::clone(&self.api) as Arc<dyn Api>, self.server.queue(), &request);
        (request, exchange)
    }

    async fn answer(&self, text: &'static str) -> Request {
        let (request, exchange) = self.take().await;
        exchange.send(ok(), Bytes::from(text), None).unwrap();
        finish(&exchange).await;
        request
    }

    fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", self.port)
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn ok() -> Head {
    Head { status: 200, reason: "OK", fields: Fields::default() }
}

async fn finish(exchange: &Exchange) {
    poll_fn(|cx| exchange.poll(cx)).await;
}

/// A client on a thread of its own: sends each request in one write, and reads until it has seen what it waits for.
fn client(port: u16, requests: Vec<(String, &'static str)>) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut exchange = |(request, last): (String, &'static str)| {
            stream.write_all(request.as_bytes()).unwrap();
            let mut got = Vec::new();
            let mut buffer = [0; 4096];
            while !got.ends_with(last.as_bytes()) {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    count => got.extend_from_slice(&buffer[..count]),
                }
            }
            String::from_utf8(got).unwrap()
        };
        requests.into_iter().map(&mut exchange).collect()
    })
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(LIMIT, test).await.expect("the test takes too long") });
}

#[test]
fn requests_are_received_and_answered_and_their_connection_is_kept() {
    run(async {
        let site = Site::open("/app/");
        let asked = client(site.port, vec![(site.get("/app/one?q"), "first"), (site.get("/app/two"), "second")]);
        let first = site.answer("first").await;
        let second = site.answer("second").await;
        assert_eq!((first.method(), first.target(), first.facts.context), (&b"GET"[..], &b"/app/one?q"[..], 7));
        assert_eq!(first.fields().only("host"), Some(format!("localhost:{}", site.port).as_bytes()));
        assert!(first.facts.peer.ip().is_loopback());
        assert_eq!((second.target(), first.facts.local.port()), (&b"/app/two"[..], site.port));
        assert_eq!(first.facts.peer, second.facts.peer);
        let replies = asked.join().unwrap();
        assert!(replies[0].starts_with("HTTP/1.1 200 OK\r\n"), "{}", replies[0]);
        assert!(replies[0].contains("Content-Length: 5\r\n"), "{}", replies[0]);
        assert!(replies[1].ends_with("\r\n\r\nsecond"), "{}", replies[1]);
    });
}

#[test]
fn bodies_of_60_kib_come_whole() {
    run(async {
        let site = Site::open("/app/");
        let body = "0123456789".repeat(6000);
        let head = format!("POST /app/ HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: {}\r\n\r\n", site.port, body.len());
        let asked = client(site.port, vec![(format!("{head}{body}"), "read")]);
        let (request, exchange) = site.take().await;
        assert_eq!((request.method(), request.length()), (&b"POST"[..], Some(60_000)));
        let mut got = Vec::new();
        while let Some(piece) = poll_fn(|cx| exchange.poll_body(cx)).await {
            got.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(got, body.as_bytes());
        exchange.send(ok(), Bytes::from("read"), None).unwrap();
        finish(&exchange).await;
        assert!(asked.join().unwrap()[0].ends_with("read"));
    });
}

#[test]
fn a_head_that_is_longer_than_the_first_buffer_is_received_again_and_not_lost() {
    run(async {
        let site = Site::open("/app/");
        let long = "x".repeat(9000);
        let request = format!("GET /app/ HTTP/1.1\r\nHost: localhost:{}\r\nX-Long: {long}\r\n\r\n", site.port);
        let asked = client(site.port, vec![(request, "seen")]);
        let taken = site.answer("seen").await;
        assert_eq!(taken.fields().only("x-long"), Some(long.as_bytes()));
        assert!(asked.join().unwrap()[0].ends_with("seen"));
    });
}

#[test]
fn responses_are_streamed_as_they_come() {
    run(async {
        let site = Site::open("/app/");
        let asked = client(site.port, vec![(site.get("/app/fixed"), "hellothere"), (site.get("/app/chunked"), "0\r\n\r\n")]);
        let (_, exchange) = site.take().await;
        exchange.start(ok(), Length::Exact(10)).unwrap();
        exchange.data(Chunk::Memory("hello".into()), false).unwrap();
        poll_fn(|cx| {
            let _ = exchange.poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
        sleep(Duration::from_millis(50)).await;
        exchange.data(Chunk::Memory("there".into()), true).unwrap();
        finish(&exchange).await;
        let (_, exchange) = site.take().await;
        exchange.start(ok(), Length::Unknown).unwrap();
        exchange.data(Chunk::Memory("hello".into()), true).unwrap();
        finish(&exchange).await;
        let replies = asked.join().unwrap();
        assert!(replies[0].contains("Content-Length: 10\r\n"), "{}", replies[0]);
        assert!(
            replies[1].contains("Transfer-Encoding: chunked\r\n") && replies[1].ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            "{}",
            replies[1]
        );
    });
}

#[test]
fn the_longest_prefix_has_the_request_and_several_are_on_one_queue() {
    run(async {
        let mut site = Site::open("/app/");
        site.add("/app/deep/", 8).unwrap();
        let asked = client(site.port, vec![(site.get("/app/x"), "1"), (site.get("/app/deep/x"), "2")]);
        assert_eq!(site.answer("1").await.facts.context, 7);
        assert_eq!(site.answer("2").await.facts.context, 8);
        asked.join().unwrap();
    });
}

/// Set in a process that a test has started: the port that it is to share.
const NEIGHBOUR: &str = "NARTHEX_TEST_NEIGHBOUR_PORT";

/// Not a test by itself: the other process of the next one.
#[test]
fn neighbour() {
    let Ok(port) = std::env::var(NEIGHBOUR) else { return };
    run(async {
        let mut site = Site::without_urls();
        site.port = port.parse().unwrap();
        site.add("/app/deep/", 8).unwrap();
        println!("ready");
        assert_eq!(site.answer("neighbour").await.facts.context, 8);
    });
}

#[test]
fn two_processes_share_a_port_and_the_longest_prefix_has_the_request() {
    run(async {
        let mut site = Site::open("/app/");
        let mut neighbour = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "neighbour", "--nocapture"])
            .env(NEIGHBOUR, site.port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(neighbour.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().any(|line| line.unwrap().contains("ready")));
        assert!(matches!(site.add("/app/deep/", 9).unwrap_err(), Error::AlreadyRegistered { .. }));
        let asked = client(site.port, vec![(site.get("/app/x"), "own"), (site.get("/app/deep/x"), "neighbour")]);
        assert_eq!(site.answer("own").await.facts.context, 7);
        assert!(asked.join().unwrap()[1].ends_with("neighbour"));
        // It must be able to say how it ended.
        lines.for_each(drop);
        assert!(neighbour.wait().unwrap().success());
    });
}

#[test]
fn a_prefix_that_is_registered_cannot_be_registered_again() {
    run(async {
        let site = Site::open("/app/");
        let mut other = Site { api: Arc::clone(&site.api), port: site.port, server: Site::without_urls().server };
        assert!(matches!(other.add("/app/", 1).unwrap_err(), Error::AlreadyRegistered { .. }));
        other.add("/other/", 1).unwrap();
    });
}

#[test]
fn a_port_of_a_program_without_http_sys_cannot_be_had() {
    run(async {
        let taken = TcpListener::bind("0.0.0.0:0").unwrap();
        let mut site = Site::without_urls();
        site.port = taken.local_addr().unwrap().port();
        assert!(matches!(site.add("/app/", 1).unwrap_err(), Error::PortTaken { .. }));
    });
}

#[test]
fn a_receive_that_is_stopped_is_cancelled_and_the_next_one_works() {
    run(async {
        let site = Site::open("/app/");
        let intake = Intake::new(site.server.queue());
        assert!(intake.next(ready(())).await.unwrap().is_none());
        assert!(intake.next(sleep(Duration::from_millis(20))).await.unwrap().is_none());
        let asked = client(site.port, vec![(site.get("/app/"), "after")]);
        site.answer("after").await;
        asked.join().unwrap();
    });
}

#[test]
fn closing_the_queue_ends_what_waits_for_requests() {
    run(async {
        let site = Site::open("/app/");
        let (one, two) = (Intake::new(site.server.queue()), Intake::new(site.server.queue()));
        let queue = site.server.queue();
        let close = async {
            sleep(Duration::from_millis(20)).await;
            queue.close();
        };
        let (one, two, ()) = tokio::join!(one.next(pending()), two.next(pending()), close);
        assert!(one.unwrap().is_none() && two.unwrap().is_none());
        assert!(Intake::new(queue).next(pending()).await.unwrap().is_none());
    });
}

#[test]
fn fields_that_come_twice_and_a_wish_to_close_reach_the_client() {
    run(async {
        let site = Site::open("/app/");
        let request = site.get("/app/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let asked = client(site.port, vec![(request, "body")]);
        let (_, exchange) = site.take().await;
        let fields = [(&b"Set-Cookie"[..], &b"a=1"[..]), (b"X-Own", b"x"), (b"Set-Cookie", b"b=2")].into_iter().collect();
        exchange.send(Head { fields, ..ok() }, Bytes::from("body"), None).unwrap();
        finish(&exchange).await;
        let reply = &asked.join().unwrap()[0];
        assert!(reply.contains("Set-Cookie: a=1\r\n") && reply.contains("Set-Cookie: b=2\r\n"), "{reply}");
        assert!(reply.contains("Connection: close\r\n") && reply.contains("X-Own: x\r\n"), "{reply}");
    });
}

#[test]
fn a_client_that_left_ends_its_exchange() {
    run(async {
        let site = Site::open("/app/");
        let mut stream = TcpStream::connect(("127.0.0.1", site.port)).unwrap();
        stream.write_all(site.get("/app/").as_bytes()).unwrap();
        let (_, exchange) = site.take().await;
        drop(stream);
        exchange.start(ok(), Length::Unknown).unwrap();
        // Wine notices when it sends to whom has gone.
        let mut closed = Ok(());
        while closed.is_ok() {
            sleep(Duration::from_millis(10)).await;
            let _ = poll_fn(|cx| std::task::Poll::Ready(exchange.poll(cx))).await;
            closed = exchange.data(Chunk::Memory("x".into()), false);
        }
        assert_eq!(closed, Err(Closed));
    });
}

#[test]
fn what_this_http_sys_lacks_is_refused_by_name() {
    run(async {
        let mut site = Site::open("/app/");
        if site.api.is_wine() {
            let refused = site.server.set_group(GroupProperty::MaxConnections(Some(3))).unwrap_err();
            assert_eq!(refused, Error::Lacking { feature: "connection limits", code: Code::CALL_NOT_IMPLEMENTED });
        } else {
            site.server.set_group(GroupProperty::MaxConnections(Some(3))).unwrap();
        }
    });
}

#[test]
fn when_a_server_is_dropped_its_prefixes_and_its_port_are_free() {
    run(async {
        let port = {
            let site = Site::open("/app/");
            site.port
        };
        let mut again = Site::without_urls();
        again.port = port;
        again.add("/app/", 7).unwrap();
        let asked = client(port, vec![(again.get("/app/"), "again")]);
        again.answer("again").await;
        asked.join().unwrap();
    });
}
