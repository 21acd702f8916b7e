//! The host as a service manager runs it: what it is told, and the sockets that it passes.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Far more than anything needs: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place for a host, and what listens to it as systemd does.
struct Manager {
    directory: TempDir,
    notify: UnixDatagram,
}

struct Host(Child);

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let notify = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { directory, notify }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// A program with the environment of a service.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("NOTIFY_SOCKET", self.path("notify")).env("NARTHEX_CONFIG", self.path("narthex.toml"));
        command.env_remove("WATCHDOG_PID").env_remove("LISTEN_PID").stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn host(&self) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_narthex"));
        command.args(["host", "--workers", "2", "--socket", &self.path("host.sock")]);
        command
    }

    /// The next message.
    fn told(&self) -> String {
        let mut message = [0; 1024];
        let length = self.notify.recv(&mut message).expect("a message in time");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }
}

impl Host {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id().cast_signed()).unwrap(), signal).unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn narthex(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_narthex")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_host_tells_when_it_is_ready_reads_its_configuration_and_stops() {
    let manager = Manager::new();
    let mut host = Host(manager.host().spawn().unwrap());
    assert_eq!(manager.told(), "READY=1\n");
    assert!(narthex(&["show", "iplisten", "--socket", &manager.path("host.sock")]).status.success(), "it is ready");
    host.signal(Signal::HUP);
    let told = manager.told();
    assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
    assert_eq!(manager.told(), "READY=1\n");
    host.signal(Signal::TERM);
    // What requests have, and what closing has.
    assert_eq!(manager.told(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\n");
    assert!(host.0.wait().unwrap().success());
}

#[test]
fn a_host_that_cannot_start_is_never_ready() {
    let manager = Manager::new();
    fs::write(manager.path("narthex.toml"), "nonsense = 1\n").unwrap();
    let output = manager.host().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nonsense"), "{output:?}");
    manager.notify.set_nonblocking(true).unwrap();
    assert_eq!(manager.notify.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn the_watchdog_of_a_host_is_told_that_its_threads_turn() {
    let manager = Manager::new();
    let _host = Host(manager.host().env("WATCHDOG_USEC", "1000000").spawn().unwrap());
    assert_eq!(manager.told(), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(manager.told(), "WATCHDOG=1\n");
    }
}

/// A host that is passed a control socket and a port, as descriptors 3 and 4. `systemd-socket-activate` does the same.
fn activated(manager: &Manager, control: UnixListener, port: TcpListener, arguments: &str) -> Host {
    let mut command = manager.command("sh");
    let program = env!("CARGO_BIN_EXE_narthex");
    let socket = manager.path("host.sock");
    let script = format!(
        "exec 3<&0 4<&1 0</dev/null 1>/dev/null; LISTEN_FDS=2 LISTEN_PID=$$ exec '{program}' host --socket '{socket}' {arguments}"
    );
    command.args(["-c", &script]).stdin(OwnedFd::from(control)).stdout(OwnedFd::from(port));
    Host(command.stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn a_host_serves_on_sockets_that_were_open_before_it_and_leaves_them() {
    let manager = Manager::new();
    let control = UnixListener::bind(manager.path("host.sock")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    // Before there is a host, and for as long as this one is held, nobody else could open the port.
    let waiting = TcpStream::connect(address).unwrap();
    let kept = port.try_clone().unwrap();
    let mut host = activated(&manager, control, port, &format!("--dashboard http://{address}/"));
    assert_eq!(manager.told(), "READY=1\n");
    assert!(narthex(&["show", "iplisten", "--socket", &manager.path("host.sock")]).status.success());
    let ask = |mut client: TcpStream| {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(client, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        line
    };
    assert!(ask(waiting).starts_with("HTTP/1.1 200"));
    assert!(ask(TcpStream::connect(address).unwrap()).starts_with("HTTP/1.1 200"));
    host.signal(Signal::TERM);
    host.0.wait().unwrap();
    assert!(fs::exists(manager.path("host.sock")).unwrap(), "its file belongs to who has opened it");
    drop(TcpStream::connect(address).unwrap());
    drop(kept);
}

#[test]
fn a_port_that_is_passed_for_both_families_is_not_taken_and_the_log_says_how_to_pass_it() {
    let Ok(port) = TcpListener::bind("[::]:0") else { return };
    if rustix::net::sockopt::ipv6_v6only(&port) != Ok(false) {
        return;
    }
    let manager = Manager::new();
    let control = UnixListener::bind(manager.path("host.sock")).unwrap();
    let mut host = activated(&manager, control, port, "");
    assert_eq!(manager.told(), "READY=1\n");
    host.signal(Signal::TERM);
    let mut said = String::new();
    host.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("BindIPv6Only=ipv6-only"), "{said}");
}

#[test]
fn installing_can_be_looked_at_without_doing_it() {
    for (arguments, parts) in [
        (vec!["host", "install", "--print"], ["User=narthex", "ListenStream=/run/narthex/host.sock"]),
        (vec!["host", "install", "--print", "--user"], ["WantedBy=default.target", "ListenStream=%t/narthex/host.sock"]),
    ] {
        let printed = narthex(&arguments);
        let text = String::from_utf8(printed.stdout).unwrap();
        let started = format!("ExecStart={} host", env!("CARGO_BIN_EXE_narthex"));
        assert!(printed.status.success() && text.contains(&started), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

/// Runs systemd's own check of a unit file. `None`: this machine has none.
fn analyze(arguments: &[&str], directory: &Path) -> Option<Output> {
    let analyze = Command::new("systemd-analyze")
        .args(arguments)
        .current_dir(directory)
        .env("XDG_RUNTIME_DIR", directory)
        .stdin(Stdio::null())
        .output();
    match analyze {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        output => Some(output.unwrap()),
    }
}

/// Writes the units that would be installed, with this program in them.
fn printed_units(arguments: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let printed = narthex(&[&["host", "install", "--print"], arguments].concat());
    let text = String::from_utf8(printed.stdout).unwrap();
    for unit in text.split("# --- ").skip(1) {
        let (name, text) = unit.split_once('\n').unwrap();
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    for (arguments, whose) in [(&[][..], "--system"), (&["--user"], "--user")] {
        let units = printed_units(arguments);
        let verify = ["verify", whose, "--man=no", "./narthex.service", "./narthex.socket"];
        let Some(verified) = analyze(&verify, units.path()) else { return };
        assert!(verified.status.success() && verified.stderr.is_empty(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

#[test]
fn the_service_is_exposed_to_little() {
    let units = printed_units(&[]);
    // Tenths of systemd's figure, which is 9.6 for a service without a sandbox.
    let security = ["security", "--offline=true", "--threshold=20", "./narthex.service"];
    let Some(judged) = analyze(&security, units.path()) else { return };
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
}
