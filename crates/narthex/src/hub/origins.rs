//! Which pages may connect (RFC 6455 section 10.2, RFC 6454).

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Origins {
    /// Those of the same host as the request's.
    #[default]
    Same,
    Any,
    Listed(Vec<Origin>),
}

/// `scheme://host` and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme_and_host: String,
    port: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Any,
    Is(u16),
}

impl Origins {
    /// The origins, or the first text that is none.
    pub(super) fn parse<I: IntoIterator<Item: AsRef<str>>>(origins: I) -> Result<Self, String> {
        let mut listed = Vec::new();
        for text in origins {
            let text = text.as_ref();
            if text == "*" {
                return Ok(Self::Any);
            }
            listed.push(Origin::parse(text).ok_or_else(|| text.to_owned())?);
        }
        Ok(Self::Listed(listed))
    }

    /// Whether a request with these fields may come from where it comes from.
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let (Some(origin), second) = (origins.next(), origins.next()) else { return true };
        if second.is_some() {
            return false;
        }
        let origin = origin.to_str().ok().and_then(Origin::parse);
        match self {
            Self::Any => true,
            Self::Same => {
                let host = headers.get(HOST).and_then(|host| host.to_str().ok());
                origin.zip(host).is_some_and(|(origin, host)| origin.is_at(host))
            }
            Self::Listed(listed) => origin.is_some_and(|origin| listed.iter().any(|listed| listed.covers(&origin))),
        }
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let default = match &*scheme {
            "http" | "ws" => 80,
            "https" | "wss" => 443,
            // Such as a browser extension's.
            _ => 0,
        };
        let (host, port) = match split_port(authority) {
            (host, Some("*")) => (host, Port::Any),
            (host, Some(port)) => (host, Port::Is(port.parse().ok()?)),
            (host, None) => (host, Port::Is(default)),
        };
        let is_host = !host.is_empty() && !host.contains(['/', '@', '*', '?', '#', ' ']);
        is_host.then(|| Self { scheme_and_host: format!("{scheme}://{}", host.to_ascii_lowercase()), port })
    }

    fn covers(&self, other: &Self) -> bool {
        self.scheme_and_host == other.scheme_and_host && (self.port == Port::Any || self.port == other.port)
    }

    /// Whether a page from here has the host that `Host` names. The scheme is not compared: a proxy in front may have another.
    fn is_at(&self, host: &str) -> bool {
        let Some((scheme, name)) = self.scheme_and_host.split_once("://") else { return false };
        Self::parse(&format!("{scheme}://{host}"))
            .is_some_and(|at| at.scheme_and_host.split_once("://").is_some_and(|(_, host)| host == name) && at.port == self.port)
    }
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // A colon inside brackets is of an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(origins: &Origins, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "shop.example.com:8443".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        origins.allow(&headers)
    }

    #[test]
    fn by_default_a_page_may_connect_to_its_own_host() {
        let same = Origins::default();
        assert!(allows(&same, None), "no browser");
        assert!(allows(&same, Some("https://shop.example.com:8443")));
        assert!(allows(&same, Some("HTTPS://Shop.Example.Com:8443")));
        for other in ["https://shop.example.com", "https://evil.example", "https://example.com:8443", "null", "x"] {
            assert!(!allows(&same, Some(other)), "{other}");
        }
    }

    #[test]
    fn origins_are_exact_but_for_a_port_that_is_a_star() {
        let listed = Origins::parse(["https://a.example", "http://127.0.0.1:*", "http://[::1]:8080"]).unwrap();
        for right in
            ["https://a.example", "https://a.example:443", "http://127.0.0.1", "http://127.0.0.1:3000", "http://[::1]:8080"]
        {
            assert!(allows(&listed, Some(right)), "{right}");
        }
        for wrong in ["http://a.example", "https://a.example:444", "https://a.example.evil", "http://[::1]", "null"] {
            assert!(!allows(&listed, Some(wrong)), "{wrong}");
        }
        assert!(allows(&Origins::parse(["*"]).unwrap(), Some("null")));
        for wrong in ["a.example", "https://", "https://a.example/path", "https://*.example", "https://a:port"] {
            assert_eq!(Origins::parse([wrong]), Err(wrong.to_owned()));
        }
    }
}
