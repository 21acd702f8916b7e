//! Cookies that a browser shows to nobody else (draft-ietf-httpbis-rfc6265bis).
//!
//! Several apps share a host, and a cookie does not know ports. An app at the root has `__Host-name`, which no other host can set. One
//! below a prefix has `__Secure-name` with its prefix as the path, since `__Host-` needs the path `/`, by which browsers would show
//! it to every app. Where the connection is known not to be encrypted, browsers take neither, and the cookie is `name`.

use std::borrow::Cow;
use std::time::Duration;

use cookie::{Cookie, SameSite};
use http::header::{COOKIE, SET_COOKIE};
use http::{Extensions, HeaderMap, HeaderValue};

use crate::guard::is_encrypted;
use crate::request::PathBase;

/// To which requests from other sites browsers add a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrossSite {
    /// None (`SameSite=Strict`): who follows a link to the app is not known on the first page.
    Never,
    /// Links that are followed (`SameSite=Lax`). The default.
    #[default]
    Links,
}

#[derive(Clone, Debug)]
pub(crate) struct CookieRules {
    pub(crate) name: Cow<'static, str>,
    pub(crate) cross_site: CrossSite,
}

/// What a cookie is like for the client of one request.
pub(crate) struct Jar {
    name: String,
    path: String,
    secure: bool,
    cross_site: CrossSite,
}

impl CookieRules {
    pub(crate) fn named(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), cross_site: CrossSite::default() }
    }

    /// # Panics
    /// If it is no name of a cookie.
    #[track_caller]
    pub(crate) fn rename(&mut self, name: impl Into<String>) {
        let name = name.into();
        let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        assert!(is_token && !name.starts_with("__"), "{name:?} cannot name a cookie: use letters, digits, `-`, `_` and `.`");
        self.name = name.into();
    }

    /// What the client has sent. On a connection that is encrypted, or may be, only a name with a prefix counts: anybody on the way
    /// or on a neighbouring host could have set one without.
    pub(crate) fn read<'h>(&self, headers: &'h HeaderMap, extensions: &Extensions) -> Option<&'h str> {
        let path = path(extensions);
        let found = find(headers, &secure_name(&self.name, &path));
        let plain = is_encrypted(extensions) == Some(false);
        found.or_else(|| plain.then(|| find(headers, &self.name)).flatten())
    }

    /// Keeps it from logs, and from a hub, which would keep it for as long as a connection lasts: taken out of the handshake of a
    /// WebSocket, which has no other use for it, and marked elsewhere, with what else is in the field.
    pub(crate) fn hide(&self, headers: &mut HeaderMap, is_web_socket: bool) {
        if is_web_socket {
            self.strip(headers);
            return;
        }
        let fields = headers.iter_mut().filter(|(name, _)| *name == COOKIE);
        fields.for_each(|(_, value)| value.set_sensitive(true));
    }

    fn strip(&self, headers: &mut HeaderMap) {
        let fields: Vec<_> = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).collect();
        let is_it = |pair: &str| {
            let name = pair.split('=').next().unwrap_or_default();
            let name = name.strip_prefix("__Host-").or_else(|| name.strip_prefix("__Secure-")).unwrap_or(name);
            name == self.name
        };
        let pairs = fields.iter().flat_map(|field| field.split(';')).map(str::trim);
        let rest = pairs.filter(|pair| !is_it(pair)).collect::<Vec<_>>().join("; ");
        headers.remove(COOKIE);
        if let Some(rest) = HeaderValue::try_from(rest).ok().filter(|rest| !rest.is_empty()) {
            headers.insert(COOKIE, rest);
        }
    }

    pub(crate) fn jar(&self, extensions: &Extensions) -> Jar {
        let path = path(extensions);
        let secure = is_encrypted(extensions) != Some(false);
        let name = if secure { secure_name(&self.name, &path) } else { self.name.clone().into_owned() };
        Jar { name, path, secure, cross_site: self.cross_site }
    }
}

impl Jar {
    /// Has the browser keep `value` until it is closed, or for so long.
    pub(crate) fn set(&self, headers: &mut HeaderMap, value: &str, lifetime: Option<Duration>) {
        let same_site = match self.cross_site {
            CrossSite::Never => SameSite::Strict,
            CrossSite::Links => SameSite::Lax,
        };
        let mut cookie = Cookie::build((&*self.name, value)).path(&*self.path).http_only(true).same_site(same_site);
        // A browser takes `Secure` from nobody else than who speaks TLS, and `secure(false)` is how the crate says nothing.
        cookie = cookie.secure(self.secure);
        if let Some(lifetime) = lifetime {
            let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
            cookie = cookie.max_age(cookie::time::Duration::seconds(seconds));
        }
        if let Ok(mut value) = HeaderValue::try_from(cookie.build().to_string()) {
            value.set_sensitive(true);
            headers.append(SET_COOKIE, value);
        }
    }

    /// Has the browser forget it.
    pub(crate) fn forget(&self, headers: &mut HeaderMap) {
        self.set(headers, "", Some(Duration::ZERO));
    }
}

fn path(extensions: &Extensions) -> String {
    let base = PathBase::of(extensions);
    // What would end the attribute is not in a path that was parsed, but for `;`.
    if base.as_str().is_empty() || base.as_str().contains(';') { "/".to_owned() } else { base.as_str().to_owned() }
}

fn secure_name(name: &str, path: &str) -> String {
    let prefix = if path == "/" { "__Host-" } else { "__Secure-" };
    format!("{prefix}{name}")
}

fn find<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';'));
    pairs.find_map(|pair| pair.trim().split_once('=').filter(|(known, _)| *known == name).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConnectionInfo;
    use http::Version;

    fn connection(tls: bool) -> Extensions {
        let nowhere = ([127, 0, 0, 1], 1).into();
        let mut extensions = Extensions::new();
        extensions.insert(ConnectionInfo { peer: nowhere, local: nowhere, tls, version: Version::HTTP_11 });
        extensions
    }

    fn set(extensions: &Extensions) -> String {
        let mut headers = HeaderMap::new();
        CookieRules::named("session").jar(extensions).set(&mut headers, "abc", None);
        headers[SET_COOKIE].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_cookie_is_as_closed_as_the_connection_allows() {
        assert_eq!(set(&connection(true)), "__Host-session=abc; HttpOnly; SameSite=Lax; Secure; Path=/");
        assert_eq!(set(&Extensions::new()), "__Host-session=abc; HttpOnly; SameSite=Lax; Secure; Path=/", "it may be TLS");
        assert_eq!(set(&connection(false)), "session=abc; HttpOnly; SameSite=Lax; Path=/");
    }

    #[test]
    fn a_plain_name_counts_for_nothing_where_there_may_be_tls() {
        let rules = CookieRules::named("session");
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("a=b; session=planted; xsession=c"));
        assert_eq!(rules.read(&headers, &connection(true)), None);
        assert_eq!(rules.read(&headers, &Extensions::new()), None);
        assert_eq!(rules.read(&headers, &connection(false)), Some("planted"));
        headers.append(COOKIE, HeaderValue::from_static("__Host-session=mine"));
        assert_eq!(rules.read(&headers, &connection(true)), Some("mine"));
        assert_eq!(rules.read(&headers, &connection(false)), Some("mine"), "a browser has got it over TLS");
        rules.strip(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=b; xsession=c"]);
    }
}
