//! Programs that run only while there is something to do.

use std::time::{Duration, Instant};

use super::stage::{NODE, PYTHON, Stage, ask, get, is_alive};

#[test]
fn the_first_request_starts_the_program_and_is_served() {
    let stage = Stage::start_without_waiting(&["--on-demand"], &PYTHON);
    stage.until_logged("ready blog ");
    assert!(!stage.run.log().contains("is started"), "{}", stage.run.log());
    let post = "POST /blog/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    let address = stage.address();
    let others: Vec<_> = (0..10).map(|_| std::thread::spawn(move || get(address, "/blog/whoami").status)).collect();
    assert_eq!(ask(address, post).text(), "5 bytes");
    assert!(others.into_iter().all(|other| other.join().expect("it is answered") == 200));
    assert_eq!(stage.run.log().matches("is started").count(), 1);
}

#[test]
fn an_idle_program_is_ended_and_started_again() {
    let stage = Stage::start_without_waiting(&["--on-demand", "--idle", "400ms"], &NODE);
    stage.until_logged("ready blog ");
    let first = stage.pid("/blog/");
    // A request that runs is no idleness.
    assert_eq!(stage.get("/blog/slow?ms=1200").text(), "slow but sure");
    assert_eq!(stage.pid("/blog/"), first);
    stage.until(|| !is_alive(first));
    assert!(stage.run.log().contains("has nothing to do"), "{}", stage.run.log());
    assert_ne!(stage.pid("/blog/"), first);
}

#[tokio::test]
async fn an_open_web_socket_keeps_a_program_awake() {
    let stage = tokio::task::spawn_blocking(|| Stage::start(&["--on-demand", "--idle", "300ms"], &NODE)).await.unwrap();
    let first = stage.pid("/blog/");
    let url = format!("ws://{}/blog/echo", stage.address());
    let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("the program wants a WebSocket");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(is_alive(first));
    drop(socket);
    stage.until(|| !is_alive(first));
}

#[test]
fn requests_wait_within_bounds_for_a_program_that_does_not_come() {
    let options = ["--on-demand", "--wait", "1500ms", "--max-waiting", "2", "--ready-within", "60s"];
    let stage = Stage::start_without_waiting(&options, &["sleep", "100"]);
    stage.until_logged("ready blog ");
    let (address, begun) = (stage.address(), Instant::now());
    let waiting: Vec<_> = (0..2).map(|_| std::thread::spawn(move || get(address, "/blog/"))).collect();
    stage.until_logged("is started");
    stage.until(|| {
        let refused = stage.get("/blog/");
        assert_eq!((refused.status, refused.has("retry-after")), (503, true));
        assert_eq!(refused.text(), r#"{"error":"Service Unavailable"}"#, "why is not the client's to know");
        stage.run.log().contains("too many requests wait")
    });
    for waited in waiting {
        let waited = waited.join().expect("it is answered");
        assert_eq!(waited.status, 503);
    }
    assert!(begun.elapsed() >= Duration::from_millis(1500));
}
