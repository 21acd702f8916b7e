//! A server is started, stopped, restarted and started again by its handle.
#![cfg(unix)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::{Client, Place};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use futures_util::FutureExt;
use futures_util::future::join_all;
use narthex::{Change, Error, Server, ServerHandle};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

on_both! {
    a_start_returns_when_clients_can_connect
    a_start_that_fails_says_why
    a_server_starts_again_on_the_same_port
    what_runs_cannot_be_started
    a_stop_before_the_start_stops_the_start
    a_restart_finishes_what_runs
    a_restart_of_a_server_that_runs_in_the_foreground_is_no_end
    a_handler_that_asks_for_a_restart_gets_its_answer_out
    those_who_ask_together_share_one_restart
    a_stop_goes_before_a_restart
    a_start_waits_for_the_stop_before_it
    what_was_changed_lasts
    a_server_whose_handles_are_gone_goes_on
}

fn address(server: &ServerHandle) -> SocketAddr {
    ([127, 0, 0, 1], server.prefixes()[0].port().get()).into()
}

async fn connect(server: &ServerHandle) -> Client {
    Client(TcpStream::connect(address(server)).await.unwrap())
}

async fn pongs(server: &ServerHandle) -> bool {
    connect(server).await.get("/ping").await.text() == "pong"
}

async fn start(place: &Place) -> ServerHandle {
    place.server("http://127.0.0.1:0/").start().await.unwrap()
}

async fn stop(server: &ServerHandle) {
    server.stop();
    timeout(PATIENCE, server.stopped()).await.expect("the server stops").unwrap();
}

/// Begins with what a future does, which is not to be done at once.
fn begin(future: impl Future + Unpin) {
    assert!(future.now_or_never().is_none());
}

/// Counts the calls of hooks.
#[derive(Clone, Default)]
struct Calls(Arc<[AtomicUsize; 3]>);

impl Calls {
    fn hook(&self, server: Server<Router>) -> Server<Router> {
        let [bind, ready, shutdown] = [0, 1, 2].map(|index| {
            let calls = self.clone();
            move || {
                calls.0[index].fetch_add(1, SeqCst);
            }
        });
        server.on_bind(move |_| bind()).on_ready(move |_| ready()).on_shutdown(shutdown)
    }

    /// Of `on_bind`, `on_ready` and `on_shutdown`.
    fn counts(&self) -> [usize; 3] {
        std::array::from_fn(|index| self.0[index].load(SeqCst))
    }
}

async fn a_start_returns_when_clients_can_connect(place: &Place) {
    let server = start(place).await;
    assert!(server.is_active() && pongs(&server).await);
    let address = address(&server);
    let ended = tokio::spawn({
        let server = server.clone();
        async move { server.stopped().await }
    });
    stop(&server).await;
    timeout(PATIENCE, ended).await.expect("everybody is told").unwrap().unwrap();
    assert!(!server.is_active() && server.prefixes().is_empty());
    server.stopped().await.unwrap();
    if place.host.is_none() {
        assert!(TcpStream::connect(address).await.is_err());
    }
}

async fn a_start_that_fails_says_why(place: &Place) {
    let server = start(place).await;
    let error = place.server(server.prefixes()[0].as_str()).start().await.unwrap_err();
    assert!(matches!(error, Error::Listen(_) | Error::Refused { .. }), "{error}");
    assert!(matches!(place.server("no prefix").start().await, Err(Error::Prefix { .. })));
}

async fn a_server_starts_again_on_the_same_port(place: &Place) {
    let calls = Calls::default();
    let server = calls.hook(place.server("http://127.0.0.1:0/")).start().await.unwrap();
    let first = address(&server);
    assert_eq!(calls.counts(), [1, 1, 0]);
    stop(&server).await;
    assert_eq!(calls.counts(), [1, 1, 1]);
    server.start().await.unwrap();
    assert_eq!(address(&server), first);
    assert!(server.is_active() && pongs(&server).await);
    server.restart().await.unwrap();
    assert_eq!(address(&server), first);
    assert!(pongs(&server).await);
    stop(&server).await;
    assert_eq!(calls.counts(), [3, 3, 3]);
    assert_eq!(server.watchdog_restarts(), 0);
}

async fn what_runs_cannot_be_started(place: &Place) {
    let builder = place.server("http://127.0.0.1:0/");
    let never = builder.handle();
    assert!(matches!(never.start().await, Err(Error::NotRunning)));
    assert!(matches!(never.restart().await, Err(Error::NotRunning)));
    let server = builder.clone().start().await.unwrap();
    assert!(matches!(server.start().await, Err(Error::AlreadyRunning)));
    assert!(matches!(builder.clone().start().await, Err(Error::AlreadyRunning)));
    assert!(matches!(builder.run().await, Err(Error::AlreadyRunning)));
    assert!(pongs(&server).await);
    stop(&server).await;
    assert!(matches!(server.restart().await, Err(Error::NotRunning)));
}

async fn a_stop_before_the_start_stops_the_start(place: &Place) {
    let builder = place.server("http://127.0.0.1:0/");
    builder.handle().stop();
    let server = builder.start().await.unwrap();
    timeout(PATIENCE, server.stopped()).await.expect("it stops").unwrap();
    server.start().await.unwrap();
    assert!(pongs(&server).await);
}

async fn a_restart_finishes_what_runs(place: &Place) {
    let server = start(place).await;
    let mut busy = connect(&server).await;
    busy.begin_len("/len").await;
    let mut restart = std::pin::pin!(server.restart());
    begin(&mut restart);
    busy.send(b"abc").await;
    assert_eq!(busy.reply().await.text(), "3");
    timeout(PATIENCE, restart).await.expect("a restart").unwrap();
    assert!(pongs(&server).await);
}

async fn a_restart_of_a_server_that_runs_in_the_foreground_is_no_end(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    running.handle.restart().await.unwrap();
    assert_eq!(running.get("/ping").await.text(), "pong");
    assert!(!running.ended.is_finished());
    let handle = running.handle.clone();
    running.stop().await;
    assert!(matches!(handle.start().await, Err(Error::NotRunning)), "its future has returned");
}

async fn a_handler_that_asks_for_a_restart_gets_its_answer_out(place: &Place) {
    type Slot = Arc<Mutex<Option<ServerHandle>>>;
    let slot = Slot::default();
    let restarts = async |State(slot): State<Slot>| {
        let server = slot.lock().unwrap().clone().unwrap();
        server.restart().await.map_or_else(|error| error.to_string(), |()| "restarts".to_owned())
    };
    let app = Router::new().route("/restart", get(restarts)).with_state(Arc::clone(&slot));
    let calls = Calls::default();
    let server = calls.hook(place.serving(app, "http://127.0.0.1:0/")).start().await.unwrap();
    slot.lock().unwrap().replace(server.clone());
    assert_eq!(connect(&server).await.get("/restart").await.text(), "restarts");
    // One more is asked for afterwards, so that both are over.
    server.restart().await.unwrap();
    assert!((2..=3).contains(&calls.counts()[1]), "{:?}", calls.counts());
    assert_eq!(connect(&server).await.get("/restart").await.status, 200);
}

async fn those_who_ask_together_share_one_restart(place: &Place) {
    let calls = Calls::default();
    let server = calls.hook(place.server("http://127.0.0.1:0/")).start().await.unwrap();
    let mut busy = connect(&server).await;
    busy.begin_len("/len").await;
    // The old server cannot end before they have all asked.
    let mut asking: Vec<_> = (0..5).map(|_| Box::pin(server.restart())).collect();
    for asking in &mut asking {
        begin(asking);
    }
    busy.send(b"abc").await;
    assert_eq!(busy.reply().await.text(), "3");
    for restarted in timeout(PATIENCE, join_all(asking)).await.expect("a restart") {
        restarted.unwrap();
    }
    assert_eq!(calls.counts(), [2, 2, 1]);
    let all = join_all((0..5).map(|_| server.restart()));
    assert!(timeout(PATIENCE, all).await.expect("restarts").into_iter().all(|restarted| restarted.is_ok()));
    assert!(pongs(&server).await);
}

async fn a_stop_goes_before_a_restart(place: &Place) {
    let calls = Calls::default();
    let server = calls.hook(place.server("http://127.0.0.1:0/")).start().await.unwrap();
    let mut busy = connect(&server).await;
    busy.begin_len("/len").await;
    let mut restart = std::pin::pin!(server.restart());
    begin(&mut restart);
    server.stop();
    busy.send(b"abc").await;
    assert_eq!(busy.reply().await.text(), "3");
    assert!(matches!(timeout(PATIENCE, restart).await.expect("an answer"), Err(Error::NotRunning)));
    timeout(PATIENCE, server.stopped()).await.expect("an end").unwrap();
    assert_eq!(calls.counts(), [1, 1, 1]);
}

async fn a_start_waits_for_the_stop_before_it(place: &Place) {
    let server = start(place).await;
    let mut busy = connect(&server).await;
    busy.begin_len("/len").await;
    server.stop();
    let mut start = std::pin::pin!(server.start());
    begin(&mut start);
    busy.send(b"abc").await;
    assert_eq!(busy.reply().await.text(), "3");
    timeout(PATIENCE, start).await.expect("a start").unwrap();
    assert!(pongs(&server).await);
}

async fn what_was_changed_lasts(place: &Place) {
    let server = start(place).await;
    server.change(Change::new().max_body(5)).await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(connect(&server).await.post("/len", &[0; 6]).await.status, 413);
    stop(&server).await;
    server.start().await.unwrap();
    assert_eq!(connect(&server).await.post("/len", &[0; 6]).await.status, 413);
    assert_eq!(connect(&server).await.post("/len", &[0; 5]).await.text(), "5");
}

async fn a_server_whose_handles_are_gone_goes_on(place: &Place) {
    let server = start(place).await;
    let mut client = connect(&server).await;
    drop(server);
    assert_eq!(client.get("/ping").await.text(), "pong");
}

#[tokio::test]
async fn a_port_that_was_taken_meanwhile_can_be_tried_again() {
    let server = start(&Place::embedded()).await;
    let port = address(&server);
    stop(&server).await;
    let other = std::net::TcpListener::bind(port).unwrap();
    assert!(matches!(server.start().await, Err(Error::Listen(_))));
    assert!(!server.is_active());
    drop(other);
    server.start().await.unwrap();
    assert!(pongs(&server).await);
}

#[tokio::test]
async fn a_restart_that_fails_is_an_end_that_everybody_learns_of() {
    let port = Arc::new(Mutex::new(None));
    let taken = Arc::clone(&port);
    let builder = Place::embedded().server("http://127.0.0.1:0/");
    let handle = builder.handle();
    let take = move || drop(taken.lock().unwrap().replace(std::net::TcpListener::bind(address(&handle)).unwrap()));
    let server = builder.on_shutdown(take).start().await.unwrap();
    let (one, two) = tokio::join!(server.restart(), server.restart());
    for error in [one.unwrap_err(), two.unwrap_err(), server.stopped().await.unwrap_err()] {
        let Error::Ended(why) = error else { panic!("{error}") };
        assert!(matches!(*why, Error::Listen(_)), "{why}");
    }
    assert!(!server.is_active());
}

#[tokio::test]
async fn a_server_that_nobody_can_start_again_is_gone() {
    let app = Arc::new(());
    let held = Arc::downgrade(&app);
    let route = get(async move || drop(Arc::clone(&app)));
    let server = Place::embedded().serving(Router::new().route("/", route), "http://127.0.0.1:0/").start().await.unwrap();
    stop(&server).await;
    assert!(held.upgrade().is_some(), "it may be started again");
    drop(server);
    let gone = async {
        while held.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the app is dropped");
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_is_no_server() {
    let place = Place::shared();
    let builder = place.server("http://127.0.0.1:0/");
    let handle = builder.handle();
    {
        let mut start = std::pin::pin!(builder.start());
        begin(&mut start);
    }
    timeout(PATIENCE, handle.stopped()).await.expect("it ends").unwrap();
    assert!(matches!(handle.start().await, Err(Error::NotRunning)));
}
