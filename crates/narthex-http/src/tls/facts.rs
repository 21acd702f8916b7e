//! What a certificate says.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use rustls::crypto::aws_lc_rs::default_provider;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// A certificate, such as the one that a client has shown. What it says is looked up when it is asked for; of one that is not
/// valid DER, nothing is known.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    der: Bytes,
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificate").field("subject", &self.subject()).finish_non_exhaustive()
    }
}

impl PeerCertificate {
    /// The certificate with this DER encoding.
    #[must_use]
    pub fn new(der: Bytes) -> Self {
        Self { der }
    }

    /// The DER encoding.
    #[must_use]
    pub fn der(&self) -> &Bytes {
        &self.der
    }

    fn parsed(&self) -> Option<X509Certificate<'_>> {
        X509Certificate::from_der(&self.der).ok().map(|(_, certificate)| certificate)
    }

    /// Whom it is about: `CN=alice, O=Example`.
    #[must_use]
    pub fn subject(&self) -> String {
        self.parsed().map(|certificate| certificate.subject().to_string()).unwrap_or_default()
    }

    /// The first common name of the subject.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let certificate = self.parsed()?;
        let name = certificate.subject().iter_common_name().next()?;
        name.as_str().ok().map(str::to_owned)
    }

    /// Who has issued it.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.parsed().map(|certificate| certificate.issuer().to_string()).unwrap_or_default()
    }

    /// Its other names, each with its kind: `DNS:example.com`, `IP:127.0.0.1`, `email:a@example.com`, `URI:spiffe://a/b`.
    #[must_use]
    pub fn alternative_names(&self) -> Vec<String> {
        let Some(certificate) = self.parsed() else { return Vec::new() };
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
        names.value.general_names.iter().filter_map(shown).collect()
    }

    /// The serial number, in hexadecimal digits.
    #[must_use]
    pub fn serial(&self) -> String {
        self.parsed().map(|certificate| hexadecimal(certificate.raw_serial(), "")).unwrap_or_default()
    }

    /// When it begins to be valid, in seconds since 1970.
    #[must_use]
    pub fn not_before(&self) -> Option<i64> {
        Some(self.parsed()?.validity().not_before.timestamp())
    }

    /// Until when it is valid, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> Option<i64> {
        Some(self.parsed()?.validity().not_after.timestamp())
    }

    /// The SHA-256 digest of the DER encoding, as `ab:cd:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let suites = default_provider().cipher_suites;
        // Every provider has a suite with SHA-256; it has the only digest that rustls lets others use.
        let hash = suites.iter().find_map(|suite| {
            let suite = suite.tls13()?;
            (suite.common.hash_provider.algorithm() == rustls::crypto::hash::HashAlgorithm::SHA256)
                .then_some(suite.common.hash_provider)
        });
        hash.map(|hash| hexadecimal(hash.hash(&self.der).as_ref(), ":")).unwrap_or_default()
    }
}

fn shown(name: &GeneralName<'_>) -> Option<String> {
    Some(match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::RFC822Name(address) => format!("email:{address}"),
        GeneralName::URI(uri) => format!("URI:{uri}"),
        GeneralName::IPAddress(bytes) => format!("IP:{}", address(bytes)?),
        _ => return None,
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

fn hexadecimal(bytes: &[u8], between: &str) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(between)
}
