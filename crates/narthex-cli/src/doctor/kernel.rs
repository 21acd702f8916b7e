//! The kernel's settings (sysctls), and what the process may do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::finding::Finding;

/// As many connections as a host lets wait at a port.
const BACKLOG: u64 = 4096;
/// Below this, a burst of new clients is answered with cookies, or not at all.
const SYN_BACKLOG: u64 = 1024;
/// What a host asks for at each UDP socket of HTTP/3.
const UDP_BUFFER: u64 = 2 << 20;
/// Connections to one server of a reverse proxy, with some a minute in TIME-WAIT.
const EPHEMERAL: u64 = 20_000;
/// `CAP_NET_BIND_SERVICE` of `capability.h`.
const LOW_PORTS: u32 = 10;

/// Where the kernel tells of itself.
pub(super) struct Kernel {
    proc: PathBuf,
}

impl Kernel {
    pub(super) fn of_this_machine() -> Self {
        Self { proc: "/proc".into() }
    }

    #[cfg(test)]
    pub(super) fn at(proc: &Path) -> Self {
        Self { proc: proc.to_owned() }
    }

    /// A setting as it is written: `net.core.somaxconn`.
    pub(super) fn setting(&self, name: &str) -> Option<String> {
        self.read(&Path::new("sys").join(name.replace('.', "/"))).map(|text| text.trim().to_owned())
    }

    pub(super) fn read(&self, path: &Path) -> Option<String> {
        fs::read_to_string(self.proc.join(path)).ok()
    }

    /// Whether this process may listen on any port.
    pub(super) fn opens_low_ports(&self) -> Option<bool> {
        let status = self.read(Path::new("self/status"))?;
        let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        Some(u64::from_str_radix(set.trim(), 16).ok()? & (1 << LOW_PORTS) != 0)
    }

    /// The first port that needs no right.
    pub(super) fn first_free_port(&self) -> Option<u16> {
        self.setting("net.ipv4.ip_unprivileged_port_start")?.parse().ok()
    }

    pub(super) fn findings(&self, ports: &BTreeSet<u16>) -> Vec<Finding> {
        let at_least = |check, name, least: u64, otherwise: &str| self.at_least(check, name, least, otherwise);
        vec![
            at_least("waiting connections", "net.core.somaxconn", BACKLOG, "more new connections at once are refused"),
            at_least(
                "half-open connections",
                "net.ipv4.tcp_max_syn_backlog",
                SYN_BACKLOG,
                "a burst of new clients has to try again",
            ),
            self.ephemeral(ports),
            at_least("UDP receive buffer", "net.core.rmem_max", UDP_BUFFER, "HTTP/3 loses packets of bursts"),
            at_least("UDP send buffer", "net.core.wmem_max", UDP_BUFFER, "HTTP/3 sends more slowly"),
        ]
    }

    fn at_least(&self, check: &'static str, name: &str, least: u64, otherwise: &str) -> Finding {
        let Some(value) = self.setting(name).and_then(|text| text.parse::<u64>().ok()) else {
            return Finding::skipped(check, format!("this system has no {name}"));
        };
        if value >= least {
            return Finding::good(check, format!("{name} = {value}"));
        }
        Finding::warning(check, format!("{name} = {value}: {otherwise}"), set(name, &least.to_string()))
    }

    /// Ports that the kernel gives to clients are taken when a host wants them.
    fn ephemeral(&self, ports: &BTreeSet<u16>) -> Finding {
        const CHECK: &str = "ephemeral ports";
        const NAME: &str = "net.ipv4.ip_local_port_range";
        let range = self.setting(NAME).and_then(|text| {
            let mut ends = text.split_whitespace().map(|end| end.parse::<u16>().ok());
            Some((ends.next()??, ends.next()??))
        });
        let Some((first, last)) = range else { return Finding::skipped(CHECK, format!("this system has no {NAME}")) };
        let reserved = self.setting("net.ipv4.ip_local_reserved_ports").unwrap_or_default();
        let inside: Vec<String> =
            ports.iter().filter(|port| (first..=last).contains(port) && !lists(&reserved, **port)).map(u16::to_string).collect();
        if !inside.is_empty() {
            let found = format!("{NAME} = {first} {last}: clients of this machine may be given {}", inside.join(", "));
            let all = if reserved.is_empty() { inside.join(",") } else { format!("{reserved},{}", inside.join(",")) };
            return Finding::warning(CHECK, found, set("net.ipv4.ip_local_reserved_ports", &all));
        }
        if u64::from(last.saturating_sub(first)) < EPHEMERAL {
            let found = format!("{NAME} = {first} {last}: few for a host that forwards to other servers");
            return Finding::warning(CHECK, found, set(NAME, "32768 60999"));
        }
        Finding::good(CHECK, format!("{NAME} = {first} {last}"))
    }
}

/// What sets it now, and at each start of the machine.
fn set(name: &str, value: &str) -> String {
    format!("echo '{name} = {value}' | sudo tee -a /etc/sysctl.d/90-narthex.conf && sudo sysctl --system")
}

/// Whether a list such as `8080,9000-9010` has this port.
fn lists(ports: &str, port: u16) -> bool {
    ports.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        matches!((first.trim().parse::<u16>(), last.trim().parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&port))
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn kernel(settings: &[(&str, &str)]) -> (tempfile::TempDir, Kernel) {
        let directory = tempfile::tempdir().unwrap();
        for (name, value) in settings {
            let path = directory.path().join("sys").join(name.replace('.', "/"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        }
        let kernel = Kernel::at(directory.path());
        (directory, kernel)
    }

    fn finding(settings: &[(&str, &str)], check: &str, ports: &[u16]) -> Finding {
        let (_directory, kernel) = kernel(settings);
        let all = kernel.findings(&ports.iter().copied().collect());
        all.into_iter().find(|finding| finding.check == check).unwrap()
    }

    #[test]
    fn a_small_setting_is_told_with_the_command_that_raises_it() {
        let small = finding(&[("net.core.somaxconn", "128")], "waiting connections", &[]);
        assert_eq!(small.state, State::Warning);
        assert!(small.remedy.unwrap().starts_with("echo 'net.core.somaxconn = 4096' | sudo tee"));
        assert_eq!(finding(&[("net.core.somaxconn", "4096")], "waiting connections", &[]).state, State::Good);
        assert_eq!(finding(&[], "waiting connections", &[]).state, State::Skipped, "other systems have none");
    }

    #[test]
    fn a_port_of_the_configuration_is_not_to_be_given_to_clients() {
        let range = ("net.ipv4.ip_local_port_range", "32768\t60999");
        let state = |reserved: &str, port| {
            finding(&[range, ("net.ipv4.ip_local_reserved_ports", reserved)], "ephemeral ports", &[80, port]).state
        };
        assert_eq!(state("", 40_000), State::Warning);
        assert_eq!(state("40000", 40_000), State::Good);
        assert_eq!(state("1,39000-41000", 40_000), State::Good);
        assert_eq!(state("", 8080), State::Good);
        let few = finding(&[("net.ipv4.ip_local_port_range", "50000 51000")], "ephemeral ports", &[]);
        assert_eq!(few.state, State::Warning);
    }

    #[test]
    fn the_capability_to_open_low_ports_is_seen() {
        let (directory, kernel) = kernel(&[]);
        fs::create_dir(directory.path().join("self")).unwrap();
        for (set, opens) in [("0000000000000400", true), ("0000000000000000", false), ("000001ffffffffff", true)] {
            fs::write(directory.path().join("self/status"), format!("Name:\tx\nCapEff:\t{set}\n")).unwrap();
            assert_eq!(kernel.opens_low_ports(), Some(opens), "{set}");
        }
    }
}
