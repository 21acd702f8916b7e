//! What a certificate says.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use bytes::Bytes;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::at::ServerName;
use super::name;

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

    /// Whom it is about, as RFC 4514 writes it: `CN=alice,O=Example`. What could be taken for another part is escaped.
    #[must_use]
    pub fn subject(&self) -> String {
        self.parsed().map(|certificate| name::text(certificate.subject())).unwrap_or_default()
    }

    /// The first common name of the subject.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let certificate = self.parsed()?;
        let name = certificate.subject().iter_common_name().next()?;
        name.as_str().ok().map(str::to_owned)
    }

    /// Who has issued it, in the same form.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.parsed().map(|certificate| name::text(certificate.issuer())).unwrap_or_default()
    }

    /// Its other names, each with its kind: `DNS:example.com`, `IP:127.0.0.1`, `email:a@example.com`, `URI:spiffe://a/b`.
    #[must_use]
    pub fn alternative_names(&self) -> Vec<String> {
        self.names_that(shown)
    }

    /// Its DNS names.
    #[must_use]
    pub fn dns_names(&self) -> Vec<String> {
        self.names_that(|name| if let GeneralName::DNSName(name) = name { Some((*name).to_owned()) } else { None })
    }

    /// Its IP addresses.
    #[must_use]
    pub fn ip_addresses(&self) -> Vec<IpAddr> {
        self.names_that(|name| if let GeneralName::IPAddress(bytes) = name { address(bytes) } else { None })
    }

    /// Its e-mail addresses.
    #[must_use]
    pub fn email_addresses(&self) -> Vec<String> {
        self.names_that(|name| if let GeneralName::RFC822Name(name) = name { Some((*name).to_owned()) } else { None })
    }

    /// Its URIs, such as a SPIFFE ID.
    #[must_use]
    pub fn uris(&self) -> Vec<String> {
        self.names_that(|name| if let GeneralName::URI(name) = name { Some((*name).to_owned()) } else { None })
    }

    fn names_that<T>(&self, wanted: impl Fn(&GeneralName<'_>) -> Option<T>) -> Vec<T> {
        let Some(certificate) = self.parsed() else { return Vec::new() };
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
        names.value.general_names.iter().filter_map(wanted).collect()
    }

    /// Whether clients that ask for this name or address accept it, as far as names go (RFC 9525 section 6).
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => self.ip_addresses().contains(&ip),
            Err(_) => self.dns_names().iter().any(|dns| {
                let dns = dns.to_ascii_lowercase();
                dns == name || dns.parse().is_ok_and(|dns: ServerName| dns.matches(&name))
            }),
        }
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
        hexadecimal(digest(&SHA256, &self.der).as_ref(), ":")
    }

    /// The SHA-1 digest, without colons: what Windows calls the thumbprint or certificate hash. For finding a certificate, not
    /// for trusting it.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        hexadecimal(digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der).as_ref(), "")
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
