//! What a service manager is told, by a program that is started as one would: with `NOTIFY_SOCKET` in its environment.
#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Far more than anything needs: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

struct Service {
    process: Child,
    manager: UnixDatagram,
    _directory: TempDir,
}

impl Service {
    /// Starts it on this port, as its service manager does.
    fn start(port: u16, watchdog: Option<Duration>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ping-service"));
        command.arg(format!("http://127.0.0.1:{port}/ping/")).env("NOTIFY_SOCKET", socket);
        // Never the machine's own host.
        command.env("NARTHEX_HOST", directory.path().join("none"));
        if let Some(limit) = watchdog {
            command.env("WATCHDOG_USEC", limit.as_micros().to_string());
        }
        let process = command.stderr(Stdio::piped()).spawn().unwrap();
        Self { process, manager, _directory: directory }
    }

    /// The next message. `None`: it ended without one.
    fn told(&self) -> Option<String> {
        let mut message = [0; 1024];
        match self.manager.recv(&mut message) {
            Ok(length) => Some(String::from_utf8(message[..length].to_vec()).unwrap()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next message that is no ping.
    fn told_besides_pings(&self) -> String {
        loop {
            let told = self.told().expect("a message in time");
            if told != "WATCHDOG=1\n" {
                return told;
            }
        }
    }

    fn terminate(&self) {
        kill_process(Pid::from_raw(self.process.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    }

    fn end(&mut self) -> (ExitStatus, String) {
        let status = self.process.wait().unwrap();
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn ask(port: u16, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(client, "GET /ping/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    client
}

#[test]
fn a_service_is_ready_when_its_port_is_open_and_tells_that_it_stops() {
    let port = free_port();
    let mut service = Service::start(port, None);
    assert_eq!(service.told_besides_pings(), "READY=1\n");
    let mut answer = String::new();
    ask(port, "").read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("pong\n"), "{answer}");
    service.terminate();
    // The server's shutdown timeout, and what closing takes.
    assert_eq!(service.told_besides_pings(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=10000000\n");
    assert!(service.end().0.success());
}

#[test]
fn a_service_whose_prefix_is_refused_is_never_ready_and_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut service = Service::start(taken.local_addr().unwrap().port(), None);
    let (status, said) = service.end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("the port is taken by"), "{said}");
    service.manager.set_nonblocking(true).unwrap();
    assert_eq!(service.told(), None);
}

#[test]
fn the_watchdog_is_told_as_long_as_every_worker_turns() {
    let port = free_port();
    let limit = Duration::from_secs(2);
    let mut service = Service::start(port, Some(limit));
    assert_eq!(service.told_besides_pings(), "READY=1\n");
    for _ in 0..4 {
        assert_eq!(service.told().as_deref(), Some("WATCHDOG=1\n"));
    }
    let _client = ask(port, "hang");
    // What was said before the worker hung may still come; then there is a silence for as long as a manager would wait.
    service.manager.set_read_timeout(Some(limit)).unwrap();
    let mut late = 0;
    while let Some(told) = service.told() {
        assert_eq!(told, "WATCHDOG=1\n");
        late += 1;
        assert!(late < 20, "a worker hangs, and the watchdog is told that all is well");
    }
    service.process.kill().unwrap();
}
