//! A certificate chain and its key, found to belong together.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::at::{BindingAt, ServerName};
use super::error::TlsError;
use super::facts::PeerCertificate;
use super::name;

/// What a server shows and signs with.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) leaf: PeerCertificate,
    place: String,
}

impl Identity {
    pub(super) fn new(
        place: &str,
        chain: Vec<CertificateDer<'static>>,
        key_place: &str,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        check_order(place, &chain)?;
        let signing = any_supported_type(&key)
            .map_err(|error| TlsError::Key { place: key_place.to_owned(), problem: error.to_string() })?;
        let leaf = chain.first().map(|leaf| PeerCertificate::new(leaf.to_vec().into()));
        let leaf = leaf.ok_or_else(|| TlsError::NoCertificate(place.to_owned(), ""))?;
        let certified = CertifiedKey::new(chain, signing);
        if certified.keys_match().is_err() {
            return Err(TlsError::Mismatch { certificate: place.to_owned(), key: key_place.to_owned() });
        }
        Ok(Self { key: Arc::new(certified), leaf, place: place.to_owned() })
    }

    /// Where it was read from.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// What is not wrong here, but will be for clients: a certificate for other names than it is bound for.
    pub(super) fn warning(&self, at: &BindingAt) -> Option<String> {
        let BindingAt::HostPort { host, .. } = at else { return None };
        if self.leaf.is_for(&placeholder(host)) {
            return None;
        }
        let names = match self.leaf.alternative_names() {
            none if none.is_empty() => "it has no alternative names, and the common name does not count".to_owned(),
            names => format!("it is for {}", names.join(", ")),
        };
        Some(format!("clients will not accept the certificate in {} for {host}: {names}", self.place))
    }

    /// Whether it is valid at `now`. For who adds it: one that is in use already is used to its end and beyond, since a client
    /// that says "expired" tells more than one that cannot connect.
    pub(super) fn check_time(&self, now: UnixTime) -> Result<(), TlsError> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let (from, until) = (self.leaf.not_before(), self.leaf.not_after());
        if until.is_some_and(|until| until < now) {
            return Err(TlsError::Expired { place: self.place.clone(), until: shown(until) });
        }
        if from.is_some_and(|from| from > now) {
            return Err(TlsError::NotYetValid { place: self.place.clone(), from: shown(from) });
        }
        Ok(())
    }
}

/// One of the names that are meant.
fn placeholder(host: &ServerName) -> String {
    match host.wildcard_of() {
        Some(parent) => format!("any.{parent}"),
        None => host.as_str().to_owned(),
    }
}

fn shown(seconds: Option<i64>) -> String {
    let time = seconds.and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    time.map_or_else(String::new, |time| time.to_string())
}

/// Clients need each certificate followed by its issuer's.
fn check_order(place: &str, chain: &[CertificateDer<'_>]) -> Result<(), TlsError> {
    let mut parsed = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => parsed.push(certificate),
            Err(error) => {
                let (number, problem) = (index + 1, error.to_string());
                return Err(TlsError::Certificate { place: place.to_owned(), number, problem });
            }
        }
    }
    for (index, pair) in parsed.windows(2).enumerate() {
        let [one, next] = pair else { continue };
        if one.issuer().as_raw() != next.subject().as_raw() {
            return Err(TlsError::Chain {
                place: place.to_owned(),
                number: index + 1,
                subject: format!("its issuer is {}", name::text(one.issuer())),
                issuer: name::text(next.subject()),
            });
        }
        // Algorithms that cannot be checked here are left to the client.
        if let Err(X509Error::SignatureVerificationError) = one.verify_signature(Some(next.public_key())) {
            return Err(TlsError::Signature { place: place.to_owned(), number: index + 1 });
        }
    }
    Ok(())
}
