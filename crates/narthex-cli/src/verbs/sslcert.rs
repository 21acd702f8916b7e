//! `narthex add|update|delete|show sslcert`.

use std::path::Path;

use anyhow::Context;
use narthex_host::admin::{
    AcmeState, AdminError, Answer, BindingKey, BindingOption, BindingSpec, OrderState, Question, SslcertState,
};

use super::{answer, command};
use crate::admin::ask;
use crate::args::{BindingOptions, ChangeSslcert, DeleteSslcert, Negotiation, ShowSslcert, Switch};
use crate::listing::Listing;

pub(super) fn add(typed: ChangeSslcert) -> anyhow::Result<()> {
    let ChangeSslcert { binding, options, asking } = typed;
    let (binding, options) = (named(binding.key())?, spec(&options)?);
    command(&asking, &Question::AddSslcert { binding, options })
}

pub(super) fn update(typed: ChangeSslcert) -> anyhow::Result<()> {
    let ChangeSslcert { binding, options, asking } = typed;
    let (binding, options) = (named(binding.key())?, spec(&options)?);
    command(&asking, &Question::UpdateSslcert { binding, options })
}

pub(super) fn delete(typed: DeleteSslcert) -> anyhow::Result<()> {
    command(&typed.asking, &Question::DeleteSslcert { binding: named(typed.binding.key())? })
}

pub(super) fn show(typed: ShowSslcert) -> anyhow::Result<()> {
    let binding = typed.binding.key();
    let Answer::Sslcerts(found) = ask(&typed.asking.socket, &Question::ShowSslcert { binding })? else {
        return Err(AdminError::Unexpected.into());
    };
    answer(&typed.asking, &found, || table(&found))
}

fn named(key: Option<BindingKey>) -> anyhow::Result<BindingKey> {
    key.context("name the binding with ipport=, hostnameport= or ccs=")
}

/// What was typed, as the host keeps it. The host runs elsewhere: paths are made absolute.
fn spec(typed: &BindingOptions) -> anyhow::Result<BindingSpec> {
    use BindingOption as O;
    let mut spec = BindingSpec::default();
    let mut say =
        |option: O, value: Option<&str>| value.map_or(Ok(()), |value| spec.set(option, value)).map_err(anyhow::Error::msg);
    for (option, path) in [
        (O::Certificate, &typed.certfile),
        (O::Key, &typed.keyfile),
        (O::Pkcs12, &typed.pkcs12file),
        (O::PassphraseFile, &typed.passphrasefile),
        (O::Directory, &typed.directory),
        (O::Ca, &typed.cafile),
        (O::Crl, &typed.crlfile),
    ] {
        let Some(path) = path else { continue };
        let absolute = std::path::absolute(Path::new(path)).with_context(|| format!("cannot find out where {path} is"))?;
        say(option, Some(absolute.to_str().with_context(|| format!("the path of {path} is not UTF-8"))?))?;
    }
    for (option, text) in [
        (O::Passphrase, &typed.passphrase),
        (O::SecurityLevel, &typed.securitylevel),
        (O::MinVersion, &typed.minversion),
        (O::CipherSuites, &typed.ciphersuites),
        (O::Appid, &typed.appid),
    ] {
        say(option, text.as_deref())?;
    }
    say(O::SelfSigned, typed.self_signed.then_some("true"))?;
    say(O::Acme, typed.acme.then_some("true"))?;
    let on = |switch: Option<Switch>| switch.map(|switch| if switch == Switch::Enable { "true" } else { "false" });
    let off = |switch: Option<Switch>| switch.map(|switch| if switch == Switch::Enable { "false" } else { "true" });
    say(O::Http2, off(typed.disablehttp2))?;
    say(O::Http3, off(typed.disablequic))?;
    say(O::EarlyData, on(typed.earlydata))?;
    say(O::SessionTickets, on(typed.enablesessionticket).or(off(typed.disablesessionid)))?;
    say(O::Reject, on(typed.reject))?;
    say(O::MinVersion, typed.disabletls12.map(|switch| if switch == Switch::Enable { "1.3" } else { "1.2" }))?;
    let asked = typed.clientcertnegotiation.map(|negotiation| match negotiation {
        Negotiation::Disable => "none",
        Negotiation::Enable => "optional",
        Negotiation::Require => "required",
    });
    say(O::ClientCertificates, asked)?;
    Ok(spec)
}

fn table(found: &[SslcertState]) -> String {
    let mut listing = Listing::titled("SSL Certificate bindings:");
    if found.is_empty() {
        listing.line("There is no binding; `narthex add sslcert` makes one.");
    }
    for binding in found {
        listing.below(|listing| listing.values(&values(binding)));
        listing.blank();
    }
    listing.into_text()
}

fn values(binding: &SslcertState) -> Vec<(String, String)> {
    let kind = match &binding.key {
        BindingKey::IpPort(_) => "IP:port",
        BindingKey::HostnamePort(_) => "Hostname:port",
        BindingKey::Ccs(_) => "Central Certificate Store",
    };
    let mut values = vec![(kind.to_owned(), binding.key.value())];
    let mut say = |name: &str, value: String| values.push((name.to_owned(), value));
    let options = |is_source: bool| binding.options.said().filter(move |(option, _)| is_of_source(*option) == is_source);
    for (option, value) in options(true) {
        say(label(option), shown(option, value));
    }
    if let Some(certificate) = &binding.certificate {
        say("Subject", certificate.subject.clone());
        say("Names", certificate.names.join(", "));
        say("Issuer", certificate.issuer.clone());
        say("Valid from", certificate.not_before.clone());
        let days = match certificate.days_left {
            1 => "1 day left".to_owned(),
            left if left >= 0 => format!("{left} days left"),
            over => format!("expired {} days ago", over.unsigned_abs()),
        };
        say("Valid until", format!("{} ({days})", certificate.not_after));
        say("SHA-256 fingerprint", certificate.sha256.clone());
    }
    if let Some(acme) = &binding.acme {
        say("Order", order(acme));
    }
    for (option, value) in options(false) {
        say(label(option), shown(option, value));
    }
    let of_order = binding.acme.as_ref().and_then(|acme| acme.problem.as_ref());
    for problem in binding.problem.iter().chain(of_order) {
        say("Problem", problem.clone());
    }
    values
}

/// What the host does about a certificate that it gets from a CA.
fn order(acme: &AcmeState) -> String {
    let next = acme.next.as_deref().unwrap_or("the next start");
    match (acme.order, acme.failures) {
        (OrderState::Ordering, _) => "The CA is being asked".to_owned(),
        (OrderState::Valid, _) => format!("Renewed at {next}"),
        (OrderState::Waiting, 1) => format!("Failed once, next try at {next}"),
        (OrderState::Waiting, failures) => format!("Failed {failures} times, next try at {next}"),
        (OrderState::Stopped, _) => "Stopped".to_owned(),
    }
}

/// Those are above the certificate that they lead to.
fn is_of_source(option: BindingOption) -> bool {
    option <= BindingOption::Acme
}

fn label(option: BindingOption) -> &'static str {
    match option {
        BindingOption::Directory => "Directory",
        BindingOption::Certificate => "Certificate file",
        BindingOption::Key => "Key file",
        BindingOption::Pkcs12 => "PKCS#12 file",
        BindingOption::Passphrase => "Passphrase",
        BindingOption::PassphraseFile => "Passphrase file",
        BindingOption::SelfSigned => "Self-signed",
        BindingOption::Acme => "ACME",
        BindingOption::SecurityLevel => "Security level",
        BindingOption::MinVersion => "Minimum version",
        BindingOption::CipherSuites => "Cipher suites",
        BindingOption::ClientCertificates => "Negotiate Client Certificate",
        BindingOption::Ca => "CA file",
        BindingOption::Crl => "CRL file",
        BindingOption::Http2 => "HTTP/2",
        BindingOption::Http3 => "HTTP/3",
        BindingOption::EarlyData => "Early data",
        BindingOption::SessionTickets => "Session tickets",
        BindingOption::Reject => "Reject Connections",
        BindingOption::Appid => "Application ID",
    }
}

fn shown(option: BindingOption, value: &str) -> String {
    match (option, value) {
        (BindingOption::Passphrase, _) => "(not shown)".to_owned(),
        (BindingOption::ClientCertificates, "none") => "Disabled".to_owned(),
        (BindingOption::ClientCertificates, "optional") => "Enabled".to_owned(),
        (BindingOption::ClientCertificates, _) => "Required".to_owned(),
        (BindingOption::SelfSigned | BindingOption::Acme | BindingOption::Reject, "true") => "Yes".to_owned(),
        (BindingOption::Reject, _) => "No".to_owned(),
        (_, "true") => "Enabled".to_owned(),
        (_, "false") => "Disabled".to_owned(),
        (_, value) => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_mean_what_netsh_means_by_them() {
        use BindingOption as O;
        let typed = BindingOptions {
            disablehttp2: Some(Switch::Enable),
            disablequic: Some(Switch::Disable),
            disabletls12: Some(Switch::Enable),
            disablesessionid: Some(Switch::Enable),
            reject: Some(Switch::Enable),
            clientcertnegotiation: Some(Negotiation::Enable),
            ..BindingOptions::default()
        };
        let spec = spec(&typed).unwrap();
        let said: Vec<_> = spec.said().collect();
        let expected = [
            (O::MinVersion, "1.3"),
            (O::ClientCertificates, "optional"),
            (O::Http2, "false"),
            (O::Http3, "true"),
            (O::SessionTickets, "false"),
            (O::Reject, "true"),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn the_state_of_an_order_is_a_sentence() {
        let state = |order, failures| {
            let next = (order != OrderState::Ordering).then(|| "2026-11-28T09:00:00Z".to_owned());
            self::order(&AcmeState { order, next, failures, problem: None })
        };
        assert_eq!(state(OrderState::Ordering, 0), "The CA is being asked");
        assert_eq!(state(OrderState::Valid, 0), "Renewed at 2026-11-28T09:00:00Z");
        assert_eq!(state(OrderState::Waiting, 1), "Failed once, next try at 2026-11-28T09:00:00Z");
        assert_eq!(state(OrderState::Waiting, 4), "Failed 4 times, next try at 2026-11-28T09:00:00Z");
    }

    #[test]
    fn a_path_is_told_to_the_host_as_it_is_meant_here() {
        let typed = BindingOptions { certfile: Some("a.pem".to_owned()), ..BindingOptions::default() };
        let path = std::env::current_dir().unwrap().join("a.pem");
        assert_eq!(spec(&typed).unwrap().get(BindingOption::Certificate), path.to_str());
        let typed = BindingOptions { minversion: Some("1.1".to_owned()), ..BindingOptions::default() };
        assert!(spec(&typed).unwrap_err().to_string().contains("1.2 or 1.3"));
    }
}
