//! Programs under test, and the little HTTP that talking to them takes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take. Far more than it needs: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(20);

/// A running `narthex`, killed when it goes out of scope.
pub(crate) struct Program {
    child: Child,
    /// Its temporary files are in here, and go even if it was killed.
    _directory: TempDir,
    lines: Receiver<String>,
    log: Arc<Mutex<String>>,
    readers: [JoinHandle<()>; 2],
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let mut child = Command::new(env!("CARGO_BIN_EXE_narthex"))
            .args(arguments)
            .env("TMPDIR", directory.path())
            // Never this machine's own.
            .env("NARTHEX_CONFIG", directory.path().join("narthex.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("narthex can be started");
        let (sender, lines) = channel();
        let log = Arc::new(Mutex::new(String::new()));
        let readers = [
            collect(child.stdout.take().unwrap(), Arc::clone(&log), Some(sender)),
            collect(child.stderr.take().unwrap(), Arc::clone(&log), None),
        ];
        Self { child, _directory: directory, lines, log, readers }
    }

    /// Waits for a line on standard output that has `part` in it.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(_) => panic!("no line with {part:?}; its output:\n{}", self.log()),
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// As Ctrl-C or an operator would.
    pub(crate) fn terminate(&self) {
        signal(self.child.id().into(), Signal::TERM);
    }

    /// As an operator who has edited the configuration.
    pub(crate) fn hang_up(&self) {
        signal(self.child.id().into(), Signal::HUP);
    }

    /// As a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        for _ in 0..patience.as_millis() / STEP.as_millis() {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it said last may still be on its way here.
                wait_until("its output ends with it", || self.readers.iter().all(JoinHandle::is_finished));
                return status;
            }
            thread::sleep(STEP);
        }
        panic!("it still runs after {patience:?}; its output:\n{}", self.log());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(from: impl Read + Send + 'static, log: Arc<Mutex<String>>, to: Option<Sender<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
            if let Some(to) = &to {
                // Nobody may be waiting for lines any more.
                let _ = to.send(line);
            }
        }
    })
}

/// Runs `narthex` to its end.
pub(crate) fn output(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_narthex")).args(arguments).output().expect("narthex can be started")
}

/// `kill -9`.
pub(crate) fn kill(pid: u64) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u64, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("the process can be signalled");
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        if is_so() {
            return;
        }
        thread::sleep(STEP);
    }
    panic!("in vain: {what}");
}

/// A response whose body ended with the connection.
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(crate) fn get(port: u16, target: &str) -> Reply {
    request(port, "GET", target, &[], &[])
}

pub(crate) fn request(port: u16, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer comes");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("the answer has a head");
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).expect("the head is text");
    let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("the answer has a status");
    Reply { status, head, body }
}
