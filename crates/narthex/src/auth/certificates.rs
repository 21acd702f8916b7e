//! Who a client certificate is of. TLS has checked the certificate before: here it is only given a name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http::Extensions;
use narthex_http::tls::PeerCertificate;

use crate::identity::{Identity, Scheme};

/// Which name a client certificate gives, for [`Auth::client_certificates`](super::Auth::client_certificates).
///
/// Certificates are in requests where the server or the host's binding asks clients for them, and only those that an authority has
/// issued that is trusted there.
#[derive(Clone)]
pub struct CertificateNames(Naming);

type Name = Arc<dyn Fn(&PeerCertificate) -> Option<Identity> + Send + Sync>;

#[derive(Clone)]
enum Naming {
    CommonName,
    Dns,
    Email,
    Uri,
    Fingerprints(Arc<HashMap<String, String>>),
    Custom(Name),
}

impl CertificateNames {
    /// The first common name of the subject.
    #[must_use]
    pub fn common_name() -> Self {
        Self(Naming::CommonName)
    }

    /// The DNS name among the alternative names. A certificate that has more than one gives none.
    #[must_use]
    pub fn dns_name() -> Self {
        Self(Naming::Dns)
    }

    /// The e-mail address among the alternative names. A certificate that has more than one gives none.
    #[must_use]
    pub fn email() -> Self {
        Self(Naming::Email)
    }

    /// The URI among the alternative names, such as a SPIFFE ID. A certificate that has more than one gives none.
    #[must_use]
    pub fn uri() -> Self {
        Self(Naming::Uri)
    }

    /// The names of these certificates only: SHA-256 fingerprints, with or without colons, and names.
    #[must_use]
    pub fn fingerprints(known: impl IntoIterator<Item = (impl AsRef<str>, impl Into<String>)>) -> Self {
        let known = known.into_iter().map(|(fingerprint, name)| (digits(fingerprint.as_ref()), name.into()));
        Self(Naming::Fingerprints(Arc::new(known.collect())))
    }

    /// What this function makes of a certificate.
    #[must_use]
    pub fn custom(naming: impl Fn(&PeerCertificate) -> Option<Identity> + Send + Sync + 'static) -> Self {
        Self(Naming::Custom(Arc::new(naming)))
    }

    /// Who the client is, if its certificate says so.
    pub(super) fn identify(&self, extensions: &Extensions) -> Option<Identity> {
        let certificate = extensions.get::<PeerCertificate>()?;
        let name = match &self.0 {
            Naming::CommonName => certificate.common_name(),
            Naming::Dns => only(certificate.dns_names()),
            Naming::Email => only(certificate.email_addresses()),
            Naming::Uri => only(certificate.uris()),
            Naming::Fingerprints(known) => known.get(&digits(&certificate.fingerprint())).cloned(),
            Naming::Custom(naming) => return naming(certificate),
        };
        name.filter(|name| !name.is_empty()).map(|name| Identity::new(name, Scheme::ClientCertificate))
    }
}

/// Which of several names would be meant is for nobody to guess.
fn only(mut names: Vec<String>) -> Option<String> {
    let name = names.pop()?;
    names.is_empty().then_some(name)
}

fn digits(fingerprint: &str) -> String {
    fingerprint.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_lowercase()).collect()
}

impl fmt::Debug for CertificateNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Naming::CommonName => "CertificateNames::common_name",
            Naming::Dns => "CertificateNames::dns_name",
            Naming::Email => "CertificateNames::email",
            Naming::Uri => "CertificateNames::uri",
            Naming::Fingerprints(_) => "CertificateNames::fingerprints",
            Naming::Custom(_) => "CertificateNames::custom",
        })
    }
}
