//! A server that fails is brought back by its watchdog, and by nobody else.
#![cfg(target_os = "linux")]

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::client::{Client, Place};
use axum::Router;
use axum::routing::{any, get};
use narthex::{Error, FineTune, OperatingMode, Server, ServerHandle, Tls, Watchdog};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(20);
const NEVER: Duration = Duration::from_secs(3600);

on_both! {
    a_worker_that_hangs_is_replaced
    a_server_that_answers_is_left_alone
}

fn address(server: &ServerHandle) -> SocketAddr {
    ([127, 0, 0, 1], server.prefixes()[0].port().get()).into()
}

/// Shuts the sockets of this process down that listen at an address.
fn break_listeners(address: SocketAddr) {
    let SocketAddr::V4(v4) = address else { panic!("{address}") };
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port());
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[1] == local && fields[3] == "0A").then(|| format!("socket:[{}]", fields[9]))
    };
    let sockets: Vec<String> = table.lines().skip(1).filter_map(inode).collect();
    assert!(!sockets.is_empty(), "nobody listens at {address}");
    let process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        if !sockets.iter().any(|socket| *socket == target.to_string_lossy()) {
            continue;
        }
        let number = entry.file_name().to_str().unwrap().parse().unwrap();
        let own: OwnedFd = pidfd_getfd(process.as_fd(), number, PidfdGetfdFlags::empty()).unwrap();
        let _ = socket2::SockRef::from(&own).shutdown(std::net::Shutdown::Both);
    }
}

/// Tells of `on_restart` and `on_shutdown`.
#[derive(Clone, Default)]
struct Events {
    reasons: Arc<Mutex<Vec<String>>>,
    shut_down: Arc<Notify>,
}

impl Events {
    fn hook(&self, server: Server<Router>) -> Server<Router> {
        let (reasons, shut_down) = (Arc::clone(&self.reasons), Arc::clone(&self.shut_down));
        let server = server.on_restart(move |why| reasons.lock().unwrap().push(why.to_string()));
        server.on_shutdown(move || shut_down.notify_one())
    }

    fn reasons(&self) -> Vec<String> {
        self.reasons.lock().unwrap().clone()
    }
}

fn server(watchdog: Option<Watchdog>) -> (Server<Router>, Events) {
    let (events, server) = (Events::default(), Place::embedded().server("http://127.0.0.1:0/"));
    let server = events.hook(server);
    (watchdog.into_iter().fold(server, Server::watchdog), events)
}

async fn is_restarted(server: &ServerHandle, times: u64) {
    let restarted = async {
        while server.watchdog_restarts() < times {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, restarted).await.expect("the watchdog restarts the server");
}

async fn pongs(server: &ServerHandle) -> bool {
    Client(TcpStream::connect(address(server)).await.unwrap()).get("/ping").await.text() == "pong"
}

#[tokio::test]
async fn a_listener_that_breaks_is_opened_again() {
    for mode in [OperatingMode::OnePerWorker, OperatingMode::SingleAcceptor] {
        let (server, events) = server(Some(Watchdog::new().interval(SOON)));
        let server = server.fine_tune(FineTune::default().operating_mode(mode)).start().await.unwrap();
        let mut before = Vec::new();
        for times in 1..=2 {
            before.push(address(&server));
            break_listeners(address(&server));
            is_restarted(&server, times).await;
            assert!(pongs(&server).await);
        }
        assert_eq!(before, [address(&server); 2]);
        let reasons = events.reasons();
        assert_eq!(reasons.len(), 2);
        assert!(reasons[0].starts_with(&format!("the listening socket at {} broke: ", address(&server))), "{reasons:?}");
    }
}

#[tokio::test]
async fn without_a_watchdog_a_server_whose_listener_breaks_ends_with_the_error() {
    let (builder, events) = server(None);
    let server = builder.start().await.unwrap();
    break_listeners(address(&server));
    let error = timeout(PATIENCE, server.stopped()).await.expect("an end").unwrap_err();
    let Error::Ended(why) = error else { panic!("{error}") };
    assert!(matches!(*why, Error::ListenerBroke { .. }), "{why}");
    assert!(!server.is_active() && events.reasons().is_empty());
    server.start().await.unwrap();
    assert!(pongs(&server).await);

    let running = Place::embedded().start("http://127.0.0.1:0/").await;
    break_listeners(running.address());
    let ended = timeout(PATIENCE, running.ended).await.expect("an end").unwrap();
    assert!(matches!(ended, Err(Error::ListenerBroke { .. })), "{ended:?}");
}

#[tokio::test]
async fn requests_that_run_when_a_listener_breaks_are_finished() {
    let (builder, events) = server(Some(Watchdog::new().interval(SOON)));
    let server = builder.start().await.unwrap();
    let mut busy = Client(TcpStream::connect(address(&server)).await.unwrap());
    busy.begin_len("/len").await;
    break_listeners(address(&server));
    busy.send(b"abc").await;
    assert_eq!(busy.reply().await.text(), "3");
    is_restarted(&server, 1).await;
    assert_eq!(events.reasons().len(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_come_back_ends_after_its_attempts() {
    let (builder, events) = server(Some(Watchdog::new().interval(SOON).attempts(3)));
    let (taken, handle) = (Arc::new(Mutex::new(None)), builder.handle());
    let take = {
        let taken = Arc::clone(&taken);
        move || drop(taken.lock().unwrap().replace(TcpListener::bind(address(&handle)).unwrap()))
    };
    let server = builder.on_shutdown(take).start().await.unwrap();
    break_listeners(address(&server));
    let error = timeout(PATIENCE, server.stopped()).await.expect("an end").unwrap_err();
    let Error::Ended(why) = error else { panic!("{error}") };
    assert!(matches!(*why, Error::Listen(_)), "{why}");
    let reasons = events.reasons();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons[0].contains("broke") && reasons[1].contains("taken"), "{reasons:?}");
    assert_eq!(server.watchdog_restarts(), 0);
}

#[tokio::test]
async fn a_restart_that_fails_is_tried_again() {
    let (builder, _) = server(Some(Watchdog::new().interval(SOON)));
    let (taken, handle) = (Arc::new(Mutex::new(None)), builder.handle());
    let take = {
        let taken = Arc::clone(&taken);
        move || drop(taken.lock().unwrap().replace(TcpListener::bind(address(&handle)).unwrap()))
    };
    let server = builder.on_shutdown(take).start().await.unwrap();
    assert!(matches!(server.restart().await, Err(Error::Ended(_))));
    assert!(server.is_active());
    taken.lock().unwrap().take();
    is_restarted(&server, 1).await;
    assert!(pongs(&server).await);
}

#[tokio::test]
async fn a_first_start_that_fails_is_not_tried_again() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let prefix = format!("http://{}/", taken.local_addr().unwrap());
    let server = Place::embedded().server(&prefix).watchdog(Watchdog::new().interval(SOON));
    assert!(matches!(server.start().await, Err(Error::Listen(_))));
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_the_next_attempt_at_once() {
    let (builder, events) = server(Some(Watchdog::new().interval(NEVER)));
    let server = builder.start().await.unwrap();
    break_listeners(address(&server));
    timeout(PATIENCE, events.shut_down.notified()).await.expect("it fails");
    assert!(server.is_active(), "the watchdog is at it");
    server.stop();
    timeout(PATIENCE, server.stopped()).await.expect("a stop").unwrap();
    assert!(events.reasons().is_empty());
}

#[tokio::test]
async fn a_restart_that_is_asked_for_does_not_wait_for_the_watchdog() {
    let (builder, events) = server(Some(Watchdog::new().interval(NEVER)));
    let server = builder.start().await.unwrap();
    break_listeners(address(&server));
    timeout(PATIENCE, events.shut_down.notified()).await.expect("it fails");
    timeout(PATIENCE, server.restart()).await.expect("a restart").unwrap();
    assert!(pongs(&server).await && events.reasons().is_empty() && server.watchdog_restarts() == 0);
}

#[tokio::test]
async fn a_server_that_was_stopped_stays_so() {
    let (builder, events) = server(Some(Watchdog::new().interval(SOON).probe(SOON)));
    let server = builder.start().await.unwrap();
    let address = address(&server);
    server.restart().await.unwrap();
    server.stop();
    timeout(PATIENCE, server.stopped()).await.expect("a stop").unwrap();
    sleep(SOON * 10).await;
    assert!(!server.is_active() && TcpStream::connect(address).await.is_err());
    assert!(events.reasons().is_empty() && server.watchdog_restarts() == 0);
}

async fn a_worker_that_hangs_is_replaced(place: &Place) {
    let (release, hangs) = mpsc::channel::<()>();
    let hangs = Arc::new(Mutex::new(hangs));
    let app = Router::new()
        .route("/ping", any(async || "pong"))
        .route("/hang", get(async move || hangs.lock().unwrap().recv().unwrap_err().to_string()));
    let events = Events::default();
    let server = events.hook(place.serving(app, "http://127.0.0.1:0/")).workers(1);
    let server = server.shutdown_timeout(SOON).watchdog(Watchdog::new().interval(SOON).probe(Duration::from_millis(500)));
    let server = server.start().await.unwrap();
    assert!(pongs(&server).await);
    // Behind a host, a port has to answer once to be expected to.
    sleep(SOON * 10).await;
    let mut hanging = Client(TcpStream::connect(address(&server)).await.unwrap());
    hanging.send(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    is_restarted(&server, 1).await;
    assert!(events.reasons()[0].contains("did not answer its watchdog"), "{:?}", events.reasons());
    let answered = timeout(PATIENCE, async { pongs(&server).await });
    assert!(answered.await.expect("another thread answers"));
    drop(release);
}

async fn a_server_that_answers_is_left_alone(place: &Place) {
    let probes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&probes);
    let app = Router::new().fallback(any(async move || count.fetch_add(1, SeqCst).to_string()));
    let events = Events::default();
    let server = events.hook(place.serving(app, "http://127.0.0.1:0/"));
    let server = server.watchdog(Watchdog::new().interval(SOON).probe(PATIENCE)).start().await.unwrap();
    let probed = async {
        while probes.load(SeqCst) < 5 {
            sleep(SOON).await;
        }
    };
    timeout(PATIENCE, probed).await.expect("it is probed");
    assert!(events.reasons().is_empty() && server.watchdog_restarts() == 0);
}

#[tokio::test]
async fn ports_that_refuse_what_the_probe_says_answer_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let watchdog = || Watchdog::new().interval(SOON).probe(Duration::from_secs(2));
    let (builder, secure) = server(Some(watchdog()));
    let tls = Tls::development(directory.path(), ["localhost"]);
    let builder = builder.tls(tls).on_bind(|bindings| {
        bindings.retain(|_| false);
        bindings.add("https://127.0.0.1:0/").unwrap();
    });
    let _secure_server = builder.start().await.unwrap();
    let (builder, proxied) = server(Some(watchdog()));
    let _proxied_server = builder.proxy_protocol(true).trusted_proxies(["192.0.2.1"]).start().await.unwrap();
    let (builder, full) = server(Some(watchdog()));
    let full_server = builder.max_connections(1).start().await.unwrap();
    let _client = TcpStream::connect(address(&full_server)).await.unwrap();
    // Longer than a probe without an answer.
    sleep(Duration::from_secs(3)).await;
    for events in [secure, proxied, full] {
        assert_eq!(events.reasons(), [""; 0]);
    }
}

#[tokio::test]
async fn a_host_that_goes_away_is_waited_for_and_no_reason_to_restart() {
    let mut place = Place::shared();
    let events = Events::default();
    let watchdog = Watchdog::new().interval(SOON).probe(Duration::from_secs(1)).attempts(1);
    let server = events.hook(place.server("http://127.0.0.1:0/")).watchdog(watchdog).start().await.unwrap();
    sleep(SOON * 10).await;
    drop(place.host.take());
    // Longer than a probe without an answer.
    sleep(Duration::from_millis(1500)).await;
    assert!(server.is_active());
    place.start_host();
    let back = async {
        while TcpStream::connect(address(&server)).await.is_err() {
            sleep(SOON).await;
        }
    };
    timeout(PATIENCE, back).await.expect("the host is back");
    assert!(events.reasons().is_empty() && server.watchdog_restarts() == 0);
}
