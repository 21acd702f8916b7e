//! Child processes: started with their output captured, waited for, and never left behind.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to start or to stop.
const START: Duration = Duration::from_secs(30);

/// A running program; killed when it goes out of scope, also when a test panics.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    // A lock, so that threads can share what owns a process.
    lines: Mutex<Receiver<String>>,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a program.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let kept = Arc::clone(&log);
        let out = collect(name, stdout, move |line| {
            keep(&kept, line);
            // Nobody may be waiting for lines any more.
            let _ = sender.send(line.to_owned());
        });
        let kept = Arc::clone(&log);
        let err = collect(name, stderr, move |line| keep(&kept, line));
        Self { name: name.to_owned(), child, lines: Mutex::new(lines), log, readers: vec![out, err] }
    }

    /// Waits for a line on standard output that starts with `prefix` and returns the rest of it.
    ///
    /// # Panics
    /// When the process ends or the line does not come.
    pub fn line(&mut self, prefix: &str) -> String {
        self.try_line(prefix, START)
            .unwrap_or_else(|problem| panic!("{} {problem} before it printed {prefix:?}; its output:\n{}", self.name, self.log()))
    }

    /// As `line`, but says what went wrong instead of panicking.
    ///
    /// # Errors
    /// When the process ends or the line does not come within `wait`.
    pub fn try_line(&mut self, prefix: &str, wait: Duration) -> Result<String, &'static str> {
        let deadline = Instant::now() + wait;
        loop {
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return Ok(rest.trim().to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err("took too long"),
                Err(RecvTimeoutError::Disconnected) => return Err("ended"),
            }
        }
    }

    /// Everything it has printed.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as an operator would.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops it from running, as a debugger or a sleeping laptop does (`SIGSTOP`), and waits until all of its threads stand.
    ///
    /// # Panics
    /// When they do not.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.id());
        let stands = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = task.and_then(|task| std::fs::read_to_string(task.path().join("stat"))).unwrap_or_default();
            // The state follows the name, which is in parentheses.
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        };
        let deadline = Instant::now() + START;
        while !std::fs::read_dir(&tasks).is_ok_and(|mut tasks| tasks.all(stands)) {
            assert!(Instant::now() < deadline, "{} does not stop", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets it run on after `pause`.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it as a crash would (`kill -9`) and waits until it is gone.
    pub fn crash(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within `wait`.
    pub fn wait(&mut self, wait: Duration) -> ExitStatus {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                // What it printed last is to be in the log.
                self.readers.drain(..).for_each(|reader| reader.join().expect("a reader does not panic"));
                return status;
            }
            assert!(Instant::now() < deadline, "{} still runs after {wait:?}; its output:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The most memory it ever had resident, in bytes (`VmHWM`).
    ///
    /// # Panics
    /// When it has ended, or the system does not tell.
    pub fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM is there");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("VmHWM is a number");
        kib * 1024
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It may have ended by itself, and its id is still ours until it is waited for.
        let _ = kill_process(pid.expect("a child has a process id"), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() && !self.log().is_empty() {
            eprintln!("--- output of {}:\n{}---", self.name, self.log());
        }
    }
}

fn keep(log: &Mutex<String>, line: &str) {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.push_str(line);
    log.push('\n');
}

fn collect(name: &str, source: impl Read + Send + 'static, mut each: impl FnMut(&str) + Send + 'static) -> JoinHandle<()> {
    let name = name.to_owned();
    let show = std::env::var_os("NARTHEX_SHOW_LOGS").is_some();
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            if show {
                eprintln!("[{name}] {line}");
            }
            each(&line);
        }
    })
}

/// The app under test, which cargo builds for this package's integration tests.
pub fn app_program() -> PathBuf {
    built().join("narthex-test-app")
}

/// The `narthex` command: what `NARTHEX_BIN` names, else freshly built beside this test.
///
/// # Panics
/// When it cannot be built.
pub fn narthex_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("NARTHEX_BIN") {
        Some(given) => given.into(),
        None => build("narthex-cli", "narthex"),
    })
}

/// A program of another package of the workspace: the one beside this test, built if there is none.
///
/// # Panics
/// When it cannot be built.
pub fn built_program(package: &str, program: &str) -> PathBuf {
    let there = built().join(program);
    if there.is_file() { there } else { build(package, program) }
}

fn build(package: &str, program: &str) -> PathBuf {
    let directory = built();
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    // Test processes that get here together wait for each other at cargo's own lock.
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", package, "--profile", profile, "--target-dir"])
        .arg(directory.parent().expect("a profile's directory is in a target directory"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo can be started");
    assert!(status.success(), "{program} does not build");
    directory.join(program)
}

/// The directory of this profile's programs: the parent of the one that the test's own program is in.
fn built() -> PathBuf {
    let this = std::env::current_exe().expect("a test knows where it is");
    let deps = this.parent().expect("a program is in a directory");
    deps.parent().expect("test programs are in a profile's directory").to_path_buf()
}
