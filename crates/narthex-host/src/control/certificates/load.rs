//! From a binding of the configuration to one of the TLS engine, which reads and checks its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use narthex_http::tls::development::Authority;
use narthex_http::tls::{
    Binding, BindingAt, BindingAtError, ClientCertificates, Demand, Source, TlsError, TlsOptions, placeholder,
};

use super::acme_name;
use crate::acme::Store;
use crate::admin::{BindingKey, BindingOption as O, CertificateState};
use crate::config::Bound;

/// Where the host's own authority is, beside the configuration.
const AUTHORITY: &str = "tls";
/// In seconds.
const DAY: i64 = 86_400;

/// A binding that can answer handshakes.
#[derive(Debug)]
pub(in crate::control) struct Loaded {
    pub(super) binding: Arc<Binding>,
    /// A directory has none.
    source: Option<Source>,
    /// No CA has issued its certificate yet: it rejects everybody. If it were left out, a binding of the address would answer in
    /// its place, which may ask less of clients.
    pub(super) pending: bool,
}

impl Loaded {
    /// Its certificate, for people.
    pub(super) fn certificate(&self) -> Option<CertificateState> {
        let certificate = self.binding.certificate().filter(|_| !self.pending)?;
        let time = |seconds: Option<i64>| seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let (from, until) = (time(certificate.not_before()), time(certificate.not_after()));
        let shown = |time: Option<Timestamp>| time.map_or_else(String::new, |time| time.to_string());
        let left = until.map_or(0, |until| (until.as_second() - Timestamp::now().as_second()).div_euclid(DAY));
        Some(CertificateState {
            subject: certificate.subject(),
            names: certificate.alternative_names(),
            issuer: certificate.issuer(),
            not_before: shown(from),
            not_after: shown(until),
            days_left: left,
            sha256: certificate.fingerprint(),
        })
    }
}

/// The certificate of the host's own authority for development.
pub(super) fn authority_file(directory: &Path) -> PathBuf {
    directory.join(AUTHORITY).join("ca.pem")
}

/// The files that a binding is made from.
pub(super) fn files(directory: &Path, bound: &Bound) -> Vec<PathBuf> {
    let named = [O::Certificate, O::Key, O::Pkcs12, O::PassphraseFile, O::Directory, O::Ca, O::Crl];
    let named = named.into_iter().filter_map(|option| bound.options.get(option)).map(|path| directory.join(path));
    named.chain(acme_name(bound).map(|name| Store::beside(directory).certificate_file(name))).collect()
}

/// Makes a binding that the configuration has. A certificate that is not valid today is used all the same. One whose certificate
/// is yet to come by ACME goes on with that of `before`, if there is any.
pub(in crate::control) fn load(directory: &Path, bound: &Bound, before: Option<&Loaded>) -> Result<Loaded, String> {
    match acme_name(bound) {
        Some(name) => by_acme(directory, bound, name, before),
        None => make(directory, bound, Binding::new),
    }
}

/// Makes a binding as [`load`] does, for an operator who adds it now: its certificate has to be valid today.
pub(in crate::control) fn try_out(directory: &Path, bound: &Bound) -> Result<(), String> {
    match acme_name(bound) {
        // A certificate that has expired is renewed, and not a reason to refuse the binding.
        Some(name) => by_acme(directory, bound, name, None).map(drop),
        None => make(directory, bound, Binding::add).map(drop),
    }
}

type Make = fn(BindingAt, &Source, TlsOptions) -> Result<Binding, TlsError>;

fn make(directory: &Path, bound: &Bound, make: Make) -> Result<Loaded, String> {
    let options = options(directory, bound)?;
    let passphrase = passphrase(directory, bound)?;
    let path = |option| bound.options.get(option).map(|path| directory.join(path));
    let text = |error: TlsError| error.to_string();
    if let (BindingKey::Ccs(port), Some(certificates)) = (&bound.key, path(O::Directory)) {
        let binding = Binding::directory(certificates, *port, passphrase, options).map_err(text)?;
        return Ok(Loaded { binding: Arc::new(binding), source: None, pending: false });
    }
    let source = if let (Some(certificate), Some(key)) = (path(O::Certificate), path(O::Key)) {
        Source::Pem { certificate, key }
    } else if let Some(path) = path(O::Pkcs12) {
        Source::Pkcs12 { path, passphrase }
    } else {
        self_signed(directory, &bound.key)?
    };
    let binding = make(at(&bound.key)?, &source, options).map_err(text)?;
    Ok(Loaded { binding: Arc::new(binding), source: Some(source), pending: false })
}

fn by_acme(directory: &Path, bound: &Bound, name: &str, before: Option<&Loaded>) -> Result<Loaded, String> {
    let (at, options) = (at(&bound.key)?, options(directory, bound)?);
    let present = before.filter(|before| !before.pending).and_then(|before| before.source.clone());
    let usable = |source: Source| Some((Binding::new(at.clone(), &source, options.clone()).ok()?, source));
    if let Some((binding, source)) = issued(directory, name).and_then(usable).or_else(|| present.and_then(usable)) {
        return Ok(Loaded { binding: Arc::new(binding), source: Some(source), pending: false });
    }
    let mut rejecting = options;
    rejecting.reject = true;
    let binding = placeholder(name).and_then(|source| Binding::new(at, &source, rejecting));
    Ok(Loaded { binding: Arc::new(binding.map_err(|error| error.to_string())?), source: None, pending: true })
}

/// The certificate that a CA has issued, in memory: its file may go. One that is damaged is as good as none: there will be another.
fn issued(directory: &Path, name: &str) -> Option<Source> {
    let file = Store::beside(directory).certificate_file(name);
    let text: Arc<[u8]> = std::fs::read(&file).ok()?.into();
    let source = Source::PemText { certificate: Arc::clone(&text), key: text };
    match source.certificate() {
        Ok(_) => Some(source),
        Err(error) => {
            tracing::warn!("{} is of no use: {error}; another certificate is asked for", file.display());
            None
        }
    }
}

fn at(key: &BindingKey) -> Result<BindingAt, String> {
    key.value().parse().map_err(|error: BindingAtError| error.to_string())
}

/// Issued anew each time: only the authority is worth keeping.
fn self_signed(directory: &Path, key: &BindingKey) -> Result<Source, String> {
    let name = match key {
        BindingKey::HostnamePort(name) => name.host().to_owned(),
        BindingKey::IpPort(address) if address.ip().is_unspecified() => "localhost".to_owned(),
        BindingKey::IpPort(address) => address.ip().to_string(),
        BindingKey::Ccs(_) => return Err("a directory has its own certificates".to_owned()),
    };
    let authority = Authority::in_directory(&directory.join(AUTHORITY)).map_err(|error| error.to_string())?;
    let issued = authority.issue(&[&name]).map_err(|error| error.to_string())?;
    Ok(Source::PemText { certificate: issued.certificate.into_bytes().into(), key: issued.key.into_bytes().into() })
}

fn passphrase(directory: &Path, bound: &Bound) -> Result<Arc<str>, String> {
    if let Some(passphrase) = bound.options.get(O::Passphrase) {
        return Ok(passphrase.into());
    }
    let Some(file) = bound.options.get(O::PassphraseFile) else { return Ok("".into()) };
    let file = directory.join(file);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).into()),
        Err(error) => Err(format!("cannot read {}: {error}", file.display())),
    }
}

fn options(directory: &Path, bound: &Bound) -> Result<TlsOptions, String> {
    let said = &bound.options;
    let path = |option| said.get(option).map(|path| directory.join(path));
    let on = |option, otherwise| said.get(option).map_or(otherwise, |value| value == "true");
    let text = |error: TlsError| error.to_string();
    let mut options = TlsOptions::default();
    if let Some(level) = said.get(O::SecurityLevel) {
        options.level = level.parse().map_err(text)?;
    }
    options.min_version = said.get(O::MinVersion).map(str::parse).transpose().map_err(text)?;
    if let Some(suites) = said.get(O::CipherSuites) {
        options.cipher_suites = suites.split(',').map(str::parse).collect::<Result<_, _>>().map_err(text)?;
    }
    let demand: Demand = said.get(O::ClientCertificates).unwrap_or("none").parse().map_err(text)?;
    if demand != Demand::None {
        let mut rules = ClientCertificates::new(demand);
        rules = path(O::Ca).into_iter().fold(rules, ClientCertificates::authorities);
        options.client_certificates = path(O::Crl).into_iter().fold(rules, ClientCertificates::revoked);
    }
    options.http2 = on(O::Http2, options.http2);
    options.http3 = on(O::Http3, options.http3);
    options.early_data = on(O::EarlyData, options.early_data);
    options.session_tickets = on(O::SessionTickets, options.session_tickets);
    options.reject = on(O::Reject, options.reject);
    Ok(options)
}
