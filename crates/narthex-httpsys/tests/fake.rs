//! The logic above the seam, against the HTTP.sys in memory: on every OS.

use std::future::{pending, poll_fn, ready};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use narthex_httpsys::fake::{Client, Fake, UNREADABLE};
use narthex_httpsys::{
    Api, BodyFailure, CachePolicy, Chunk, Closed, Error, Exchange, Fields, GroupProperty, Head, Intake, Length, QueueProperty,
    Request, Server, Settings, Verbosity, Version,
};

const URL: &str = "http://+:8888/shop/";

struct Shop {
    fake: Fake,
    server: Server,
    client: Client,
}

fn shop() -> Shop {
    shop_on(Fake::new())
}

fn shop_on(fake: Fake) -> Shop {
    let server = server_on(&fake, URL);
    let client = fake.connect(8888);
    Shop { fake, server, client }
}

fn server_on(fake: &Fake, url: &str) -> Server {
    let mut server = Server::open(Arc::new(fake.clone()), &Settings::default()).unwrap();
    server.add_url(url, 7).unwrap();
    server
}

impl Shop {
    async fn take(&self) -> (Request, Exchange) {
        let request = Intake::new(self.server.queue()).next(pending()).await.unwrap().unwrap();
        let exchange = Exchange::new(Arc::new(self.fake.clone()), self.server.queue(), &request);
        (request, exchange)
    }
}

fn ok() -> Head {
    Head { status: 200, reason: "OK", fields: Fields::default() }
}

fn memory(text: &str) -> Chunk {
    Chunk::Memory(Bytes::copy_from_slice(text.as_bytes()))
}

async fn finish(exchange: &Exchange) {
    poll_fn(|cx| exchange.poll(cx)).await;
}

/// One turn of the request's task.
fn turn(exchange: &Exchange) -> Poll<()> {
    exchange.poll(&mut Context::from_waker(Waker::noop()))
}

fn room(exchange: &Exchange) -> Poll<Result<(), Closed>> {
    exchange.poll_ready(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_request_gets_its_response_in_one_call() {
    let shop = shop();
    let id = shop.client.request("GET", "/shop/a?b", &[("X-One", "1")]).unwrap();
    let (request, exchange) = shop.take().await;
    assert_eq!((request.method(), request.target(), request.facts.context), (&b"GET"[..], &b"/shop/a?b"[..], 7));
    assert_eq!(request.fields().only("x-one"), Some(&b"1"[..]));
    exchange.send(ok(), Bytes::from("hello"), None).unwrap();
    finish(&exchange).await;
    let reply = shop.client.reply(id);
    assert_eq!((reply.status(), reply.text().as_str(), reply.calls, reply.complete), (200, "hello", 1, true));
    assert_eq!(exchange.send(ok(), Bytes::new(), None), Err(Closed));
}

#[tokio::test]
async fn a_request_that_needs_more_room_is_received_again_by_its_number_and_not_lost() {
    let shop = shop();
    let long = "x".repeat(100_000);
    let first = shop.client.request("GET", "/shop/long", &[("X-Long", &long)]).unwrap();
    let second = shop.client.request("GET", "/shop/short", &[]).unwrap();
    let (request, _exchange) = shop.take().await;
    assert_eq!(request.facts.id, first);
    assert_eq!(request.fields().only("x-long").map(<[u8]>::len), Some(100_000));
    assert_eq!(shop.take().await.0.facts.id, second);
}

#[tokio::test]
async fn a_long_request_whose_client_left_is_passed_over() {
    let shop = shop();
    let gone = shop.fake.connect(8888);
    gone.request("GET", "/shop/long", &[("X-Long", &"x".repeat(100_000))]).unwrap();
    gone.leave();
    let second = shop.client.request("GET", "/shop/short", &[]).unwrap();
    assert_eq!(shop.take().await.0.facts.id, second);
}

#[tokio::test]
async fn a_receive_that_is_stopped_is_cancelled_and_loses_no_request() {
    let shop = shop();
    let intake = Intake::new(shop.server.queue());
    assert!(intake.next(ready(())).await.unwrap().is_none());
    assert_eq!(shop.fake.receives(), 0);
    let id = shop.client.request("GET", "/shop/", &[]).unwrap();
    assert_eq!(intake.next(ready(())).await.unwrap().map(|request| request.facts.id), Some(id));
}

#[tokio::test]
async fn closing_the_queue_ends_what_waits_for_requests() {
    let shop = shop();
    let intake = Intake::new(shop.server.queue());
    let waiting = async { intake.next(pending()).await.unwrap().is_none() };
    let queue = shop.server.queue();
    let closing = async {
        tokio::task::yield_now().await;
        queue.close();
    };
    assert!(tokio::join!(waiting, closing).0);
}

#[tokio::test]
async fn several_receives_wait_and_each_gets_one_request() {
    let shop = shop();
    let take = || async {
        let (request, exchange) = shop.take().await;
        exchange.send(ok(), Bytes::new(), None).unwrap();
        finish(&exchange).await;
        request.facts.id
    };
    let ask = async {
        tokio::task::yield_now().await;
        assert_eq!(shop.fake.receives(), 3);
        [1, 2, 3].map(|_| shop.client.request("GET", "/shop/", &[]).unwrap())
    };
    let (one, two, three, asked) = tokio::join!(take(), take(), take(), ask);
    assert_eq!([one, two, three], asked);
}

#[tokio::test]
async fn a_body_is_received_piece_by_piece_and_only_when_it_is_asked_for() {
    let shop = shop();
    let id = shop.client.begin("POST", "/shop/", &[("Content-Length", "6"), ("Expect", "100-continue")], true).unwrap();
    let (request, exchange) = shop.take().await;
    assert_eq!(request.length(), Some(6));
    assert!(!shop.client.was_continued(id));
    let read = async {
        let mut body = Vec::new();
        while let Some(piece) = poll_fn(|cx| exchange.poll_body(cx)).await {
            body.extend_from_slice(&piece.unwrap());
        }
        body
    };
    let send = async {
        tokio::task::yield_now().await;
        assert!(shop.client.was_continued(id));
        shop.client.body(id, b"foo");
        shop.client.body(id, b"bar");
        shop.client.end(id);
    };
    assert_eq!(tokio::join!(read, send).0, b"foobar");
}

#[tokio::test]
async fn a_body_longer_than_allowed_is_answered_413() {
    let shop = shop();
    let announced = shop.client.begin("POST", "/shop/", &[("Content-Length", "10")], true).unwrap();
    let (request, exchange) = shop.take().await;
    exchange.set_max_body(Some(9), request.length());
    assert!(!exchange.is_open());
    finish(&exchange).await;
    assert_eq!(shop.client.reply(announced).status(), 413);

    let chunked = shop.client.begin("POST", "/shop/", &[("Transfer-Encoding", "chunked")], true).unwrap();
    let (request, exchange) = shop.take().await;
    exchange.set_max_body(Some(9), request.length());
    shop.client.body(chunked, b"0123456789");
    assert_eq!(poll_fn(|cx| exchange.poll_body(cx)).await, Some(Err(BodyFailure::TooLarge)));
    finish(&exchange).await;
    assert_eq!(shop.client.reply(chunked).status(), 413);
}

#[tokio::test]
async fn a_streamed_response_of_known_length_has_it_in_its_head() {
    let shop = shop();
    let id = shop.client.request("GET", "/shop/", &[]).unwrap();
    let (_, exchange) = shop.take().await;
    exchange.start(ok(), Length::Exact(10)).unwrap();
    exchange.data(memory("hello"), false).unwrap();
    assert!(turn(&exchange).is_pending());
    assert_eq!(shop.client.reply(id).text(), "hello");
    exchange.data(memory("there"), true).unwrap();
    finish(&exchange).await;
    let reply = shop.client.reply(id);
    assert_eq!(reply.field("content-length").as_deref(), Some("10"));
    assert_eq!((reply.text().as_str(), reply.calls, reply.complete, reply.closes), ("hellothere", 2, true, false));
}

#[tokio::test]
async fn the_last_byte_of_a_known_length_ends_the_response() {
    let shop = shop();
    let id = shop.client.request("GET", "/shop/", &[]).unwrap();
    let (_, exchange) = shop.take().await;
    exchange.start(ok(), Length::Exact(5)).unwrap();
    exchange.data(memory("hello"), false).unwrap();
    assert!(turn(&exchange).is_pending());
    assert!(shop.client.reply(id).complete);
    exchange.data(memory(""), true).unwrap();
    finish(&exchange).await;
    assert_eq!(shop.client.reply(id).calls, 1);
}

#[tokio::test]
async fn a_connection_is_closed_where_the_client_or_the_app_says_so() {
    for (version, connection, closes) in [
        (Version::Http11, "keep-alive", false),
        (Version::Http11, "x, Close", true),
        (Version::Http10, "close", true),
        (Version::Http10, "Keep-Alive", false),
    ] {
        let mut shop = shop();
        shop.client.version = version;
        let id = shop.client.request("GET", "/shop/", &[("Connection", connection)]).unwrap();
        let (_, exchange) = shop.take().await;
        exchange.send(ok(), Bytes::from("hello"), None).unwrap();
        finish(&exchange).await;
        let reply = shop.client.reply(id);
        assert_eq!((reply.closes, reply.field("connection").is_some()), (closes, closes), "{connection}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_was_said_to_be_breaks_the_response_off() {
    for (piece, end) in [("hello there", false), ("hell", true)] {
        let shop = shop();
        let id = shop.client.request("GET", "/shop/", &[]).unwrap();
        let (_, exchange) = shop.take().await;
        exchange.start(ok(), Length::Exact(5)).unwrap();
        assert_eq!(exchange.data(memory(piece), end), Err(Closed));
        assert!(shop.client.reply(id).broken_off);
        assert!(!exchange.is_open());
    }
}

#[tokio::test]
async fn unknown_lengths_are_chunks_in_http_1_1_with_trailers_behind_them() {
    let shop = shop();
    let id = shop.client.request("GET", "/shop/", &[]).unwrap();
    let (_, exchange) = shop.take().await;
    exchange.start(ok(), Length::Unknown).unwrap();
    exchange.data(memory("hello"), false).unwrap();
    assert!(turn(&exchange).is_pending());
    exchange.trailers([(&b"x-sum"[..], &b"5"[..])].into_iter().collect()).unwrap();
    finish(&exchange).await;
    let reply = shop.client.reply(id);
    assert_eq!(reply.field("transfer-encoding").as_deref(), Some("chunked"));
    assert_eq!(reply.text(), "5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n");
}

#[tokio::test]
async fn http_2_needs_no_chunks_and_http_1_0_closes() {
    for (version, closes) in [(Version::Http2, false), (Version::Http10, true)] {
        let mut shop = shop();
        shop.client.version = version;
        let id = shop.client.request("GET", "/shop/", &[]).unwrap();
        let (_, exchange) = shop.take().await;
        exchange.start(ok(), Length::Unknown).unwrap();
        exchange.data(memory("hello"), false).unwrap();
        exchange.trailers([(&b"x-sum"[..], &b"5"[..])].into_iter().collect()).unwrap();
        finish(&exchange).await;
        let reply = shop.client.reply(id);
        assert_eq!((reply.text().as_str(), reply.closes, reply.trailers.is_some()), ("hello", closes, !closes));
    }
}

#[tokio::test]
async fn head_gets_lengths_and_no_body() {
    let shop = shop();
    let ids = [1, 2].map(|_| shop.client.request("HEAD", "/shop/", &[]).unwrap());
    let (_, whole) = shop.take().await;
    whole.send(ok(), Bytes::from("hello"), None).unwrap();
    finish(&whole).await;
    let (_, streamed) = shop.take().await;
    streamed.start(ok(), Length::Exact(5)).unwrap();
    streamed.data(memory(""), true).unwrap();
    finish(&streamed).await;
    for id in ids {
        let reply = shop.client.reply(id);
        assert_eq!((reply.field("content-length").as_deref(), reply.body.len(), reply.complete), (Some("5"), 0, true));
    }
}

#[tokio::test]
async fn an_app_that_sends_faster_than_its_client_reads_is_held_back() {
    let shop = shop();
    shop.fake.hold_sends();
    let id = shop.client.request("GET", "/shop/", &[]).unwrap();
    let (_, exchange) = shop.take().await;
    exchange.start(ok(), Length::Unknown).unwrap();
    let piece = "x".repeat(100_000);
    let mut given = 0;
    while room(&exchange) == Poll::Ready(Ok(())) {
        exchange.data(memory(&piece), false).unwrap();
        given += 1;
        assert!(turn(&exchange).is_pending());
        assert!(given < 100);
    }
    assert_eq!(shop.client.reply(id).calls, 1);
    assert_eq!(shop.fake.complete_sends(), 1);
    assert_eq!(room(&exchange), Poll::Ready(Ok(())));
    assert_eq!(shop.client.reply(id).calls, 2);
}

#[tokio::test]
async fn a_client_that_left_closes_the_exchange() {
    let shop = shop();
    shop.client.request("GET", "/shop/", &[]).unwrap();
    let (_, exchange) = shop.take().await;
    assert!(exchange.watch_client());
    assert!(turn(&exchange).is_pending());
    assert!(!exchange.client_has_gone());
    shop.client.leave();
    assert!(turn(&exchange).is_pending());
    assert!(exchange.client_has_gone());
    exchange.start(ok(), Length::Unknown).unwrap();
    assert!(turn(&exchange).is_ready());
    assert_eq!(exchange.data(memory("x"), false), Err(Closed));
    assert_eq!(room(&exchange), Poll::Ready(Err(Closed)));
}

#[tokio::test]
async fn a_request_that_is_dropped_without_an_answer_is_broken_off() {
    let shop = shop();
    let id = shop.client.request("GET", "/shop/", &[]).unwrap();
    drop(shop.take().await);
    assert!(shop.client.reply(id).broken_off);
}

#[tokio::test]
async fn where_requests_cannot_be_broken_off_the_connection_ends_behind_the_response() {
    let shop = shop_on(Fake::like_wine());
    let id = shop.client.request("GET", "/shop/", &[]).unwrap();
    let (_, exchange) = shop.take().await;
    exchange.start(ok(), Length::Unknown).unwrap();
    assert!(turn(&exchange).is_pending());
    exchange.refuse(500, "Internal Server Error");
    finish(&exchange).await;
    let reply = shop.client.reply(id);
    assert_eq!((reply.status(), reply.closes, reply.text().as_str()), (200, true, ""));
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways_and_where_there_is_none_the_client_gets_501() {
    let head = || Head { status: 101, reason: "Switching Protocols", fields: Fields::default() };
    let shop = shop();
    let id = shop.client.request("GET", "/shop/", &[("Upgrade", "websocket")]).unwrap();
    let (_, exchange) = shop.take().await;
    exchange.upgrade(head()).unwrap();
    // Whoever reads at once does not read the end of the request's body.
    assert!(exchange.poll_body(&mut Context::from_waker(Waker::noop())).is_pending());
    shop.client.body(id, b"ping");
    assert_eq!(poll_fn(|cx| exchange.poll_body(cx)).await, Some(Ok(Bytes::from("ping"))));
    exchange.data(memory("pong"), false).unwrap();
    assert!(turn(&exchange).is_pending());
    let reply = shop.client.reply(id);
    assert_eq!((reply.status(), reply.opaque, reply.text().as_str(), reply.complete), (101, true, "pong", false));

    let shop = shop_on(Fake::like_wine());
    let id = shop.client.request("GET", "/shop/", &[("Upgrade", "websocket")]).unwrap();
    let (_, exchange) = shop.take().await;
    assert_eq!(exchange.upgrade(head()), Err(Closed));
    finish(&exchange).await;
    assert_eq!(shop.client.reply(id).status(), 501);
}

#[tokio::test]
async fn a_cache_policy_goes_with_the_response() {
    let shop = shop();
    let id = shop.client.request("GET", "/shop/", &[]).unwrap();
    let (_, exchange) = shop.take().await;
    exchange.send(ok(), Bytes::from("kept"), Some(CachePolicy::UntilFlushed)).unwrap();
    finish(&exchange).await;
    assert_eq!(shop.client.reply(id).cache, Some(CachePolicy::UntilFlushed));
}

#[test]
fn a_server_gives_everything_back() {
    let fake = Fake::new();
    let mut server = server_on(&fake, URL);
    server.add_url("http://+:8888/other/", 8).unwrap();
    assert_eq!(fake.urls(), ["http://+:8888/other/", URL]);
    server.remove_url("http://+:8888/other/").unwrap();
    assert_eq!(server.remove_url("http://+:8888/other/"), Err(Error::NotRegistered { url: "http://+:8888/other/".to_owned() }));
    drop(server);
    assert!(fake.urls().is_empty());
    server_on(&fake, URL);
}

#[test]
fn what_cannot_be_registered_says_why() {
    let fake = Fake::new();
    fake.reserve("http://+:80/secret/");
    fake.take_port(81);
    let _other = server_on(&fake, URL);
    let mut server = Server::open(Arc::new(fake.clone()), &Settings::default()).unwrap();
    let mut error = |url| server.add_url(url, 0).unwrap_err();
    assert!(matches!(error(URL), Error::AlreadyRegistered { .. }));
    assert!(matches!(error("http://+:80/secret/"), Error::AccessDenied { .. }));
    assert!(matches!(error("http://+:81/"), Error::PortTaken { .. }));
    assert!(matches!(error("http://+:0/"), Error::InvalidUrl { .. }));
}

#[test]
fn where_a_group_has_one_url_each_gets_a_group_on_the_same_queue() {
    let fake = Fake::like_wine();
    let mut server = server_on(&fake, URL);
    server.add_url("http://+:8888/other/", 8).unwrap();
    assert_eq!(fake.urls(), ["http://+:8888/other/", URL]);
    assert!(fake.connect(8888).request("GET", "/other/", &[]).is_some());
    server.remove_url(URL).unwrap();
    assert_eq!(fake.urls(), ["http://+:8888/other/"]);
}

#[test]
fn properties_are_set_and_what_is_lacking_is_refused_by_name() {
    let settings = Settings {
        queue_properties: vec![QueueProperty::Length(10), QueueProperty::Verbosity(Verbosity::Limited)],
        group_properties: vec![GroupProperty::MaxConnections(Some(3))],
        ..Settings::default()
    };
    let fake = Fake::new();
    let mut server = Server::open(Arc::new(fake.clone()), &settings).unwrap();
    server.set_group(GroupProperty::Active(false)).unwrap();
    assert_eq!(fake.queue_properties(), settings.queue_properties);
    assert_eq!(fake.group_properties(), [GroupProperty::MaxConnections(Some(3)), GroupProperty::Active(false)]);
    let refused = Server::open(Arc::new(Fake::like_wine()), &settings).err().unwrap();
    assert!(refused.to_string().contains("lengths of request queues"), "{refused}");
}

#[tokio::test]
async fn two_processes_share_a_named_queue_and_the_second_registers_nothing() {
    let fake = Fake::new();
    let settings = Settings { queue: Some("shop".to_owned()), ..Settings::default() };
    let open = || Server::open(Arc::new(fake.clone()), &settings).unwrap();
    let (mut first, mut second) = (open(), open());
    assert!(second.is_attached() && !first.is_attached());
    first.add_url(URL, 7).unwrap();
    second.add_url(URL, 7).unwrap();
    let id = fake.connect(8888).request("GET", "/shop/", &[]).unwrap();
    let taken = Intake::new(second.queue()).next(pending()).await.unwrap().unwrap();
    assert_eq!((taken.facts.id, taken.facts.context), (id, 7));
    assert!(fake.queue_properties().is_empty());
    let third = (Arc::new(fake.clone()) as Arc<dyn Api>).open_queue(Some("none"), narthex_httpsys::Open::Existing);
    assert!(third.is_err());
}

#[tokio::test]
async fn many_small_pieces_are_sent_as_few() {
    let shop = shop();
    shop.fake.hold_sends();
    let id = shop.client.request("GET", "/shop/", &[]).unwrap();
    let (_, exchange) = shop.take().await;
    exchange.start(ok(), Length::Exact(3000)).unwrap();
    assert!(turn(&exchange).is_pending());
    for _ in 0..1000 {
        exchange.data(memory("abc"), false).unwrap();
    }
    shop.fake.complete_sends();
    assert!(turn(&exchange).is_pending());
    let reply = shop.client.reply(id);
    assert_eq!((reply.body.len(), reply.calls, reply.chunks), (3000, 2, 1));
}

#[tokio::test]
async fn the_wait_for_a_client_ends_with_its_exchange() {
    let shop = shop();
    shop.client.request("GET", "/shop/", &[]).unwrap();
    let (_, exchange) = shop.take().await;
    assert!(exchange.watch_client());
    assert_eq!(shop.fake.disconnect_waits(), 1);
    exchange.send(ok(), Bytes::new(), None).unwrap();
    finish(&exchange).await;
    drop(exchange);
    assert_eq!(shop.fake.disconnect_waits(), 0);
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_broken_off_and_the_next_one_comes() {
    let shop = shop();
    let broken = shop.client.request("GET", "/shop/", &[(UNREADABLE, "1")]).unwrap();
    let next = shop.client.request("GET", "/shop/", &[]).unwrap();
    assert_eq!(shop.take().await.0.facts.id, next);
    assert!(shop.client.reply(broken).broken_off);
}

#[tokio::test]
async fn a_response_that_http_sys_does_not_take_is_500_and_not_silence() {
    let shop = shop();
    let id = shop.client.request("GET", "/shop/", &[]).unwrap();
    let (_, exchange) = shop.take().await;
    let mut head = ok();
    head.fields.push(b"X-Long", &vec![b'x'; 70_000]);
    exchange.send(head, Bytes::from("body"), None).unwrap();
    finish(&exchange).await;
    let reply = shop.client.reply(id);
    assert_eq!((reply.status(), reply.complete, reply.closes, reply.body.len()), (500, true, true, 0));
}
