//! Where a certificate and its key come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TlsError;
use super::facts::PeerCertificate;
use super::identity::Identity;
use super::pkcs12;

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

    /// The certificate, once it was found to belong to the key.
    ///
    /// # Errors
    /// If the files cannot be read, or have something else in them.
    pub fn certificate(&self) -> Result<PeerCertificate, TlsError> {
        Ok(self.load()?.leaf)
    }

    /// Reads it, and checks that the parts belong together.
    pub(super) fn load(&self) -> Result<Identity, TlsError> {
        match self {
            Self::Pem { certificate, key } => {
                let (chain, secret) = (read(certificate)?, read(key)?);
                from_pem(&certificate.display().to_string(), &chain, &key.display().to_string(), &secret)
            }
            Self::PemText { certificate, key } => from_pem("the certificate's text", certificate, "the key's text", key),
            Self::Pkcs12 { path, passphrase } => pkcs12::load(path, &read(path)?, passphrase),
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
    let mut found = Vec::new();
    for item in CertificateDer::pem_slice_iter(without_mark(text)) {
        match item {
            Ok(certificate) => found.push(certificate),
            Err(error) => {
                let (number, problem) = (found.len() + 1, format!("its PEM text is damaged ({error:?})"));
                return Err(TlsError::Certificate { place: place.to_owned(), number, problem });
            }
        }
    }
    if found.is_empty() { Err(TlsError::NoCertificate(place.to_owned(), instead(text, NOT_DER))) } else { Ok(found) }
}

fn from_pem(place: &str, chain: &[u8], key_place: &str, key: &[u8]) -> Result<Identity, TlsError> {
    let chain = certificates(place, chain)?;
    let key = PrivateKeyDer::from_pem_slice(without_mark(key)).map_err(|_| {
        if memchr::memmem::find(key, b"ENCRYPTED").is_some() {
            return TlsError::EncryptedKey(key_place.to_owned());
        }
        TlsError::NoKey(key_place.to_owned(), instead(key, NOT_DER_KEY))
    })?;
    Identity::new(place, chain, key_place, key)
}

/// Editors on Windows begin a text with a mark, by which its first line would be none.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// What a text that is not PEM is instead. DER of all kinds begins with a sequence; that of PKCS#12 has its version, 3, in it.
fn instead(text: &[u8], not_der: &'static str) -> &'static str {
    match text {
        [0x30, 0x80, 2, 1, 3, ..] | [0x30, 0x82, _, _, 2, 1, 3, ..] => ", or give this one as the PKCS#12 file that it is",
        [0x30, ..] => not_der,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ", and save it as plain text: this one is UTF-16",
        _ => "",
    }
}
