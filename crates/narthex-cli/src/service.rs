//! The host as a service of the machine, or of a user: `narthex host install` and its like.

use narthex::service::{Scope, Service, Verb};

use crate::args::HostService;
use crate::exit::{Exit, Said};
use crate::output::print_exactly;

/// The units, sockets and accounts that a Debian package has too.
const FILES: [(Scope, &str, &str); 6] = [
    (Scope::System, "narthex.sysusers", include_str!("../../../packaging/systemd/narthex.sysusers")),
    (Scope::System, "narthex.tmpfiles", include_str!("../../../packaging/systemd/narthex.tmpfiles")),
    (Scope::System, "narthex.service", include_str!("../../../packaging/systemd/narthex.service")),
    (Scope::System, "narthex.socket", include_str!("../../../packaging/systemd/narthex.socket")),
    (Scope::User, "narthex.service", include_str!("../../../packaging/systemd/user/narthex.service")),
    (Scope::User, "narthex.socket", include_str!("../../../packaging/systemd/user/narthex.socket")),
];
/// Where a package has the program.
const PACKAGED: &str = "/usr/bin/narthex";

/// Does one of the verbs.
pub(crate) fn run(verb: HostService) -> anyhow::Result<()> {
    let verb = match verb {
        HostService::Install { whose, print } => Verb::Install { scope: whose.scope(), print, arguments: Vec::new() },
        HostService::Uninstall { whose, purge } => Verb::Uninstall { scope: whose.scope(), purge },
        HostService::Start(whose) => Verb::Start(whose.scope()),
        HostService::Stop(whose) => Verb::Stop(whose.scope()),
        HostService::Status(whose) => Verb::Status(whose.scope()),
    };
    let outcome = host().perform(&verb)?;
    print_exactly(outcome.to_string().trim_end());
    match outcome.exit_code() {
        0 => Ok(()),
        3 => Err(Said(Exit::NoHost).into()),
        _ => Err(Said(Exit::NotInstalled).into()),
    }
}

fn host() -> Service {
    let host = Service::new("narthex").command("host").description("Narthex host");
    FILES.into_iter().fold(host, |host, (scope, name, text)| host.unit_file(scope, name, text.replace(PACKAGED, "@PROGRAM@")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_start_the_program_that_installs_them() {
        let texts = FILES.map(|(_, _, text)| text.replace(PACKAGED, "@PROGRAM@"));
        assert!(!texts.iter().any(|text| text.contains("/usr/bin")));
        assert_eq!(texts.iter().filter(|text| text.contains("\nExecStart=@PROGRAM@ host")).count(), 2);
    }
}
