//! The host: whether one runs, answers this user, and is of this program's release.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use narthex_host::admin::{AdminError, Answer, Question, ServiceState, SslcertState};
use narthex_http::rendezvous;

use super::finding::Finding;
use crate::admin::connect;
use crate::args::SocketArgument;

/// What a host that answers says of itself.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) state: ServiceState,
    pub(super) bindings: Vec<SslcertState>,
}

pub(super) type Running = Result<Answers, AdminError>;

pub(super) fn ask(socket: &SocketArgument) -> Running {
    let state = connect(socket)?.service_state()?;
    match connect(socket)?.question(&Question::ShowSslcert { binding: None })? {
        Answer::Sslcerts(bindings) => Ok(Answers { state, bindings }),
        _ => Err(AdminError::Unexpected),
    }
}

pub(super) fn findings(running: &Running, socket: &SocketArgument) -> Vec<Finding> {
    let places = socket.socket.as_ref().map_or_else(rendezvous::candidates, |socket| vec![socket.clone()]);
    let mut findings = vec![of_host(running)];
    findings.extend(running.is_ok().then(|| of_release(running)).flatten());
    findings.push(
        places
            .iter()
            .find(|place| place.exists())
            .map_or_else(|| Finding::skipped("socket", format!("there is none at {}", shown(&places))), |place| of_socket(place)),
    );
    findings
}

fn of_host(running: &Running) -> Finding {
    const CHECK: &str = "host";
    match running {
        Ok(Answers { state, .. }) => Finding::good(
            CHECK,
            format!("process {} answers, for {} s, {} apps are there", state.pid, state.uptime_seconds, state.sessions.len()),
        ),
        Err(AdminError::NoHost(_)) => {
            let remedy = "sudo narthex host install && sudo narthex host start (or narthex host, to try it)";
            Finding::warning(CHECK, "none answers: apps listen by themselves", remedy)
        }
        Err(error) => Finding::failure(CHECK, error.to_string(), "journalctl -u narthex -n 50"),
    }
}

fn of_release(running: &Running) -> Option<Finding> {
    const CHECK: &str = "release";
    let own = env!("CARGO_PKG_VERSION");
    let state = &running.as_ref().ok()?.state;
    Some(if state.version == own {
        Finding::good(CHECK, format!("host and command are {own}"))
    } else {
        let found = format!("the host is {}, this command is {own}", state.version);
        Finding::warning(CHECK, found, "sudo systemctl restart narthex (apps wait, and register again)")
    })
}

/// Whether who is to connect can: the bits of the file and of its directory.
fn of_socket(path: &Path) -> Finding {
    const CHECK: &str = "socket";
    let shown = path.display();
    let Ok(file) = fs::metadata(path) else {
        return Finding::skipped(CHECK, format!("{shown} cannot be looked at by this user"));
    };
    if !file.file_type().is_socket() {
        return Finding::failure(CHECK, format!("{shown} is no socket"), format!("sudo rm {shown}, and start the host again"));
    }
    let reach = path.parent().and_then(|directory| fs::metadata(directory).ok()).map_or(0, |directory| directory.mode());
    match (file.mode() & 0o777, reach & 0o001 != 0) {
        (0o666, true) => {
            Finding::good(CHECK, format!("{shown}: every user's programs may connect; reservations say what they may register"))
        }
        (0o666, false) => {
            let directory = path.parent().unwrap_or(Path::new("/")).display();
            Finding::failure(CHECK, format!("{shown}: other users do not get to it"), format!("sudo chmod 755 {directory}"))
        }
        (mode, _) => {
            Finding::good(CHECK, format!("{shown} (mode {mode:o}): the programs of its user alone; --shared lets others connect"))
        }
    }
}

fn shown(places: &[std::path::PathBuf]) -> String {
    places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_shared_socket_that_nobody_gets_to_is_a_failure() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let state = |directory_mode, mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(directory_mode)).unwrap();
            of_socket(&path).state
        };
        assert_eq!(state(0o755, 0o666), State::Good);
        assert_eq!(state(0o700, 0o600), State::Good);
        assert_eq!(state(0o700, 0o666), State::Failure);
        assert_eq!(of_socket(directory.path()).state, State::Failure);
    }

    #[test]
    fn an_absent_host_is_a_warning_with_the_command_that_starts_one() {
        let finding = of_host(&Err(AdminError::NoHost("/s".into())));
        assert_eq!(finding.state, State::Warning);
        assert!(finding.remedy.unwrap().contains("narthex host install"));
    }
}
