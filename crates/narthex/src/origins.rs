//! Which pages may connect, or send what a browser adds a visitor's cookie or password to by itself (RFC 6455 section 10.2, RFC 6454).

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
#[cfg(any(feature = "auth", feature = "sessions"))]
use http::request::Parts;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Those of the same host as the request's.
    #[default]
    Same,
    Any,
    Listed(Vec<Origin>),
}

/// `scheme://host` and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme_and_host: String,
    port: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Any,
    Is(u16),
}

impl Origins {
    /// # Panics
    /// If a text is no origin.
    #[track_caller]
    pub(crate) fn of<I: IntoIterator<Item: AsRef<str>>>(origins: I) -> Self {
        match Self::parse(origins) {
            Ok(origins) => origins,
            Err(wrong) => panic!("{wrong:?} is no origin: write it as https://example.com, http://127.0.0.1:* or *"),
        }
    }

    /// The origins, or the first text that is none.
    fn parse<I: IntoIterator<Item: AsRef<str>>>(origins: I) -> Result<Self, String> {
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

    /// Whether a request may have the rights of what a browser adds by itself: if it changes nothing, comes from no page, or from one of
    /// the same origin or of these.
    ///
    /// `SameSite` does not do: other ports of the host, which other people may have, are the same site. Browsers say `Sec-Fetch-Site` where
    /// the connection can be trusted (W3C Fetch Metadata), and have said `Origin` for longer.
    #[cfg(any(feature = "auth", feature = "sessions"))]
    pub(crate) fn trust(&self, parts: &Parts) -> bool {
        if parts.method.is_safe() {
            return true;
        }
        let is_listed = || *self != Self::Same && self.allow(&parts.headers);
        let mut sites = parts.headers.get_all("sec-fetch-site").iter();
        match (sites.next(), sites.next()) {
            (Some(site), None) => site == "same-origin" || site == "none" || is_listed(),
            (Some(_), Some(_)) => false,
            (None, _) => Self::Same.allow(&parts.headers) || is_listed(),
        }
    }

    /// Whether a request with these fields may come from where it comes from.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
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

    #[cfg(any(feature = "auth", feature = "sessions"))]
    #[test]
    fn a_page_of_another_origin_changes_nothing_with_what_a_browser_adds() {
        let trusts = |origins: &Origins, method: &str, fields: &[(&str, &str)]| {
            let request = http::Request::builder().method(method).header(HOST, "a.example:8080");
            let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            origins.trust(&request.body(()).unwrap().into_parts().0)
        };
        let same = Origins::Same;
        let (here, neighbour) = (("origin", "http://a.example:8080"), ("origin", "http://a.example:9999"));
        let site = |site| ("sec-fetch-site", site);
        for fields in [&[][..], &[here], &[site("same-origin"), here], &[site("none")]] {
            assert!(trusts(&same, "POST", fields), "{fields:?}");
        }
        let foreign = [
            &[neighbour][..],
            &[("origin", "null")],
            &[site("same-site"), neighbour],
            &[site("cross-site")],
            &[site("same-origin"), site("none")],
            &[here, neighbour],
        ];
        for fields in foreign {
            for method in ["POST", "PUT", "DELETE", "PATCH", "X"] {
                assert!(!trusts(&same, method, fields), "{method} {fields:?}");
            }
            assert!(trusts(&same, "GET", fields), "{fields:?}");
        }
        let listed = Origins::of(["http://a.example:9999"]);
        assert!(trusts(&listed, "POST", &[site("same-site"), neighbour]) && trusts(&listed, "POST", &[here]));
        assert!(!trusts(&listed, "POST", &[site("same-site"), ("origin", "http://a.example:1")]));
        assert!(trusts(&Origins::Any, "POST", &[site("cross-site"), ("origin", "null")]));
    }
}
