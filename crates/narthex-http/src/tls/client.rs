//! Client certificates (mTLS).

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::error::TlsError;
use super::source::{certificates, read};

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// They are not asked.
    #[default]
    None,
    /// They are asked. One that has none is served all the same; one that shows a bad one is not.
    Optional,
    /// The handshake of one that has none fails.
    Required,
}

impl FromStr for Demand {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, TlsError> {
        match text {
            "none" => Ok(Self::None),
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => {
                let possible = "none, optional and required".to_owned();
                Err(TlsError::Option { option: "the demand for client certificates", value: text.to_owned(), possible })
            }
        }
    }
}

/// Whether and by whom clients have to be certified.
///
/// A certificate counts if it leads to one of the authorities, is valid now, is not on a revocation list, and is not restricted
/// to other uses than client authentication (RFC 5280). A revocation list that is past its own date still counts: what it has
/// revoked stays so.
#[derive(Clone, Debug, Default)]
pub struct ClientCertificates {
    demand: Demand,
    authorities: Vec<PathBuf>,
    revoked: Vec<PathBuf>,
}

impl ClientCertificates {
    /// Clients are not asked.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Clients are asked as `demand` says. PEM files of authorities have to be given too.
    #[must_use]
    pub fn new(demand: Demand) -> Self {
        Self { demand, ..Self::default() }
    }

    /// Adds a PEM file of certificates of authorities.
    #[must_use]
    pub fn authorities(mut self, file: impl Into<PathBuf>) -> Self {
        self.authorities.push(file.into());
        self
    }

    /// Adds a file of revocation lists, PEM or DER.
    #[must_use]
    pub fn revoked(mut self, file: impl Into<PathBuf>) -> Self {
        self.revoked.push(file.into());
        self
    }

    /// Whether clients are asked.
    #[must_use]
    pub fn demand(&self) -> Demand {
        self.demand
    }

    /// The files that it is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.authorities.iter().chain(&self.revoked).map(PathBuf::as_path)
    }

    pub(super) fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        if self.demand == Demand::None {
            if self.files().next().is_some() {
                let problem = "there are authorities or revocation lists, and clients are not asked: demand optional or required";
                return Err(TlsError::ClientCertificates(problem.to_owned()));
            }
            return Ok(WebPkiClientVerifier::no_client_auth());
        }
        let mut roots = RootCertStore::empty();
        for file in &self.authorities {
            for certificate in certificates(&file.display().to_string(), &read(file)?)? {
                roots.add(certificate)?;
            }
        }
        if roots.is_empty() {
            return Err(TlsError::ClientCertificates("give a PEM file with the certificates of who issues them".to_owned()));
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        for file in &self.revoked {
            builder = builder.with_crls(lists(file, read(file)?)?);
        }
        if self.demand == Demand::Optional {
            builder = builder.allow_unauthenticated();
        }
        // Authorities publish lists for what they themselves have issued: one for the root says nothing of its children.
        let built = builder.allow_unknown_revocation_status().build();
        built.map_err(|error| TlsError::ClientCertificates(error.to_string()))
    }
}

fn lists(file: &Path, bytes: Vec<u8>) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes.into()]);
    }
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| {
        TlsError::ClientCertificates(format!("{} has no revocation list: give a PEM or DER file of one", file.display()))
    })
}
