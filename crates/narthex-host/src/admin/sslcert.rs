//! TLS bindings as operators name, make and see them: a key, and options of which only those that were given are there.
//! Their text is that of the file; what it means to TLS, the control thread finds out.

mod options;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use narthex_proto::prefix::{PrefixHost, UrlPrefix};
use serde::{Deserialize, Serialize};

pub use options::{BindingOption, OptionKind};

/// For which handshakes a binding is. `Display` writes it as netsh has it typed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindingKey {
    /// Those on this address whose server name no other binding has.
    IpPort(SocketAddr),
    /// Those for this server name.
    HostnamePort(HostnamePort),
    /// Those on this port for whose server name a directory has a certificate.
    Ccs(u16),
}

/// A server name, exact or `*.` and a domain, and a port. The name is in lower case, and ASCII as clients send it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostnamePort {
    host: String,
    port: u16,
}

impl BindingKey {
    /// What netsh calls this kind of binding.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::IpPort(_) => "ipport",
            Self::HostnamePort(_) => "hostnameport",
            Self::Ccs(_) => "ccs",
        }
    }

    /// The port that it is for.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::IpPort(address) => address.port(),
            Self::HostnamePort(name) => name.port,
            Self::Ccs(port) => *port,
        }
    }

    /// The key without its kind.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::IpPort(address) => address.to_string(),
            Self::HostnamePort(name) => name.to_string(),
            Self::Ccs(port) => port.to_string(),
        }
    }

    /// The key of an `ipport` binding.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn ip_port(text: &str) -> Result<Self, String> {
        let shape = "write an IP address and a port, as in 0.0.0.0:443 or [::]:443";
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => Err(format!("{text:?} has no port: {shape}")),
            Ok(address) => Ok(Self::IpPort(SocketAddr::new(address.ip().to_canonical(), address.port()))),
            Err(_) => Err(format!("{text:?} is not an address: {shape}; for a name, use hostnameport")),
        }
    }

    /// Whether a CA can be asked by ACME for a certificate for it. What it is shown is a name's only host.
    fn check_acme(&self) -> Result<(), String> {
        match self {
            Self::HostnamePort(name) if name.is_localhost() => {
                Err(format!("no CA gives out certificates for {}: take self_signed", name.host()))
            }
            Self::HostnamePort(name) if name.host().starts_with("*.") => Err(format!(
                "acme cannot get a certificate for {}, since that is proved by DNS alone: bind each name by itself, or name the \
                 files (certificate, key) that an ACME client with DNS-01 keeps",
                name.host()
            )),
            Self::HostnamePort(_) => Ok(()),
            Self::IpPort(_) | Self::Ccs(_) => Err("acme gets certificates for names: bind it with \
                 hostnameport, as in shop.example.com:443; for an address name the files (certificate, key)"
                .to_owned()),
        }
    }

    /// The key of a binding of a server name.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn hostname_port(text: &str) -> Result<Self, String> {
        text.parse().map(Self::HostnamePort)
    }
}

impl fmt::Display for BindingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind(), self.value())
    }
}

impl HostnamePort {
    /// The server name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is a name of this machine only, for which no authority gives out certificates.
    #[must_use]
    pub fn is_localhost(&self) -> bool {
        self.host == "localhost" || self.host.ends_with(".localhost")
    }
}

impl FromStr for HostnamePort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = "write a name and a port, as in shop.example.com:443 or *.example.com:443";
        let wrong = |what: &str| format!("{text:?} {what}: {shape}");
        let (name, port) = text.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
        let port: u16 = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| wrong("has no port from 1 to 65535"))?;
        let (wildcard, domain) = name.strip_prefix("*.").map_or(("", name), |domain| ("*.", domain));
        // The rules for the names of registrations, which are to meet it, are the right ones.
        let prefix: UrlPrefix = format!("https://{domain}:{port}/").parse().map_err(|_| wrong("has no name of a host"))?;
        match prefix.host() {
            PrefixHost::Name(_) => Ok(Self { host: format!("{wildcard}{}", prefix.wire_host()), port }),
            PrefixHost::Ip(_) => Err(format!("{text:?} is an address: write it as ipport")),
            _ => Err(wrong("has no name of a host")),
        }
    }
}

impl fmt::Display for HostnamePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl TryFrom<String> for HostnamePort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HostnamePort> for String {
    fn from(name: HostnamePort) -> Self {
        name.to_string()
    }
}

/// What is said of a binding: where its certificate comes from, and how it speaks TLS. What is not said is the default.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BindingSpec {
    options: BTreeMap<BindingOption, String>,
}

/// Without the passphrase: what is printed for developers ends in logs and reports.
impl fmt::Debug for BindingSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.said().map(|(option, value)| match option {
            BindingOption::Passphrase => (option, "(not shown)"),
            _ => (option, value),
        });
        f.debug_map().entries(shown).finish()
    }
}

impl BindingSpec {
    /// What was said about an option.
    #[must_use]
    pub fn get(&self, option: BindingOption) -> Option<&str> {
        self.options.get(&option).map(String::as_str)
    }

    /// Whether an option that is true or false was said to be true.
    #[must_use]
    pub fn is_set(&self, option: BindingOption) -> bool {
        self.get(option) == Some("true")
    }

    /// Says something about an option.
    ///
    /// # Errors
    /// What the option may be instead, as a sentence.
    pub fn set(&mut self, option: BindingOption, value: &str) -> Result<(), String> {
        let value = option.read(value)?;
        self.options.insert(option, value);
        Ok(())
    }

    /// Everything that is said, in the order of [`BindingOption::ALL`].
    pub fn said(&self) -> impl Iterator<Item = (BindingOption, &str)> {
        self.options.iter().map(|(option, value)| (*option, value.as_str()))
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.options.is_empty()
    }

    /// This with a change. Another source of the certificate takes the place of the present one.
    #[must_use]
    pub fn changed(&self, change: &Self) -> Self {
        let mut changed = self.clone();
        let source = |spec: &Self| spec.said().find_map(|(option, _)| option.source());
        if let (Some(old), Some(new)) = (source(self), source(change))
            && old != new
        {
            changed.options.retain(|option, _| option.source().is_none());
        }
        changed.options.extend(change.options.clone());
        changed
    }

    /// Whether this is a whole binding for `key`.
    ///
    /// # Errors
    /// What is missing or too much, as a sentence.
    pub fn check(&self, key: &BindingKey) -> Result<(), String> {
        use BindingOption as O;
        // The JSON of another program has been nowhere yet.
        for (option, value) in self.said() {
            option.read(value)?;
        }
        let sources: Vec<_> = self.said().filter_map(|(option, _)| option.source()).collect();
        let is_directory = matches!(key, BindingKey::Ccs(_));
        let ways = match is_directory {
            true => "name the directory of the certificates: directory=",
            false => "name certificate and key, or pkcs12 with its passphrase, or acme, or self_signed",
        };
        let Some(first) = sources.first() else { return Err(format!("the binding has no certificate: {ways}")) };
        if let Some(other) = sources.iter().find(|source| *source != first) {
            return Err(format!("the binding has two sources of its certificate, {first} and {other}: leave one out"));
        }
        if is_directory != (*first == "directory") {
            return Err(match is_directory {
                true => format!("a binding of a directory takes its certificates from there, not from {first}: {ways}"),
                false => "a directory of certificates is for a port: bind it with port (or ccs=), not to a name or an address"
                    .to_owned(),
            });
        }
        if *first == "acme" {
            key.check_acme()?;
        }
        let has = |option| self.get(option).is_some();
        if *first == "certificate" && !(has(O::Certificate) && has(O::Key)) {
            return Err("certificate and key go together: name both, even if one file has both".to_owned());
        }
        if *first == "pkcs12" && !has(O::Pkcs12) {
            return Err("a passphrase is for a pkcs12 file: name that too".to_owned());
        }
        if has(O::Passphrase) && has(O::PassphraseFile) {
            return Err("the passphrase is given twice: leave passphrase or passphrase_file out".to_owned());
        }
        if has(O::Crl) && !has(O::Ca) {
            return Err("a crl says which certificates of a ca are revoked: name the ca too".to_owned());
        }
        if matches!(self.get(O::ClientCertificates), Some("optional" | "required")) && !has(O::Ca) {
            return Err("client certificates are checked against a ca: name the file of its certificates".to_owned());
        }
        Ok(())
    }
}

/// A binding, as `show sslcert` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SslcertState {
    /// For which handshakes it is.
    #[serde(flatten)]
    pub key: BindingKey,
    /// What is said of it; a passphrase is not shown.
    pub options: BindingSpec,
    /// Its certificate. None if it has no usable one; a directory has as many as files.
    #[serde(default)]
    pub certificate: Option<CertificateState>,
    /// Why the certificate, or its renewal, cannot be used.
    #[serde(default)]
    pub problem: Option<String>,
    /// How it goes with the CA, if the certificate is one that the host gets by ACME.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeState>,
}

/// How it goes with a certificate that the host gets by ACME.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeState {
    /// What the host does about it.
    pub order: OrderState,
    /// When it is renewed, or asked for again, RFC 3339. None if that is now, or waits for somebody.
    #[serde(default)]
    pub next: Option<String>,
    /// How often in a row it could not be had.
    #[serde(default)]
    pub failures: u32,
    /// Why not, the last time, and what to do.
    #[serde(default)]
    pub problem: Option<String>,
}

/// What the host does about a certificate that it gets by ACME.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderState {
    /// It is being asked for, or about to be.
    Ordering,
    /// It is there, and is renewed in time.
    Valid,
    /// It could not be had, and is asked for again.
    Waiting,
    /// Somebody has to change a setting first.
    Stopped,
}

/// A certificate, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateState {
    /// Whose it is.
    pub subject: String,
    /// What it is for, as in `DNS:shop.example` and `IP:127.0.0.1`.
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// From when it is valid, RFC 3339.
    pub not_before: String,
    /// Until when, RFC 3339.
    pub not_after: String,
    /// Whole days from now until then; negative if they are over.
    pub days_left: i64,
    /// SHA-256 of the certificate, in hexadecimal with colons.
    pub sha256: String,
}

#[cfg(test)]
mod tests;
