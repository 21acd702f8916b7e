//! Everything the benchmark starts: the programs it builds, and the ones that have to be installed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::emulated;
use super::options::{Compared, Options};
use super::subjects::Subject;
use super::tls::TLS_LOAD;
use super::websocket::WEBSOCKET_LOAD;
use crate::system;

/// The profile everything is built with; `bench/peers` has one of the same name.
const PROFILE: &str = "bench-dist";

/// A program of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Program {
    /// A binary of `bench/peers`.
    Peer(&'static str),
    /// A binary of `bench/tls`.
    Tls(&'static str),
    /// A binary of `bench/websocket`.
    WebSocket(&'static str),
    /// A binary of Narthex's own workspace.
    Narthex {
        package: &'static str,
        binary: &'static str,
    },
    Nginx,
    /// What runs the scripts of [`node_directory`].
    Node,
}

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Binaries {
    peers: PathBuf,
    narthex: PathBuf,
    nginx: Option<PathBuf>,
    node: Option<PathBuf>,
    wrk: PathBuf,
    h2load: Option<PathBuf>,
}

impl Binaries {
    /// Builds and finds all that `subjects` need; the error says what is missing.
    pub(super) fn prepare(subjects: &[Subject], options: &Options) -> Result<Self> {
        let mut programs: BTreeSet<Program> = subjects.iter().flat_map(Subject::programs).collect();
        programs.extend(load_generator(options.compared));
        let [tls, websocket] = [Compared::Tls, Compared::WebSocket].map(|compared| options.compared == compared);
        let installed = |program, package| system::ensure(program, package).map_err(anyhow::Error::msg);
        for program in ["taskset", "setpriv"] {
            installed(program, "util-linux")?;
        }
        let wrk = if options.rounds > 0 && !websocket { installed("wrk", "wrk")? } else { PathBuf::new() };
        if options.callgrind {
            installed("valgrind", "valgrind")?;
            installed("strace", "strace")?;
        }
        if options.emulated {
            emulated::install()?;
        }
        let h2load = (tls && options.rounds > 0).then(|| installed("h2load", "nghttp2-client")).transpose()?;
        let nginx = programs.contains(&Program::Nginx).then(|| installed("nginx", "nginx-light")).transpose()?;
        let node = programs.contains(&Program::Node).then(|| installed("node", "nodejs")).transpose()?;

        let target = system::target_directory();
        let binaries =
            Self { peers: target.join("bench-peers").join(PROFILE), narthex: target.join(PROFILE), nginx, node, wrk, h2load };
        // What the guest of an emulated machine runs was built outside.
        if !options.in_guest {
            build_peers(&programs, &target.join("bench-peers"))?;
            build_tls(&programs, &target.join("bench-peers"))?;
            build_websocket(&programs, &target.join("bench-peers"))?;
            build_narthex(&programs)?;
            if programs.contains(&Program::Node) {
                install_node_packages(&installed("npm", "npm")?)?;
            }
        }
        for program in programs {
            let path = binaries.path(program);
            if !path.is_file() {
                bail!("the build left no {}", path.display());
            }
        }
        Ok(binaries)
    }

    pub(super) fn path(&self, program: Program) -> PathBuf {
        match program {
            Program::Peer(binary) | Program::Tls(binary) | Program::WebSocket(binary) => self.peers.join(binary),
            Program::Narthex { binary, .. } => self.narthex.join(binary),
            Program::Nginx => self.nginx.clone().unwrap_or_default(),
            Program::Node => self.node.clone().unwrap_or_default(),
        }
    }

    /// All that starting `subject` and sending it a fixed number of requests takes.
    pub(super) fn files(&self, subject: &Subject, compared: Compared) -> Vec<PathBuf> {
        subject.programs().chain(load_generator(compared)).map(|program| self.path(program)).collect()
    }

    /// The load generator of HTTP/1.1; only there if there is such load to generate.
    pub(super) fn wrk(&self) -> &Path {
        &self.wrk
    }

    /// The load generator of HTTP/2; only there for TLS.
    pub(super) fn h2load(&self) -> Option<&Path> {
        self.h2load.as_deref()
    }

    pub(super) fn nginx(&self) -> Option<&Path> {
        self.nginx.as_deref()
    }

    pub(super) fn node(&self) -> Option<&Path> {
        self.node.as_deref()
    }
}

/// The load generator that is built, for those that have one.
fn load_generator(compared: Compared) -> Option<Program> {
    match compared {
        Compared::Tls => Some(TLS_LOAD),
        Compared::WebSocket => Some(WEBSOCKET_LOAD),
        Compared::Peers | Compared::Knobs | Compared::Files => None,
    }
}

/// Where the peers are declared.
pub(super) fn peers_directory() -> PathBuf {
    system::root().join("bench/peers")
}

/// Where the TLS peer and the load generator are declared.
pub(super) fn tls_directory() -> PathBuf {
    system::root().join("bench/tls")
}

/// Where the scripts of Node are run, beside the packages that they need.
pub(super) fn node_directory() -> PathBuf {
    system::target_directory().join("bench-node")
}

/// Where the WebSocket peers are declared.
pub(super) fn websocket_directory() -> PathBuf {
    system::root().join("bench/websocket")
}

fn build_peers(programs: &BTreeSet<Program>, target: &Path) -> Result<()> {
    let binaries = programs.iter().filter_map(|program| match program {
        Program::Peer(binary) => Some(*binary),
        _ => None,
    });
    build_apart(&peers_directory(), binaries.collect(), target)
}

fn build_tls(programs: &BTreeSet<Program>, target: &Path) -> Result<()> {
    let binaries = programs.iter().filter_map(|program| match program {
        Program::Tls(binary) => Some(*binary),
        _ => None,
    });
    build_apart(&tls_directory(), binaries.collect(), target)
}

fn build_websocket(programs: &BTreeSet<Program>, target: &Path) -> Result<()> {
    let binaries = programs.iter().filter_map(|program| match program {
        Program::WebSocket(binary) => Some(*binary),
        _ => None,
    });
    build_apart(&websocket_directory(), binaries.collect(), target)
}

/// Builds in a workspace that is not Narthex's.
fn build_apart(directory: &Path, binaries: Vec<&str>, target: &Path) -> Result<()> {
    let mut command = system::cargo();
    command
        .args(["build", "--quiet", "--locked", "--profile", PROFILE])
        .arg("--manifest-path")
        .arg(directory.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target);
    for binary in &binaries {
        command.args(["--bin", binary]);
    }
    build(command, &binaries)
}

/// The load generator by itself: its features of shared dependencies are not for the servers.
fn build_narthex(programs: &BTreeSet<Program>) -> Result<()> {
    let (load, servers): (Vec<Program>, Vec<Program>) = programs.iter().partition(|program| **program == WEBSOCKET_LOAD);
    for programs in [servers, load] {
        let mut command = system::cargo();
        command.args(["build", "--quiet", "--profile", PROFILE]);
        let mut names = Vec::new();
        for program in programs {
            if let Program::Narthex { package, binary } = program {
                command.args(["--package", package, "--bin", binary]);
                names.push(binary);
            }
        }
        build(command, &names)?;
    }
    Ok(())
}

/// Nothing of it is kept in the repository but what is needed, and in which version.
fn install_node_packages(npm: &Path) -> Result<()> {
    let (from, to) = (websocket_directory().join("node"), node_directory());
    std::fs::create_dir_all(&to)?;
    let wanted = std::fs::read(from.join("package.json"))?;
    let installed = to.join("node_modules").is_dir() && std::fs::read(to.join("package.json")).is_ok_and(|have| have == wanted);
    for entry in std::fs::read_dir(&from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    if installed {
        return Ok(());
    }
    println!("installing the packages of bench/websocket/node");
    let mut command = Command::new(npm);
    command.args(["install", "--silent", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&to);
    let status = command.status().context("cannot start npm")?;
    if !status.success() {
        bail!("npm cannot install what bench/websocket/node/package.json names ({status}); `--only` selects other subjects");
    }
    Ok(())
}

fn build(mut command: Command, names: &[&str]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let names = names.join(", ");
    println!("building {names}");
    let status = command.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("cannot build {names} (cargo's message is above); `--only` selects other subjects");
    }
    Ok(())
}
