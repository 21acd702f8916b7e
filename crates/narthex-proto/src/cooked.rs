//! Cooked URLs: the one canonical form of a request target, used by the router and shown to the app.
//!
//! Most targets are plain paths; those are borrowed after one look at each byte. The rest are decoded once.

mod chars;
mod decode;
mod error;
mod relative;

use std::borrow::Cow;

pub use error::CookError;
pub use relative::Relative;

use crate::host::RequestHost;
use chars::{AFTER_PATH, AWKWARD, CONTROL, NON_ASCII, PATH, QUERY, SLASH};
use decode::Decoded;

/// By which rules a target is cooked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cooking {
    /// Ours: whatever two readers could understand differently is refused. `%2F` and `\` are not separators.
    #[default]
    Strict,
    /// HTTP.sys's own, for apps that were written against it.
    HttpSys,
}

/// A request target in raw and in cooked form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookedTarget<'a> {
    raw: &'a str,
    authority: Option<&'a str>,
    /// What follows the authority: empty for `*` and for an absolute URL that ends with its host.
    path_and_query: &'a str,
    /// Where the path ends in `path_and_query`.
    path_end: usize,
    /// The cooked path, if it is spelled differently from the raw one.
    cooked: Option<Box<str>>,
    mode: Cooking,
    /// See [`Decoded::resolved`].
    resolved: bool,
    /// Whether `path_and_query` has characters that the app must get percent-encoded.
    awkward: bool,
}

/// Cooks the target of a request line, or `:path` of HTTP/2 and HTTP/3.
///
/// * **Strict**: percent escapes are decoded once and must be valid, shortest-form UTF-8; `%2F`, `%5C` and `%25` stay
///   encoded, in upper case; `.` and `..` segments are removed as in RFC 3986 section 5.2.4 and may not lead above the
///   root; empty segments count. Control characters, raw or encoded, raw backslashes and raw non-ASCII are refused.
/// * **HttpSys**: escapes are read as UTF-8, else in the ANSI code page (windows-1252), `%uNNNN` too; `\`, `%5C` and
///   `%2F` separate; runs of separators count once; then dot segments are removed, and stop at the root.
///
/// The query is everything behind the first `?`; it is not decoded. `#` has no meaning in a target and is data.
pub fn cook(target: &str, mode: Cooking) -> Result<CookedTarget<'_>, CookError> {
    if target.starts_with('/') {
        return cook_path(target, None, target, mode);
    }
    cook_other_forms(target, mode)
}

/// [`cook`] for a target that is not yet known to be UTF-8.
pub fn cook_bytes(target: &[u8], mode: Cooking) -> Result<CookedTarget<'_>, CookError> {
    let invalid = if mode == Cooking::Strict { CookError::NonAscii } else { CookError::NotUtf8 };
    cook(std::str::from_utf8(target).map_err(|_| invalid)?, mode)
}

fn cook_other_forms(target: &str, mode: Cooking) -> Result<CookedTarget<'_>, CookError> {
    if target == "*" {
        return Ok(CookedTarget {
            raw: target,
            authority: None,
            path_and_query: "",
            path_end: 0,
            cooked: None,
            mode,
            resolved: false,
            awkward: false,
        });
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err(match RequestHost::parse(target.as_bytes()) {
            _ if target.is_empty() => CookError::Empty,
            Ok(host) if host.port().is_some() => CookError::AuthorityForm,
            _ => CookError::NotAPath,
        });
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        return Err(if is_scheme { CookError::OtherScheme } else { CookError::NotAPath });
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if authority.is_empty() {
        return Err(CookError::AuthorityMissing);
    }
    match path_and_query.as_bytes().first() {
        Some(b'#') => return Err(CookError::NotAPath),
        Some(b'?') if path_and_query.contains('/') => return Err(CookError::QueryWithoutPath),
        _ => {}
    }
    cook_path(target, Some(authority), path_and_query, mode)
}

fn cook_path<'a>(
    raw: &'a str,
    authority: Option<&'a str>,
    path_and_query: &'a str,
    mode: Cooking,
) -> Result<CookedTarget<'a>, CookError> {
    let strict = mode == Cooking::Strict;
    let (path_end, seen) = scan_path(path_and_query.as_bytes());
    let mut awkward = seen & (AWKWARD | NON_ASCII | CONTROL) != 0;
    if let Some(query) = path_and_query.get(path_end + 1..) {
        let seen = decode::classes(query, &AFTER_PATH);
        if seen != 0 {
            decode::check_query(seen, query, strict)?;
            awkward = true;
        }
    }
    let mut target = CookedTarget { raw, authority, path_and_query, path_end, cooked: None, mode, resolved: false, awkward };
    let plain = AWKWARD | if strict { RUN } else { 0 };
    if seen & !plain == 0 {
        return Ok(target);
    }
    let raw_path = target.raw_path();
    let Decoded { path, resolved } = if strict { decode::strict(raw_path)? } else { decode::httpsys(raw_path)? };
    if path != raw_path {
        target.cooked = Some(path.into_boxed_str());
    }
    target.resolved = resolved;
    Ok(target)
}

// What `scan_path` reports beside the byte classes, in the places of the two that it handles itself.
/// A dot follows a slash.
const DOT: u8 = SLASH;
/// A slash follows a slash.
const RUN: u8 = QUERY;

/// Finds the end of the path and what it contains.
fn scan_path(bytes: &[u8]) -> (usize, u8) {
    let mut seen = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        match PATH[usize::from(byte)] {
            0 => {}
            SLASH => match bytes.get(index + 1) {
                Some(b'.') => seen |= DOT,
                Some(b'/') => seen |= RUN,
                _ => {}
            },
            QUERY => return (index, seen),
            class => seen |= class,
        }
    }
    (bytes.len(), seen)
}

impl<'a> CookedTarget<'a> {
    /// The target as it was sent.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// The authority of an absolute-form target; it wins over the `Host` field.
    pub fn authority(&self) -> Option<&'a str> {
        self.authority
    }

    /// Whether the target is `*`, as in `OPTIONS *`. Its path is empty and belongs to whoever owns `/`.
    pub fn is_asterisk(&self) -> bool {
        self.path_and_query.is_empty() && self.authority.is_none()
    }

    /// The cooked path: un-escaped, free of dot segments. This is what routes.
    pub fn path(&self) -> &str {
        match &self.cooked {
            Some(path) => path,
            None => self.raw_path(),
        }
    }

    /// The path as it was sent; `/` where an absolute URL ends with its host, empty for `*`.
    pub fn raw_path(&self) -> &'a str {
        match self.path_and_query.get(..self.path_end) {
            Some(path) if !path.is_empty() => path,
            _ if self.authority.is_some() => "/",
            _ => "",
        }
    }

    /// The query as it was sent, without its `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.path_and_query.get(self.path_end.checked_add(1)?..)
    }

    /// By which rules the target was cooked.
    pub fn cooking(&self) -> Cooking {
        self.mode
    }

    /// What the app that registered `prefix_path` sees. `prefix_path` must be the path of a prefix that matched.
    pub fn relative_to(&self, prefix_path: &str) -> Relative<'a> {
        // The root's app sees the target as it is, unless it is no valid path: the common case must cost nothing.
        let as_sent = !self.resolved && !self.awkward && self.path_end != 0;
        if as_sent && prefix_path.len() <= 1 {
            return Relative { path_base: Cow::Borrowed(""), path_and_query: Cow::Borrowed(self.path_and_query) };
        }
        relative::relative(self, prefix_path, as_sent)
    }
}
