//! URL prefixes: what apps register and operators reserve.
//!
//! A [`UrlPrefix`] is the strict, complete form `scheme://host:port/path/` of the HTTP Server API.
//! A [`PrefixSpec`] is what people type; it fills in what may be left out and resolves to a `UrlPrefix`.

mod error;
mod grammar;
mod punycode;
mod spec;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use error::PrefixError;
pub use spec::PrefixSpec;

use crate::case;
use grammar::{Form, Parts};

/// The scheme of a prefix or of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS, or HTTP/3.
    Https,
}

impl Scheme {
    /// `"http"` or `"https"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port a URL of this scheme means when it names none.
    pub fn default_port(self) -> NonZeroU16 {
        const HTTP: NonZeroU16 = NonZeroU16::new(80).unwrap();
        const HTTPS: NonZeroU16 = NonZeroU16::new(443).unwrap();
        match self {
            Self::Http => HTTP,
            Self::Https => HTTPS,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The host of a prefix; it decides the bucket the prefix is searched in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrefixHost {
    /// `+`: any host on any local address, searched first.
    Strong,
    /// A DNS name, in lower case and in Unicode (never punycode).
    Name(Box<str>),
    /// An IP literal: requests that arrived on this local address, whatever their `Host` says.
    Ip(IpAddr),
    /// `*`: whatever nothing else took, searched last.
    Weak,
}

impl PrefixHost {
    /// How a request, or a TLS handshake, spells this name: lower case, punycode. Empty unless the host is a name.
    pub fn wire_name(&self) -> String {
        match self {
            Self::Name(name) => punycode::to_ascii(name),
            _ => String::new(),
        }
    }
}

impl fmt::Display for PrefixHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strong => f.write_str("+"),
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Weak => f.write_str("*"),
        }
    }
}

/// A complete URL prefix, such as `http://+:8888/MyApp/`. Cheap to clone.
///
/// Parsing follows the HTTP Server API's own grammar, which leaves nothing out: see [`PrefixError`] for each rule,
/// and [`PrefixSpec`] for the form people type. Two prefixes are equal when they differ only in the case of host
/// or path; `Display` keeps the path as it was written.
///
/// ```
/// use narthex_proto::prefix::UrlPrefix;
///
/// let prefix: UrlPrefix = "http://Example.com:8888/MyApp/".parse()?;
/// assert_eq!(prefix.to_string(), "http://example.com:8888/MyApp/");
/// assert_eq!(prefix, "http://EXAMPLE.com:8888/myapp/".parse()?);
/// # Ok::<(), narthex_proto::prefix::PrefixError>(())
/// ```
#[derive(Clone)]
pub struct UrlPrefix(Arc<Inner>);

struct Inner {
    text: Box<str>,
    /// Where the path begins in `text`.
    path: usize,
    scheme: Scheme,
    host: PrefixHost,
    /// How a request names this host: lower case, punycode. Empty unless the host is a name.
    wire_host: Box<str>,
    port: NonZeroU16,
    folded_path: Box<str>,
}

impl UrlPrefix {
    /// Puts a prefix together from parts that the grammar has already checked.
    fn new(scheme: Scheme, host: PrefixHost, port: NonZeroU16, path: &str) -> Self {
        let origin = format!("{scheme}://{host}:{port}");
        let wire_host = host.wire_name().into_boxed_str();
        Self(Arc::new(Inner {
            path: origin.len(),
            text: (origin + path).into_boxed_str(),
            scheme,
            host,
            wire_host,
            port,
            folded_path: case::fold(path).into_owned().into_boxed_str(),
        }))
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// The host, which decides the bucket.
    pub fn host(&self) -> &PrefixHost {
        &self.0.host
    }

    /// The port.
    pub fn port(&self) -> NonZeroU16 {
        self.0.port
    }

    /// The path as written, un-escaped; it starts and ends with `/`.
    pub fn path(&self) -> &str {
        self.0.text.get(self.0.path..).unwrap_or("/")
    }

    /// The whole prefix in canonical form: host in lower case, path as written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The path in lower case: the routing table's key.
    pub(crate) fn folded_path(&self) -> &str {
        &self.0.folded_path
    }

    /// Whether a cooked path lies below this prefix's path, on segment boundaries and in any case.
    pub fn covers_path(&self, path: &str) -> bool {
        let path = path.to_lowercase();
        path.starts_with(self.folded_path()) || self.folded_path().strip_suffix('/') == Some(&path)
    }

    /// Whether a URL with this host (no wildcard) and cooked path lies below this prefix. An IP literal covers only itself.
    pub fn covers(&self, scheme: Scheme, host: &str, port: u16, path: &str) -> bool {
        let same_host = match self.host() {
            PrefixHost::Strong | PrefixHost::Weak => true,
            PrefixHost::Name(_) => self.wire_host().eq_ignore_ascii_case(host),
            PrefixHost::Ip(ip) => host.trim_matches(['[', ']']).parse().is_ok_and(|host: IpAddr| host == *ip),
        };
        same_host && self.scheme() == scheme && self.port().get() == port && self.covers_path(path)
    }

    /// The host name as a request spells it, in lower case and punycode; empty for other hosts.
    pub fn wire_host(&self) -> &str {
        &self.0.wire_host
    }

    fn key(&self) -> (NonZeroU16, Scheme, &PrefixHost, &str) {
        (self.0.port, self.0.scheme, &self.0.host, &self.0.folded_path)
    }
}

impl FromStr for UrlPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let Parts { scheme, host, port, path } = grammar::parse(text, Form::Complete)?;
        let port = NonZeroU16::new(port).ok_or(PrefixError::PortInvalid)?;
        Ok(Self::new(scheme, host, port, &path))
    }
}

impl fmt::Display for UrlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.text)
    }
}

impl fmt::Debug for UrlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UrlPrefix({})", self.0.text)
    }
}

impl PartialEq for UrlPrefix {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.key() == other.key()
    }
}

impl Eq for UrlPrefix {}

impl Hash for UrlPrefix {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialOrd for UrlPrefix {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By port, scheme, host in bucket order, then path: the order in which listings read well.
impl Ord for UrlPrefix {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Serialize for UrlPrefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.text)
    }
}

impl<'de> Deserialize<'de> for UrlPrefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
