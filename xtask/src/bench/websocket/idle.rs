//! What a connection that does nothing takes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::WEBSOCKET_LOAD;
use crate::bench::binaries::Binaries;
use crate::bench::process::ProcessGroup;
use crate::bench::subjects::Running;
use crate::bench::{interrupt, load};

pub(super) const CONNECTIONS: usize = 10_000;

/// Bytes of resident memory per connection, of all server processes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Idle {
    pub(super) subject: &'static str,
    pub(super) round: u32,
    /// After the handshake.
    pub(super) open: f64,
    /// After one message of 1 KiB came and went back.
    pub(super) used: f64,
}

/// Opens [`CONNECTIONS`] to a server that was just started.
pub(super) fn measure(subject: &'static str, round: u32, running: &Running, binaries: &Binaries) -> Result<Idle> {
    let before = resident(running)?;
    let mut command = load::command(None);
    command.arg(binaries.path(WEBSOCKET_LOAD)).args(["idle", "--port", &running.port.to_string()]);
    command.args(["--connections", &CONNECTIONS.to_string()]);
    let mut clients = ProcessGroup::start("ws-load", command, &running.directory().join("idle.log"))?;
    let mut grown_when = |word| -> Result<f64> {
        let limit = Duration::from_secs(60);
        let said = interrupt::poll(limit, Duration::from_millis(20), || {
            clients.check_running()?;
            Ok(clients.output()?.contains(word).then_some(()))
        })?;
        said.with_context(|| format!("{CONNECTIONS} connections were not {word} within {} s", limit.as_secs()))?;
        // What the server has yet to do, and to give back.
        std::thread::sleep(Duration::from_secs(1));
        Ok((resident(running)? - before) / CONNECTIONS as f64)
    };
    let idle = Idle { subject, round, open: grown_when("open")?, used: grown_when("used")? };
    clients.stop(Duration::from_secs(5))?;
    Ok(idle)
}

impl Idle {
    /// For the terminal while the run goes on.
    pub(super) fn line(&self) -> String {
        format!(
            "{:<32} {CONNECTIONS} idle connections: {:.0} B each, {:.0} B after a message",
            self.subject, self.open, self.used
        )
    }
}

/// VmRSS of all server processes, in bytes.
fn resident(running: &Running) -> Result<f64> {
    let mut sum = 0.0;
    for process in running.processes()? {
        let status =
            fs::read_to_string(format!("/proc/{process}/status")).with_context(|| format!("server process {process} is gone"))?;
        sum += kibibytes(&status).context("/proc/PID/status has no VmRSS")? * 1024.0;
    }
    Ok(sum)
}

fn kibibytes(status: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_set_is_found_among_the_other_sizes() {
        assert_eq!(kibibytes("VmHWM:\t  9 kB\nVmRSS:\t    1234 kB\nRssAnon:\t  7 kB\n"), Some(1234.0));
    }
}
