//! How many files each process of a run may have open: every connection is one.

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for 100 000 connections in one process, at two files each.
const WANTED: u64 = 262_144;

/// What a process has open besides connections.
const APART: u64 = 500;

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
