//! Looking into header fields.

use http::header::{AsHeaderName, GetAll};
use http::{HeaderMap, HeaderValue};

use crate::extension::{Malformed, is_token};

/// Whether one of the comma-separated elements of the fields `name` is `token`, in any case.
pub(super) fn has_token(headers: &HeaderMap, name: impl AsHeaderName, token: &str) -> bool {
    elements(headers.get_all(name)).any(|element| element.is_ok_and(|element| element.eq_ignore_ascii_case(token)))
}

/// The value of the field `name` if there is exactly one.
pub(super) fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The tokens in all fields `name`. RFC 6455 section 4.1: no two are the same.
pub(super) fn unique_tokens(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Vec<&str>, Malformed> {
    let mut tokens = Vec::new();
    for element in elements(headers.get_all(name)) {
        let element = element?;
        if !is_token(element) || tokens.contains(&element) {
            return Err(Malformed);
        }
        tokens.push(element);
    }
    Ok(tokens)
}

/// The elements of lists in all fields of one name. RFC 9110 section 5.6.1: empty ones are ignored.
fn elements(values: GetAll<'_, HeaderValue>) -> impl Iterator<Item = Result<&str, Malformed>> {
    values
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|element| std::str::from_utf8(element.trim_ascii()).map_err(|_| Malformed))
        .filter(|element| *element != Ok(""))
}
