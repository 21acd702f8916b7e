//! The service as Windows' service control manager has it. Where nobody may make services, that is what `install` says.
#![cfg(windows)]
#![allow(clippy::disallowed_methods, reason = "it waits for Windows, which no clock of a test moves")]

use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn typed(verb: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ping-service")).arg(verb).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Removes the service whatever becomes of the test.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        typed("stop");
        typed("uninstall");
    }
}

#[test]
fn a_service_is_installed_started_stopped_and_removed() {
    assert_eq!(typed("status").status.code(), Some(4), "{}", said(&typed("status")));
    let installed = typed("install");
    if said(&installed).contains("Run as administrator") {
        assert!(!installed.status.success());
        return;
    }
    let _installed = Installed;
    assert!(installed.status.success(), "{}", said(&installed));
    assert!(typed("install").status.success(), "again is no error");
    assert_eq!(typed("status").status.code(), Some(3), "{}", said(&typed("status")));
    let started = typed("start");
    assert!(started.status.success(), "{}", said(&started));
    let until = Instant::now() + Duration::from_secs(30);
    while typed("status").status.code() != Some(0) {
        assert!(Instant::now() < until, "{}", said(&typed("status")));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(typed("stop").status.success());
    let removed = typed("uninstall");
    assert!(removed.status.success(), "{}", said(&removed));
    assert_eq!(typed("status").status.code(), Some(4), "{}", said(&typed("status")));
}
