//! How many files each process of a run may have open: every connection is one.

use std::fs;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::interrupt;

/// Enough for 100 000 connections in one process, at two files each.
const WANTED: u64 = 262_144;

/// What a process has open besides connections.
const APART: u64 = 500;

/// A server may keep so many that it has opened, such as connections to what is behind it.
const KEPT: usize = 100;

/// A server that takes longer to close connections goes on with them.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many files `processes` have open.
pub(super) fn open_files(processes: &[u32]) -> Result<usize> {
    let counts = processes.iter().map(|id| Ok(fs::read_dir(format!("/proc/{id}/fd"))?.count()));
    counts.sum()
}

/// Waits until `processes` have closed what they did not have open when it was `before`: ten thousand connections of one run and as many
/// of the next are more than a process may have.
pub(super) fn await_closed(processes: &[u32], before: usize) -> Result<()> {
    let closed = || Ok((open_files(processes)? <= before + KEPT).then_some(()));
    interrupt::poll(PATIENCE, Duration::from_millis(50), closed).map(drop)
}

/// Raises the limit of this process and of all that it starts as far as it may, and returns how many connections that allows at a time.
pub(super) fn raise(least: usize) -> Result<usize> {
    let allowed = getrlimit(Resource::Nofile).maximum;
    if allowed.is_some_and(|maximum| maximum < WANTED) {
        // Only with CAP_SYS_RESOURCE. Without, there may be fewer at a time.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(WANTED), maximum: Some(WANTED) });
    }
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum })?;
    let connections = usize::try_from(current.saturating_sub(APART))?;
    if connections < least {
        bail!(
            "{least} connections need {} open files per process, and here only {} are allowed: raise the hard limit (as root `ulimit -Hn {WANTED}` \
             in the shell that runs this, `LimitNOFILE=` for a service, `nofile` in /etc/security/limits.conf for a user)",
            least as u64 + APART,
            current
        );
    }
    Ok(connections)
}
