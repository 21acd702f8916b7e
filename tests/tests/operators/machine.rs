//! A host with a configuration of its own, apps of any user, and the command that operators type.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use narthex_tests::process::{app_program, narthex_program};
use narthex_tests::{Client, PATIENCE, Process, Response};
use tempfile::TempDir;

/// Who runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// How a command ended and what it said.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// What a command printed that did its work.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// What a command complained of that the host refused.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{}", self.err);
        self.err
    }
}

/// A directory with a host in it.
pub(crate) struct Machine {
    pub(crate) host: Process,
    arguments: Vec<String>,
    directory: TempDir,
}

impl Machine {
    /// A host on 127.0.0.1, with the defaults.
    pub(crate) fn new() -> Self {
        Self::with("", &["--listen", "127.0.0.1"])
    }

    /// A host with this configuration file, and these arguments beside its places.
    pub(crate) fn with(config: &str, arguments: &[&str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        // Other users are to find the host's socket.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("the directory is ours");
        symlink(narthex_program(), directory.path().join("narthex")).expect("a link can be made");
        if !config.is_empty() {
            fs::write(directory.path().join("narthex.toml"), config).expect("a file can be written");
        }
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let host = start(directory.path(), &arguments);
        Self { host, arguments, directory }
    }

    /// Starts the host again, after it was ended in any way.
    pub(crate) fn restart(&mut self) {
        self.host = start(self.directory.path(), &self.arguments);
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("host.sock")
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("narthex.toml")
    }

    /// Replaces the configuration as an editor does.
    pub(crate) fn edit(&self, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.config()).unwrap_or_default();
        fs::write(self.config(), change(text)).expect("the file can be written");
    }

    /// Runs `narthex` with the words of `line`.
    pub(crate) fn narthex(&self, line: &str) -> Said {
        said(self.operator(narthex_program()).args(line.split_whitespace()))
    }

    /// As `narthex`, as another user.
    pub(crate) fn narthex_as(&self, account: Account, line: &str) -> Said {
        let (file, path) = for_everybody(narthex_program());
        let said = said(self.operator(path).args(line.split_whitespace()).uid(account.uid).gid(account.gid));
        drop(file);
        said
    }

    /// Runs a script in which `narthex` is the command and asks this host.
    pub(crate) fn sh(&self, script: &str) -> Said {
        said(self.operator("sh").args(["-ec", script]))
    }

    fn operator(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:{}", self.directory.path().display(), std::env::var("PATH").unwrap_or_default());
        command.env("PATH", path).env("NARTHEX_HOST", self.socket()).env_remove("NARTHEX_CONFIG").current_dir("/");
        command
    }

    /// Starts an app of this user and waits until it serves.
    pub(crate) fn app(&self, prefixes: &[&str]) -> App {
        self.try_app(None, prefixes).unwrap_or_else(|log| panic!("{prefixes:?}: {log}"))
    }

    /// As `app`, as another user; what it printed if it ended instead.
    pub(crate) fn try_app(&self, account: Option<Account>, prefixes: &[&str]) -> Result<App, String> {
        self.try_app_with(account, prefixes, &[])
    }

    /// As `try_app`, with further arguments.
    pub(crate) fn try_app_with(&self, account: Option<Account>, prefixes: &[&str], more: &[&str]) -> Result<App, String> {
        let (file, path) = for_everybody(&app_program());
        let mut command = self.operator(path);
        command.args(["--provider", "shared", "--host-socket"]).arg(self.socket());
        command.args(prefixes.iter().flat_map(|prefix| ["--prefix", prefix])).args(more);
        if let Some(account) = account {
            command.uid(account.uid).gid(account.gid);
        }
        let mut process = Process::start("app", &mut command);
        drop(file);
        match process.try_line("ready ", PATIENCE) {
            Ok(ready) => Ok(App { _process: process, address: address_of(&ready) }),
            Err("ended") => {
                process.wait(PATIENCE);
                Err(process.log())
            }
            Err(problem) => panic!("{prefixes:?} {problem}: {}", process.log()),
        }
    }

    /// Waits until the host has logged a line with `text`.
    pub(crate) fn logged(&self, text: &str) -> String {
        let find = || self.host.log().lines().find(|line| line.contains(text)).map(str::to_owned);
        eventually(&format!("{text:?} in the host's log"), find)
    }
}

fn start(directory: &Path, arguments: &[String]) -> Process {
    let mut command = Command::new(narthex_program());
    command.arg("host").arg("--socket").arg(directory.join("host.sock")).args(["--workers", "2", "--shared"]);
    command.args(arguments).env_remove("NARTHEX_CONFIG").env("NO_COLOR", "1");
    let mut host = Process::start("host", &mut command);
    host.line("ready ");
    host
}

/// A program for users who may not enter the directory that it is in: by its descriptor, which the child has until it has
/// become the program. Elsewhere than on Linux the path has to do.
fn for_everybody(program: &Path) -> (File, PathBuf) {
    let file = File::open(program).expect("the program is there");
    let path = match cfg!(target_os = "linux") {
        true => format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
        false => program.to_owned(),
    };
    (file, path)
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the command prints text");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A running app.
pub(crate) struct App {
    _process: Process,
    /// Where clients reach its first prefix.
    pub(crate) address: SocketAddr,
}

impl App {
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address).expect("the host accepts connections")
    }

    /// The status of `GET target`, asked on a connection of its own.
    pub(crate) fn status(&self, target: &str) -> u16 {
        get(&mut self.connect(), target).status
    }
}

fn address_of(ready: &str) -> SocketAddr {
    let authority = ready.split(['/', ' ']).nth(2).unwrap_or_default();
    let port = authority.rsplit(':').next().and_then(|port| port.parse().ok());
    SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_else(|| panic!("no port in {ready:?}"))))
}

/// Asks on a connection and reads the whole answer.
#[track_caller]
pub(crate) fn get(client: &mut Client, target: &str) -> Response {
    request(client, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

/// Sends a whole request and reads the whole answer.
#[track_caller]
pub(crate) fn request(client: &mut Client, request: &str) -> Response {
    client.send(request.as_bytes()).expect("the host reads");
    client.response(false).unwrap_or_else(|error| panic!("{:?}: {error}", request.lines().next()))
}

/// Waits until there is something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
