//! What may run out: open files, the disk of the logs; and the time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use narthex_host::Examined;
use narthex_host::config::{ConfigError, default_logs};
use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use super::host::Running;
use super::kernel::Kernel;

/// A descriptor for each client, and for each worker of each app.
const OPEN_FILES: u64 = 65_536;
/// A busy host writes some gigabytes a day.
const LITTLE: u64 = 1 << 30;
const NONE: u64 = 64 << 20;
/// This program is younger: 2026 began then.
const PAST: u64 = 1_767_225_600;

/// The host's own limit, or what one would have that this user starts. It raises its soft limit by itself.
pub(super) fn open_files(kernel: &Kernel, running: &Running) -> Finding {
    let of_host =
        running.as_ref().ok().and_then(|answers| kernel.read(&Path::new(&answers.state.pid.to_string()).join("limits")));
    let of_host = of_host.as_deref().and_then(hard_limit);
    of_limit(of_host.unwrap_or_else(|| getrlimit(Resource::Nofile).maximum))
}

/// As `/proc/PID/limits` has it. The inner `None`: there is none.
fn hard_limit(limits: &str) -> Option<Option<u64>> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(None),
        most => most.parse().ok().map(Some),
    }
}

fn of_limit(most: Option<u64>) -> Finding {
    const CHECK: &str = "open files";
    match most {
        None => Finding::good(CHECK, "no limit"),
        Some(most) if most >= OPEN_FILES => Finding::good(CHECK, format!("up to {most}")),
        Some(most) => {
            let remedy = "echo '* hard nofile 524288' | sudo tee /etc/security/limits.d/narthex.conf, and log in again; a service \
                          has LimitNOFILE= in its unit";
            Finding::warning(CHECK, format!("up to {most}: each client is one"), remedy)
        }
    }
}

pub(super) fn disk(running: &Running, examined: &Result<Examined, ConfigError>) -> Finding {
    const CHECK: &str = "disk of the logs";
    let asked = running.as_ref().ok().map(|answers| &answers.state.log_directory).filter(|directory| !directory.is_empty());
    let asked = asked.map(PathBuf::from);
    let configured = examined.as_ref().ok().and_then(|examined| examined.logs.clone());
    let directory = asked.or(configured).unwrap_or_else(default_logs);
    // The host makes what is missing of it.
    let Some(present) = directory.ancestors().find(|place| place.exists()) else {
        return Finding::skipped(CHECK, format!("{} cannot be looked at", directory.display()));
    };
    match rustix::fs::statvfs(present) {
        Ok(disk) => of_free(CHECK, &directory, disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => Finding::skipped(CHECK, format!("{}: {error}", directory.display())),
    }
}

fn of_free(check: &'static str, directory: &Path, free: u64) -> Finding {
    let found = format!("{} MiB free for {}", free >> 20, directory.display());
    let remedy = format!("du -sh {}; narthex show setting tells of log_directory", directory.display());
    match free {
        free if free < NONE => Finding::failure(check, format!("{found}: lines will be lost"), remedy),
        free if free < LITTLE => Finding::warning(check, found, remedy),
        _ => Finding::good(check, found),
    }
}

/// Certificates, caches and logs go by it.
#[expect(clippy::disallowed_methods, reason = "certificates end by the wall clock")]
pub(super) fn clock() -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let synchronised = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|said| said.status.success())
        .map(|said| said.stdout.starts_with(b"yes"));
    of_clock(now, synchronised)
}

fn of_clock(now: u64, synchronised: Option<bool>) -> Finding {
    const CHECK: &str = "clock";
    const REMEDY: &str = "sudo timedatectl set-ntp true";
    match synchronised {
        _ if now < PAST => Finding::failure(CHECK, "it is in the past: no certificate is valid yet", REMEDY),
        Some(true) => Finding::good(CHECK, "set by the network's time"),
        Some(false) => {
            Finding::warning(CHECK, "nobody sets it: certificates seem expired, or not valid yet, when it is wrong", REMEDY)
        }
        None => Finding::skipped(CHECK, "timedatectl does not say whether it is set by the network's time"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn few_open_files_are_a_warning() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 20000                files\n";
        assert_eq!(hard_limit(limits), Some(Some(20_000)));
        assert_eq!(hard_limit(""), None);
        let state = |most| of_limit(most).state;
        assert_eq!((state(Some(20_000)), state(Some(524_288)), state(None)), (State::Warning, State::Good, State::Good));
    }

    #[test]
    fn a_disk_that_fills_up_is_told_of_in_time() {
        let state = |free| of_free("disk", Path::new("/var/log/narthex"), free).state;
        assert_eq!((state(10 << 30), state(500 << 20), state(1 << 20)), (State::Good, State::Warning, State::Failure));
    }

    #[test]
    fn a_clock_in_the_past_is_a_failure_whoever_sets_it() {
        assert_eq!(of_clock(0, Some(true)).state, State::Failure);
        assert_eq!(of_clock(PAST + 1, Some(true)).state, State::Good);
        assert_eq!(of_clock(PAST + 1, Some(false)).state, State::Warning);
        assert_eq!(of_clock(PAST + 1, None).state, State::Skipped);
    }
}
