//! The prefix as people type it.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use super::grammar::{self, Form, Parts};
use super::{PrefixError, PrefixHost, Scheme, UrlPrefix};

/// A prefix as people type it: the scheme in any case, the port and the last slash optional.
///
/// Without a port it means 80 or 443; port 0 means "any free port", which whoever opens the listener picks.
///
/// ```
/// use narthex_proto::prefix::PrefixSpec;
///
/// let spec: PrefixSpec = "HTTP://shop.example.com/MyApp".parse()?;
/// assert_eq!(spec.resolve().unwrap().to_string(), "http://shop.example.com:80/MyApp/");
/// # Ok::<(), narthex_proto::prefix::PrefixError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PrefixSpec {
    scheme: Scheme,
    host: PrefixHost,
    port: u16,
    path: Box<str>,
}

impl PrefixSpec {
    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host.
    pub fn host(&self) -> &PrefixHost {
        &self.host
    }

    /// The port; 0 asks for any free one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path as written, with its last slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The complete prefix on this port.
    pub fn with_port(&self, port: NonZeroU16) -> UrlPrefix {
        UrlPrefix::new(self.scheme, self.host.clone(), port, &self.path)
    }

    /// The complete prefix, unless the port is still to be picked.
    pub fn resolve(&self) -> Option<UrlPrefix> {
        NonZeroU16::new(self.port).map(|port| self.with_port(port))
    }
}

impl FromStr for PrefixSpec {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let Parts { scheme, host, port, path } = grammar::parse(text, Form::Spec)?;
        Ok(Self { scheme, host, port, path: path.into_boxed_str() })
    }
}

impl From<&UrlPrefix> for PrefixSpec {
    fn from(prefix: &UrlPrefix) -> Self {
        Self { scheme: prefix.scheme(), host: prefix.host().clone(), port: prefix.port().get(), path: prefix.path().into() }
    }
}

impl From<UrlPrefix> for PrefixSpec {
    fn from(prefix: UrlPrefix) -> Self {
        Self::from(&prefix)
    }
}

impl fmt::Display for PrefixSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", self.scheme, self.host, self.port, self.path)
    }
}
