//! Where a server is: what an address as text means.

use std::fmt;
use std::path::{Path, PathBuf};

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

/// A text that is no address of a server to forward to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot forward to {address:?}: {what}; write http://127.0.0.1:3000, https://api.example.com/base, or unix:/run/app.sock \
     (with a path behind a second colon: unix:/run/app.sock:/base)"
)]
pub struct AddressError {
    address: String,
    what: &'static str,
}

/// Where connections go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Tcp {
        /// A name, or an IP address without brackets.
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

/// A server's address, parsed.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) place: Place,
    pub(super) tls: bool,
    /// What `Host` is, where it is not the client's.
    pub(super) authority: HeaderValue,
    /// What paths begin with: empty, or `/` and more, without a slash at the end.
    pub(super) base: String,
    text: String,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = |what| AddressError { address: text.to_owned(), what };
        if let Some(rest) = text.strip_prefix("unix:") {
            return Self::unix(text, rest.strip_prefix("//").unwrap_or(rest)).map_err(wrong);
        }
        let uri: Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(wrong("its scheme is neither http, https nor unix")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("names and passwords do not belong there"));
        }
        if uri.query().is_some() {
            return Err(wrong("a query does not belong there"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().ends_with(':') {
            return Err(wrong("its host or its port is empty"));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self {
            place: Place::Tcp { host, port },
            tls,
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("its host is none"))?,
            base: uri.path().trim_end_matches('/').to_owned(),
            text: text.to_owned(),
        })
    }

    fn unix(text: &str, rest: &str) -> Result<Self, &'static str> {
        let (socket, base) = rest.split_once(":/").unwrap_or((rest, ""));
        if !Path::new(socket).is_absolute() {
            return Err("the socket's path does not begin with a slash");
        }
        let base = if base.is_empty() { String::new() } else { format!("/{}", base.trim_end_matches('/')) };
        if !base.is_empty() && base.parse::<PathAndQuery>().is_err() || base.contains(['?', '#']) {
            return Err("what is behind the second colon is no path");
        }
        Ok(Self {
            place: Place::Unix(socket.into()),
            tls: false,
            authority: HeaderValue::from_static("localhost"),
            base: base.trim_end_matches('/').to_owned(),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_place_a_host_and_a_base_path() {
        let tcp = |host: &str, port| Place::Tcp { host: host.into(), port };
        for (text, place, tls, authority, base) in [
            ("http://127.0.0.1:3000", tcp("127.0.0.1", 3000), false, "127.0.0.1:3000", ""),
            ("http://[::1]:3000/base/", tcp("::1", 3000), false, "[::1]:3000", "/base"),
            ("https://api.example.com/a/b", tcp("api.example.com", 443), true, "api.example.com", "/a/b"),
            ("http://a", tcp("a", 80), false, "a", ""),
            ("unix:/run/app.sock", Place::Unix("/run/app.sock".into()), false, "localhost", ""),
            ("unix:///run/app.sock:/base/", Place::Unix("/run/app.sock".into()), false, "localhost", "/base"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.place, address.tls, address.base.as_str()), (place, tls, base), "{text}");
            assert_eq!(address.authority, authority, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_an_error_that_shows_one() {
        for text in
            ["", "127.0.0.1:3000", "ftp://a/", "/a", "http://", "http://a:/", "http://u:p@a/", "http://a/?q", "unix:app.sock"]
        {
            let error = Address::parse(text).expect_err(text).to_string();
            assert!(error.contains("write http://127.0.0.1:3000"), "{error}");
        }
    }
}
