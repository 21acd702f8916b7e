//! `narthex doctor`: whether this machine lets a host run as it should, and for what is wrong the command that mends it.

mod configuration;
mod finding;
mod host;
mod kernel;
mod network;
mod resources;

use std::path::{Path, PathBuf};

use narthex_host::config::default_path;

use crate::args::DoctorArguments;
use crate::exit::{Exit, Said};
use crate::output::{print, print_json};
use finding::{Finding, State};
use kernel::Kernel;

/// Where a host that is a service of the machine has its configuration.
const SERVICES_CONFIGURATION: &str = "/etc/narthex/narthex.toml";

/// Looks at everything, and tells what it has found.
pub(crate) fn run(arguments: &DoctorArguments) -> anyhow::Result<()> {
    let path = arguments.config.clone().unwrap_or_else(default_configuration);
    let findings = examine(arguments, &path, &Kernel::of_this_machine());
    if arguments.asking.json {
        print_json(&findings)?;
    } else {
        print(&finding::table(&findings));
    }
    match exit(&findings, arguments.strict) {
        Exit::Done => Ok(()),
        other => Err(Said(other).into()),
    }
}

fn examine(arguments: &DoctorArguments, path: &Path, kernel: &Kernel) -> Vec<Finding> {
    let running = host::ask(&arguments.asking.socket);
    let examined = narthex_host::examine(path);
    let ports = examined.as_ref().map(|examined| examined.ports.clone()).unwrap_or_default();
    let mut findings = host::findings(&running, &arguments.asking.socket);
    findings.push(configuration::of_file(path, &examined));
    findings.extend(configuration::of_certificates(&running, &examined));
    findings.push(network::low_ports(kernel, &ports, running.is_ok()));
    findings.extend(network::ports(&running, &examined));
    findings.push(network::both_families(kernel));
    findings.extend(kernel.findings(&ports));
    findings.push(resources::open_files(kernel, &running));
    findings.push(resources::disk(&running, &examined));
    findings.push(resources::clock());
    findings
}

/// The service's, if there is one; root's and a user's own is asked for where the host looks for it.
fn default_configuration() -> PathBuf {
    let own = default_path();
    if own.exists() || !Path::new(SERVICES_CONFIGURATION).exists() { own } else { SERVICES_CONFIGURATION.into() }
}

fn exit(findings: &[Finding], strict: bool) -> Exit {
    let worst = findings.iter().map(|finding| finding.state).max().unwrap_or(State::Good);
    match worst {
        State::Failure => Exit::Failed,
        State::Warning if strict => Exit::Warned,
        _ => Exit::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides_the_exit_code() {
        let (good, warning, failure) = (Finding::good("a", ""), Finding::warning("b", "", ""), Finding::failure("c", "", ""));
        assert_eq!(exit(std::slice::from_ref(&good), true), Exit::Done);
        assert_eq!(exit(&[warning.clone(), good.clone()], false), Exit::Done);
        assert_eq!(exit(&[warning.clone(), good.clone()], true), Exit::Warned);
        assert_eq!(exit(&[warning, failure, good], false), Exit::Failed);
    }
}
