//! URLs of cached things: as entries have them, and as operators and apps name them.

use narthex_proto::cooked::{CookError, Cooking, cook};
use narthex_proto::host::{HostError, RequestHost};
use narthex_proto::prefix::Scheme;

/// Where an entry came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheUrl {
    /// The scheme.
    pub(crate) scheme: Scheme,
    /// In lower case, without the port.
    pub(crate) host: Box<str>,
    /// The port that was reached, not what the client called it.
    pub(crate) port: u16,
    /// Path and query as they were sent.
    pub(crate) target: Box<str>,
    /// The canonical path, if it differs from the one in `target`.
    cooked: Option<Box<str>>,
}

impl CacheUrl {
    /// `None` if the target is no path: what came through the router is one.
    pub(super) fn new(scheme: Scheme, host: &str, port: u16, target: &str, cooking: Cooking) -> Option<Self> {
        let cooked = cook(target, cooking).ok()?;
        let differs = cooked.path() != cooked.raw_path();
        let cooked = differs.then(|| cooked.path().into());
        Some(Self { scheme, host: host.to_ascii_lowercase().into(), port, target: target.into(), cooked })
    }

    /// The canonical path.
    pub(crate) fn path(&self) -> &str {
        let raw = self.target.split_once('?').map_or(&*self.target, |(path, _)| path);
        self.cooked.as_deref().unwrap_or(raw)
    }

    /// What follows the `?`.
    pub(crate) fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.host.len() + self.target.len() + self.cooked.as_ref().map_or(0, |cooked| cooked.len())
    }
}

impl std::fmt::Display for CacheUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}:{}{}", self.scheme.as_str(), self.host, self.port, self.target)
    }
}

/// Which entries are meant: one URL's, or all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlFilter {
    scheme: Scheme,
    /// `None` for `+` and `*`: every host.
    host: Option<Box<str>>,
    port: u16,
    path: Box<str>,
    query: Option<Box<str>>,
    recursive: bool,
}

/// Why a URL does not say which entries are meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CacheUrlError {
    #[error("\"{0}\" is no URL of cached responses: it must be like http://host:80/path, and the host may be + for all")]
    NotAUrl(Box<str>),
    #[error("the host of \"{0}\" is not one: {1}")]
    Host(Box<str>, #[source] HostError),
    #[error("the path of \"{0}\" is not one: {1}")]
    Path(Box<str>, #[source] CookError),
    #[error("\"{0}\" has a query: what is below a URL is meant by its path, so leave out the part from ? on")]
    Query(Box<str>),
    #[error("\"{0}\" names no single host: a fragment's name must")]
    AnyHost(Box<str>),
}

impl UrlFilter {
    /// Reads `http://host[:port]/path[?query]`. The path is compared in canonical form and without regard to case:
    /// to remove too much costs a miss. With `recursive` it is all below the path, by whole segments.
    pub(crate) fn parse(text: &str, recursive: bool, cooking: Cooking) -> Result<Self, CacheUrlError> {
        let Parts { scheme, host, port, target } = Parts::parse(text)?;
        let cooked = cook(target, cooking).map_err(|error| CacheUrlError::Path(text.into(), error))?;
        let query = cooked.query().map(Into::into);
        if recursive && query.is_some() {
            return Err(CacheUrlError::Query(text.into()));
        }
        let host = host.map(|host| host.to_ascii_lowercase().into());
        Ok(Self { scheme, host, port, path: cooked.path().into(), query, recursive })
    }

    /// Whether an entry with this URL is meant.
    pub(crate) fn matches(&self, url: &CacheUrl) -> bool {
        if self.scheme != url.scheme || self.port != url.port || self.host.as_ref().is_some_and(|host| *host != url.host) {
            return false;
        }
        if !self.recursive {
            return self.path.eq_ignore_ascii_case(url.path()) && self.query.as_deref() == url.query();
        }
        let above = self.path.trim_end_matches('/').as_bytes();
        let below = |path: &[u8]| matches!(path, [] | [b'/', ..]);
        let path = url.path().as_bytes().split_at_checked(above.len());
        path.is_some_and(|(start, rest)| start.eq_ignore_ascii_case(above) && below(rest))
    }
}

/// The URL of a fragment.
pub(super) fn fragment_url(text: &str) -> Result<CacheUrl, CacheUrlError> {
    let Parts { scheme, host, port, target } = Parts::parse(text)?;
    let host = host.ok_or_else(|| CacheUrlError::AnyHost(text.into()))?;
    // A name is a name: what reads it is the app that gave it.
    let cooked = cook(target, Cooking::Strict).map_err(|error| CacheUrlError::Path(text.into(), error))?;
    let cooked = (cooked.path() != cooked.raw_path()).then(|| cooked.path().into());
    Ok(CacheUrl { scheme, host: host.to_ascii_lowercase().into(), port, target: target.into(), cooked })
}

struct Parts<'t> {
    scheme: Scheme,
    host: Option<&'t str>,
    port: u16,
    target: &'t str,
}

impl<'t> Parts<'t> {
    fn parse(text: &'t str) -> Result<Self, CacheUrlError> {
        let not_a_url = || CacheUrlError::NotAUrl(text.into());
        let (scheme, rest) = text.split_once("://").ok_or_else(not_a_url)?;
        let (scheme, default_port) = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, 80),
            _ if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, 443),
            _ => return Err(not_a_url()),
        };
        let (authority, target) = match rest.find('/').and_then(|slash| rest.split_at_checked(slash)) {
            Some((authority, target)) => (authority, target),
            None if rest.contains('?') => return Err(not_a_url()),
            None => (rest, "/"),
        };
        if let Some(port) = authority.strip_prefix(['+', '*']) {
            let port = match port.strip_prefix(':') {
                Some(port) => port.parse().map_err(|_| not_a_url())?,
                None if port.is_empty() => default_port,
                None => return Err(not_a_url()),
            };
            return Ok(Self { scheme, host: None, port, target });
        }
        let host = RequestHost::parse(authority.as_bytes()).map_err(|error| CacheUrlError::Host(text.into(), error))?;
        Ok(Self { scheme, host: Some(host.name()), port: host.port().unwrap_or(default_port), target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, port: u16, target: &str) -> CacheUrl {
        CacheUrl::new(Scheme::Http, host, port, target, Cooking::Strict).unwrap()
    }

    fn means(filter: &str, recursive: bool, url: &CacheUrl) -> bool {
        UrlFilter::parse(filter, recursive, Cooking::Strict).unwrap().matches(url)
    }

    #[test]
    fn one_url_means_itself_however_it_is_spelled() {
        let entry = url("Example.com", 80, "/a/%62?x=1");
        for same in ["http://example.com/a/b?x=1", "HTTP://EXAMPLE.COM:80/A/./%62?x=1", "http://+/a/b?x=1", "http://*:80/a/b?x=1"]
        {
            assert!(means(same, false, &entry), "{same}");
        }
        for other in [
            "https://example.com:80/a/b?x=1",
            "http://example.org/a/b?x=1",
            "http://example.com:81/a/b?x=1",
            "http://example.com/a/b",
            "http://example.com/a/b?x=2",
            "http://example.com/a/b/?x=1",
            "http://example.com/a?x=1",
        ] {
            assert!(!means(other, false, &entry), "{other}");
        }
    }

    #[test]
    fn recursive_means_whole_segments() {
        for (target, below) in
            [("/img", true), ("/img/", true), ("/IMG/a?b", true), ("/img?q", true), ("/images", false), ("/", false)]
        {
            assert_eq!(means("http://a/img", true, &url("a", 80, target)), below, "{target}");
            assert_eq!(means("http://a/img/", true, &url("a", 80, target)), below, "{target}");
            assert!(means("http://a", true, &url("a", 80, target)));
        }
    }

    #[test]
    fn what_is_no_url_is_refused_with_the_text_that_was_given() {
        for bad in [
            "",
            "a",
            "/a",
            "ftp://a/",
            "http://",
            "http:///a",
            "http://a:x/",
            "http://+x/",
            "http://+:70000/",
            "http://a?b",
            "http://a/%zz",
        ] {
            let error = UrlFilter::parse(bad, false, Cooking::Strict).unwrap_err();
            assert!(error.to_string().contains(&format!("\"{bad}\"")), "{error}");
        }
        assert_eq!(UrlFilter::parse("http://a/b?c", true, Cooking::Strict), Err(CacheUrlError::Query("http://a/b?c".into())));
        assert_eq!(fragment_url("http://+:80/a"), Err(CacheUrlError::AnyHost("http://+:80/a".into())));
    }
}
