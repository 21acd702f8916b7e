//! Where a certificate and its key come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::error::TlsError;
use super::identity::Identity;

/// Larger files are no certificates.
const MOST: u64 = 4 << 20;
const NOT_DER: &str = ", not DER (`openssl x509 -inform der -in cert.der -out cert.pem`)";
const NOT_DER_KEY: &str = ", not DER (`openssl pkey -inform der -in key.der -out key.pem`)";

/// A certificate with its chain, and its private key.
#[derive(Clone)]
#[non_exhaustive]
pub enum Source {
    /// PEM files: the server's certificate followed by its chain, and the key. They may be one file.
    Pem {
        /// The certificate's.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
    },
    /// The texts of such files.
    PemText {
        /// Certificate and chain.
        certificate: Arc<[u8]>,
        /// The key.
        key: Arc<[u8]>,
    },
    /// A PKCS#12 file (`.pfx`, `.p12`).
    Pkcs12 {
        /// The file.
        path: PathBuf,
        /// Its passphrase; may be empty.
        passphrase: Arc<str>,
    },
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pem { certificate, key } => f.debug_struct("Pem").field("certificate", certificate).field("key", key).finish(),
            Self::PemText { .. } => f.write_str("PemText"),
            Self::Pkcs12 { path, .. } => f.debug_struct("Pkcs12").field("path", path).finish_non_exhaustive(),
        }
    }
}

impl Source {
    /// The files that it is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let (one, other) = match self {
            Self::Pem { certificate, key } => (Some(certificate), Some(key)),
            Self::PemText { .. } => (None, None),
            Self::Pkcs12 { path, .. } => (Some(path), None),
        };
        one.into_iter().chain(other).map(PathBuf::as_path)
    }

    /// Reads it, and checks that the parts belong together.
    pub(super) fn load(&self) -> Result<Identity, TlsError> {
        match self {
            Self::Pem { certificate, key } => {
                let (chain, secret) = (read(certificate)?, read(key)?);
                from_pem(&certificate.display().to_string(), &chain, &key.display().to_string(), &secret)
            }
            Self::PemText { certificate, key } => from_pem("the certificate's text", certificate, "the key's text", key),
            Self::Pkcs12 { path, passphrase } => from_pkcs12(path, passphrase),
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let error = |source| TlsError::Read { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(error)?.len();
    if length > MOST {
        return Err(error(std::io::Error::other("it is too large to be a certificate or a key")));
    }
    std::fs::read(path).map_err(error)
}

/// The certificates of a PEM text.
pub(super) fn certificates(place: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::NoCertificate(place.to_owned(), if text.first() == Some(&0x30) { NOT_DER } else { "" })),
    }
}

fn from_pem(place: &str, chain: &[u8], key_place: &str, key: &[u8]) -> Result<Identity, TlsError> {
    let chain = certificates(place, chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        let encrypted = memchr::memmem::find(key, b"ENCRYPTED").is_some();
        match key.first() {
            _ if encrypted => TlsError::EncryptedKey(key_place.to_owned()),
            Some(0x30) => TlsError::NoKey(key_place.to_owned(), NOT_DER_KEY),
            _ => TlsError::NoKey(key_place.to_owned(), ""),
        }
    })?;
    Identity::new(place, chain, key_place, key)
}

fn from_pkcs12(path: &Path, passphrase: &str) -> Result<Identity, TlsError> {
    let bytes = read(path)?;
    let error = |problem: String| TlsError::Pkcs12 { path: path.to_owned(), problem };
    let store =
        KeyStore::from_pkcs12(&bytes, passphrase, Pkcs12ImportPolicy::Relaxed).map_err(|failure| error(failure.to_string()))?;
    let (_, entry) = store.private_key_chain().ok_or_else(|| error("it has no private key with a certificate".to_owned()))?;
    let chain = entry.certs().iter().map(|certificate| certificate.as_der().to_vec().into()).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(entry.key().as_der().to_vec()));
    let place = path.display().to_string();
    Identity::new(&place, chain, &place, key)
}
