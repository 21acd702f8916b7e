//! Routes: which upstream a request is for, and what becomes of its path.

use std::borrow::Cow;

use http::HeaderValue;
use http::uri::PathAndQuery;

use super::upstream::Upstream;

/// An upstream, and what becomes of paths on their way to it, for [`Forward::route`](super::Forward::route).
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to Forward::route"]
pub struct Route {
    upstream: Upstream,
    /// What stands in place of the pattern's path. `None`: that path itself.
    replacement: Option<String>,
}

impl Route {
    /// Paths stay as they are.
    pub fn to(upstream: Upstream) -> Self {
        Self { upstream, replacement: None }
    }

    /// The pattern's path is taken off: behind `/api`, the server sees `/api/users` as `/users`.
    pub fn strip_prefix(self) -> Self {
        Self { replacement: Some(String::new()), ..self }
    }

    /// Another path stands in the place of the pattern's: behind `/api` and with `/v2`, the server sees `/api/users` as
    /// `/v2/users`.
    ///
    /// # Panics
    /// If `path` does not begin with a slash, or cannot be in a URL.
    pub fn replace_prefix(self, path: &str) -> Self {
        let usable = path.starts_with('/') && !path.contains(['?', '#']) && path.parse::<PathAndQuery>().is_ok();
        assert!(usable, "Route::replace_prefix({path:?}): write a path that begins with a slash, as in \"/v2\"");
        Self { replacement: Some(path.trim_end_matches('/').to_owned()), ..self }
    }
}

impl From<Upstream> for Route {
    fn from(upstream: Upstream) -> Self {
        Self::to(upstream)
    }
}

/// All routes, the most particular first.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes(Vec<(Pattern, Route)>);

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Destination<'a> {
    pub(super) upstream: &'a Upstream,
    /// The path for the server, without the base of its address.
    pub(super) path: String,
    /// What the server does not see of the path.
    pub(super) stripped: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// In small letters, without a port.
    host: Option<String>,
    /// `*` is any one.
    segments: Vec<String>,
}

impl Routes {
    /// # Panics
    /// If `pattern` is none, or was there before.
    pub(super) fn add(&mut self, pattern: &str, route: Route) {
        let parsed = Pattern::parse(pattern);
        assert!(
            self.0.iter().all(|(other, _)| *other != parsed),
            "Forward::route({pattern:?}): there is a route for that already; take one of the two away"
        );
        self.0.push((parsed, route));
        self.0.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.rank()));
    }

    pub(super) fn upstreams(&self) -> impl Iterator<Item = (String, &Upstream)> {
        self.0.iter().map(|(pattern, route)| (pattern.text(), &route.upstream))
    }

    /// The route for a path, without its query.
    pub(super) fn find(&self, host: Option<&HeaderValue>, path: &str) -> Option<Destination<'_>> {
        let host = host.and_then(|host| host.to_str().ok()).map(|host| without_port(host).to_ascii_lowercase());
        let (taken, route) = self.0.iter().find_map(|(pattern, route)| Some((pattern.takes(host.as_deref(), path)?, route)))?;
        let upstream = &route.upstream;
        let Some(replacement) = &route.replacement else {
            return Some(Destination { upstream, path: path.to_owned(), stripped: String::new() });
        };
        let (prefix, rest) = path.split_at_checked(taken)?;
        let path = format!("{replacement}{rest}");
        // What replaces it is the server's own path, so that clients' links begin with what was stripped.
        let stripped = if replacement.is_empty() { prefix.to_owned() } else { String::new() };
        Some(Destination { upstream, path: if path.is_empty() { "/".to_owned() } else { path }, stripped })
    }
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        let usable = path.starts_with('/') && !path.contains(['?', '#']) && path.parse::<PathAndQuery>().is_ok();
        assert!(
            usable && !host.contains([':', '*']) && host.is_ascii() && !has_dot_segment(path),
            "Forward::route({text:?}): write a path that begins with a slash, or a host without a port and such a path, as in \
             \"/api\", \"/users/*/avatar\" or \"shop.example.com/api\""
        );
        let segments = path.trim_end_matches('/').split('/').skip(1).map(str::to_owned).collect();
        Self { host: (!host.is_empty()).then(|| host.to_ascii_lowercase()), segments }
    }

    fn text(&self) -> String {
        let host = self.host.as_deref().unwrap_or_default();
        format!("{host}/{}", self.segments.join("/"))
    }

    /// With a host before without, long before short, names before `*`.
    fn rank(&self) -> (bool, usize, Vec<bool>) {
        (self.host.is_some(), self.segments.len(), self.segments.iter().map(|segment| segment != "*").collect())
    }

    /// How much of the path it takes, in bytes.
    fn takes(&self, host: Option<&str>, path: &str) -> Option<usize> {
        if self.host.is_some() && self.host.as_deref() != host {
            return None;
        }
        let mut taken = 0;
        let mut rest = path.strip_prefix('/')?;
        for (index, wanted) in self.segments.iter().enumerate() {
            if index > 0 {
                rest = path.get(taken..)?.strip_prefix('/')?;
            }
            let segment = rest.split('/').next()?;
            if segment.is_empty() || wanted != "*" && wanted != segment {
                return None;
            }
            taken += 1 + segment.len();
        }
        Some(taken)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a path has a segment `.` or `..`, in whatever spelling, parameters (`..;x`) aside. Server and proxy might resolve them
/// differently, and a request go past the routes.
pub(super) fn has_dot_segment(path: &str) -> bool {
    let mut plain = Cow::Borrowed(path);
    if path.contains('%') {
        let spellings = [("%2e", "."), ("%2f", "/"), ("%3b", ";"), ("%5c", "/")];
        let lower = path.to_ascii_lowercase();
        plain = Cow::Owned(spellings.iter().fold(lower, |path, (encoded, char)| path.replace(encoded, char)));
    }
    plain.split(['/', '\\']).any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

/// The path with the characters that need no percent-encoding written as they are, if any of them is not. The two mean the same
/// (RFC 3986 section 6.2.2.2), and routes and hooks must not be passed by writing `/%61dmin`.
pub(super) fn plainly_spelled(path: &str) -> Option<String> {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte)) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                plain.push('%');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    (plain.len() < path.len()).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(patterns: &[&str]) -> Routes {
        let mut routes = Routes::default();
        for pattern in patterns {
            routes.add(pattern, Route::to(Upstream::new("http://a").unwrap()));
        }
        routes
    }

    fn found(patterns: &[&str], host: &'static str, path: &str) -> Option<String> {
        let routes = routes(patterns);
        let host = HeaderValue::from_static(host);
        let found = routes.find(Some(&host), path)?.upstream.0.servers.as_ptr();
        routes.upstreams().find(|(_, upstream)| upstream.0.servers.as_ptr() == found).map(|(pattern, _)| pattern)
    }

    #[test]
    fn the_most_particular_pattern_has_a_path() {
        let patterns = ["/", "/a", "/a/b/", "/a/*/c", "shop.example/a", "/*/b/c"];
        for (host, path, pattern) in [
            ("x", "/", "/"),
            ("x", "/ab", "/"),
            ("x", "/a", "/a"),
            ("x", "/a/", "/a"),
            ("x", "/a/b", "/a/b"),
            ("x", "/a/b/c", "/a/*/c"),
            ("x", "/a/x/c/d", "/a/*/c"),
            ("x", "/a//c", "/a"),
            ("x", "/z/b/c", "/*/b/c"),
            ("SHOP.example:8080", "/a/b", "shop.example/a"),
            ("shop.example", "/z", "/"),
        ] {
            assert_eq!(found(&patterns, host, path).as_deref(), Some(pattern), "{host} {path}");
        }
        assert_eq!(found(&["/a"], "x", "/b"), None);
        assert_eq!(found(&["/a"], "x", "*"), None);
    }

    #[test]
    fn a_path_is_kept_or_stripped_or_replaced() {
        let upstream = || Upstream::new("http://a").unwrap();
        let mut routes = Routes::default();
        routes.add("/kept", upstream().into());
        routes.add("/stripped/*", Route::to(upstream()).strip_prefix());
        routes.add("/old", Route::to(upstream()).replace_prefix("/new/path/"));
        for (path, seen, stripped) in [
            ("/kept/x", "/kept/x", ""),
            ("/stripped/y/x%20y/", "/x%20y/", "/stripped/y"),
            ("/stripped/y", "/", "/stripped/y"),
            ("/old", "/new/path", ""),
            ("/old/x", "/new/path/x", ""),
        ] {
            let destination = routes.find(None, path).unwrap();
            assert_eq!((destination.path.as_str(), destination.stripped.as_str()), (seen, stripped), "{path}");
        }
    }

    #[test]
    fn dot_segments_are_found_in_every_spelling() {
        for path in [
            "/a/../b",
            "/..",
            "/a/.",
            "/a/%2e%2E/b",
            "/.%2e",
            "/a\\..\\b",
            "/a/..;/b",
            "/a/..;x=y/b",
            "/a/%2E%2e%3Bx",
            "/.;",
            "/a/x%2f..%2F..%2fadmin",
            "/a/x%5c%2e%2e%5Cadmin",
            "/a/..%2f",
        ] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in [
            "/",
            "/a..b/c",
            "/...",
            "/.well-known/x",
            "/%2e%2e%2e",
            "/a.b",
            "/..a;",
            "/%2e%2e%2ea;x",
            "/a;/..b",
            "/a%2fb",
            "/%252e%252e",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    #[test]
    fn what_needs_no_encoding_is_written_as_it_is_and_nothing_is_decoded_twice() {
        for (path, plain) in [("/%61dmin", "/admin"), ("/%7Eme/%41%2d%2E%5f", "/~me/A-._"), ("/%2561/%61", "/%2561/a")] {
            assert_eq!(plainly_spelled(path).as_deref(), Some(plain));
        }
        for path in ["/", "/admin", "/a%2Fb%20c", "/%2561", "/%", "/%6", "/%zz", "/%+6", "/%\u{e9}"] {
            assert_eq!(plainly_spelled(path), None, "{path}");
        }
    }

    #[test]
    #[should_panic(expected = "there is a route for that already")]
    fn two_routes_for_one_pattern_are_a_mistake() {
        routes(&["/a", "/a/"]);
    }

    #[test]
    #[should_panic(expected = "write a path that begins with a slash")]
    fn a_pattern_without_a_path_is_a_mistake() {
        routes(&["a"]);
    }
}
