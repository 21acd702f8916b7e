//! Where a run took place and with which versions: what a reader needs to repeat it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::binaries::{Binaries, node_directory, peers_directory, tls_directory, websocket_directory};
use super::counters::Counters;
use super::emulated;
use super::options::{Compared, Options};
use crate::system;

/// The peers' crates whose versions matter.
const CRATES: [&str; 7] = ["actix-web", "axum", "hyper", "may", "may_minihttp", "rustix", "tokio"];

/// Those of the TLS peer.
const TLS_CRATES: [&str; 6] = ["aws-lc-rs", "h2", "h3", "quinn", "rustls", "tokio-rustls"];

/// Those of the WebSocket peers.
const WEBSOCKET_CRATES: [&str; 7] = ["actix-web", "actix-ws", "axum", "fastwebsockets", "hyper", "tokio", "tokio-tungstenite"];

#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    /// `YYYY-MM-DD`, UTC.
    pub(super) date: String,
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    /// Of the minute before the run: anything near 1 or above is somebody else's work.
    pub(super) load_average: String,
    pub(super) command: String,
    /// Name and version.
    pub(super) versions: Vec<(String, String)>,
    /// Why there are no instruction counts, if there are none.
    pub(super) no_instructions: Option<String>,
}

pub(super) fn describe(binaries: &Binaries, counters: &Counters, options: &Options) -> Result<Machine> {
    // An emulated machine is described by who has booted it.
    if options.in_guest {
        return Ok(Machine::default());
    }
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut versions = vec![("Narthex".to_owned(), commit()), ("rustc".to_owned(), first_line("rustc", &["--version"]))];
    let websocket = options.compared == Compared::WebSocket;
    let (directory, crates) = if websocket { (websocket_directory(), WEBSOCKET_CRATES) } else { (peers_directory(), CRATES) };
    let path = directory.join("Cargo.lock");
    let lock = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    for name in crates {
        let version = locked(&lock, name).unwrap_or("unknown");
        versions.push((name.to_owned(), version.to_owned()));
    }
    if let Some(nginx) = binaries.nginx() {
        versions.push(named("nginx", first_line(nginx, &["-v"])));
    }
    if let Some(node) = binaries.node() {
        versions.push(("Node".to_owned(), first_line(node, &["--version"])));
        let package = fs::read_to_string(node_directory().join("node_modules/ws/package.json")).unwrap_or_default();
        let version = package.lines().find_map(|line| line.trim().strip_prefix("\"version\": \"")).unwrap_or("unknown");
        versions.push(("ws".to_owned(), version.trim_end_matches(['"', ',']).to_owned()));
    }
    if options.compared == Compared::Tls {
        versions.push(named("OpenSSL", first_line("openssl", &["version"])));
        let lock = fs::read_to_string(tls_directory().join("Cargo.lock")).context("bench/tls has no Cargo.lock")?;
        for name in TLS_CRATES {
            versions.push((name.to_owned(), locked(&lock, name).unwrap_or("unknown").to_owned()));
        }
    }
    if let Some(h2load) = binaries.h2load() {
        versions.push(named("h2load", first_line(h2load, &["--version"])));
    }
    if options.rounds > 0 && !websocket {
        versions.push(named("wrk", first_line(binaries.wrk(), &["-v"])));
    }
    if options.emulated {
        versions.push(named("QEMU", first_line(emulated::QEMU, &["--version"])));
        let kernel = emulated::kernel_version().unwrap_or_else(|| "unknown".to_owned());
        versions.push(("emulated kernel".to_owned(), kernel));
    }
    if options.callgrind {
        let valgrind = first_line("valgrind", &["--version"]);
        versions.push(named("valgrind", valgrind));
        versions.push(named("strace", first_line("strace", &["-V"])));
    }
    Ok(Machine {
        date: first_line("date", &["-u", "+%F"]),
        cpu: cpu.to_owned(),
        cores: std::thread::available_parallelism()?.get(),
        kernel: first_line("uname", &["-srm"]),
        load_average: load.split(' ').next().unwrap_or_default().to_owned(),
        command: options.command.clone(),
        versions,
        no_instructions: match counters {
            Counters::Supported => None,
            Counters::Unsupported { reason } => Some(reason.clone()),
        },
    })
}

/// The first line a program prints, on whichever stream: versions are printed on both.
fn first_line(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let output = Command::new(program.as_ref()).args(arguments).current_dir(system::root()).output();
    let Ok(output) = output else {
        return "unknown".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

/// A version without the words around it: `nginx version: nginx/1.22.1` and `rustc 1.95.0 (...)` say it in their own ways.
fn named(name: &str, line: String) -> (String, String) {
    let version = line
        .split(|character: char| character.is_whitespace() || matches!(character, '/' | '-'))
        .find(|word| word.starts_with(|character: char| character.is_ascii_digit()));
    let version = version.unwrap_or(&line).to_owned();
    (name.to_owned(), version)
}

fn commit() -> String {
    let mut commit = first_line("git", &["rev-parse", "--short", "HEAD"]);
    let unchanged = Command::new("git")
        .args(["diff", "--quiet", "HEAD", "--", "crates", "bench/app"])
        .current_dir(system::root())
        .status()
        .is_ok_and(|status| status.success());
    if !unchanged {
        commit.push_str(" with changes");
    }
    commit
}

/// The version of a package in a Cargo.lock; of the newest if there are several.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = lock.lines();
    let mut found = None;
    while let Some(line) = lines.next() {
        if line.strip_prefix("name = ").map(|rest| rest.trim_matches('"')) == Some(name) {
            let version = lines.next()?.strip_prefix("version = ")?;
            found = Some(version.trim_matches('"'));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_a_program_says_about_itself() {
        let version = |line: &str| named("x", line.to_owned()).1;
        assert_eq!(version("nginx version: nginx/1.22.1"), "1.22.1");
        assert_eq!(version("wrk debian/4.1.0-3+b2 [epoll]"), "4.1.0");
        assert_eq!(version("valgrind-3.19.0"), "3.19.0");
    }

    #[test]
    fn a_version_is_found_by_the_whole_name_of_its_package() {
        let lock =
            "[[package]]\nname = \"may_minihttp\"\nversion = \"0.1.11\"\n\n[[package]]\nname = \"may\"\nversion = \"0.3.51\"\n";
        assert_eq!(locked(lock, "may"), Some("0.3.51"));
        assert_eq!(locked(lock, "mio"), None);
    }
}
