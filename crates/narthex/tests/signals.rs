//! What signals do to a program whose server has stopped.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::Router;
use narthex::{Provider, Server};
use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = "NARTHEX_TEST_SIGNALS";

/// Not a test: the program of the next one. It serves, and has much to do after that.
#[tokio::test]
async fn serves_and_then_goes_on() {
    if std::env::var_os(PROGRAM).is_none() {
        return;
    }
    let server = Server::new(Router::new()).prefix("http://127.0.0.1:0/").provider(Provider::embedded());
    server.on_ready(|_| println!("\nready")).run().await.unwrap();
    println!("\nstopped");
    // If no signal ends it, it ends by itself, with another code.
    tokio::time::sleep(Duration::from_secs(20)).await;
}

#[test]
fn a_second_signal_ends_a_program_whose_server_has_stopped() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "serves_and_then_goes_on", "--nocapture"]).env(PROGRAM, "1").stdout(Stdio::piped());
    let mut program = command.spawn().unwrap();
    let mut output = BufReader::new(program.stdout.take().unwrap()).lines();
    let pid = Pid::from_child(&program);
    for said in ["ready", "stopped"] {
        assert!(output.any(|line| line.unwrap() == said), "{said}");
        kill_process(pid, Signal::TERM).unwrap();
    }
    assert_eq!(program.wait().unwrap().code(), Some(128 + 15));
}
