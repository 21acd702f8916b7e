//! Everything the benchmark starts: the programs it builds, and the ones that have to be installed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::options::Options;
use super::subjects::Subject;
use crate::system;

/// The profile everything is built with; `bench/peers` has one of the same name.
const PROFILE: &str = "bench-dist";

/// A program of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Program {
    /// A binary of `bench/peers`.
    Peer(&'static str),
    /// A binary of Narthex's own workspace.
    Narthex {
        package: &'static str,
        binary: &'static str,
    },
    Nginx,
}

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Binaries {
    peers: PathBuf,
    narthex: PathBuf,
    nginx: Option<PathBuf>,
    wrk: PathBuf,
}

impl Binaries {
    /// Builds and finds all that `subjects` need; the error says what is missing.
    pub(super) fn prepare(subjects: &[Subject], options: &Options) -> Result<Self> {
        let programs: BTreeSet<Program> = subjects.iter().flat_map(Subject::programs).collect();
        let installed = |program, package| system::ensure(program, package).map_err(anyhow::Error::msg);
        for program in ["taskset", "setpriv"] {
            installed(program, "util-linux")?;
        }
        let wrk = if options.rounds > 0 { installed("wrk", "wrk")? } else { PathBuf::new() };
        if options.callgrind {
            installed("valgrind", "valgrind")?;
            installed("strace", "strace")?;
        }
        let nginx = programs.contains(&Program::Nginx).then(|| installed("nginx", "nginx-light")).transpose()?;

        let target = system::target_directory();
        let binaries = Self { peers: target.join("bench-peers").join(PROFILE), narthex: target.join(PROFILE), nginx, wrk };
        build_peers(&programs, &target.join("bench-peers"))?;
        build_narthex(&programs)?;
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
            Program::Peer(binary) => self.peers.join(binary),
            Program::Narthex { binary, .. } => self.narthex.join(binary),
            Program::Nginx => self.nginx.clone().unwrap_or_default(),
        }
    }

    /// The load generator; only there if there is load to generate.
    pub(super) fn wrk(&self) -> &Path {
        &self.wrk
    }

    pub(super) fn nginx(&self) -> Option<&Path> {
        self.nginx.as_deref()
    }
}

/// Where the peers are declared.
pub(super) fn peers_directory() -> PathBuf {
    system::root().join("bench/peers")
}

fn build_peers(programs: &BTreeSet<Program>, target: &Path) -> Result<()> {
    let mut command = system::cargo();
    command
        .args(["build", "--quiet", "--locked", "--profile", PROFILE])
        .arg("--manifest-path")
        .arg(peers_directory().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target);
    let mut names = Vec::new();
    for program in programs {
        if let Program::Peer(binary) = program {
            command.args(["--bin", binary]);
            names.push(*binary);
        }
    }
    build(command, &names)
}

fn build_narthex(programs: &BTreeSet<Program>) -> Result<()> {
    let mut command = system::cargo();
    command.args(["build", "--quiet", "--profile", PROFILE]);
    let mut names = Vec::new();
    for program in programs {
        if let Program::Narthex { package, binary } = program {
            command.args(["--package", package, "--bin", binary]);
            names.push(*binary);
        }
    }
    build(command, &names)
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
