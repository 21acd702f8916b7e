//! The configuration file, and the certificates that it names.

use std::path::Path;

use narthex_host::Examined;
use narthex_host::admin::SslcertState;
use narthex_host::config::ConfigError;

use super::finding::Finding;
use super::host::Running;

/// A renewal by hand takes some days; by ACME it has been made long before.
const SOON: i64 = 14;

pub(super) fn of_file(path: &Path, examined: &Result<Examined, ConfigError>) -> Finding {
    const CHECK: &str = "configuration";
    let shown = path.display();
    match examined {
        Ok(examined) if !examined.exists => Finding::good(CHECK, format!("there is no {shown}: everything has its default")),
        Ok(examined) => {
            let (ports, bindings) = (examined.ports.len(), examined.bindings.len());
            Finding::good(CHECK, format!("{shown} is valid: {ports} ports, {bindings} TLS bindings"))
        }
        Err(error) => {
            Finding::failure(CHECK, error.to_string(), format!("sudoedit {shown}; narthex reload says whether it is right"))
        }
    }
}

/// One for each binding. What the host sees counts: it is another user, and has renewed them meanwhile.
pub(super) fn of_certificates(running: &Running, examined: &Result<Examined, ConfigError>) -> Vec<Finding> {
    let asked = running.as_ref().ok().map(|answers| &answers.bindings);
    let read = || examined.as_ref().ok().map(|examined| &examined.bindings);
    asked.or_else(read).into_iter().flatten().map(of_certificate).collect()
}

fn of_certificate(binding: &SslcertState) -> Finding {
    const CHECK: &str = "certificate";
    let key = &binding.key;
    if let Some(problem) = &binding.problem {
        return Finding::failure(
            CHECK,
            format!("{key}: {problem}"),
            format!("narthex update sslcert {key} certfile=... keyfile=..."),
        );
    }
    let Some(certificate) = &binding.certificate else {
        return Finding::good(CHECK, format!("{key}: none of its own"));
    };
    let until = &certificate.not_after;
    let renewal = format!("replace its files, or narthex update sslcert {key} acme");
    match certificate.days_left {
        left if left < 0 => Finding::failure(CHECK, format!("{key}: it was valid until {until}"), renewal),
        left if left < SOON => Finding::warning(CHECK, format!("{key}: valid until {until}, {left} days"), renewal),
        left => Finding::good(CHECK, format!("{key}: valid until {until}, {left} days")),
    }
}

#[cfg(test)]
mod tests {
    use narthex_host::admin::{BindingKey, BindingSpec, CertificateState};

    use super::super::finding::State;
    use super::*;

    fn binding(days_left: i64, problem: Option<&str>) -> SslcertState {
        let certificate = CertificateState {
            subject: String::new(),
            names: Vec::new(),
            issuer: String::new(),
            not_before: String::new(),
            not_after: "2026-12-30T00:00:00Z".to_owned(),
            days_left,
            sha256: String::new(),
        };
        SslcertState {
            key: BindingKey::hostname_port("shop.example:443").unwrap(),
            options: BindingSpec::default(),
            certificate: Some(certificate),
            problem: problem.map(str::to_owned),
            acme: None,
        }
    }

    #[test]
    fn a_certificate_is_told_of_before_it_expires() {
        let state = |days| of_certificate(&binding(days, None)).state;
        assert_eq!((state(60), state(5), state(-1)), (State::Good, State::Warning, State::Failure));
        let unreadable = of_certificate(&binding(60, Some("/k.pem: permission denied")));
        assert!(unreadable.state == State::Failure && unreadable.found.contains("permission denied"), "{unreadable:?}");
    }

    #[test]
    fn a_mistake_in_the_file_is_a_failure_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("narthex.toml");
        assert_eq!(of_file(&path, &narthex_host::examine(&path)).state, State::Good);
        std::fs::write(&path, "\nnonsense = 1\n").unwrap();
        let finding = of_file(&path, &narthex_host::examine(&path));
        assert!(finding.state == State::Failure && finding.found.contains("narthex.toml:2:1"), "{finding:?}");
    }
}
