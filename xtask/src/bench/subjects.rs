//! What is measured: for each subject the processes to start, in order, and when each of them is ready.

use std::ffi::OsStr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::binaries::{Binaries, Program};
use super::process::{ProcessGroup, pinned};
use super::tls::{Identity, TLS_LOAD};
use super::websocket::WEBSOCKET_LOAD;
use super::{SERVER_CORE, binaries, client, files, interrupt, load, nginx, patience};

/// The names budgets and ratios refer to.
pub(super) mod name {
    pub(crate) const BARE: &str = "bare epoll loop";
    pub(crate) const AXUM: &str = "axum::serve";
    pub(crate) const ACTIX: &str = "actix-web";
    pub(crate) const NGINX_TCP: &str = "nginx -> axum::serve (TCP)";
    pub(crate) const NGINX_UNIX: &str = "nginx -> axum::serve (Unix)";
    pub(crate) const EMBEDDED_RAW: &str = "narthex embedded (raw handler)";
    pub(crate) const EMBEDDED_AXUM: &str = "narthex embedded (axum)";
    pub(crate) const SHARED_RAW: &str = "narthex shared (raw handler)";
    pub(crate) const SHARED_AXUM: &str = "narthex shared (axum)";
    pub(crate) const CACHED: &str = "narthex shared (cache hit)";
}

/// Groups are what `--only` selects besides single subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Narthex,
    Peers,
    /// What `--knobs` compares.
    Knobs,
}

impl Group {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Narthex => "narthex",
            Self::Peers => "peers",
            Self::Knobs => "knobs",
        }
    }
}

/// One server, or several that answer together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) group: Group,
    /// Every request comes on a connection of its own.
    pub(super) fresh: bool,
    pub(super) steps: &'static [Step],
}

/// One process, started when the one before it is ready.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A program told to listen with `--port N`.
    Port(&'static str),
    /// `axum-serve` behind nginx, on a Unix socket or on a port of its own.
    UpstreamUnix,
    UpstreamTcp,
    NginxAlone,
    NginxToUnix,
    NginxToTcp,
    NarthexHost,
    /// A host with this in its configuration file.
    NarthexHostWith(&'static str),
    /// The benchmark's app in this mode, with these further arguments.
    NarthexApp(&'static str, &'static [&'static str]),
    /// The rest answers by TLS. `axum-tls` is the peer.
    AxumTls,
    NginxTls,
    NginxTlsToTcp,
    NarthexTlsHost,
    NarthexTlsApp(&'static str),
    /// A program of `bench/websocket` told to listen with `--port N`. The rest answers by WebSocket.
    WebSocketPeer(&'static str),
    /// The same behind nginx, on a port of its own.
    WebSocketUpstream(&'static str),
    NginxWebSocketToTcp,
    /// Answers with a file of its directory.
    NginxFiles,
    /// The benchmark's files in this mode, with these further arguments.
    NarthexFiles(&'static str, &'static [&'static str]),
    /// A script of `bench/websocket/node` told to listen with `--port N`.
    NodePeer(&'static str),
    /// The benchmark's hubs in this mode, with these further arguments.
    NarthexHub(&'static str, &'static [&'static str]),
    NarthexTlsHub(&'static str),
}

/// What else looks at the servers while they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    No,
    /// Each process leaves `callgrind.PID` in the subject's directory.
    Callgrind,
    /// Each started program leaves `strace.N`.
    Strace,
}

/// For `GLIBC_TUNABLES`: an emulated CPU counts `rep stosb` and `rep movsb` once per byte, hardware once. With this the C library uses
/// vector loops instead.
pub(super) const VECTOR_LOOPS: &str = "glibc.cpu.x86_rep_stosb_threshold=1073741824:glibc.cpu.x86_rep_movsb_threshold=1073741824";

const HOST: Program = Program::Narthex { package: "narthex-cli", binary: "narthex" };
const APP: Program = Program::Narthex { package: "narthex-bench-app", binary: "narthex-bench-app" };

const SUBJECTS: [Subject; 13] = [
    peer(name::BARE, &[Step::Port("bare-epoll")]),
    narthex(name::EMBEDDED_RAW, &[Step::NarthexApp("embedded-raw", &[])]),
    narthex(name::EMBEDDED_AXUM, &[Step::NarthexApp("embedded-axum", &[])]),
    narthex(name::SHARED_RAW, &[Step::NarthexHost, Step::NarthexApp("shared-raw", &[])]),
    narthex(name::SHARED_AXUM, &[Step::NarthexHost, Step::NarthexApp("shared-axum", &[])]),
    narthex(name::CACHED, &[Step::NarthexHost, Step::NarthexApp("shared-cached", &[])]),
    peer("may_minihttp", &[Step::Port("may-hello")]),
    peer("hyper", &[Step::Port("hyper-hello")]),
    peer(name::ACTIX, &[Step::Port("actix-hello")]),
    peer(name::AXUM, &[Step::Port("axum-serve")]),
    peer("nginx return 200", &[Step::NginxAlone]),
    peer(name::NGINX_TCP, &[Step::UpstreamTcp, Step::NginxToTcp]),
    peer(name::NGINX_UNIX, &[Step::UpstreamUnix, Step::NginxToUnix]),
];

const fn peer(name: &'static str, steps: &'static [Step]) -> Subject {
    Subject { name, group: Group::Peers, fresh: false, steps }
}

const fn narthex(name: &'static str, steps: &'static [Step]) -> Subject {
    Subject { name, group: Group::Narthex, fresh: false, steps }
}

pub(super) fn all() -> &'static [Subject] {
    &SUBJECTS
}

/// Those of `all` whose name or group contains one of `patterns` (lower case), or all without patterns.
pub(super) fn select(all: &[Subject], patterns: &[String]) -> Result<Vec<Subject>> {
    let matches = |subject: &Subject, pattern: &String| {
        // A whole name means that subject alone, also where it is a part of other names.
        if all.iter().any(|subject| subject.name.eq_ignore_ascii_case(pattern)) {
            return subject.name.eq_ignore_ascii_case(pattern);
        }
        subject.name.to_lowercase().contains(pattern) || subject.group.name() == pattern
    };
    if let Some(pattern) = patterns.iter().find(|pattern| !all.iter().any(|subject| matches(subject, pattern))) {
        bail!("no subject matches --only {pattern}; `cargo xtask bench --list` names them all");
    }
    let selected = all.iter().filter(|subject| patterns.is_empty() || patterns.iter().any(|pattern| matches(subject, pattern)));
    Ok(selected.copied().collect())
}

/// Where the processes of one start find each other.
struct Place<'a> {
    directory: &'a Path,
    port: u16,
    upstream_port: u16,
    /// What servers of TLS show.
    identity: Option<&'a Identity>,
}

/// How one process is started and recognised as ready.
struct Launch {
    program: Program,
    arguments: Vec<String>,
    ready: Ready,
}

enum Ready {
    Http(u16),
    Https(u16),
    WebSocket(u16),
    SecureWebSocket(u16),
    Unix(PathBuf),
}

impl Step {
    fn program(self) -> Program {
        match self {
            Self::Port(binary) => Program::Peer(binary),
            Self::UpstreamUnix | Self::UpstreamTcp => Program::Peer("axum-serve"),
            Self::AxumTls => Program::Tls("axum-tls"),
            Self::WebSocketPeer(binary) | Self::WebSocketUpstream(binary) => Program::WebSocket(binary),
            Self::NodePeer(_) => Program::Node,
            Self::NginxAlone
            | Self::NginxToUnix
            | Self::NginxToTcp
            | Self::NginxTls
            | Self::NginxTlsToTcp
            | Self::NginxFiles
            | Self::NginxWebSocketToTcp => Program::Nginx,
            Self::NarthexHost | Self::NarthexHostWith(_) | Self::NarthexTlsHost => HOST,
            Self::NarthexFiles(..)
            | Self::NarthexApp(..)
            | Self::NarthexTlsApp(_)
            | Self::NarthexHub(..)
            | Self::NarthexTlsHub(_) => APP,
        }
    }

    /// What serves WebSockets, as opposed to what stands in front of it.
    fn is_websocket_app(self) -> bool {
        matches!(
            self,
            Self::WebSocketPeer(_)
                | Self::WebSocketUpstream(_)
                | Self::NodePeer(_)
                | Self::NarthexHub(..)
                | Self::NarthexTlsHub(_)
        )
    }

    fn launch(self, place: &Place<'_>) -> Result<Launch> {
        let socket = |name: &str| place.directory.join(name);
        let text = |path: &Path| path.display().to_string();
        let nginx = |answer| nginx::configure(place.directory, place.port, &answer, None);
        let nginx_tls = |answer| nginx::configure(place.directory, place.port, &answer, Some(place.identity()?));
        let upstream = format!("127.0.0.1:{}", place.upstream_port);
        let https = Ready::Https(place.port);
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let port = place.port.to_string();
        let here = Ready::Http(place.port);
        let websocket = Ready::WebSocket(place.port);
        let (arguments, ready) = match self {
            Self::Port(_) => (words(&["--port", &port]), here),
            Self::WebSocketPeer(_) => (words(&["--port", &port]), websocket),
            Self::WebSocketUpstream(_) => {
                let port = place.upstream_port;
                (words(&["--port", &port.to_string()]), Ready::WebSocket(port))
            }
            Self::NodePeer(script) => {
                let script = binaries::node_directory().join(script);
                (words(&[&text(&script), "--port", &port]), websocket)
            }
            Self::NginxWebSocketToTcp => (nginx(nginx::Answer::WebSocket(upstream))?, websocket),
            Self::UpstreamUnix => {
                let path = socket("upstream.sock");
                (words(&["--unix", &text(&path)]), Ready::Unix(path))
            }
            Self::UpstreamTcp => {
                let port = place.upstream_port;
                (words(&["--port", &port.to_string()]), Ready::Http(port))
            }
            Self::NginxAlone => (nginx(nginx::Answer::Itself)?, here),
            Self::NginxToUnix => {
                let server = format!("unix:{}", text(&socket("upstream.sock")));
                (nginx(nginx::Answer::Proxy(server))?, here)
            }
            Self::NginxToTcp => (nginx(nginx::Answer::Proxy(upstream))?, here),
            Self::NginxTls => (nginx_tls(nginx::Answer::Itself)?, https),
            Self::NginxTlsToTcp => (nginx_tls(nginx::Answer::Proxy(upstream))?, https),
            Self::AxumTls => {
                let mut arguments = words(&["--port", &port]);
                arguments.extend(place.identity()?.arguments());
                (arguments, https)
            }
            Self::NarthexHost | Self::NarthexHostWith(_) | Self::NarthexTlsHost => {
                let configuration = match self {
                    Self::NarthexHostWith(configuration) => configuration.to_owned(),
                    Self::NarthexTlsHost => place.identity()?.binding(place.port),
                    _ => String::new(),
                };
                std::fs::write(socket("narthex.toml"), configuration).context("cannot write the host's configuration")?;
                let path = socket("host.sock");
                let arguments = words(&["host", "--socket", &text(&path), "--workers", "1"]);
                (arguments, Ready::Unix(path))
            }
            Self::NarthexApp(mode, further) => (place.app(mode, further), here),
            Self::NginxFiles => {
                files::file_in(place.directory)?;
                (nginx(nginx::Answer::Files)?, here)
            }
            Self::NarthexFiles(mode, further) => {
                files::file_in(place.directory)?;
                let mut arguments = place.app(mode, further);
                arguments.extend(["--directory".to_owned(), text(place.directory)]);
                (arguments, here)
            }
            Self::NarthexHub(mode, further) => (place.app(mode, further), websocket),
            Self::NarthexTlsApp(mode) => (place.tls_app(mode)?, https),
            Self::NarthexTlsHub(mode) => (place.tls_app(mode)?, Ready::SecureWebSocket(place.port)),
        };
        Ok(Launch { program: self.program(), arguments, ready })
    }
}

impl Place<'_> {
    /// The arguments of the benchmark's app.
    fn app(&self, mode: &str, further: &[&str]) -> Vec<String> {
        let port = self.port.to_string();
        let mut arguments: Vec<String> = [mode, "--port", &port].iter().chain(further).map(|&word| word.to_owned()).collect();
        if mode.starts_with("shared") {
            arguments.extend(["--host-socket".to_owned(), self.directory.join("host.sock").display().to_string()]);
        }
        arguments
    }

    /// The same for what answers by TLS. Behind a host, the host has the certificate.
    fn tls_app(&self, mode: &str) -> Result<Vec<String>> {
        let mut arguments = self.app(mode, &["--https"]);
        if !mode.starts_with("shared") {
            arguments.extend(self.identity()?.arguments());
        }
        Ok(arguments)
    }

    fn identity(&self) -> Result<&Identity> {
        self.identity.context("a server of TLS needs a certificate")
    }
}

/// A started subject; its processes end with it.
#[derive(Debug)]
pub(super) struct Running {
    /// Where it answers `GET /`.
    pub(super) port: u16,
    groups: Vec<ProcessGroup>,
    /// By which step and command line each group was started.
    launched: Vec<(Step, PathBuf, Vec<String>)>,
    directory: TempDir,
    watched: Watched,
    /// What looks whether servers of TLS answer, and those of WebSocket.
    tls_load: PathBuf,
    websocket_load: PathBuf,
}

impl Subject {
    pub(super) fn programs(&self) -> impl Iterator<Item = Program> {
        self.steps.iter().map(|step| step.program())
    }

    /// Starts every process in turn and waits until the subject gives the right answer.
    pub(super) fn start(&self, binaries: &Binaries, watched: &Watched) -> Result<Running> {
        self.start_showing(None, binaries, watched)
    }

    /// As [`start`](Self::start), for servers of TLS: with this certificate.
    pub(super) fn start_showing(&self, identity: Option<&Identity>, binaries: &Binaries, watched: &Watched) -> Result<Running> {
        let directory = tempfile::Builder::new().prefix("narthex-bench-").tempdir()?;
        let [port, upstream_port] = free_ports()?;
        let mut running = Running {
            port,
            groups: Vec::new(),
            launched: Vec::new(),
            directory,
            watched: *watched,
            tls_load: binaries.path(TLS_LOAD),
            websocket_load: binaries.path(WEBSOCKET_LOAD),
        };
        for (index, step) in self.steps.iter().enumerate() {
            let directory = running.directory.path();
            let launch = step.launch(&Place { directory, port, upstream_port, identity })?;
            let program = binaries.path(launch.program);
            let mut command = pinned(SERVER_CORE);
            match watched {
                Watched::No => {}
                Watched::Callgrind => {
                    let output = directory.join("callgrind.%p");
                    command.env("GLIBC_TUNABLES", VECTOR_LOOPS);
                    command.args(["valgrind", "--tool=callgrind"]);
                    command.arg(format!("--callgrind-out-file={}", output.display()));
                }
                Watched::Strace => {
                    command.args(["strace", "-f", "-c", "-qq", "-o"]);
                    command.arg(directory.join(format!("strace.{index}")));
                }
            }
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            let log = directory.join(format!("{index}.log"));
            command.arg(&program).args(&launch.arguments);
            let group = ProcessGroup::start(&name, command, &log)?;
            running.groups.push(group);
            running.launched.push((*step, program, launch.arguments));
            running.wait(&launch.ready)?;
        }
        Ok(running)
    }
}

impl Running {
    /// Waits until the newest process is ready.
    fn wait(&mut self, ready: &Ready) -> Result<()> {
        let limit = patience(&self.watched);
        let mut last = "no attempt".to_owned();
        let answered = interrupt::poll(limit, Duration::from_millis(20), || {
            for group in &mut self.groups {
                group.check_running()?;
            }
            let attempt = match ready {
                Ready::Http(port) => client::hello(*port),
                Ready::Https(port) => check(&self.tls_load, *port, "h1").map(drop),
                Ready::WebSocket(port) => echoes(&self.websocket_load, *port, &[]),
                Ready::SecureWebSocket(port) => echoes(&self.websocket_load, *port, &["--tls"]),
                Ready::Unix(path) => UnixStream::connect(path).map(drop).map_err(Into::into),
            };
            if let Err(error) = &attempt {
                last = format!("{error:#}");
            }
            Ok(attempt.ok())
        })?;
        answered.with_context(|| {
            let words = self.groups.last().map(ProcessGroup::last_words);
            format!("not ready after {} s: {last}; its output: {}", limit.as_secs(), words.unwrap_or_default())
        })
    }

    /// All server processes.
    pub(super) fn processes(&self) -> Result<Vec<u32>> {
        let mut all = Vec::new();
        for group in &self.groups {
            all.extend(group.processes()?);
        }
        Ok(all)
    }

    /// The processes of each started program, with its name.
    pub(super) fn programs(&self) -> Result<Vec<(String, Vec<u32>)>> {
        self.groups.iter().map(|group| Ok((group.name().to_owned(), group.processes()?))).collect()
    }

    /// Kills the app of WebSockets, or the last of several, and starts it anew without waiting until it is ready.
    pub(super) fn restart_app(&mut self) -> Result<()> {
        let index = self.launched.iter().rposition(|(step, ..)| step.is_websocket_app()).context("no app of WebSockets")?;
        let (Some(group), Some((_, program, arguments))) = (self.groups.get_mut(index), self.launched.get(index)) else {
            bail!("an app that was not started");
        };
        let mut command = pinned(SERVER_CORE);
        command.arg(program).args(arguments);
        group.kill()?;
        *group = ProcessGroup::start(group.name(), command, &self.directory.path().join(format!("{index}.again.log")))?;
        Ok(())
    }

    /// Where the processes keep their files; gone with `self`.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Stops in reverse order. An error if a process had ended before, or does not end.
    pub(super) fn stop(&mut self) -> Result<()> {
        let patience = patience(&self.watched);
        for group in &mut self.groups {
            group.check_running()?;
        }
        for group in self.groups.iter_mut().rev() {
            group.stop(patience)?;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Apps before the host they need, proxies before their upstream.
        while self.groups.pop().is_some() {}
    }
}

/// What a client negotiates by `protocol` (`h1`, `h2` or `h3`): an error unless the server gives the right answer.
pub(super) fn check(checker: impl AsRef<OsStr>, port: u16, protocol: &str) -> Result<String> {
    let mut command = load::command(None);
    command.arg(checker).args(["check", "--port", &port.to_string(), "--protocol", protocol]);
    Ok(load::complete("tls-load", command, 20)?.trim().to_owned())
}

/// An error unless the server echoes a message.
fn echoes(checker: &Path, port: u16, further: &[&str]) -> Result<()> {
    let mut command = load::command(None);
    command.arg(checker).args(["check", "--port", &port.to_string()]).args(further);
    load::complete("ws-load", command, 20).map(drop)
}

/// Two ports nobody listens on. Somebody could take them meanwhile; then the start fails and says so.
fn free_ports() -> Result<[u16; 2]> {
    let first = std::net::TcpListener::bind("127.0.0.1:0")?;
    let second = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok([first.local_addr()?.port(), second.local_addr()?.port()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_selects_by_name_or_by_group_and_an_unknown_one_is_an_error() {
        let names = |pattern: &str| -> Vec<&str> {
            let selected = select(all(), &[pattern.to_owned()]).unwrap();
            selected.iter().map(|subject| subject.name).collect()
        };
        assert_eq!(names("may"), ["may_minihttp"]);
        assert_eq!(names("axum::serve"), ["axum::serve"]);
        assert_eq!(names("narthex").len(), 5);
        assert_eq!(names("peers").len(), 8);
        assert!(select(all(), &["apache".to_owned()]).is_err());
    }
}
