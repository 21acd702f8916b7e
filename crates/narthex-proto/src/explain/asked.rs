//! A URL as somebody typed it, read as a client would send it.

use std::fmt;

use crate::cooked::{self, CookError, Cooking};
use crate::host::{HostError, RequestHost};
use crate::prefix::{PrefixHost, PrefixSpec, Scheme, UrlPrefix};

/// How much of a URL is searched for the place of its mistake, in bytes.
const SEARCHED: usize = 8 * 1024;

/// What of a URL decides where a request for it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedUrl {
    /// The scheme.
    pub scheme: Scheme,
    /// The host as a request names it, in ASCII. `None` for a wildcard: any host that no registration names.
    pub host: Option<String>,
    /// The port that the URL means.
    pub port: u16,
    /// The path as it was typed.
    pub typed_path: String,
    /// The cooked path.
    pub path: String,
    /// Bytes of the request target: path and query.
    pub target_length: usize,
}

/// Why a URL cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// It is no absolute URL.
    #[error("it is not a whole URL: write it with scheme and host, as in http://example.com:8888/path")]
    NotAbsolute,
    /// It is of another scheme.
    #[error("the scheme {0:?} is not served: write http or https")]
    OtherScheme(String),
    /// A request for it would be refused.
    #[error("a request for it gets 400 ({}): {error}{}", self.token(), at(place))]
    Target {
        /// What is wrong with the path or query.
        error: CookError,
        /// Where.
        place: Option<Place>,
    },
    /// A request to its host would be refused.
    #[error("a request for it gets 400 ({}): {error}{}", self.token(), at(place))]
    Host {
        /// What is wrong with the host.
        error: HostError,
        /// Where.
        place: Option<Place>,
    },
}

impl ExplainError {
    /// The reason token of the refusal in HTTP.sys's error log.
    pub fn token(&self) -> &'static str {
        match self {
            Self::Host { .. } => "Hostname",
            Self::Target { error: CookError::Control | CookError::NonAscii | CookError::Backslash, .. } => "Forbidden",
            _ => "URL",
        }
    }
}

/// Where in a URL a mistake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the character, from 1.
    pub character: usize,
    /// What stands there; it may be cut.
    pub text: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {}: {:?}", self.character, self.text)
    }
}

fn at(place: &Option<Place>) -> String {
    place.as_ref().map_or_else(String::new, |place| format!(" (at {place})"))
}

impl Place {
    fn new(url: &str, offset: usize) -> Option<Self> {
        const SHOWN: usize = 12;
        let (before, from) = url.split_at_checked(offset)?;
        let mut text: String = from.chars().take(SHOWN).collect();
        if text.len() < from.len() {
            text.push('…');
        }
        (!from.is_empty()).then(|| Self { character: before.chars().count() + 1, text })
    }
}

impl AskedUrl {
    /// Reads an absolute URL. A fragment is left out, since clients keep it to themselves.
    ///
    /// # Errors
    /// If no request for it would be routed.
    pub fn parse(url: &str, mode: Cooking) -> Result<Self, ExplainError> {
        let url = url.split_once('#').map_or(url, |(sent, _)| sent);
        let (scheme, rest) = url.split_once("://").ok_or(ExplainError::NotAbsolute)?;
        let scheme = match scheme {
            http if http.eq_ignore_ascii_case("http") => Scheme::Http,
            https if https.eq_ignore_ascii_case("https") => Scheme::Https,
            other if other.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) => {
                return Err(ExplainError::OtherScheme(other.to_owned()));
            }
            _ => return Err(ExplainError::NotAbsolute),
        };
        let target = cooked::cook(url, mode).map_err(|error| ExplainError::Target { error, place: mistake(url, error, mode) })?;
        let typed = target.authority().ok_or(ExplainError::NotAbsolute)?;
        let authority = on_the_wire(typed);
        let host = RequestHost::parse(authority.as_bytes()).map_err(|error| {
            let begins = url.len() - rest.len();
            ExplainError::Host { error, place: Place::new(url, begins + offset(typed, error)) }
        })?;
        let is_wildcard = matches!(host.name(), "+" | "*");
        Ok(Self {
            scheme,
            host: (!is_wildcard).then(|| host.name().to_owned()),
            port: host.port().unwrap_or(scheme.default_port().get()),
            typed_path: target.raw_path().to_owned(),
            path: target.path().to_owned(),
            target_length: rest.len().saturating_sub(typed.len()),
        })
    }

    /// A request for exactly the path of a prefix, which is written un-escaped.
    pub fn of_prefix(prefix: &UrlPrefix) -> Self {
        let host = match prefix.host() {
            PrefixHost::Strong | PrefixHost::Weak => None,
            PrefixHost::Name(_) => Some(prefix.wire_host().to_owned()),
            ip @ PrefixHost::Ip(_) => Some(ip.to_string()),
        };
        Self {
            scheme: prefix.scheme(),
            host,
            port: prefix.port().get(),
            typed_path: prefix.path().to_owned(),
            path: prefix.path().to_owned(),
            target_length: prefix.path().len(),
        }
    }

    /// The host as the routing table takes it.
    pub fn request_host(&self) -> Option<RequestHost<'_>> {
        RequestHost::parse(self.host.as_deref()?.as_bytes()).ok()
    }
}

/// Browsers send names in punycode.
fn on_the_wire(authority: &str) -> String {
    if authority.is_ascii() {
        return authority.to_owned();
    }
    let spec = format!("http://{authority}/").parse::<PrefixSpec>().ok();
    let prefix = spec.and_then(|spec| spec.resolve());
    let port = authority.rsplit_once(':').map_or(String::new(), |(_, port)| format!(":{port}"));
    prefix.map_or_else(|| authority.to_owned(), |prefix| format!("{}{port}", prefix.wire_host()))
}

/// Where in an authority the host's mistake is.
fn offset(authority: &str, error: HostError) -> usize {
    let found = match error {
        HostError::Byte(wrong) => authority.bytes().position(|byte| byte == wrong),
        HostError::Escape => authority.find('%'),
        HostError::Port => authority.find(':').map(|colon| colon + 1).filter(|port| *port < authority.len()),
        _ => None,
    };
    found.unwrap_or(0)
}

/// Where a URL stops being one: behind its longest beginning that is.
fn mistake(url: &str, error: CookError, mode: Cooking) -> Option<Place> {
    if matches!(error, CookError::AuthorityMissing | CookError::NotAPath) {
        return None;
    }
    let searched = url.len().min(SEARCHED);
    let ends = (0..=searched).rev().filter_map(|end| Some((end, url.get(..end)?)));
    let good = ends.take_while(|(_, begin)| begin.contains("://")).find(|(_, begin)| cooked::cook(begin, mode).is_ok())?;
    let at = match error {
        // The first dot of it is no mistake yet.
        CookError::AboveRoot => good.1.rfind('/').map_or(good.0, |slash| slash + 1),
        _ => good.0,
    };
    Place::new(url, at)
}
