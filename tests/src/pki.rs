//! An authority for one test, and what it certifies.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

/// An authority whose files are in a directory.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    name: &'static str,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// For `localhost` and the loopback addresses.
    Server,
    /// For a client.
    Client,
}

impl Authority {
    /// An authority; its certificate is `NAME.pem`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(directory: &Path, name: &'static str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("an authority has no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Narthex test authority");
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("an authority can sign itself");
        std::fs::write(directory.join(format!("{name}.pem")), certificate.pem()).expect("a file can be written");
        Self { directory: directory.to_owned(), issuer: Issuer::new(params, key), name }
    }

    /// Its certificate.
    pub fn file(&self) -> PathBuf {
        self.directory.join(format!("{}.pem", self.name))
    }

    /// A file with a certificate and its key.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn issue(&self, name: &str, usage: Use) -> PathBuf {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        match usage {
            Use::Server => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                params.subject_alt_names.push(SanType::DnsName("localhost".try_into().expect("it is a name")));
                params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
            }
            Use::Client => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                params.subject_alt_names.push(SanType::DnsName("client.test".try_into().expect("it is a name")));
            }
        }
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority can sign");
        let file = self.directory.join(format!("{}-{name}.pem", self.name));
        std::fs::write(&file, certificate.pem() + &key.serialize_pem()).expect("a file can be written");
        file
    }
}
