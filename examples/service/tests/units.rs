//! The unit that `install` writes, as systemd itself judges it.
#![cfg(target_os = "linux")]

use std::io::ErrorKind;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ping-service");

fn unit(arguments: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let printed = Command::new(PROGRAM).args(["install", "--print"]).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(printed.status.success(), "{printed:?}");
    std::fs::write(directory.path().join("ping-service.service"), printed.stdout).unwrap();
    directory
}

/// Runs systemd's own check. `None`: this machine has none.
fn analyze(arguments: &[&str], units: &TempDir) -> Option<Output> {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(arguments).arg("./ping-service.service").current_dir(units.path()).env("XDG_RUNTIME_DIR", units.path());
    match analyze.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        output => Some(output.unwrap()),
    }
}

#[test]
fn systemd_finds_no_fault_with_the_unit_whatever_the_arguments_are() {
    for (arguments, whose) in [
        (&["--", "http://+:80/ping/"][..], "--system"),
        (&["--", "a b", "$HOME", "50%", "say \"hi\"", "back\\slash", ""], "--system"),
        (&["--user"], "--user"),
    ] {
        let units = unit(arguments);
        let Some(verified) = analyze(&["verify", whose, "--man=no"], &units) else { return };
        assert!(verified.status.success() && verified.stderr.is_empty(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

#[test]
fn an_app_is_exposed_to_little() {
    // Tenths of systemd's figure, which is 9.6 for a service without a sandbox.
    let Some(judged) = analyze(&["security", "--offline=true", "--threshold=20"], &unit(&[])) else { return };
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
}
