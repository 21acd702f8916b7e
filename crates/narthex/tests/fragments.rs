//! Responses that name fragments: their clients get the same bytes wherever those come from.
#![cfg(unix)]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::client::{Place, Running};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use narthex::{CachePolicy, Composed, Error, Provider, RefusalCode, Server};
use narthex_host::admin::{Answer, CachedState, Client as Admin, Question};

const KEPT: CachePolicy = CachePolicy::UntilFlushed;
const BIG: usize = 1_000_000;

/// How often a page was made, and a fallback needed.
#[derive(Clone, Default)]
struct Counts {
    pages: Arc<AtomicUsize>,
    fallbacks: Arc<AtomicUsize>,
}

impl Counts {
    fn fallback(&self, bytes: impl Into<Bytes>) -> impl FnOnce() -> Bytes + Send + 'static {
        let (counts, bytes) = (self.fallbacks.clone(), bytes.into());
        move || {
            counts.fetch_add(1, Ordering::SeqCst);
            bytes
        }
    }

    fn fallbacks(&self) -> usize {
        self.fallbacks.load(Ordering::SeqCst)
    }
}

fn big() -> Bytes {
    (0..BIG).map(|at| (at * 31 + (at >> 8)) as u8).collect()
}

fn page(counts: &Counts) -> Composed {
    counts.pages.fetch_add(1, Ordering::SeqCst);
    Composed::new().bytes("<").fragment("/menu", 0..6).or_else(counts.fallback("MENU..")).bytes(">")
}

async fn wrapped(State(counts): State<Counts>, Path(how): Path<String>) -> Response {
    let body = Body::new(page(&counts));
    match how.as_str() {
        "changed" => Body::new(Wrapped { inner: body, changes: true, ahead: None }),
        "ahead" => Body::new(Wrapped { inner: body, changes: false, ahead: Some(None) }),
        "collected" => Body::from(body.collect().await.unwrap().to_bytes()),
        "through" => Body::new(Wrapped { inner: body, changes: false, ahead: None }),
        "streamed" => Body::from_stream(body.into_data_stream()),
        _ => panic!("no such way"),
    }
    .into_response()
}

fn app(counts: &Counts) -> Router {
    let whole = |State(counts): State<Counts>| async move {
        Composed::new().bytes("<").fragment("/menu", ..).or_else(counts.fallback("MENU..")).bytes(">")
    };
    let part =
        |State(counts): State<Counts>| async move { Composed::new().fragment("/menu", 1..=2).or_else(counts.fallback("MENU..")) };
    let bigs = |State(counts): State<Counts>, Path(times): Path<usize>| async move {
        let add = |body: Composed, _| body.bytes("-").fragment("/big", 0..BIG as u64).or_else(counts.fallback(big()));
        (0..times).fold(Composed::new(), add)
    };
    Router::new()
        .route("/page", get(async |State(counts): State<Counts>| page(&counts)))
        .route("/cached", get(async |State(counts): State<Counts>| (KEPT, page(&counts))))
        .route("/whole", get(whole))
        .route("/part", get(part))
        .route("/short", get(async || Composed::new().fragment("/none", 0..9).or_else(|| "short")))
        .route("/big/{times}", get(bigs))
        .route("/wrapped/{how}", get(wrapped))
        .with_state(counts.clone())
}

/// A body around another one, as middlewares make them: which changes every byte, or reads ahead, or does nothing.
struct Wrapped {
    inner: Body,
    changes: bool,
    ahead: Option<Option<Frame<Bytes>>>,
}

impl http_body::Body for Wrapped {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            let polled = Pin::new(&mut this.inner).poll_frame(cx);
            match (polled, &mut this.ahead) {
                (Poll::Ready(Some(Ok(frame))), Some(held)) => {
                    if let Some(before) = held.replace(frame) {
                        return Poll::Ready(Some(Ok(before)));
                    }
                }
                (Poll::Ready(None), Some(held)) => return Poll::Ready(held.take().map(Ok)),
                (Poll::Ready(Some(Ok(frame))), None) if this.changes => {
                    return Poll::Ready(Some(Ok(frame.map_data(|data| data.iter().map(|byte| byte ^ 1).collect()))));
                }
                (polled, _) => return polled,
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.ahead.is_none() { self.inner.size_hint() } else { SizeHint::default() }
    }
}

struct Test {
    place: Place,
    running: Running,
    counts: Counts,
}

impl Test {
    async fn start(place: Place) -> Self {
        let counts = Counts::default();
        let provider = if place.host.is_some() { Provider::shared_at(place.socket()) } else { Provider::embedded() };
        let server = Server::new(app(&counts)).prefix("http://127.0.0.1:0/app/").provider(provider).workers(2);
        Self { running: Running::start(server).await, place, counts }
    }

    async fn shared() -> Self {
        Self::start(Place::shared()).await
    }

    async fn store(&self, name: &str, bytes: impl Into<Bytes>) -> Result<(), Error> {
        self.running.handle.store_fragment(name, KEPT, bytes).await
    }

    async fn get(&self, target: &str) -> String {
        let reply = self.running.get(target).await;
        assert_eq!((reply.status, reply.cut_off), (200, false));
        reply.text().to_owned()
    }

    fn ask(&self, question: &Question) -> Answer {
        Admin::connect(&self.place.socket()).unwrap().question(question).unwrap()
    }

    fn cached(&self) -> Vec<CachedState> {
        let Answer::Cachestate(cached) = self.ask(&Question::ShowCachestate { url: None }) else { panic!("no state") };
        cached
    }

    fn flush(&self) {
        self.ask(&Question::DeleteCache { url: None, recursive: false });
    }
}

#[tokio::test]
async fn a_stored_fragment_is_sent_by_its_name_on_every_worker() {
    let test = Test::shared().await;
    assert_eq!(test.get("/app/page").await, "<MENU..>");
    assert_eq!(test.counts.fallbacks(), 1);
    for bytes in ["stored", "second"] {
        test.store("/menu", bytes).await.unwrap();
        for _ in 0..32 {
            assert_eq!(test.get("/app/page").await, format!("<{bytes}>"));
        }
    }
    assert_eq!(test.get("/app/whole").await, "<second>");
    assert_eq!(test.get("/app/part").await, "ec");
    assert_eq!(test.counts.fallbacks(), 1);
    let [state] = &test.cached()[..] else { panic!("one fragment") };
    let address = test.running.address();
    assert_eq!((state.fragment, &*state.url), (true, &*format!("http://{address}/app/menu")));
    assert_eq!(state.hits, 34, "those of the first fragment went with it");
}

#[tokio::test]
async fn a_known_length_is_announced_and_the_connection_goes_on() {
    let test = Test::shared().await;
    test.store(&format!("http://{}/app/menu", test.running.address()), "stored").await.unwrap();
    let mut client = test.running.connect().await;
    for _ in 0..3 {
        let reply = client.get("/app/page").await;
        assert!(reply.head.contains("content-length: 8\r\n"), "{}", reply.head);
        assert_eq!(reply.text(), "<stored>");
        let reply = client.get("/app/whole").await;
        assert!(reply.head.contains("transfer-encoding: chunked\r\n"), "{}", reply.head);
        assert_eq!(reply.text(), "<stored>");
        client.send(b"HEAD /app/page HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.reply_to_head().await.head.contains("content-length: 8\r\n"));
    }
    client.send(&b"GET /app/page HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20)).await;
    for _ in 0..20 {
        assert_eq!(client.reply().await.text(), "<stored>");
    }
    assert_eq!(test.counts.fallbacks(), 0);
}

#[tokio::test]
async fn a_fragment_that_is_gone_or_too_short_is_replaced_by_the_fallback() {
    let test = Test::shared().await;
    let handle = &test.running.handle;
    test.store("/menu", "stored").await.unwrap();
    handle.delete_fragment("/menu").await.unwrap();
    handle.delete_fragment("/menu").await.unwrap();
    assert_eq!(test.get("/app/page").await, "<MENU..>");
    test.store("/menu", "short").await.unwrap();
    assert_eq!(test.get("/app/page").await, "<MENU..>");
    test.store("/menu", "stored").await.unwrap();
    test.flush();
    assert_eq!(test.get("/app/page").await, "<MENU..>");
    handle.store_fragment("/menu", CachePolicy::TimeToLive(Duration::from_secs(1)), "stored").await.unwrap();
    for _ in 0..300 {
        if test.get("/app/page").await == "<MENU..>" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(test.get("/app/page").await, "<MENU..>", "its time is over");
    test.store("/menu", "stored").await.unwrap();
    handle.store_fragment("/menu", CachePolicy::TimeToLive(Duration::ZERO), "stored").await.unwrap();
    assert_eq!(test.cached().len(), 0, "no time at all");
}

#[tokio::test]
async fn a_fallback_that_is_too_short_breaks_the_response_off() {
    for place in [Place::shared(), Place::embedded()] {
        let test = Test::start(place).await;
        let reply = test.running.get("/app/short").await;
        assert!(reply.cut_off || reply.status == 500, "{reply:?}");
    }
}

#[tokio::test]
async fn only_names_below_an_own_prefix_are_taken() {
    let test = Test::shared().await;
    let address = test.running.address();
    for name in [
        format!("http://{address}/other/x"),
        format!("http://{address}/application"),
        format!("http://localhost:{}/app/x", address.port()),
        "http://127.0.0.1:1/app/x".to_owned(),
        format!("https://{address}/app/x"),
        format!("http://{address}/app/../x"),
    ] {
        let refused = test.store(&name, "x").await.unwrap_err();
        assert!(matches!(refused, Error::Fragment { code: RefusalCode::AccessDenied, .. }), "{name}: {refused}");
        assert!(refused.to_string().contains("narthex show servicestate"), "{refused}");
    }
    for name in ["menu", "http://+:80/app/x", ""] {
        let refused = test.store(name, "x").await.unwrap_err();
        assert!(matches!(refused, Error::Fragment { code: RefusalCode::Invalid, .. }), "{name}: {refused}");
    }
    assert_eq!(test.cached().len(), 0);
}

#[tokio::test]
async fn fragments_are_as_long_as_the_operator_lets_them() {
    let test = Test::shared().await;
    let refused = test.store("/big", big()).await.unwrap_err();
    assert!(matches!(refused, Error::Fragment { code: RefusalCode::LimitReached, .. }), "{refused}");
    assert!(refused.to_string().contains("max_cache_response_size"), "{refused}");
    test.ask(&Question::AddSetting { name: "max_cache_response_size".into(), value: "1000000".into() });
    test.store("/big", big()).await.unwrap();
    let refused = test.store("/menu", vec![0; (16 << 20) + 1]).await.unwrap_err();
    assert!(matches!(refused, Error::Fragment { code: RefusalCode::LimitReached, .. }), "{refused}");
    let expected = [&b"-"[..], &big()].concat().repeat(5);
    for _ in 0..2 {
        assert!(test.running.get("/app/big/5").await.body == expected);
    }
    assert_eq!(test.counts.fallbacks(), 0);
}

#[tokio::test]
async fn a_client_that_reads_slowly_or_leaves_holds_nobody_up() {
    let test = Test::shared().await;
    test.ask(&Question::AddSetting { name: "max_cache_response_size".into(), value: "1000000".into() });
    test.store("/big", big()).await.unwrap();
    let mut slow = test.running.connect().await;
    slow.send(b"GET /app/big/20 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for _ in 0..8 {
        let mut leaves = test.running.connect().await;
        leaves.send(b"GET /app/big/20 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(test.running.get("/app/big/1").await.body.len(), BIG + 1);
    }
    // Gone while the slow one is between two parts.
    test.flush();
    let expected = [&b"-"[..], &big()].concat().repeat(20);
    assert!(slow.reply().await.body == expected);
    assert!(test.counts.fallbacks() > 0);
}

#[tokio::test]
async fn a_body_that_changes_what_passes_through_it_gets_real_bytes() {
    for place in [Place::shared(), Place::embedded()] {
        let is_shared = place.host.is_some();
        let test = Test::start(place).await;
        test.store("/menu", "MENU..").await.unwrap();
        for (how, changed) in [("changed", true), ("ahead", false), ("collected", false), ("through", false), ("streamed", false)]
        {
            let before = test.counts.fallbacks();
            let expected: Vec<u8> = b"<MENU..>".iter().map(|byte| byte ^ u8::from(changed)).collect();
            assert_eq!(test.running.get(&format!("/app/wrapped/{how}")).await.body, expected, "{how}");
            let by_name = is_shared && ["through", "streamed"].contains(&how);
            assert_eq!(test.counts.fallbacks() == before, by_name, "{how}");
        }
    }
}

#[tokio::test]
async fn a_service_may_answer_with_the_body_itself() {
    let place = Place::shared();
    let service = tower::service_fn(|_: http::Request<narthex::Body>| async {
        let body = Composed::new().fragment("/x", 0..4).or_else(|| "none");
        Ok::<_, std::convert::Infallible>(http::Response::new(body))
    });
    let server = Server::new(service).prefix("http://+:0/").provider(Provider::shared_at(place.socket()));
    let running = Running::start(server).await;
    assert_eq!(running.get("/").await.text(), "none");
    running.handle.store_fragment("/x", KEPT, "some").await.unwrap();
    assert_eq!(running.get("/").await.text(), "some");
}

#[tokio::test]
async fn an_embedded_app_stores_nothing_and_sends_the_same_bytes() {
    let test = Test::start(Place::embedded()).await;
    test.store("/menu", "stored").await.unwrap();
    test.running.handle.delete_fragment("/menu").await.unwrap();
    let reply = test.running.get("/app/page").await;
    assert!(reply.head.contains("content-length: 8\r\n"), "{}", reply.head);
    assert_eq!(reply.text(), "<MENU..>");
    assert_eq!(test.get("/app/whole").await, "<MENU..>");
    let handle = test.running.handle.clone();
    test.running.stop().await;
    assert!(matches!(handle.delete_fragment("/menu").await, Err(Error::NotRunning)));
}

#[tokio::test]
async fn a_response_of_fragments_can_be_cached_as_a_whole() {
    let test = Test::shared().await;
    test.store("/menu", "stored").await.unwrap();
    let mut client = test.running.connect().await;
    for _ in 0..5 {
        assert_eq!(client.get("/app/cached").await.text(), "<stored>");
    }
    assert_eq!(test.counts.pages.load(Ordering::SeqCst), 1, "the first answer is stored");
}

#[tokio::test]
async fn fragments_go_with_their_app() {
    let test = Test::shared().await;
    test.store("/menu", "stored").await.unwrap();
    let other = test.place.start(&format!("http://{}/other/", test.running.address())).await;
    other.handle.store_fragment("/menu", KEPT, "other").await.unwrap();
    assert_eq!(test.get("/app/page").await, "<stored>");
    assert_eq!(test.cached().len(), 2);
    let Test { place, running, counts } = test;
    running.stop().await;
    let test = Test { place, running: other, counts };
    assert!(test.cached().iter().all(|state| state.url.ends_with("/other/menu")), "{:?}", test.cached());
}

#[tokio::test]
async fn flushes_in_the_middle_of_a_load_change_no_byte() {
    let test = Test::shared().await;
    let mut clients = Vec::new();
    for _ in 0..16 {
        let mut client = test.running.connect().await;
        clients.push(tokio::spawn(async move {
            for _ in 0..100 {
                assert_eq!(client.get("/app/page").await.text(), "<MENU..>");
                assert_eq!(client.get("/app/whole").await.text(), "<MENU..>");
            }
        }));
    }
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        test.store("/menu", "MENU..").await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        test.flush();
    }
    for client in clients {
        client.await.unwrap();
    }
    assert!((1..3200).contains(&test.counts.fallbacks()), "{}", test.counts.fallbacks());
}
