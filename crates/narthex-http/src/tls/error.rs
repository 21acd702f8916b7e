//! Why a binding cannot be made.

use std::io;
use std::path::PathBuf;

/// What is wrong with a certificate, a key or an option, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}{}", .path.display(), advice(.source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the OS says.
        source: io::Error,
    },
    /// The file has no certificate.
    #[error("{0} has no certificate: give a PEM file with BEGIN CERTIFICATE in it{1}")]
    NoCertificate(String, &'static str),
    /// The file has no key.
    #[error("{0} has no private key: give a PEM file with BEGIN PRIVATE KEY in it{1}")]
    NoKey(String, &'static str),
    /// The key is encrypted.
    #[error(
        "the private key in {0} is encrypted: decrypt it (`openssl pkey -in encrypted.pem -out key.pem`), or give a PKCS#12 file and its passphrase"
    )]
    EncryptedKey(String),
    /// A certificate cannot be parsed.
    #[error("certificate {number} in {place} is not valid: {problem}")]
    Certificate {
        /// Where it is.
        place: String,
        /// Which it is, from 1.
        number: usize,
        /// What is wrong.
        problem: String,
    },
    /// The key cannot be used.
    #[error(
        "the private key in {place} cannot be used: {problem}; RSA (2048 bits and more), ECDSA (P-256, P-384, P-521) and Ed25519 keys can"
    )]
    Key {
        /// Where it is.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// They are not a pair.
    #[error(
        "the private key in {key} does not belong to the certificate in {certificate}: give the key that the certificate was requested with"
    )]
    Mismatch {
        /// Where the certificate is.
        certificate: String,
        /// Where the key is.
        key: String,
    },
    /// The chain is out of order.
    #[error(
        "certificate {number} in {place} ({subject}) was not issued by the next one ({issuer} follows): put the server's certificate first, then its issuer's, and so on"
    )]
    Chain {
        /// Where they are.
        place: String,
        /// Which certificate it is, from 1.
        number: usize,
        /// Its issuer's name as it says.
        subject: String,
        /// Who follows.
        issuer: String,
    },
    /// The chain only looks like one.
    #[error(
        "certificate {number} in {place} was not signed with the key of the next one, though that has the issuer's name: get the chain that belongs to this certificate from who issued it"
    )]
    Signature {
        /// Where they are.
        place: String,
        /// Which certificate it is, from 1.
        number: usize,
    },
    /// It is over.
    #[error("the certificate in {place} has expired: it was valid until {until}; renew it")]
    Expired {
        /// Where it is.
        place: String,
        /// When it ended.
        until: String,
    },
    /// It has not begun.
    #[error("the certificate in {place} is not valid yet: it will be from {from}; check the clock of this machine")]
    NotYetValid {
        /// Where it is.
        place: String,
        /// When it begins.
        from: String,
    },
    /// The PKCS#12 file cannot be used.
    #[error("cannot use the PKCS#12 file {}: {problem}", .path.display())]
    Pkcs12 {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// An option has a value that there is not.
    #[error("{option} cannot be {value}: there are {possible}")]
    Option {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What can be given.
        possible: String,
    },
    /// Options contradict each other.
    #[error("{0}")]
    Contradiction(String),
    /// Client certificates need somebody to have issued them.
    #[error("client certificates cannot be checked: {0}")]
    ClientCertificates(String),
    /// A key, a request or a certificate cannot be made here.
    #[error("cannot make a certificate or a key: {0}")]
    Made(#[source] rcgen::Error),
    /// What rustls says to a combination that passed all of this.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; let the user that this runs as read it",
        io::ErrorKind::NotFound => "; check the path",
        _ => "",
    }
}
