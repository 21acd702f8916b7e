//! A host, and `narthex run` behind it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use narthex_tests::client::{Client, Response};
use narthex_tests::process::narthex_program;
use narthex_tests::secure::free_port;
use narthex_tests::{Host, Process};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const NODE: [&str; 2] = ["node", "server.js"];
pub(crate) const PYTHON: [&str; 2] = ["python3", "server.py"];

/// Where the programs are.
pub(crate) fn programs() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests are in the workspace").join("examples/any-program")
}

/// What there is. The programs are stopped before the host.
pub(crate) struct Stage {
    pub(crate) run: Process,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) directory: TempDir,
}

impl Stage {
    /// One program at `/blog/`.
    pub(crate) fn start(options: &[&str], command: &[&str]) -> Self {
        let stage = Self::start_without_waiting(options, command);
        stage.until_served("/blog/");
        stage
    }

    pub(crate) fn start_without_waiting(options: &[&str], command: &[&str]) -> Self {
        let port = free_port();
        let prefix = format!("http://127.0.0.1:{port}/blog/");
        let cwd = programs();
        let mut arguments = vec!["--prefix", &prefix, "--name", "blog"];
        if !options.contains(&"--cwd") {
            arguments.extend(["--cwd", cwd.to_str().expect("the path is text")]);
        }
        arguments.extend(options);
        arguments.push("--");
        arguments.extend(command);
        let directory = TempDir::new().expect("a temporary directory can be made");
        Self::run(directory, port, &arguments)
    }

    /// The programs of this file, in which PORT and PROGRAMS are filled in.
    pub(crate) fn configured(toml: &str) -> Self {
        let (directory, port) = (TempDir::new().expect("a temporary directory can be made"), free_port());
        let file = directory.path().join("apps.toml");
        write_programs(&file, port, toml);
        Self::run(directory, port, &["--config", file.to_str().expect("the path is text")])
    }

    fn run(directory: TempDir, port: u16, arguments: &[&str]) -> Self {
        let host = Host::start(directory.path());
        let mut command = Command::new(narthex_program());
        command.args(["run", "--socket"]).arg(host.socket()).args(arguments);
        Self { run: Process::start("run", &mut command), host, port, directory }
    }

    /// Writes the file anew.
    pub(crate) fn configure(&self, toml: &str) {
        write_programs(&self.directory.path().join("apps.toml"), self.port, toml);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn get(&self, target: &str) -> Response {
        get(self.address(), target)
    }

    /// Whether there is an answer of 200. The port is open only while somebody has it.
    pub(crate) fn answers(&self, target: &str) -> bool {
        Client::connect(self.address()).is_ok() && self.get(target).status == 200
    }

    pub(crate) fn until_served(&self, path: &str) {
        self.until(|| self.answers(&format!("{path}whoami")));
    }

    /// What a program says of itself.
    pub(crate) fn whoami(&self, path: &str) -> Value {
        let response = self.get(&format!("{path}whoami"));
        assert_eq!(response.status, 200, "{}\n{}", response.text(), self.run.log());
        serde_json::from_slice(&response.body).expect("the program answers in JSON")
    }

    /// The process that answers at a path.
    pub(crate) fn pid(&self, path: &str) -> Pid {
        pid(&self.whoami(path))
    }

    pub(crate) fn until(&self, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "it does not come to that:\n{}", self.run.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn until_logged(&self, text: &str) {
        self.until(|| self.run.log().contains(text));
    }

    /// Sends `narthex run` a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let run = i32::try_from(self.run.id()).ok().and_then(Pid::from_raw).expect("it has an id");
        kill_process(run, signal).expect("it runs");
    }

    /// Asks again and again, from several threads, until told to stop.
    pub(crate) fn load(&self, target: &'static str) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let address = self.address();
        let client = |_| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                let mut bad = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let response = get(address, target);
                    if response.status == 200 {
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        bad.push(format!("{} {}", response.status, response.text()));
                    }
                }
                bad
            })
        };
        let clients = (0..4).map(client).collect();
        Load { stop, answered, clients }
    }
}

/// Clients who ask all the time.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Waits until so many more were answered.
    pub(crate) fn goes_on(&self, more: usize) {
        let (start, deadline) = (self.answered.load(Ordering::Relaxed), Instant::now() + PATIENCE);
        while self.answered.load(Ordering::Relaxed) < start + more {
            assert!(Instant::now() < deadline, "clients get no answers");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it: every request was answered as it should be.
    pub(crate) fn nothing_was_lost(self) {
        self.stop.store(true, Ordering::Relaxed);
        let bad: Vec<_> = self.clients.into_iter().flat_map(|client| client.join().expect("clients do not panic")).collect();
        assert!(bad.is_empty(), "{} were answered, and {} not: {bad:?}", self.answered.load(Ordering::Relaxed), bad.len());
    }
}

fn write_programs(file: &Path, port: u16, toml: &str) {
    let programs = programs();
    let toml = toml.replace("PORT", &port.to_string()).replace("PROGRAMS", programs.to_str().expect("the path is text"));
    std::fs::write(file, toml).expect("the file can be written");
}

pub(crate) fn get(address: SocketAddr, target: &str) -> Response {
    ask(address, &format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

pub(crate) fn ask(address: SocketAddr, request: &str) -> Response {
    let mut client = Client::connect(address).expect("the host accepts");
    client.send(request.as_bytes()).expect("the request can be sent");
    client.response_within(false, PATIENCE).expect("it is answered")
}

pub(crate) fn pid(whoami: &Value) -> Pid {
    let id = whoami["process"].as_i64().and_then(|id| i32::try_from(id).ok());
    id.and_then(Pid::from_raw).expect("the program tells its process")
}

pub(crate) fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).expect("the process runs");
}

/// Whether a process runs. A zombie has ended; only its parent has not looked yet.
pub(crate) fn is_alive(pid: Pid) -> bool {
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    test_kill_process(pid).is_ok() && stat().is_ok_and(|stat| !stat.contains(") Z "))
}
