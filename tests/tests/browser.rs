//! `narthex.js` in Chromium, against a hub by either provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use narthex::hub::{Channels, Code, History, Hub, Peer, Rejection};
use narthex::{Server, ServerHandle};
use narthex_tests::browser::{Browser, Page};
use narthex_tests::{Host, Provider};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Makes each function a test on either provider.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Stage::start(narthex_tests::Provider::Embedded).await).await; })*
        }
        mod shared {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Stage::start(narthex_tests::Provider::Shared).await).await; })*
        }
    };
}

on_both! {
    pages_talk_on_channels_and_see_each_other
    pages_ask_and_are_asked
    a_page_that_is_cut_off_comes_back_and_misses_nothing
    the_close_code_says_whether_a_page_comes_back
    a_page_listens_to_events_when_it_cannot_open_websockets
}

const PAGE: &str = "<!doctype html><script type=module>
    import * as narthex from './narthex.js';
    window.narthex = narthex;
    window.connect = (options = {}) => {
        window.log = [];
        window.client = new narthex.Client('ws', { minDelay: 50, ...options });
        for (const type of ['open', 'close', 'error', 'message']) {
            client.addEventListener(type, ({ detail }) => log.push([type, detail.code ?? detail.data ?? detail.transport, detail.delay]));
        }
        return new Promise((open) => client.addEventListener('open', open, { once: true }));
    };
</script>";

/// A hub whose channels may be used by all, and a browser.
struct Stage {
    url: String,
    hub: Hub,
    handle: ServerHandle,
    served: JoinHandle<narthex::Result<()>>,
    browser: Browser,
    _host: Option<Host>,
    _directory: TempDir,
}

impl Stage {
    async fn start(provider: Provider) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
        let channels = Channels::new()
            .may_subscribe(|_, channel: String| async move { channel != "secret" })
            .may_publish(|_, publication| async move { Ok(publication) })
            .on_request("add", |_, (a, b): (i64, i64)| async move { Ok::<_, Rejection>(a + b) })
            .on_request("ask me", |peer: Peer, name: String| async move {
                let answer = peer.request::<Value>(&name, json!({"n": 21}), Duration::from_secs(10)).await;
                answer.map_err(|error| Rejection::coded("asked", error.to_string()))
            })
            .on_request("sleep", |_, _: Value| async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                Ok::<_, Rejection>(())
            })
            .allow_masks()
            .history("log/*", History::last(100_000).bytes(32 << 20))
            .presence("room/*", |peer| peer.target().to_owned());
        let hub = Hub::builder().channels(channels).build();
        let app = Router::new()
            .route("/", get(async || Html(PAGE)))
            .route_service("/narthex.js", hub.client_module())
            .route_service("/events", hub.events())
            .route("/ws", hub.route());
        let server = Server::new(app).prefix("http://127.0.0.1:0/app/").workers(2);
        let server = server.provider(match &host {
            Some(host) => narthex::Provider::shared_at(host.socket()),
            None => narthex::Provider::embedded(),
        });
        let (ready, is_ready) = oneshot::channel();
        let handle = server.handle();
        let mut ready = Some(ready);
        let server = server.on_ready(move |prefixes| {
            let ready = ready.take().expect("it starts once");
            ready.send(prefixes[0].to_string()).expect("the test waits");
        });
        let served = tokio::spawn(server.run());
        let url = is_ready.await.expect("the server starts");
        Self { url, hub, handle, served, browser: Browser::start().await, _host: host, _directory: directory }
    }

    /// A page whose client is connected.
    async fn connected(&mut self) -> Page {
        let page = self.page().await;
        self.run(&page, "await connect()").await;
        page
    }

    async fn page(&mut self) -> Page {
        let page = self.browser.open(&self.url.clone()).await;
        self.browser.until(&page, "window.connect").await;
        page
    }

    /// Runs statements; gives what they return.
    async fn run(&mut self, page: &Page, script: &str) -> Value {
        self.browser.evaluate(page, &format!("(async () => {{ {script} }})()")).await
    }

    async fn until(&mut self, page: &Page, condition: &str) {
        self.browser.until(page, condition).await;
    }

    async fn stop(self) {
        self.handle.stop();
        self.served.await.expect("the server does not panic").expect("it stops");
    }
}

/// Collects what comes on a channel in `got`, and waits until it has subscribed.
fn listen(channel: &str) -> String {
    format!(
        "window.got = []; window.sub = client.subscribe({channel:?}, (data, message) => got.push([data, message]), {{ presence: true }});
         await new Promise((done) => sub.addEventListener('subscribed', done, {{ once: true }}));"
    )
}

async fn pages_talk_on_channels_and_see_each_other(mut stage: Stage) {
    let (ann, ben) = (stage.connected().await, stage.connected().await);
    stage.run(&ann, &listen("room/a")).await;
    stage.run(&ben, &listen("room/a")).await;
    stage.until(&ann, "sub.members.size === 2").await;
    assert_eq!(stage.run(&ben, "return [...sub.members.values()]").await, json!(["/ws", "/ws"]));
    let from = stage.run(&ben, "await sub.publish({ text: 'häh?' }); return client.peer").await;
    stage.until(&ann, "got.length === 1").await;
    let message = stage.run(&ann, "return got[0]").await;
    assert_eq!((&message[0], &message[1]["from"], &message[1]["channel"]), (&json!({"text": "häh?"}), &from, &json!("room/a")));
    assert_eq!(stage.run(&ann, "return (await sub.presence()).size").await, 2);
    assert_eq!(
        stage.run(&ann, "return [client.state, client.transport, client.buffered]").await,
        json!(["open", "websocket", 0])
    );

    // Masks, and what the server says to all.
    stage.run(&ann, &listen("r?om/*")).await;
    stage.hub.publish("room/a", 1).unwrap();
    stage.hub.publish("roof/b", 2).unwrap();
    stage.hub.publish("rxom/b", 3).unwrap();
    stage.hub.broadcast("to all").send();
    stage.until(&ann, "log.some(([type]) => type === 'message')").await;
    // It comes once, and both subscriptions hear it.
    assert_eq!(stage.run(&ann, "return got.map(([data]) => data)").await, json!([1, 1, 3]));
    assert_eq!(stage.run(&ann, "return log").await, json!([["open", "websocket", null], ["message", "to all", null]]));

    // Refusals go to who asked.
    let refused = "return await new Promise((done) => client.subscribe('secret').addEventListener('error', ({ detail }) => done(detail.code)))";
    assert_eq!(stage.run(&ann, refused).await, "denied");
    let refused = "return await client.publish('no*', 1).catch((error) => [error.name, error.code])";
    assert_eq!(stage.run(&ann, refused).await, json!(["ChannelError", "bad-channel"]));
    assert_eq!(
        stage.run(&ann, "try { client.subscribe('r?om/*') } catch (error) { return error.code }").await,
        "already-subscribed"
    );

    stage.run(&ben, "sub.unsubscribe()").await;
    stage.run(&ann, "sub.unsubscribe()").await;
    stage.run(&ann, "await client.request('add', [1, 2])").await;
    assert!(stage.hub.subscribers("r?om/*").is_empty());
    // A page that is left, and may be come back to, is not there.
    stage.run(&ben, &listen("room/b")).await;
    stage.run(&ann, &listen("room/b")).await;
    stage.run(&ben, "location.href = 'about:blank'").await;
    stage.until(&ann, "sub.members.size === 1").await;
    stage.run(&ben, "history.back()").await;
    stage.until(&ben, "window.connect").await;
    if stage.run(&ben, "return window.client !== undefined").await == true {
        // The browser had kept it.
        stage.until(&ann, "sub.members.size === 2").await;
    }
    stage.stop().await;
}

async fn pages_ask_and_are_asked(mut stage: Stage) {
    let page = stage.page().await;
    // What is asked before the connection is there waits for it.
    let early = "connect(); client.handle('double', ({ n }) => n * 2); client.handle('throw', () => { throw new Error('oh') });
        return await client.request('add', [40, 2])";
    assert_eq!(stage.run(&page, early).await, 42);
    assert_eq!(stage.run(&page, "return await client.request('ask me', 'double')").await, 42);
    for (script, code, text) in [
        ("client.request('ask me', 'throw')", "asked", "the client refused: oh (failed)"),
        (
            "client.request('ask me', 'nothing')",
            "asked",
            "the client refused: this client has no answer to nothing (unknown-request)",
        ),
        ("client.request('nothing')", "unknown-request", "no answer"),
        ("client.request('add', 'x')", "malformed", "what it should be"),
        ("client.request('sleep', null, { timeout: 50 })", "timeout", "in time"),
    ] {
        let error = stage.run(&page, &format!("return await {script}.catch((error) => [error.code, error.message])")).await;
        assert_eq!(error[0], code, "{script}");
        assert!(error[1].as_str().unwrap().contains(text), "{script}: {error}");
    }
    // The slow one holds up its connection, until that ends.
    let lost = "const asked = client.request('add', [1, 1]).catch((error) => error.code); client.close(); return [await asked, client.state]";
    assert_eq!(stage.run(&page, lost).await, json!(["lost", "closed"]));
    stage.stop().await;
}

async fn a_page_that_is_cut_off_comes_back_and_misses_nothing(mut stage: Stage) {
    let page = stage.connected().await;
    stage.run(&page, &listen("log/a")).await;
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (hub, stop) = (stage.hub.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                hub.publish("log/a", number).unwrap();
                std::thread::sleep(Duration::from_micros(300));
            }
            number
        })
    };
    for round in 1..=5 {
        let had = stage.run(&page, "return got.length").await;
        stage.until(&page, &format!("got.length > {had} + 50")).await;
        for peer in stage.hub.peers() {
            if round % 2 == 0 { peer.disconnect() } else { peer.close(Code::GOING_AWAY, "") }
        }
        stage.until(&page, &format!("log.filter(([type]) => type === 'open').length === {round} + 1")).await;
    }
    stop.store(true, Ordering::Relaxed);
    let published: u64 = publisher.join().unwrap();
    stage.until(&page, &format!("got.length >= {published}")).await;
    assert_eq!(stage.run(&page, "return got.every(([data], index) => data === index + 1)").await, true);
    assert_eq!(stage.run(&page, "return got.length").await, published);
    stage.stop().await;
}

async fn the_close_code_says_whether_a_page_comes_back(mut stage: Stage) {
    for (code, comes_back) in [(1000, true), (1001, true), (1011, true), (1012, true), (1013, true), (1008, false), (4001, false)]
    {
        let page = stage.page().await;
        stage.run(&page, "await connect({ minDelay: 100, spread: 60_000 })").await;
        stage.hub.disconnect_all(Code::new(code).unwrap(), "");
        stage.until(&page, "log.some(([type]) => type === 'close')").await;
        let log = stage.run(&page, "return log.find(([type]) => type === 'close')").await;
        let (seen, delay) = (&log[1], log[2].as_f64());
        assert_eq!(*seen, code);
        assert_eq!(delay.is_some(), comes_back, "{code}");
        if let Some(delay) = delay {
            let most = if code == 1012 || code == 1013 { 60_100.0 } else { 100.0 };
            assert!((50.0..=most).contains(&delay), "{code}: {delay}");
        } else {
            assert_eq!(stage.run(&page, "return client.state").await, "closed");
        }
        stage.run(&page, "client.close()").await;
    }
    let page = stage.page().await;
    stage.run(&page, "await connect({ reconnect: (code) => code === 4001 })").await;
    stage.hub.disconnect_all(Code::new(4001).unwrap(), "");
    stage.until(&page, "log.length === 3 && client.state === 'open'").await;
    // Nobody listens where it connects: each wait is about twice the last.
    let page = stage.page().await;
    stage.run(&page, "connect({ minDelay: 20, maxDelay: 200, WebSocket: class extends WebSocket { constructor() { super('ws://127.0.0.1:1/') } } })").await;
    stage.until(&page, "log.length >= 6").await;
    let delays = stage.run(&page, "return log.map(([, , delay]) => delay)").await;
    for (attempt, delay) in delays.as_array().unwrap().iter().take(6).enumerate() {
        let most = 200_f64.min(20.0 * f64::from(1 << attempt));
        assert!((most / 2.0..=most).contains(&delay.as_f64().unwrap()), "{attempt}: {delays}");
    }
    stage.stop().await;
}

async fn a_page_listens_to_events_when_it_cannot_open_websockets(mut stage: Stage) {
    let page = stage.page().await;
    stage
        .run(
            &page,
            "connect({ events: 'events', WebSocket: class extends WebSocket { constructor() { super('ws://127.0.0.1:1/') } } })",
        )
        .await;
    stage.run(&page, &listen("log/a")).await;
    assert_eq!(stage.run(&page, "return client.transport").await, "events");
    let refused = "return await client.publish('log/a', 1).catch((error) => error.code)";
    assert_eq!(stage.run(&page, refused).await, "only-listens");
    stage.hub.publish("log/a", 1).unwrap();
    stage.until(&page, "got.length === 1").await;
    for peer in stage.hub.peers() {
        peer.close(Code::GOING_AWAY, "");
    }
    stage.until(&page, "client.state !== 'open'").await;
    stage.hub.publish("log/a", 2).unwrap();
    stage.until(&page, "got.length === 2").await;
    // A channel more, and the one before goes on.
    stage.run(&page, "window.more = []; client.subscribe('room/a', (data) => more.push(data)); client.subscribe('room/b', (data) => more.push(data))").await;
    for _ in 0..1_000 {
        if stage.hub.subscribers("room/b").len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stage.hub.publish("room/a", "a").unwrap();
    stage.hub.publish("room/b", "b").unwrap();
    stage.hub.publish("log/a", 3).unwrap();
    stage.until(&page, "more.length === 2 && got.length === 3").await;
    assert_eq!(stage.run(&page, "return got.map(([data]) => data)").await, json!([1, 2, 3]));
    stage.stop().await;
}
