//! Ends: of a process, of `narthex run`, and of both in order.

use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::stage::{NODE, PATIENCE, PYTHON, Stage, ask, get, is_alive, kill};

#[test]
fn a_process_that_is_killed_is_started_again_and_no_request_is_lost() {
    let stage = Stage::start(&[], &NODE);
    let load = stage.load("/blog/whoami");
    for _ in 0..3 {
        load.goes_on(50);
        let pid = stage.pid("/blog/");
        kill(pid);
        load.goes_on(50);
        assert!(!is_alive(pid));
    }
    load.nothing_was_lost();
    stage.until_logged("killed by signal 9");
}

#[test]
fn while_a_process_is_away_requests_with_bodies_wait_too() {
    for listen in ["port", "fd"] {
        let stage = Stage::start(&["--listen", listen], &PYTHON);
        for death in 1..=3 {
            kill(stage.pid("/blog/"));
            stage.until(|| stage.run.log().matches("has ended").count() == death);
            let body = "x".repeat(50_000);
            let head = format!("POST /blog/ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
            assert_eq!(ask(stage.address(), &format!("{head}{body}")).text(), "50000 bytes");
        }
    }
}

#[test]
fn a_request_that_its_process_died_of_is_not_sent_again_unless_that_is_harmless() {
    // A process that dies of every POST.
    let script = "require('http').createServer((q, r) => { if (q.method === 'POST') { console.log('post'); process.exit(1); } r.end('well'); })\
                  .listen(process.env.PORT)";
    let stage = Stage::start_without_waiting(&[], &["node", "-e", script]);
    stage.until(|| stage.answers("/blog/"));
    let post = "POST /blog/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(ask(stage.address(), post).status, 502);
    assert_eq!(stage.get("/blog/").text(), "well");
    assert_eq!(stage.run.log().matches("blog.1 | post").count(), 1);
}

#[test]
fn told_to_end_it_finishes_what_runs_and_leaves_nobody() {
    let mut stage = Stage::start(&["--instances", "2"], &NODE);
    let address = stage.address();
    let answer = std::thread::spawn(move || get(address, "/blog/slow?ms=1500"));
    stage.until_logged("slow begins");
    let process = stage.pid("/blog/");
    stage.run.terminate();
    assert_eq!(answer.join().expect("it is answered").text(), "slow but sure");
    assert!(stage.run.wait(PATIENCE).success(), "{}", stage.run.log());
    assert!(!is_alive(process));
    assert!(!stage.answers("/blog/whoami"));
}

#[test]
fn a_program_that_does_not_end_is_killed_after_its_time() {
    let script = "trap 'echo no' TERM; node server.js & while :; do wait; done";
    let mut stage = Stage::start(&["--stop-within", "300ms"], &["sh", "-c", script]);
    let node = stage.pid("/blog/");
    stage.run.terminate();
    assert!(stage.run.wait(PATIENCE).success(), "{}", stage.run.log());
    assert!(stage.run.log().contains("is killed"), "{}", stage.run.log());
    assert!(!is_alive(node));
}

#[test]
fn nobody_is_left_if_it_is_killed_itself() {
    // The process that listens is not its own child, and ignores what a terminal would tell it.
    let mut stage = Stage::start(&["--instances", "2"], &["sh", "-c", "trap '' HUP; node server.js; true"]);
    let mut processes = vec![stage.pid("/blog/")];
    stage.until(|| stage.pid("/blog/") != processes[0]);
    processes.push(stage.pid("/blog/"));
    let shells = children(stage.run.id());
    assert!(shells.len() >= 3, "two shells and the guard: {shells:?}");
    processes.extend(shells);
    stage.run.crash();
    stage.until(|| processes.iter().all(|process| !is_alive(*process)));
}

#[test]
fn a_program_that_cannot_be_started_says_why_and_gives_up_if_asked_to() {
    let mut stage = Stage::start_without_waiting(&["--give-up-after", "2"], &["no-such-program"]);
    let status = stage.run.wait(PATIENCE);
    assert_eq!(status.code(), Some(1));
    let log = stage.run.log();
    assert!(log.contains("blog.1 | cannot start \"no-such-program\""), "{log}");
    assert!(log.contains("exit code 127") && log.contains("given up"), "{log}");
    // It was never registered.
    assert!(!log.contains("ready blog"), "{log}");
}

#[test]
fn a_program_that_never_listens_is_not_registered_and_told_what_to_do() {
    let mut stage = Stage::start_without_waiting(&["--ready-within", "200ms", "--give-up-after", "1"], &["sleep", "100"]);
    assert_eq!(stage.run.wait(PATIENCE).code(), Some(1));
    let log = stage.run.log();
    assert!(log.contains("not ready within 200ms") && log.contains("PORT"), "{log}");
}

#[test]
fn a_process_that_fails_its_health_checks_is_replaced() {
    let script = "let well = true; require('http').createServer((q, r) => { if (q.url === '/break') well = false; \
                  r.statusCode = q.url === '/healthz' && !well ? 500 : 200; r.end(String(process.pid)); }).listen(process.env.PORT)";
    let stage = Stage::start_without_waiting(&["--health", "/healthz", "--health-every", "50ms"], &["node", "-e", script]);
    stage.until(|| stage.answers("/blog/"));
    let load = stage.load("/blog/");
    let first = stage.get("/blog/break").text();
    stage.until(|| stage.get("/blog/").text() != first);
    load.nothing_was_lost();
    let first: i32 = first.parse().expect("it is a process id");
    stage.until(|| !is_alive(Pid::from_raw(first).expect("it is a process id")));
}

#[test]
fn a_terminal_that_hangs_up_ends_it_in_order() {
    let mut stage = Stage::start(&[], &NODE);
    let process = stage.pid("/blog/");
    stage.signal(Signal::HUP);
    assert!(stage.run.wait(Duration::from_secs(20)).success());
    assert!(!is_alive(process));
}

/// The children of a process.
fn children(of: u32) -> Vec<Pid> {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).expect("Linux tells children");
    text.split_whitespace().filter_map(|id| id.parse().ok().and_then(Pid::from_raw)).collect()
}
