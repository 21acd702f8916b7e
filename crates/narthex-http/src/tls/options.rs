//! What can be chosen for a binding.

use std::str::FromStr;

use rustls::crypto::CryptoProvider;
use rustls::{NamedGroup, SupportedCipherSuite, SupportedProtocolVersion};

use super::client::ClientCertificates;
use super::error::TlsError;
use super::provider;

/// Mozilla's levels of compatibility, as far as they are safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecurityLevel {
    /// TLS 1.3 alone.
    Modern,
    /// TLS 1.2 and 1.3, forward-secret AEAD suites.
    #[default]
    Intermediate,
}

/// The oldest protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MinVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// A cipher suite that there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CipherSuiteName(SupportedCipherSuite);

/// The names that OpenSSL has for the suites of TLS 1.2.
const OPENSSL: [(&str, &str); 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];

static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
static NEWEST: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// What the registry calls a suite. rustls says `TLS13_` of those that are of TLS 1.3 alone.
fn name_of(suite: SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

impl FromStr for SecurityLevel {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, TlsError> {
        match text {
            "modern" => Ok(Self::Modern),
            "intermediate" => Ok(Self::Intermediate),
            _ => Err(unknown("security level", text, "modern and intermediate")),
        }
    }
}

impl FromStr for MinVersion {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, TlsError> {
        match text {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err(unknown("minimum version", text, "1.2 and 1.3")),
        }
    }
}

fn unknown(option: &'static str, value: &str, possible: &str) -> TlsError {
    TlsError::Option { option, value: value.to_owned(), possible: possible.to_owned() }
}

/// By its registered name (`TLS_AES_128_GCM_SHA256`), or by OpenSSL's (`ECDHE-RSA-AES128-GCM-SHA256`).
impl FromStr for CipherSuiteName {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, TlsError> {
        let registered = OPENSSL.iter().find(|(openssl, _)| *openssl == text).map_or(text, |(_, name)| name);
        let all = provider().cipher_suites.clone();
        let found = all.iter().find(|suite| name_of(**suite) == registered);
        found.map(|suite| Self(*suite)).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|suite| name_of(*suite)).collect();
            unknown("a cipher suite", text, &names.join(", "))
        })
    }
}

/// What a binding does besides showing its certificate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsOptions {
    /// Default: intermediate.
    pub level: SecurityLevel,
    /// The oldest version. Default: what the level says. It cannot be older than that.
    pub min_version: Option<MinVersion>,
    /// The suites, in the server's order of preference. Empty (the default): those of the level.
    pub cipher_suites: Vec<CipherSuiteName>,
    /// Whether clients have to show a certificate. Default: they are not asked.
    pub client_certificates: ClientCertificates,
    /// HTTP/2 is offered. Default: yes.
    pub http2: bool,
    /// HTTP/3 is offered. Default: yes.
    pub http3: bool,
    /// HTTP/3 clients that return may send safe requests in their first packet. They can be replayed. Default: no.
    pub early_data: bool,
    /// Sessions are resumed by tickets, which cost no memory; else by a table of the last 4096. Default: yes.
    pub session_tickets: bool,
    /// All handshakes fail. Default: no.
    pub reject: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            level: SecurityLevel::default(),
            min_version: None,
            cipher_suites: Vec::new(),
            client_certificates: ClientCertificates::none(),
            http2: true,
            http3: true,
            early_data: false,
            session_tickets: true,
            reject: false,
        }
    }
}

impl TlsOptions {
    fn oldest(&self) -> Result<MinVersion, TlsError> {
        let of_level = match self.level {
            SecurityLevel::Modern => MinVersion::Tls13,
            SecurityLevel::Intermediate => MinVersion::Tls12,
        };
        match self.min_version {
            Some(asked) if asked < of_level => Err(TlsError::Contradiction(
                "the security level modern has no TLS 1.2: leave the minimum version out, or choose the level intermediate"
                    .to_owned(),
            )),
            asked => Ok(asked.unwrap_or(of_level)),
        }
    }

    /// The protocol versions.
    pub(super) fn versions(&self) -> Result<&'static [&'static SupportedProtocolVersion], TlsError> {
        Ok(match self.oldest()? {
            MinVersion::Tls12 => &BOTH,
            MinVersion::Tls13 => &NEWEST,
        })
    }

    /// Suites and groups.
    pub(super) fn provider(&self) -> Result<CryptoProvider, TlsError> {
        let mut provider = CryptoProvider::clone(&provider());
        if !self.cipher_suites.is_empty() {
            provider.cipher_suites = self.cipher_suites.iter().map(|suite| suite.0).collect();
        }
        let oldest = self.oldest()?;
        let of_version = |suite: &SupportedCipherSuite| oldest == MinVersion::Tls12 || suite.tls13().is_some();
        if !provider.cipher_suites.iter().any(of_version) {
            return Err(TlsError::Contradiction(
                "none of the cipher suites is of TLS 1.3, the only version that is allowed: add one, such as \
                 TLS_AES_128_GCM_SHA256, or allow TLS 1.2"
                    .to_owned(),
            ));
        }
        provider.cipher_suites.retain(of_version);
        if self.level == SecurityLevel::Modern {
            // Mozilla's list for this level, and the hybrid that is at least as strong.
            let listed = [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];
            provider.kx_groups.retain(|group| listed.contains(&group.name()));
        }
        Ok(provider)
    }
}
