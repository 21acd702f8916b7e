//! An app against a host that is made of the wire protocol alone: frames, credits, windows, and the order of greetings.
#![cfg(unix)]

use std::time::Duration;

use crate::client::app;
use narthex::{Change, Error, FineTune, Provider, Server, ServerHandle};
use narthex_proto::wire::{
    Activity, BodyLength, CachePolicy, CancelCode, ControlConnection, HostEnd, HostEvent, HttpVersion, INITIAL_WINDOW, Message,
    Owner, Received, RefusalCode, RegisteredUrl, Request, ResponseHead, Role, StreamId, Welcome,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// What the app did on its streams, without borrows.
#[derive(Debug, PartialEq)]
enum Seen {
    Response {
        status: u16,
        upgrade: bool,
        length: BodyLength,
        body: Vec<u8>,
        end: bool,
    },
    /// As the beginning of a response, if it has a policy.
    Cached(CachePolicy),
    Data {
        body: Vec<u8>,
        end: bool,
    },
    Trailers(Vec<u8>),
    Fragment {
        url: String,
        part: (u64, Option<u64>),
    },
    Credit(u32),
    Proceed,
    Cancelled(CancelCode),
    /// Queue and URL.
    Delegated(String, String),
    Other,
}

/// A host with one worker and one app.
struct FakeHost {
    control: UnixStream,
    messages: ControlConnection,
    data: UnixStream,
    end: HostEnd<()>,
    input: Vec<u8>,
    handle: ServerHandle,
    server: tokio::task::JoinHandle<narthex::Result<()>>,
    _directory: tempfile::TempDir,
}

async fn message(stream: &mut UnixStream, messages: &mut ControlConnection) -> Message {
    loop {
        if let Some(message) = messages.receive().unwrap() {
            return message;
        }
        let mut buffer = [0; 4096];
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("a message").unwrap();
        assert_ne!(read, 0, "the app has closed the connection");
        messages.push(&buffer[..read]);
    }
}

async fn say(stream: &mut UnixStream, messages: &mut ControlConnection, message: &Message) {
    messages.send(message).unwrap();
    stream.write_all(&std::mem::take(messages.output())).await.unwrap();
}

fn welcome(token: &str) -> Message {
    Message::Welcome(Welcome { host_version: "0".into(), workers: 1, app: 1, token: token.into() })
}

impl FakeHost {
    /// Starts an app, and takes it as far as its registration.
    async fn start() -> Self {
        let mut host = Self::start_tuned(FineTune::default()).await;
        assert_eq!(host.seen().await, Seen::Credit(1024));
        host
    }

    async fn start_tuned(fine_tune: FineTune) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("host.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = Server::new(app())
            .prefix("http://+:0/x/")
            .workers(1)
            .connection_info(true)
            .request_control(true)
            .delegates(true)
            .fine_tune(fine_tune);
        let server = server.provider(Provider::shared_at(&socket));
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let mut ready = Some(ready);
        let server = server.on_ready(move |prefixes| ready.take().unwrap().send(prefixes.to_vec()).unwrap());
        let handle = server.handle();
        let server = tokio::spawn(server.run());

        let (mut control, _) = listener.accept().await.unwrap();
        let mut messages = ControlConnection::new();
        let Message::Hello(hello) = message(&mut control, &mut messages).await else { panic!("no greeting") };
        assert_eq!((hello.role, hello.pid, hello.workers), (Role::App, std::process::id(), 1));
        say(&mut control, &mut messages, &welcome("secret")).await;

        let (mut data, _) = listener.accept().await.unwrap();
        let mut greeting = ControlConnection::new();
        let Message::Hello(hello) = message(&mut data, &mut greeting).await else { panic!("no greeting") };
        assert_eq!((hello.role, hello.token.as_deref(), hello.host_worker), (Role::Data, Some("secret"), Some(0)));
        say(&mut data, &mut greeting, &welcome("")).await;
        let (input, _) = greeting.into_parts();

        let Message::Register { id, urls, group, .. } = message(&mut control, &mut messages).await else {
            panic!("no registration")
        };
        assert_eq!(group.properties.delegates, Some(true));
        assert_eq!(urls, ["http://+:0/x/"]);
        let urls = vec![RegisteredUrl { url: "http://+:7000/x/".into(), registration: 5 }];
        say(&mut control, &mut messages, &Message::Registered { id, group: 77, urls }).await;
        assert_eq!(is_ready.await.unwrap()[0].as_str(), "http://+:7000/x/");
        Self { control, messages, data, end: HostEnd::new(), input, handle, server, _directory: directory }
    }

    fn open(&mut self, head: &str, length: BodyLength) -> StreamId {
        let upgrade = head.contains("Upgrade: ");
        let request = Request {
            registration: 5,
            version: HttpVersion::Http11,
            tls: false,
            upgrade,
            expect_continue: head.contains("Expect: "),
            length,
            peer: ([10, 0, 0, 1], 1000).into(),
            local: ([10, 0, 0, 2], 7000).into(),
            path_base: b"/x",
            target: head.split(' ').nth(1).unwrap().strip_prefix("/x").unwrap().as_bytes(),
            certificate: b"",
            head: head.as_bytes(),
        };
        self.end.open(&request, ()).unwrap()
    }

    async fn flush(&mut self) {
        let output = std::mem::take(self.end.output());
        self.data.write_all(&output).await.unwrap();
    }

    /// The next event. Everything received counts as passed on, unless a test holds it back.
    async fn seen(&mut self) -> Seen {
        self.flush().await;
        loop {
            match self.end.receive(&self.input).unwrap() {
                Received::Event { used, event } => {
                    let seen = match event {
                        HostEvent::Response { head: ResponseHead { cache: Some(policy), .. }, .. } => Seen::Cached(policy),
                        HostEvent::Response { head, body, end, .. } => {
                            let (status, upgrade, length) = (head.status, head.upgrade, head.length);
                            Seen::Response { status, upgrade, length, body: body.to_vec(), end }
                        }
                        HostEvent::Data { bytes, end, .. } => Seen::Data { body: bytes.to_vec(), end },
                        HostEvent::Trailers { lines, .. } => Seen::Trailers(lines.to_vec()),
                        HostEvent::Fragment { url, offset, length, .. } => {
                            Seen::Fragment { url: url.to_owned(), part: (offset, length) }
                        }
                        HostEvent::Credit(credit) => Seen::Credit(credit),
                        HostEvent::Window { proceed: true, .. } => Seen::Proceed,
                        HostEvent::Cancelled { code, .. } => Seen::Cancelled(code),
                        HostEvent::Delegated { queue, url, .. } => Seen::Delegated(queue.into(), url.into()),
                        _ => Seen::Other,
                    };
                    self.input.drain(..used);
                    return seen;
                }
                Received::NeedMore { used, .. } => {
                    self.input.drain(..used);
                }
            }
            let mut buffer = [0; 64 * 1024];
            let read = timeout(PATIENCE, self.data.read(&mut buffer)).await.expect("frames").unwrap();
            assert_ne!(read, 0, "the app has closed the session");
            self.input.extend_from_slice(&buffer[..read]);
        }
    }

    /// The next event that is no credit.
    async fn next(&mut self) -> Seen {
        loop {
            match self.seen().await {
                Seen::Credit(_) | Seen::Other => {}
                seen => return seen,
            }
        }
    }

    async fn nothing_for(&mut self, time: Duration) {
        let seen = timeout(time, self.next()).await;
        assert!(seen.is_err(), "{seen:?}");
    }
}

fn whole(body: &[u8]) -> Seen {
    let length = BodyLength::Exact(body.len() as u64);
    Seen::Response { status: 200, upgrade: false, length, body: body.to_vec(), end: true }
}

#[tokio::test]
async fn a_small_response_is_one_frame_and_returns_its_credit() {
    let mut host = FakeHost::start().await;
    host.open("GET /x/ping HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    host.open("GET /x/hello/you HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    assert_eq!(host.seen().await, whole(b"pong"));
    assert_eq!(host.seen().await, whole(b"hello you"));
    assert_eq!(host.seen().await, Seen::Credit(1024), "both credits come back together");
}

#[tokio::test]
async fn the_host_is_told_the_apps_cache_policy() {
    let mut host = FakeHost::start().await;
    host.open("GET /x/cached HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    assert_eq!(host.next().await, Seen::Cached(CachePolicy::UntilFlushed));
    host.open("GET /x/cached/2 HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    assert_eq!(host.next().await, Seen::Cached(CachePolicy::TimeToLive(90.try_into().unwrap())));
}

#[tokio::test]
async fn after_a_fragment_the_app_waits_for_the_answer_and_sends_the_bytes_only_if_they_are_missing() {
    for sent in [true, false] {
        let mut host = FakeHost::start().await;
        let id = host.open("GET /x/fragment HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
        let length = BodyLength::Exact(4);
        assert_eq!(host.next().await, Seen::Response { status: 200, upgrade: false, length, body: Vec::new(), end: false });
        assert_eq!(host.next().await, Seen::Data { body: b"<".to_vec(), end: false });
        let url = "http://localhost:7000/x/f".to_owned();
        assert_eq!(host.next().await, Seen::Fragment { url, part: (1, Some(2)) });
        host.nothing_for(Duration::from_millis(50)).await;
        host.end.consumed(id, 1);
        if sent {
            host.end.fragment_found(id, 2);
            host.nothing_for(Duration::from_millis(50)).await;
            host.end.consumed(id, 2);
        } else {
            host.end.fragment_missing(id);
            assert_eq!(host.next().await, Seen::Data { body: b"bc".to_vec(), end: false });
        }
        assert_eq!(host.next().await, Seen::Data { body: b">".to_vec(), end: true });
        assert_eq!(host.seen().await, Seen::Credit(1024));
    }
}

#[tokio::test]
async fn a_handler_whose_fragment_is_unanswered_is_dropped_with_its_client() {
    let mut host = FakeHost::start().await;
    let id = host.open("GET /x/fragment HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    while !matches!(host.next().await, Seen::Fragment { .. }) {}
    host.end.cancel(id, CancelCode::CLIENT_GONE);
    assert_eq!(host.seen().await, Seen::Credit(1024));
    assert_eq!(host.end.streams(), 0, "the app has confirmed");
}

#[tokio::test]
async fn a_stored_fragment_is_one_message_whose_answer_is_the_callers() {
    let mut host = FakeHost::start().await;
    let handle = host.handle.clone();
    let policy = narthex::CachePolicy::TimeToLive(Duration::from_secs(9));
    let storing = tokio::spawn(async move { handle.store_fragment("/f", policy, vec![7; 300_000]).await });
    let Message::StoreFragment { id, url, time_to_live, bytes } = message(&mut host.control, &mut host.messages).await else {
        panic!("no fragment")
    };
    assert_eq!((&*url, time_to_live.map(u32::from)), ("http://localhost:7000/x/f", Some(9)));
    assert!(bytes == vec![7; 300_000]);
    let refused = Message::Refused { id, code: narthex::RefusalCode::LimitReached, message: "no room".into() };
    say(&mut host.control, &mut host.messages, &refused).await;
    assert_eq!(storing.await.unwrap().unwrap_err().to_string(), "no room");
}

#[tokio::test]
async fn the_app_sees_what_the_host_says_of_the_client() {
    let mut host = FakeHost::start().await;
    host.open("GET /x/seen?a HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    assert_eq!(host.next().await, whole(b"uri=/seen?a original=/x/seen?a base=/x peer=10.0.0.1:1000 tls=false HTTP/1.1"));
}

#[tokio::test]
async fn a_body_is_asked_for_when_the_app_reads_it() {
    let mut host = FakeHost::start().await;
    let id = host.open("POST /x/len HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", BodyLength::Unknown);
    assert_eq!(host.next().await, Seen::Proceed);
    host.end.send_data(id, b"abc", false).unwrap();
    host.flush().await;
    host.end.send_trailers(id, b"x-sum: 3\r\n").unwrap();
    assert_eq!(host.next().await, whole(b"3 3"));
}

#[tokio::test]
async fn a_response_waits_for_the_window() {
    let mut host = FakeHost::start().await;
    let id = host.open("GET /x/big/100000 HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    let length = BodyLength::Exact(100_000);
    assert_eq!(host.next().await, Seen::Response { status: 200, upgrade: false, length, body: Vec::new(), end: false });
    let window = INITIAL_WINDOW as usize;
    assert_eq!(host.next().await, Seen::Data { body: vec![b'x'; window], end: false });
    host.nothing_for(Duration::from_millis(100)).await;
    host.end.consumed(id, window);
    assert_eq!(host.next().await, Seen::Data { body: vec![b'x'; 100_000 - window], end: true });
    assert_eq!(host.seen().await, Seen::Credit(1024));
}

#[tokio::test]
async fn an_answer_ends_the_stream_whether_or_not_the_body_was_read() {
    let mut host = FakeHost::start().await;
    let id = host.open("POST /x/slow/600000 HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::Unknown);
    // The route takes only GET; what answers is axum, without a look at the body.
    assert!(matches!(host.next().await, Seen::Response { status: 405, end: true, .. }));
    assert_eq!(host.end.send_window(id), 0, "the stream is over");
    assert_eq!(host.end.streams(), 0);
}

#[tokio::test]
async fn what_the_host_cancels_is_dropped_and_its_credit_returned() {
    let mut host = FakeHost::start().await;
    let id = host.open("GET /x/slow/600000 HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    host.nothing_for(Duration::from_millis(100)).await;
    host.end.cancel(id, CancelCode::CLIENT_GONE);
    assert_eq!(host.seen().await, Seen::Credit(1024));
    assert_eq!(host.end.streams(), 0, "the app has confirmed");
}

#[tokio::test]
async fn the_host_gets_as_many_credits_as_the_app_wants_and_each_back_with_its_answer() {
    let mut host = FakeHost::start_tuned(FineTune::default().accepts_per_worker(2)).await;
    assert_eq!(host.seen().await, Seen::Credit(2));
    for _ in 0..2 {
        host.open("GET /x/slow/50 HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    }
    assert!(!host.end.can_open());
    assert_eq!(host.next().await, whole(b"slow"));
    assert_eq!(host.next().await, whole(b"slow"));
    while host.end.credit() < 2 {
        assert!(matches!(host.seen().await, Seen::Credit(1 | 2)));
    }
    host.nothing_for(Duration::from_millis(50)).await;
    assert_eq!(host.end.credit(), 2, "never more");
}

#[tokio::test]
async fn only_without_inline_completion_is_more_read_before_the_app_is_called() {
    for (inline, calls) in [(true, b"2"), (false, b"1")] {
        let mut host = FakeHost::start_tuned(FineTune::default().inline_completion(inline)).await;
        assert_eq!(host.seen().await, Seen::Credit(1024));
        let count = "GET /x/count HTTP/1.1\r\nHost: a\r\n\r\n";
        let given_up = host.open(count, BodyLength::None);
        host.end.cancel(given_up, CancelCode::CLIENT_GONE);
        host.flush().await;
        host.open(count, BodyLength::None);
        assert_eq!(host.next().await, whole(calls), "inline: {inline}");
    }
}

#[tokio::test]
async fn a_panic_is_told_to_the_host() {
    let mut host = FakeHost::start().await;
    host.open("GET /x/panic HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    assert_eq!(host.next().await, Seen::Cancelled(CancelCode::HANDLER_PANICKED));
}

#[tokio::test]
async fn a_delegated_request_leaves_the_app_and_returns_its_credit() {
    let mut host = FakeHost::start().await;
    host.open("POST /x/delegated HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::Exact(5));
    assert_eq!(host.seen().await, Seen::Delegated("other".into(), "/Other/x?y".into()));
    assert_eq!(host.seen().await, Seen::Credit(1024));
    assert_eq!(host.end.streams(), 0);
}

#[tokio::test]
async fn a_request_whose_body_was_begun_is_not_delegated() {
    let mut host = FakeHost::start().await;
    let id = host.open("POST /x/delegated/read HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::Exact(3));
    host.end.send_data(id, b"abc", true).unwrap();
    assert_eq!(host.next().await, Seen::Cancelled(CancelCode::HANDLER_PANICKED));
}

#[tokio::test]
async fn the_app_learns_at_once_that_a_client_sends_no_more_and_can_still_answer() {
    let mut host = FakeHost::start().await;
    let other = host.open("GET /x/gone HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    let id = host.open("GET /x/gone HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    host.end.client_closed(id);
    assert_eq!(host.next().await, whole(b"true"));
    host.nothing_for(Duration::from_millis(50)).await;
    host.end.client_closed(other);
    assert_eq!(host.next().await, whole(b"true"));
}

#[tokio::test]
async fn a_request_that_the_app_cancels_is_not_answered() {
    let mut host = FakeHost::start().await;
    host.open("GET /x/cancelled HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    assert_eq!(host.seen().await, Seen::Cancelled(CancelCode::REQUEST_CANCELLED));
    assert_eq!(host.seen().await, Seen::Credit(1024));
}

#[tokio::test]
async fn a_change_goes_to_the_apps_group_and_is_made_when_the_host_says_so() {
    let mut host = FakeHost::start().await;
    for refused in [false, true] {
        let handle = host.handle.clone();
        let change = Change::new().active(false).max_bandwidth(5000).max_body(None).queue_length(9);
        let changed = tokio::spawn(async move { handle.change(change).await });
        let Message::Set { id, of, properties, queue } = message(&mut host.control, &mut host.messages).await else {
            panic!("no change")
        };
        assert_eq!((of, properties.state), (Owner::Group(77), Some(Activity::Inactive)));
        assert_eq!((properties.max_bandwidth, properties.max_body, queue.length), (Some(5000), Some(u64::MAX), Some(9)));
        assert_eq!((properties.delegates, queue.name), (None, None), "what it does not name");
        assert!(!changed.is_finished());
        let (code, why) = (RefusalCode::Invalid, "too narrow".to_owned());
        let answer = if refused { Message::Refused { id, code, message: why } } else { Message::Done { id } };
        say(&mut host.control, &mut host.messages, &answer).await;
        match changed.await.unwrap() {
            Err(Error::ChangeRefused { message, .. }) if refused => assert_eq!(message, "too narrow"),
            result => assert!(!refused && result.is_ok(), "{result:?}"),
        }
    }
}

#[tokio::test]
async fn an_upgrade_opens_a_tunnel_that_costs_no_credit() {
    let mut host = FakeHost::start().await;
    let head = "GET /x/ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let id = host.open(head, BodyLength::None);
    assert!(matches!(host.seen().await, Seen::Response { status: 101, upgrade: true, end: false, .. }));
    assert_eq!(host.seen().await, Seen::Credit(1024));
    // "hi", masked with zeros, and its echo.
    host.end.send_data(id, b"\x81\x82\0\0\0\0hi", false).unwrap();
    assert_eq!(host.next().await, Seen::Data { body: b"\x81\x02hi".to_vec(), end: false });
    host.end.send_data(id, b"", true).unwrap();
    assert_eq!(host.next().await, Seen::Data { body: Vec::new(), end: true });
    assert_eq!(host.end.streams(), 0);
}

#[tokio::test]
async fn an_app_that_stops_gives_its_prefix_back_and_then_drains() {
    let mut host = FakeHost::start().await;
    host.open("GET /x/slow/200 HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    host.flush().await;
    host.handle.stop();
    let Message::Unregister { id, urls } = message(&mut host.control, &mut host.messages).await else { panic!("no end") };
    assert_eq!(urls, ["http://+:7000/x/"]);
    // Still on its way when the app says that it drains.
    host.open("GET /x/ping HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None);
    host.flush().await;
    say(&mut host.control, &mut host.messages, &Message::Unregistered { id }).await;
    assert_eq!(host.next().await, whole(b"pong"));
    assert_eq!(host.next().await, whole(b"slow"));
    assert!(!host.end.can_open());
    host.flush().await;
    assert!(timeout(PATIENCE, host.server).await.expect("the app ends").unwrap().is_ok());
}
