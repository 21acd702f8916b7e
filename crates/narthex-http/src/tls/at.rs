//! Where a binding answers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The place of a binding. On a handshake the most exact one answers: a name before a wildcard, that before a directory, and
/// that before an address, of which every interface (`0.0.0.0`, `[::]`) is the last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BindingAt {
    /// Connections to this address, whatever server name they ask for. `0.0.0.0` and `[::]` are every interface.
    IpPort(SocketAddr),
    /// Connections to this port that ask for this server name (SNI).
    HostPort {
        /// The name.
        host: ServerName,
        /// The port.
        port: u16,
    },
    /// Connections to this port that ask for a server name of which the directory has a certificate.
    Directory {
        /// The directory.
        path: PathBuf,
        /// The port.
        port: u16,
    },
}

/// A DNS name, or a wildcard for one label (`*.example.com`). In lower case; internationalised names as A-labels (`xn--…`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(Box<str>);

/// A text is no place for a binding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} is no place for a TLS binding: {problem}")]
pub struct BindingAtError {
    text: String,
    problem: &'static str,
}

impl ServerName {
    /// The name, or `*.` and what is the same for all that are meant.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the `*.` of a wildcard.
    #[must_use]
    pub fn wildcard_of(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }

    /// Whether `name`, in lower case, is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.wildcard_of() {
            None => *self.0 == *name,
            Some(rest) => name.split_once('.').is_some_and(|(label, parent)| !label.is_empty() && parent == rest),
        }
    }
}

impl FromStr for ServerName {
    type Err = BindingAtError;

    fn from_str(text: &str) -> Result<Self, BindingAtError> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        if is_name(name) {
            return Ok(Self(text.to_ascii_lowercase().into()));
        }
        let problem = if name.is_ascii() {
            "a name has labels of letters, digits and hyphens with dots between them, and may begin with `*.`"
        } else {
            "give the name as A-labels (xn--…)"
        };
        Err(BindingAtError { text: text.to_owned(), problem })
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether it is a DNS name, and so no path either.
pub(super) fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

impl BindingAt {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::IpPort(address) => address.port(),
            Self::HostPort { port, .. } | Self::Directory { port, .. } => *port,
        }
    }

    /// Whether connections to `local` may be meant.
    pub(super) fn is_at(&self, local: SocketAddr) -> bool {
        match self {
            Self::IpPort(address) => address.port() == local.port() && covers(address.ip(), local.ip()),
            Self::HostPort { port, .. } | Self::Directory { port, .. } => *port == local.port(),
        }
    }
}

/// Whether a binding at `bound` answers connections to `ip`.
fn covers(bound: IpAddr, ip: IpAddr) -> bool {
    match bound {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => ip.is_ipv4(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => ip.is_ipv6(),
        exact => exact == ip,
    }
}

/// `ip:port` or `name:port`.
impl FromStr for BindingAt {
    type Err = BindingAtError;

    fn from_str(text: &str) -> Result<Self, BindingAtError> {
        let error = |problem| BindingAtError { text: text.to_owned(), problem };
        let at = match text.parse() {
            Ok(address) => Self::IpPort(address),
            Err(_) => {
                let (host, port) = text.rsplit_once(':').ok_or_else(|| error("write ip:port or name:port"))?;
                let port = port.parse().map_err(|_| error("the port is a number from 1 to 65535"))?;
                Self::HostPort { host: host.parse()?, port }
            }
        };
        if at.port() == 0 { Err(error("the port is a number from 1 to 65535")) } else { Ok(at) }
    }
}

impl fmt::Display for BindingAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IpPort(address) => address.fmt(f),
            Self::HostPort { host, port } => write!(f, "{host}:{port}"),
            Self::Directory { path, port } => write!(f, "{} on port {port}", path.display()),
        }
    }
}
