//! Hardening, of servers as a whole: how they start and stop, their threads, and what they hold.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use narthex_tests::matrix::layered::{THREADS, WAITING};
use narthex_tests::matrix::{Ask, Reply, Scene, Variant, Wire, with_http1};
use narthex_tests::{App, AppOptions, Client, Host, Process, Provider, Subject};
use serde_json::json;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(10);

fn start(provider: Provider) -> Scene {
    Scene::start(with_http1(provider, false), &["--routes", "general"])
}

fn ask(wire: &mut Wire, ask: &Ask) -> Reply {
    wire.ask(ask).unwrap_or_else(|problem| panic!("{ask:?}: {problem}"))
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The names of a process's threads.
fn threads(process: &Process) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.id())).expect("the process runs");
    let name = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task.ok()?.path().join("comm")).ok();
    tasks.filter_map(name).map(|name| name.trim().to_owned()).collect()
}

pub(crate) fn sec_02_28(provider: Provider) {
    let mut scene = start(provider);
    let named = |process: &Process, prefix: &str| threads(process).iter().filter(|name| name.starts_with(prefix)).count();
    // A thread gives itself its name, which may be a moment after the server is ready.
    eventually("the app has two workers", || named(scene.app(), "narthex-app-") == 2);
    if let Some(host) = scene.host() {
        eventually("the host has two workers", || named(&host.process, "narthex-host-") == 2);
    }
    // No more come when there is more to do.
    scene.at_once(&vec![Ask::get("/stream/sse"); 20]).expect("all are answered");
    assert_eq!(named(scene.app(), "narthex-app-"), 2);
}

pub(crate) fn sec_03(provider: Provider) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
    let broken = directory.path().join("broken.pem");
    fs::write(&broken, "no certificate").expect("a file can be written");
    for file in [directory.path().join("missing.pem"), broken] {
        let prefix = format!("https://127.0.0.1:{}/", narthex_tests::secure::free_port());
        let mut options = AppOptions::new("app", &prefix);
        let named = if host.is_some() {
            // The certificate is the host's: without a binding there is none.
            prefix
        } else {
            options = options.arguments(["--tls".to_owned(), file.display().to_string()]);
            file.display().to_string()
        };
        let mut app = App::spawn(provider, host.as_ref(), &options);
        assert!(!app.wait(SOON).success(), "{}", app.log());
        assert!(app.log().contains(&named), "{}", app.log());
    }
}

pub(crate) fn sec_09(provider: Provider) {
    let mut scene = start(provider);
    let mut wire = scene.wire();
    let resident = |wire: &mut Wire| {
        let seen = ask(wire, &Ask::get("/mem")).json().expect("the app tells");
        seen["workingSetKB"].as_u64().expect("it is a number")
    };
    let mut upload = || {
        let body = Ask::post("/body/binary", vec![1; 1_500_000]);
        for ask in [body.clone(), body.chunked()] {
            assert_eq!(wire.ask(&ask).and_then(|reply| reply.json()).expect("it is answered")["size"], 1_500_000);
        }
    };
    // The allocator keeps a little, until all threads and buffers have been through it.
    (0..10).for_each(|_| upload());
    let before = resident(&mut scene.wire());
    (0..10).for_each(|_| upload());
    let after = resident(&mut scene.wire());
    assert!(after < before + 1536, "{after} KiB after 30 MB more than with {before} KiB");
    assert!(!scene.app().has_ended());
}

pub(crate) fn sec_10_30(provider: Provider) {
    let mut scene = start(provider);
    let mut wire = scene.wire();
    let mut active = || ask(&mut wire, &Ask::get("/mem/active")).json().expect("the app tells")["requests"].clone();
    assert_eq!(active(), 1);
    let open = scene.descriptors();
    let mut clients: Vec<_> = (0..8).map(|_| scene.wire()).collect();
    let sent: Vec<_> = clients.iter_mut().map(|client| client.send(&Ask::get("/stream/pull"))).collect();
    eventually("eight requests are active", || active() == 9);
    eventually("eight more are open", || scene.descriptors() == open + 8);
    if let Some(host) = scene.host() {
        assert_eq!(host.operate_json(&["show", "servicestate"])["connections"], 9);
    }
    clients.iter_mut().zip(sent).for_each(|(client, sent)| assert_eq!(client.reply(sent).expect("it is answered").status, 200));
    // A client may have its whole answer a moment before the app has let go of it.
    eventually("one request is active", || active() == 1);
    drop(clients);
    eventually("the connections are closed", || scene.descriptors() == open);
    if let Some(host) = scene.host() {
        eventually("one connection is counted", || host.operate_json(&["show", "servicestate"])["connections"] == 1);
    }
}

pub(crate) fn sec_11(provider: Provider) {
    let scene = start(provider);
    let asks: Vec<_> = (0..32).map(|n| Ask::post("/pool/burst", n.to_string())).collect();
    for (nth, reply) in scene.at_once(&asks).expect("all are answered").iter().enumerate() {
        assert_eq!(reply.json(), Ok(json!({ "marker": nth.to_string() })));
    }
}

/// A line of the app's own log, with the id that the client was told.
pub(crate) fn sec_25(variant: Variant) {
    let mut scene = Scene::start(variant, &["--routes", "general"]);
    for (nth, target) in ["/panic", "/blocking/panic"].into_iter().enumerate() {
        let reply = ask(&mut scene.wire(), &Ask::get(target));
        let id = reply.header("x-request-id").unwrap_or_else(|| panic!("{reply:?} has no id")).to_owned();
        let mut told = Vec::new();
        eventually("the panic is in the app's log", || {
            let log = scene.app().log();
            told = log.lines().filter(|line| line.contains("failed to answer a request")).map(str::to_owned).collect();
            told.len() > nth
        });
        let whole = |line: &&String| line.contains("secret words") && line.contains(&id) && line.contains(target);
        assert_eq!((told.len(), told.iter().filter(whole).count()), (nth + 1, 1), "{id}: {told:?}");
    }
    let chosen = ask(&mut scene.wire(), &Ask::get("/panic").field("x-request-id", "chosen-1"));
    let given = chosen.header("x-request-id").expect("it has an id").to_owned();
    assert_ne!(given, "chosen-1", "only trusted proxies choose ids");
    eventually("that one is told too", || scene.app().log().contains(&given));
}

/// Two handlers that block run, and one waits. Horse drops what it has no thread for, or says 503 and not when to come again.
pub(crate) fn sec_26_pool(variant: Variant) {
    let scene = Scene::start(variant, &["--routes", "general"]);
    let mut wire = scene.wire();
    let mut clients: Vec<_> = (0..THREADS + WAITING).map(|_| scene.wire()).collect();
    let mut held = Vec::new();
    for (nth, client) in clients.iter_mut().enumerate() {
        held.push(client.send(&Ask::get("/blocking/held")));
        let wanted = json!({ "running": THREADS.min(nth + 1), "waiting": (nth + 1).saturating_sub(THREADS) });
        eventually("the pool has them", || ask(&mut wire, &Ask::get("/blocking")).json().as_ref() == Ok(&wanted));
    }
    for _ in 0..3 {
        let refused = ask(&mut wire, &Ask::get("/blocking/held"));
        assert_eq!((refused.status, refused.text().as_str()), (503, "{\"error\":\"Service Unavailable\"}"));
        assert_eq!((refused.header("retry-after"), refused.header("cache-control")), (Some("1"), Some("no-store")));
    }
    assert_eq!(ask(&mut wire, &Ask::get("/ping")).text(), "pong", "what does not block is served");
    assert_eq!(ask(&mut wire, &Ask::post("/blocking/open", "")).status, 200);
    for (client, sent) in clients.iter_mut().zip(held) {
        let reply = client.reply(sent).expect("it is answered");
        assert_eq!((reply.status, reply.text().as_str()), (200, "done"));
    }
    assert_eq!(ask(&mut wire, &Ask::get("/blocking/held")).text(), "done", "there is room again");
}

/// What blocks when the app is told to stop is finished, and what waits for a thread too; one that is stuck is not waited for.
pub(crate) fn sec_27(variant: Variant) {
    let busy = |scene: &Scene| {
        let mut wire = scene.wire();
        let wanted = json!({ "running": THREADS, "waiting": WAITING });
        eventually("the pool is full", || ask(&mut wire, &Ask::get("/blocking")).json().as_ref() == Ok(&wanted));
    };
    let mut scene = Scene::start(variant, &["--routes", "general", "--shutdown-timeout", "10000"]);
    let mut clients: Vec<_> = (0..THREADS + WAITING).map(|_| scene.wire()).collect();
    let sent: Vec<_> = clients.iter_mut().map(|client| client.send(&Ask::get("/blocking/slow/1500"))).collect();
    busy(&scene);
    scene.app().terminate();
    for (client, sent) in clients.iter_mut().zip(sent) {
        let reply = client.reply(sent).expect("it is answered");
        assert_eq!((reply.status, reply.text().as_str()), (200, "done"));
    }
    drop(clients);
    assert!(scene.app().wait(SOON).success(), "{}", scene.app().log());

    let mut scene = Scene::start(variant, &["--routes", "general", "--shutdown-timeout", "500"]);
    let mut clients: Vec<_> = (0..THREADS + WAITING).map(|_| scene.wire()).collect();
    let _stuck: Vec<_> = clients.iter_mut().map(|client| client.send(&Ask::get("/blocking/slow/60000"))).collect();
    busy(&scene);
    let stopped = Instant::now();
    scene.app().terminate();
    scene.app().wait(Duration::from_secs(20));
    assert!(stopped.elapsed() < Duration::from_secs(5), "a stuck thread was waited for: {:?}", stopped.elapsed());
}

/// A queue's length is looked at by the suite `failures`; an embedded app has connections to count, and no queue.
pub(crate) fn sec_26(provider: Provider) {
    let scene = Scene::start(with_http1(provider, false), &["--routes", "general", "--max-connections", "2"]);
    let mut two = [scene.wire(), scene.wire()];
    two.iter_mut().for_each(|wire| assert_eq!(ask(wire, &Ask::get("/ping")).status, 200));
    let refused = ask(&mut scene.wire(), &Ask::get("/ping"));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{refused:?}");
    two.iter_mut().for_each(|wire| assert_eq!(ask(wire, &Ask::get("/ping")).status, 200));
}

/// By a second process: the prefix is taken, and that is said.
pub(crate) fn sec_32(variant: Variant) {
    let scene = Scene::start(variant, &["--routes", "general"]);
    let mut wire = scene.wire();
    assert_eq!(ask(&mut wire, &Ask::get("/ping")).text(), "pong");
    let mut second = scene.second();
    assert!(!second.wait(SOON).success());
    let log = second.log();
    assert!(log.contains(&scene.address().port().to_string()) && !log.contains("panicked"), "{log}");
    for mut wire in [wire, scene.wire()] {
        assert_eq!(ask(&mut wire, &Ask::get("/ping")).text(), "pong", "the first one goes on");
    }
}

/// In one process: a server runs once, and says so to whoever starts it again. Horse ends the old one first, which here is what
/// `restart` is for.
pub(crate) fn sec_32_handle(provider: Provider) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
    let chosen = match &host {
        Some(host) => narthex::Provider::shared_at(host.socket()),
        None => narthex::Provider::embedded(),
    };
    let server = server(0).provider(chosen);
    in_a_runtime(async {
        let handle = server.clone().start().await.expect("the first one starts");
        let address = SocketAddr::from(([127, 0, 0, 1], port(&handle.prefixes())));
        let served = || tokio::task::spawn_blocking(move || whoami(address, "x"));
        let already = |error| matches!(error, Some(narthex::Error::AlreadyRunning));
        assert!(already(server.clone().run().await.err()), "run");
        assert!(already(server.clone().start().await.err()), "start");
        assert!(already(handle.start().await.err()), "start by the handle");
        assert_eq!(served().await.expect("asking ends"), "mine", "the first one goes on");
        handle.restart().await.expect("it starts again");
        assert_eq!(served().await.expect("asking ends"), "mine", "on the same port");
        handle.stop();
        handle.stopped().await.expect("it ends in order");
    });
}

/// Horse's HTTP.sys provider picks the router by the port in `Host`, which is the client's to choose.
pub(crate) fn forged_port(provider: Provider) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
    let public = App::start(provider, host.as_ref(), &AppOptions::new("public", "http://127.0.0.1:0/"));
    let private = App::start(provider, host.as_ref(), &AppOptions::new("private", "http://127.0.0.1:0/"));
    let forged = format!("127.0.0.1:{}", private.address.port());
    assert_eq!(whoami(private.address, &forged), "private");
    assert_eq!(whoami(public.address, &forged), "public");
}

pub(crate) fn slow(provider: Provider) {
    let options = AppOptions::new("app", "http://127.0.0.1:0/").arguments(["--header-wait", "1", "--entity-body", "1"]);
    let subject = Subject::start_with(provider, &options);
    for request in ["GET / HTTP/1.1\r\nHo", "POST /len HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel"] {
        let mut client = subject.connect();
        // Behind a host the first head on a connection is waited for as the host says: nobody knows yet whose it is.
        for sent in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", request] {
            client.send(sent.as_bytes()).expect("the server takes what comes");
            let status = client.response_within(false, SOON).map(|response| response.status);
            let wanted = if sent == request { 408 } else { 200 };
            assert!(matches!(status, Ok(status) if status == wanted), "{sent:?}: {status:?}");
        }
    }
}

pub(crate) fn ipv6(provider: Provider) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
    let mut app = App::spawn(provider, host.as_ref(), &AppOptions::new("app", "http://[::1]:0/"));
    let ready = app.line("ready ");
    let address = ready.trim_start_matches("http://").trim_end_matches('/').parse().expect("it is an address");
    let mut client = Client::connect(address).expect("the server accepts connections");
    client.send(b"GET /headers HTTP/1.1\r\nHost: [::1]\r\n\r\n").expect("the server takes a request");
    let seen = client.response(false).expect("it is answered").text();
    let peer = client.local_address().expect("the connection lives").to_string();
    assert!(peer.starts_with("[::1]:") && seen.contains(&format!("{peer:?}")), "{peer} is not in {seen}");
}

pub(crate) fn started_again(provider: Provider) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
    let port = narthex_tests::secure::free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    for round in 0..2 {
        let chosen = match &host {
            Some(host) => narthex::Provider::shared_at(host.socket()),
            None => narthex::Provider::embedded(),
        };
        let server = server(port).provider(chosen);
        in_a_runtime(async {
            let (ready, is_ready) = channel();
            let handle = server.handle();
            let running = tokio::spawn(server.on_ready(move |_| ready.send(()).expect("somebody waits")).run());
            let served = tokio::task::spawn_blocking(move || {
                is_ready.recv_timeout(SOON).expect("the server starts");
                whoami(address, "x")
            });
            assert_eq!(served.await.expect("asking ends"), "mine", "round {round}");
            handle.stop();
            running.await.expect("it does not panic").expect("it ends in order");
        });
        eventually("the port is closed", || TcpStream::connect(address).is_err());
    }
}

fn server(port: u16) -> narthex::Server<axum::Router> {
    let router = axum::Router::new().route("/whoami", axum::routing::get(|| async { "mine" }));
    narthex::Server::new(router).prefix(format!("http://127.0.0.1:{port}/")).workers(1)
}

fn port(prefixes: &[narthex::UrlPrefix]) -> u16 {
    prefixes.first().expect("there is a prefix").port().into()
}

fn in_a_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime can be made").block_on(test);
}

fn whoami(address: SocketAddr, host: &str) -> String {
    let mut client = Client::connect(address).expect("the server accepts connections");
    client.send(format!("GET /whoami HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).expect("the server takes a request");
    client.response(false).expect("it is answered").text()
}
