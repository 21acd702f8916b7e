//! What can be said of a TLS binding, in one table: for the file, the verbs, and `dump`.

use serde::{Deserialize, Serialize};

/// Something that can be said of a binding. The order is that in which they are written and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "docs/operators.md has the table that explains them")]
pub enum BindingOption {
    Directory,
    Certificate,
    Key,
    Pkcs12,
    Passphrase,
    PassphraseFile,
    SelfSigned,
    Acme,
    SecurityLevel,
    MinVersion,
    CipherSuites,
    ClientCertificates,
    Ca,
    Crl,
    Http2,
    Http3,
    EarlyData,
    SessionTickets,
    Reject,
    Appid,
}

/// What an option's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// A path; one that is relative begins at the configuration file.
    Path,
    /// true or false.
    Flag,
    /// One of these.
    Word(&'static [&'static str]),
    /// Names with commas between them.
    List,
    /// Anything.
    Text,
}

impl BindingOption {
    /// All, in their order.
    pub const ALL: [Self; 20] = [
        Self::Directory,
        Self::Certificate,
        Self::Key,
        Self::Pkcs12,
        Self::Passphrase,
        Self::PassphraseFile,
        Self::SelfSigned,
        Self::Acme,
        Self::SecurityLevel,
        Self::MinVersion,
        Self::CipherSuites,
        Self::ClientCertificates,
        Self::Ca,
        Self::Crl,
        Self::Http2,
        Self::Http3,
        Self::EarlyData,
        Self::SessionTickets,
        Self::Reject,
        Self::Appid,
    ];

    /// As the file has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Pkcs12 => "pkcs12",
            Self::Passphrase => "passphrase",
            Self::PassphraseFile => "passphrase_file",
            Self::SelfSigned => "self_signed",
            Self::Acme => "acme",
            Self::SecurityLevel => "security_level",
            Self::MinVersion => "min_version",
            Self::CipherSuites => "cipher_suites",
            Self::ClientCertificates => "client_certificates",
            Self::Ca => "ca",
            Self::Crl => "crl",
            Self::Http2 => "http2",
            Self::Http3 => "http3",
            Self::EarlyData => "early_data",
            Self::SessionTickets => "session_tickets",
            Self::Reject => "reject",
            Self::Appid => "appid",
        }
    }

    /// The key that it is typed with, where that takes the value as it is.
    #[must_use]
    pub const fn typed(self) -> &'static str {
        match self {
            Self::Certificate => "certfile",
            Self::Key => "keyfile",
            Self::Pkcs12 => "pkcs12file",
            Self::PassphraseFile => "passphrasefile",
            Self::SelfSigned => "self-signed",
            Self::SecurityLevel => "securitylevel",
            Self::MinVersion => "minversion",
            Self::CipherSuites => "ciphersuites",
            Self::ClientCertificates => "clientcertnegotiation",
            Self::Ca => "cafile",
            Self::Crl => "crlfile",
            Self::Http2 => "disablehttp2",
            Self::Http3 => "disablequic",
            Self::EarlyData => "earlydata",
            Self::SessionTickets => "enablesessionticket",
            Self::Directory | Self::Passphrase | Self::Acme | Self::Reject | Self::Appid => self.name(),
        }
    }

    /// What its value is.
    #[must_use]
    pub const fn kind(self) -> OptionKind {
        match self {
            Self::Directory | Self::Certificate | Self::Key | Self::Pkcs12 | Self::PassphraseFile | Self::Ca | Self::Crl => {
                OptionKind::Path
            }
            Self::SelfSigned | Self::Acme | Self::Http2 | Self::Http3 | Self::EarlyData | Self::SessionTickets | Self::Reject => {
                OptionKind::Flag
            }
            Self::SecurityLevel => OptionKind::Word(&["modern", "intermediate"]),
            Self::MinVersion => OptionKind::Word(&["1.2", "1.3"]),
            Self::ClientCertificates => OptionKind::Word(&["none", "optional", "required"]),
            Self::CipherSuites => OptionKind::List,
            Self::Passphrase | Self::Appid => OptionKind::Text,
        }
    }

    /// Of which source of a certificate it is a part. Each option that is no such part is of every binding.
    pub(super) const fn source(self) -> Option<&'static str> {
        match self {
            Self::Directory => Some("directory"),
            Self::Certificate | Self::Key => Some("certificate"),
            Self::Pkcs12 | Self::Passphrase | Self::PassphraseFile => Some("pkcs12"),
            Self::SelfSigned => Some("self_signed"),
            Self::Acme => Some("acme"),
            _ => None,
        }
    }

    /// The value as it is kept.
    pub(crate) fn read(self, typed: &str) -> Result<String, String> {
        let name = self.name();
        let wrong = |what: &str| Err(format!("{name} cannot be {typed:?}: {what}"));
        match self.kind() {
            OptionKind::Path | OptionKind::Text if typed.is_empty() && self != Self::Passphrase => wrong("it is empty"),
            OptionKind::Path | OptionKind::Text => Ok(typed.to_owned()),
            OptionKind::Flag => match typed {
                // Without a source there would be none.
                "false" if self.source().is_some() => wrong("write true, or leave it out"),
                "true" | "false" => Ok(typed.to_owned()),
                _ => wrong("write true or false"),
            },
            OptionKind::Word(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(typed)) {
                Some(word) => Ok((*word).to_owned()),
                None => wrong(&format!("write {}", words.join(" or "))),
            },
            OptionKind::List => {
                let names: Vec<&str> = typed.split([',', ':']).map(str::trim).filter(|name| !name.is_empty()).collect();
                if names.is_empty() { wrong("name at least one") } else { Ok(names.join(",")) }
            }
        }
    }
}
