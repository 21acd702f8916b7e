//! `narthex add|update|delete|show sslcert`.

use std::path::Path;

use anyhow::Context;
use narthex_host::admin::{AdminError, Answer, BindingKey, BindingOption, BindingSpec, Question, SslcertState};

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
    for (option, value) in options(false) {
        say(label(option), shown(option, value));
    }
    if let Some(problem) = &binding.problem {
        say("Problem", problem.clone());
    }
    values
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
    fn a_path_is_told_to_the_host_as_it_is_meant_here() {
        let typed = BindingOptions { certfile: Some("a.pem".to_owned()), ..BindingOptions::default() };
        let path = std::env::current_dir().unwrap().join("a.pem");
        assert_eq!(spec(&typed).unwrap().get(BindingOption::Certificate), path.to_str());
        let typed = BindingOptions { minversion: Some("1.1".to_owned()), ..BindingOptions::default() };
        assert!(spec(&typed).unwrap_err().to_string().contains("1.2 or 1.3"));
    }
}
