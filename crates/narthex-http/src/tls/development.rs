//! Certificates for development: an authority of one's own, and what it issues.
//!
//! Its certificate can be trusted once, by a browser or a system; after that every certificate that it issues is. Its key is
//! worth keeping: who has it can pretend to be any site to who trusts it. It is readable for its owner only.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::UnixTime;
use x509_parser::time::ASN1Time;

/// The most that browsers accept of a server's certificate.
const LEAF_DAYS: i64 = 397;
const AUTHORITY_DAYS: i64 = 3650;
const DAY: i64 = 86_400;

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevelopmentError {
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the OS says.
        source: io::Error,
    },
    /// What is there is no authority, or the name is none.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// An authority for development.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    path: PathBuf,
}

/// A certificate with its chain, and its key, as PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, followed by the authority's.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority of this directory; made if there is none, and so is the directory.
    ///
    /// # Errors
    /// If files cannot be read or written, or have something else in them.
    pub fn in_directory(directory: &Path) -> Result<Self, DevelopmentError> {
        let (path, key_path) = (directory.join(CERTIFICATE), directory.join(KEY));
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| DevelopmentError::File { path, source }
        };
        match (fs::read_to_string(&path), fs::read_to_string(&key_path)) {
            (Ok(certificate), Ok(key)) => {
                let issuer = Issuer::from_ca_cert_pem(&certificate, KeyPair::from_pem(&key)?)?;
                return Ok(Self { issuer, path });
            }
            (Err(error), _) if error.kind() != io::ErrorKind::NotFound => return Err(file(&path)(error)),
            (_, Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(file(&key_path)(error)),
            _ => {}
        }
        fs::create_dir_all(directory).map_err(file(directory))?;
        let key = KeyPair::generate()?;
        let params = authority_params()?;
        let certificate = params.self_signed(&key)?;
        // The key first: a certificate without one would be taken for an authority that has lost its key.
        write(&key_path, &key.serialize_pem(), 0o600).map_err(file(&key_path))?;
        write(&path, &certificate.pem(), 0o644).map_err(file(&path))?;
        Ok(Self { issuer: Issuer::new(params, key), path })
    }

    /// Where its certificate is: what browsers have to trust.
    #[must_use]
    pub fn certificate_file(&self) -> &Path {
        &self.path
    }

    /// Issues a certificate for names and addresses. One for `localhost` is for the loopback addresses too.
    ///
    /// # Errors
    /// If a name is none.
    pub fn issue(&self, names: &[&str]) -> Result<Issued, DevelopmentError> {
        let mut params = CertificateParams::default();
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName((*name).try_into()?),
            });
            if *name == "localhost" {
                let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
                params.subject_alt_names.extend(loopback.map(SanType::IpAddress));
            }
        }
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("localhost"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        lasting(&mut params, LEAF_DAYS);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl Issued {
    /// Writes both into one file that only its owner can read, in the place of what was there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DevelopmentError> {
        let text = format!("{}{}", self.certificate, self.key);
        write(path, &text, 0o600).map_err(|source| DevelopmentError::File { path: path.to_owned(), source })
    }
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Narthex development authority");
    lasting(&mut params, AUTHORITY_DAYS);
    Ok(params)
}

/// From yesterday, for machines whose clocks are late.
fn lasting(params: &mut CertificateParams, days: i64) {
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(0);
    let at = |seconds: i64| ASN1Time::from_timestamp(seconds).map(|time| time.to_datetime());
    if let (Ok(from), Ok(until)) = (at(now - DAY), at(now + (days - 1) * DAY)) {
        params.not_before = from;
        params.not_after = until;
    }
}

/// Writes a file as a whole, or not at all.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    // What an earlier attempt has left.
    let _ = fs::remove_file(&new);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}
