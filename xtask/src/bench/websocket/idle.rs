//! What a connection that does nothing takes.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Bench, WEBSOCKET_LOAD};
use crate::bench::page::marked;
use crate::bench::process::ProcessGroup;
use crate::bench::results::middle;
use crate::bench::subjects::{Running, Subject, Watched};
use crate::bench::{interrupt, load};

/// In every round.
pub(super) const SOME: usize = 10_000;

/// Once.
pub(super) const MANY: usize = 100_000;

/// What the kernel keeps for both ends of a connection, in bytes; and a client of TLS besides.
const KERNEL_BYTES: f64 = 8192.0;
const TLS_CLIENT_BYTES: f64 = 16_384.0;

/// What the resident set of one program has grown by, in bytes per connection.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) program: String,
    /// After the handshake.
    pub(super) open: f64,
    /// After one message of 1 KiB came and went back.
    pub(super) used: f64,
}

/// Of all server processes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Idle {
    pub(super) subject: &'static str,
    pub(super) round: u32,
    pub(super) connections: usize,
    /// The server was started so often, since one process may not have as many files open.
    pub(super) instances: usize,
    pub(super) parts: Vec<Part>,
}

/// Opens `connections` to a server that is started for that.
pub(super) fn measure(bench: &Bench<'_>, subject: &Subject, round: u32, connections: usize) -> Result<Idle> {
    let instances = connections.div_ceil(bench.connections);
    let mut servers = Vec::new();
    for _ in 0..instances {
        servers.push(bench.start(subject, &Watched::No)?);
    }
    let before = resident(&servers)?;
    let mut clients = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        // The first ones have one more where it does not come out even.
        let share = connections / instances + usize::from(index < connections % instances);
        let mut command = load::command(None);
        command.arg(bench.binaries.path(WEBSOCKET_LOAD)).args(["idle", "--port", &server.port.to_string()]);
        command.args(["--connections", &share.to_string(), "--then"]).arg(then(server));
        if bench.by_tls(subject) {
            command.arg("--tls");
        }
        clients.push(ProcessGroup::start("ws-load", command, &server.directory().join("idle.log"))?);
    }
    let mut grown_when = |word| -> Result<Vec<(String, f64)>> {
        // A handshake of TLS takes a millisecond of both sides, and twice that beside other work.
        let limit = Duration::from_secs(60) + Duration::from_millis(4) * u32::try_from(connections)?;
        let said = interrupt::poll(limit, Duration::from_millis(20), || {
            let mut all = true;
            for client in &mut clients {
                client.check_running()?;
                all &= client.output()?.contains(word);
            }
            Ok(all.then_some(()))
        })?;
        said.with_context(|| format!("{connections} connections were not {word} within {} s", limit.as_secs()))?;
        // What the server has yet to do, and to give back.
        std::thread::sleep(Duration::from_secs(1));
        let grown = resident(&servers)?.into_iter().zip(&before);
        Ok(grown.map(|((program, now), (_, before))| (program, (now - before) / connections as f64)).collect())
    };
    let open = grown_when("open")?;
    for server in &servers {
        fs::write(then(server), "")?;
    }
    let used = grown_when("used")?;
    for client in &mut clients {
        client.stop(Duration::from_secs(10))?;
    }
    for server in &mut servers {
        server.stop()?;
    }
    let parts = open.into_iter().zip(used).map(|((program, open), (_, used))| Part { program, open, used });
    Ok(Idle { subject: subject.name, round, connections, instances, parts: parts.collect() })
}

/// An error if this machine's memory would not do for [`MANY`], judged by what one of [`SOME`] takes.
pub(super) fn expect_room(bench: &Bench<'_>, subject: &Subject, measured: &[Idle]) -> Result<()> {
    let used = measured.iter().filter(|idle| idle.subject == subject.name).map(|idle| idle.used().max(idle.open()));
    let each = used.fold(0.0, f64::max) + KERNEL_BYTES + if bench.by_tls(subject) { TLS_CLIENT_BYTES } else { 0.0 };
    let text = fs::read_to_string("/proc/meminfo")?;
    let available = kibibytes(&text, "MemAvailable:").context("/proc/meminfo has no MemAvailable")? * 1024.0;
    let expected = each * MANY as f64;
    // What others need meanwhile is theirs.
    if expected > available * 0.8 {
        let gibibytes = |bytes: f64| bytes / f64::from(1 << 30);
        bail!("not tried: it would take {:.1} GiB, and {:.1} GiB are free", gibibytes(expected), gibibytes(available));
    }
    Ok(())
}

/// The file that lets the clients of a server go on.
fn then(server: &Running) -> std::path::PathBuf {
    server.directory().join("then")
}

impl Idle {
    pub(super) fn open(&self) -> f64 {
        self.parts.iter().map(|part| part.open).sum()
    }

    pub(super) fn used(&self) -> f64 {
        self.parts.iter().map(|part| part.used).sum()
    }

    /// For the terminal while the run goes on.
    pub(super) fn line(&self) -> String {
        let parts: Vec<String> =
            self.parts.iter().map(|part| format!("{} {:.0}/{:.0}", part.program, part.open, part.used)).collect();
        format!(
            "{:<32} {} idle connections: {:.0} B each, {:.0} B after a message ({})",
            self.subject,
            self.connections,
            self.open(),
            self.used(),
            parts.join(" + ")
        )
    }
}

/// A row per subject; where there are several processes, each has its share in it.
pub(super) fn table(text: &mut String, all: &[Idle], unreached: &[(&'static str, String)], connections: usize) {
    let of_size: Vec<&Idle> = all.iter().filter(|idle| idle.connections == connections).collect();
    let unreached = if connections == MANY { unreached } else { &[] };
    if of_size.is_empty() && unreached.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "## Memory of {connections} idle connections\n\nResident set of all server processes, less what it was before, in bytes per \
         connection: after the handshake, and after each has echoed 1 KiB. What the kernel keeps for sockets is not in it.\n"
    );
    if let Some(instances) = of_size.iter().map(|idle| idle.instances).max().filter(|&instances| instances > 1) {
        let _ = writeln!(
            text,
            "Each server was started {instances} times, with an equal share of the connections each: one process may not have as many \
             files open here (`ulimit -Hn`).\n"
        );
    }
    text.push_str("| subject | after the handshake | after a message | of these: |\n|---|---:|---:|---|\n");
    for subject in super::all() {
        let own: Vec<&&Idle> = of_size.iter().filter(|idle| idle.subject == subject.name).collect();
        let median = |of: &dyn Fn(&Idle) -> Option<f64>| middle(own.iter().filter_map(|idle| of(idle)).collect());
        if let Some((open, used)) = median(&|idle| Some(idle.open())).zip(median(&|idle| Some(idle.used()))) {
            let parts = own.first().map(|idle| idle.parts.as_slice()).unwrap_or_default();
            let shares = parts.iter().enumerate().filter(|_| parts.len() > 1).map(|(index, part)| {
                let of = |of: fn(&Part) -> f64| median(&|idle| idle.parts.get(index).map(of)).unwrap_or_default();
                format!("{} {:.0}, {:.0}", part.program, of(|part| part.open), of(|part| part.used))
            });
            let shares: Vec<String> = shares.collect();
            let _ = writeln!(text, "| {} | {open:.0} | {used:.0} | {} |", marked(subject.name), shares.join("; "));
        }
    }
    for (subject, reason) in unreached {
        let _ = writeln!(text, "| {} | | | {reason} |", marked(subject));
    }
    text.push('\n');
}

pub(super) fn csv(all: &[Idle]) -> String {
    let mut csv = String::new();
    for idle in all {
        if csv.is_empty() {
            csv.push_str(
                "subject,round,connections,instances,program,bytes_per_connection,bytes_per_connection_after_a_message\n",
            );
        }
        for Part { program, open, used } in &idle.parts {
            let Idle { subject, round, connections, instances, .. } = idle;
            let _ = writeln!(csv, "\"{subject}\",{round},{connections},{instances},{program},{open:.0},{used:.0}");
        }
    }
    csv
}

/// VmRSS of each program, in bytes, of all its processes in all `servers`.
fn resident(servers: &[Running]) -> Result<Vec<(String, f64)>> {
    let mut sums: Vec<(String, f64)> = Vec::new();
    for server in servers {
        for (index, (program, processes)) in server.programs()?.into_iter().enumerate() {
            let mut bytes = 0.0;
            for process in processes {
                let path = format!("/proc/{process}/status");
                let status = fs::read_to_string(path).with_context(|| format!("server process {process} is gone"))?;
                bytes += kibibytes(&status, "VmRSS:").context("/proc/PID/status has no VmRSS")? * 1024.0;
            }
            match sums.get_mut(index) {
                Some((_, sum)) => *sum += bytes,
                None => sums.push((program, bytes)),
            }
        }
    }
    Ok(sums)
}

fn kibibytes(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_set_is_found_among_the_other_sizes() {
        assert_eq!(kibibytes("VmHWM:\t  9 kB\nVmRSS:\t    1234 kB\nRssAnon:\t  7 kB\n", "VmRSS:"), Some(1234.0));
    }

    #[test]
    fn the_parts_of_a_connection_are_summed_and_shown() {
        let part = |program: &str, open| Part { program: program.to_owned(), open, used: open + 1.0 };
        let parts = vec![part("narthex", 4000.0), part("app", 500.0)];
        let idle = Idle { subject: super::super::name::SHARED, round: 1, connections: SOME, instances: 1, parts };
        let mut text = String::new();
        table(&mut text, &[idle], &[], SOME);
        assert!(text.contains("| 4500 | 4502 | narthex 4000, 4001; app 500, 501 |"), "{text}");
    }
}
