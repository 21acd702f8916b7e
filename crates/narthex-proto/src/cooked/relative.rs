//! What the app sees of a target: the part behind its prefix.

use std::borrow::Cow;

use super::chars::{self, Encode};
use super::{CookedTarget, Cooking};

/// A target as the app sees it, split where its prefix ends. Both parts are percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relative<'a> {
    /// The prefix's path as the client spelled it, without its last slash; empty for `/`.
    pub path_base: Cow<'a, str>,
    /// The rest, as `http::Uri` takes it: it begins with `/`, or is `*`.
    pub path_and_query: Cow<'a, str>,
}

/// Router and app must agree on one reading: the raw spelling is handed on only if each raw segment is the cooked
/// one, escapes aside. Otherwise the app gets the cooked path, encoded again.
pub(super) fn relative<'a>(target: &CookedTarget<'a>, prefix_path: &str, as_sent: bool) -> Relative<'a> {
    if target.is_asterisk() {
        return Relative { path_base: Cow::Borrowed(""), path_and_query: Cow::Borrowed("*") };
    }
    // Segments correspond one to one whatever their spelling, so the prefix ends at its last slash's number.
    let slashes = prefix_path.bytes().filter(|&byte| byte == b'/').count();
    if as_sent {
        let whole = target.path_and_query;
        let path = target.raw_path();
        if let Some((base, _)) = nth_slash(path, slashes).and_then(|at| path.split_at_checked(at)) {
            let rest = whole.get(base.len()..).unwrap_or("/");
            return Relative { path_base: Cow::Borrowed(base), path_and_query: Cow::Borrowed(rest) };
        }
        return Relative { path_base: Cow::Borrowed(path), path_and_query: slash_and_query(target) };
    }
    let (path, encode) = if target.resolved {
        (target.path(), Encode::CookedPath { percent: target.mode == Cooking::HttpSys })
    } else {
        (target.raw_path(), Encode::RawPath)
    };
    let (base, rest) = match nth_slash(path, slashes).and_then(|at| path.split_at_checked(at)) {
        Some((base, rest)) => (base, rest),
        None => (path, "/"),
    };
    let mut path_base = String::with_capacity(base.len());
    chars::push_encoded(base, encode, &mut path_base);
    let mut path_and_query = String::with_capacity(target.path_and_query.len());
    chars::push_encoded(rest, encode, &mut path_and_query);
    push_query(target, &mut path_and_query);
    Relative { path_base: Cow::Owned(path_base), path_and_query: Cow::Owned(path_and_query) }
}

/// `/base` and `/base?query` against `/base/`.
fn slash_and_query<'a>(target: &CookedTarget<'a>) -> Cow<'a, str> {
    if target.query().is_none() {
        return Cow::Borrowed("/");
    }
    let mut out = String::from("/");
    push_query(target, &mut out);
    Cow::Owned(out)
}

fn push_query(target: &CookedTarget<'_>, out: &mut String) {
    if let Some(query) = target.query() {
        out.push('?');
        chars::push_encoded(query, Encode::Query, out);
    }
}

/// Where the `n`th slash is, counted from 1.
fn nth_slash(path: &str, n: usize) -> Option<usize> {
    path.bytes().enumerate().filter(|(_, byte)| *byte == b'/').nth(n.checked_sub(1)?).map(|(at, _)| at)
}
