//! Certificates for development: an authority of one's own, and what it issues.
//!
//! Its certificate can be trusted once, by a browser or a system; after that every certificate that it issues is. Its key is
//! worth keeping: who has it can pretend to be any site to who trusts it. It is readable for its owner only.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::at::ServerName;

/// The most that browsers accept of a server's certificate.
const LEAF_DAYS: u16 = 397;
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
    /// What is there is no authority.
    #[error("{} is of no use: {problem}; move {} and {} away, and clients have to trust the authority that is made then", .path.display(), CERTIFICATE, KEY)]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There can be no certificate for it.
    #[error("cannot make a certificate for {0}: give DNS names (international ones as xn--…), `*.` before one, or IP addresses")]
    Name(String),
    /// It cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// An authority for development.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    path: PathBuf,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate alone: who trusts the authority has the other one.
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
    /// The authority of this directory; made if there is none, and so is the directory. Several may do so at once: the first key
    /// is that of all.
    ///
    /// # Errors
    /// If files cannot be read or written, or have something else in them.
    pub fn in_directory(directory: &Path) -> Result<Self, DevelopmentError> {
        fs::create_dir_all(directory).map_err(|source| DevelopmentError::File { path: directory.to_owned(), source })?;
        let (path, key_path) = (directory.join(CERTIFICATE), directory.join(KEY));
        let unusable = |path: &Path, problem: String| DevelopmentError::Unusable { path: path.to_owned(), problem };
        let certificate = read(&path)?;
        let key = match (read(&key_path)?, &certificate) {
            (Some(key), _) => key,
            (None, Some(_)) => return Err(unusable(&path, format!("its key, {}, is not there", key_path.display()))),
            (None, None) => first_key(&key_path)?,
        };
        let key = KeyPair::from_pem(&key).map_err(|error| unusable(&key_path, error.to_string()))?;
        let Some(certificate) = certificate else {
            let params = authority_params(now())?;
            write(&path, &params.self_signed(&key)?.pem(), 0o644)?;
            return Ok(Self { issuer: Issuer::new(params, key), path });
        };
        check_authority(&certificate, &key, now()).map_err(|problem| unusable(&path, problem))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(|error| unusable(&path, error.to_string()))?;
        Ok(Self { issuer, path })
    }

    /// Where its certificate is: what browsers have to trust.
    #[must_use]
    pub fn certificate_file(&self) -> &Path {
        &self.path
    }

    /// Issues a certificate for names and addresses, for as long as browsers accept: 397 days. One for `localhost` is for the
    /// loopback addresses too.
    ///
    /// # Errors
    /// If a name is none.
    pub fn issue(&self, names: &[&str]) -> Result<Issued, DevelopmentError> {
        self.issue_for(names, LEAF_DAYS)
    }

    /// Issues a certificate for so many days, yesterday included, and no more than 397. Mozilla's level modern wants at most 90,
    /// intermediate 366.
    ///
    /// # Errors
    /// As for [`issue`](Self::issue).
    pub fn issue_for(&self, names: &[&str], days: u16) -> Result<Issued, DevelopmentError> {
        let mut params = CertificateParams::default();
        for name in names {
            let wrong = || DevelopmentError::Name((*name).to_owned());
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => {
                    let name: ServerName = name.parse().map_err(|_| wrong())?;
                    SanType::DnsName(name.as_str().try_into().map_err(|_| wrong())?)
                }
            });
            if name.eq_ignore_ascii_case("localhost") {
                let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
                params.subject_alt_names.extend(loopback.map(SanType::IpAddress));
            }
        }
        let first = names.first().ok_or_else(|| DevelopmentError::Name("nothing".to_owned()))?;
        // A common name has no place for more (RFC 5280, ub-common-name); what counts are the alternative names.
        params.distinguished_name.push(DnType::CommonName, if first.len() <= 64 { first } else { "development" });
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        lasting(&mut params, now(), days.min(LEAF_DAYS).into());
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
        write(path, &format!("{}{}", self.certificate, self.key), 0o600)
    }
}

fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(0)
}

fn authority_params(now: i64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Who gets hold of the key is to get no signed programs or mails with it.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.distinguished_name.push(DnType::CommonName, "Narthex development authority");
    lasting(&mut params, now, AUTHORITY_DAYS);
    Ok(params)
}

/// Whether what it issues now will be accepted by who trusts this certificate.
fn check_authority(certificate: &str, key: &KeyPair, now: i64) -> Result<(), String> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| "it has no certificate".to_owned())?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err(format!("it does not belong to the key in {KEY}"));
    }
    if !parsed.is_ca() {
        return Err("it is not the certificate of an authority".to_owned());
    }
    if parsed.validity().not_after.timestamp() < now {
        return Err(format!("it has expired: it was valid until {}", parsed.validity().not_after));
    }
    Ok(())
}

/// From yesterday, for machines whose clocks are late.
fn lasting(params: &mut CertificateParams, now: i64, days: i64) {
    let at = |seconds: i64| ASN1Time::from_timestamp(seconds).map(|time| time.to_datetime());
    if let (Ok(from), Ok(until)) = (at(now - DAY), at(now + (days - 1) * DAY)) {
        params.not_before = from;
        params.not_after = until;
    }
}

fn read(path: &Path) -> Result<Option<String>, DevelopmentError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DevelopmentError::File { path: path.to_owned(), source }),
    }
}

/// A new key, or that of another process that was quicker: one that is there is never replaced, since there may be a certificate
/// for it that is trusted.
fn first_key(path: &Path) -> Result<String, DevelopmentError> {
    let error = |source| DevelopmentError::File { path: path.to_owned(), source };
    let key = KeyPair::generate()?.serialize_pem();
    let new = aside(path);
    let written = write_new(&new, &key, 0o600).and_then(|()| match fs::hard_link(&new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read_to_string(path),
        linked => linked.map(|()| key),
    });
    let _ = fs::remove_file(&new);
    written.map_err(error)
}

/// Writes a file as a whole, or not at all.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), DevelopmentError> {
    let new = aside(path);
    let written = write_new(&new, text, mode).and_then(|()| fs::rename(&new, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&new);
        DevelopmentError::File { path: path.to_owned(), source }
    })
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A name beside this one that nobody else uses, in this process or another.
fn aside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}.new", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn who_makes_an_authority_at_once_gets_the_same() {
        let directory = TempDir::new().unwrap();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let path = directory.path().to_owned();
                std::thread::spawn(move || Authority::in_directory(&path).unwrap().issuer.key().serialize_pem())
            })
            .collect();
        let keys: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(keys.iter().all(|key| *key == keys[0]));
        let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [KEY, CERTIFICATE]);
    }

    #[test]
    fn an_authority_that_is_of_no_use_says_why() {
        let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        Authority::in_directory(one.path()).unwrap();
        Authority::in_directory(other.path()).unwrap();
        let again = || Authority::in_directory(one.path()).unwrap_err().to_string();
        fs::copy(other.path().join(KEY), one.path().join(KEY)).unwrap();
        assert!(again().contains("does not belong to the key"), "{}", again());
        fs::remove_file(one.path().join(KEY)).unwrap();
        assert!(again().contains("is not there; move ca.pem and ca.key away"), "{}", again());
        fs::remove_file(one.path().join(CERTIFICATE)).unwrap();
        assert!(Authority::in_directory(one.path()).is_ok());
    }

    #[test]
    fn an_authority_that_has_expired_issues_nothing() {
        let key = KeyPair::generate().unwrap();
        let certificate = authority_params(1_700_000_000).unwrap().self_signed(&key).unwrap().pem();
        assert_eq!(check_authority(&certificate, &key, 1_700_000_000), Ok(()));
        let late = check_authority(&certificate, &key, 1_700_000_000 + AUTHORITY_DAYS * DAY);
        assert!(late.unwrap_err().contains("has expired"));
    }

    #[test]
    fn a_certificate_is_for_as_many_days_as_are_asked_for_but_not_too_many() {
        let directory = TempDir::new().unwrap();
        let authority = Authority::in_directory(directory.path()).unwrap();
        for (asked, expected) in [(90, 90), (397, 397), (9999, 397)] {
            let issued = authority.issue_for(&["a.test"], asked).unwrap();
            let der = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
            let (_, parsed) = X509Certificate::from_der(&der).unwrap();
            let validity = parsed.validity();
            assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), expected * DAY);
        }
    }

    #[test]
    fn what_is_no_name_gets_no_certificate() {
        let directory = TempDir::new().unwrap();
        let authority = Authority::in_directory(directory.path()).unwrap();
        for wrong in ["", "a b", "bücher.test", "a..test", "*.*.test"] {
            assert!(matches!(authority.issue(&[wrong]), Err(DevelopmentError::Name(_))), "{wrong:?}");
        }
        assert!(authority.issue(&[]).is_err());
        let long = format!("{}.test", ["a"; 40].join("."));
        assert!(authority.issue(&[&long]).is_ok() && authority.issue(&["*.a.test", "::1"]).is_ok());
    }
}
