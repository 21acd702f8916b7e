//! Ports and addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;

use narthex_host::Examined;
use narthex_host::config::ConfigError;
use narthex_http::{ListenError, look};

use super::finding::Finding;
use super::host::Running;
use super::kernel::Kernel;

/// Where the unit is that gives a host its rights.
const UNITS: [&str; 2] = ["/etc/systemd/system/narthex.service", "/usr/lib/systemd/system/narthex.service"];

pub(super) fn low_ports(kernel: &Kernel, ports: &BTreeSet<u16>, runs: bool) -> Finding {
    const CHECK: &str = "low ports";
    if UNITS.iter().any(|unit| Path::new(unit).exists()) {
        return Finding::good(CHECK, "the host's service has CAP_NET_BIND_SERVICE");
    }
    let Some(first) = kernel.first_free_port() else {
        return Finding::skipped(CHECK, "this system has no net.ipv4.ip_unprivileged_port_start");
    };
    if kernel.opens_low_ports() == Some(true) {
        return Finding::good(CHECK, "this user may open every port");
    }
    let lowest = ports.first().copied().unwrap_or(80);
    if first <= lowest {
        return Finding::good(CHECK, format!("net.ipv4.ip_unprivileged_port_start = {first}"));
    }
    let program = std::env::current_exe().map_or_else(|_| "narthex".to_owned(), |path| path.display().to_string());
    let found = format!("a host of this user cannot open ports below {first}");
    let remedy = format!("sudo setcap cap_net_bind_service=+ep {program}, or as a service: sudo {program} host install");
    // Its configuration wants one, and nobody with more rights has it.
    if ports.iter().any(|port| *port < first) && !runs {
        return Finding::failure(CHECK, format!("{found}, and the configuration has {lowest}"), remedy);
    }
    Finding::warning(CHECK, found, remedy)
}

/// Whether the configuration's ports are free for a host that does not run yet.
pub(super) fn ports(running: &Running, examined: &Result<Examined, ConfigError>) -> Vec<Finding> {
    const CHECK: &str = "ports";
    let Ok(examined) = examined else { return Vec::new() };
    if let Ok(answers) = running {
        let addresses: Vec<String> = answers.state.listeners.iter().map(|listener| listener.address.to_string()).collect();
        let listed = if addresses.is_empty() { "none, as no app is there".to_owned() } else { addresses.join(", ") };
        return vec![Finding::good(CHECK, format!("the host listens on {listed}"))];
    }
    let ips = match examined.iplisten.as_slice() {
        [] => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
        named => named.to_vec(),
    };
    let all = examined.ports.iter().flat_map(|port| ips.iter().map(|ip| SocketAddr::new(*ip, *port)));
    let mut findings = Vec::new();
    let mut free = Vec::new();
    for address in all {
        match look(address) {
            Ok(()) => free.push(address.to_string()),
            // That is told of low ports as a whole.
            Err(ListenError::Denied(..)) => {}
            Err(error @ ListenError::InUse(..)) => {
                let who = format!("sudo ss --listening --tcp --processes --numeric 'sport = {}'", address.port());
                findings.push(Finding::failure(CHECK, error.to_string(), who));
            }
            Err(error) => {
                let remedy = format!("narthex delete iplisten ipaddress={}, or give the machine the address", address.ip());
                findings.push(Finding::failure(CHECK, error.to_string(), remedy));
            }
        }
    }
    if findings.is_empty() {
        let listed =
            if free.is_empty() { "none are named by the configuration".to_owned() } else { format!("{} free", free.join(", ")) };
        findings.push(Finding::good(CHECK, listed));
    }
    findings
}

pub(super) fn both_families(kernel: &Kernel) -> Finding {
    const CHECK: &str = "IPv4 and IPv6";
    let opens = |ip: IpAddr| TcpListener::bind((ip, 0)).is_ok();
    match (opens(Ipv4Addr::LOCALHOST.into()), opens(Ipv6Addr::LOCALHOST.into())) {
        (true, true) => Finding::good(CHECK, "both are there, each with sockets of its own"),
        (true, false) => {
            let name = "net.ipv6.conf.all.disable_ipv6";
            let remedy = match kernel.setting(name).as_deref() {
                Some("1") => format!("sudo sysctl {name}=0"),
                _ => "let the kernel have IPv6 (remove ipv6.disable=1 from its command line), if clients come by it".to_owned(),
            };
            Finding::warning(CHECK, "there is no IPv6: clients that have only that do not come", remedy)
        }
        (false, _) => Finding::failure(CHECK, "nothing can listen on 127.0.0.1", "sudo ip link set lo up"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_port_that_the_configuration_wants_and_the_user_may_not_open_is_a_failure() {
        if UNITS.iter().any(|unit| Path::new(unit).exists()) {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fs::create_dir_all(at("self")).unwrap();
        fs::create_dir_all(at("sys/net/ipv4")).unwrap();
        fs::write(at("self/status"), "CapEff:\t0000000000000000\n").unwrap();
        let state = |first: &str, ports: &[u16], runs| {
            fs::write(at("sys/net/ipv4/ip_unprivileged_port_start"), first).unwrap();
            low_ports(&Kernel::at(directory.path()), &ports.iter().copied().collect(), runs).state
        };
        assert_eq!(state("1024\n", &[80], false), State::Failure);
        assert_eq!(state("1024\n", &[80], true), State::Warning, "a host with more rights has it");
        assert_eq!(state("1024\n", &[], false), State::Warning);
        assert_eq!(state("1024\n", &[8080], false), State::Good);
        assert_eq!(state("80\n", &[80], false), State::Good);
    }
}
