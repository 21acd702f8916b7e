//! What is needed before an authority has signed: a key, a request for a certificate, and what to show meanwhile.

use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::error::TlsError;
use super::source::Source;

/// A key, and the request (CSR) that asks an authority for a certificate for it.
pub struct CertificateRequest {
    key: KeyPair,
    der: Vec<u8>,
}

impl std::fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateRequest").finish_non_exhaustive()
    }
}

impl CertificateRequest {
    /// Asks for `name` with a new key: ECDSA with P-256, which every client of the last ten years can do.
    ///
    /// # Errors
    /// If `name` is not ASCII, or no key can be made.
    pub fn new(name: &str) -> Result<Self, TlsError> {
        Self::of(name, KeyPair::generate().map_err(TlsError::Made)?)
    }

    /// Asks for `name` with a key that was made before, as PEM.
    ///
    /// # Errors
    /// If `name` is not ASCII, or there is no key in the text.
    pub fn with_key(name: &str, key: &str) -> Result<Self, TlsError> {
        Self::of(name, KeyPair::from_pem(key).map_err(TlsError::Made)?)
    }

    fn of(name: &str, key: KeyPair) -> Result<Self, TlsError> {
        let mut params = CertificateParams::new([name.to_owned()]).map_err(TlsError::Made)?;
        // What counts is the alternative name; a common name has room for 64 characters only.
        params.distinguished_name = DistinguishedName::new();
        let der = params.serialize_request(&key).map_err(TlsError::Made)?.der().to_vec();
        Ok(Self { key, der })
    }

    /// The request, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key, PEM.
    #[must_use]
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }
}

/// A certificate for `name` that nobody trusts: for a binding that stands before it has one, and rejects everybody.
///
/// # Errors
/// If `name` is not ASCII, or no key can be made.
pub fn placeholder(name: &str) -> Result<Source, TlsError> {
    let key = KeyPair::generate().map_err(TlsError::Made)?;
    let certificate =
        CertificateParams::new([name.to_owned()]).and_then(|params| params.self_signed(&key)).map_err(TlsError::Made)?;
    Ok(Source::PemText { certificate: certificate.pem().into_bytes().into(), key: key.serialize_pem().into_bytes().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_a_key_that_was_kept_is_for_the_same_key() {
        let made = CertificateRequest::new("a.test").unwrap();
        let again = CertificateRequest::with_key("a.test", &made.key()).unwrap();
        assert_eq!(again.key(), made.key());
        assert!(CertificateRequest::new("bücher.test").is_err() && CertificateRequest::with_key("a.test", "none").is_err());
    }

    #[test]
    fn a_placeholder_is_for_its_name() {
        let shown = placeholder("a.test").unwrap().certificate().unwrap();
        assert_eq!(shown.dns_names(), ["a.test"]);
    }
}
