//! Comma-separated lists in field values (RFC 9110 section 5.6.1), and the dates and tokens in them.

use std::time::SystemTime;

/// The elements of a list without surrounding white space; empty ones are passed over, as recipients must. A comma inside
/// a quoted string does not separate.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let list = rest?;
            let (element, after) = split(list);
            rest = after;
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
    })
}

/// The first element, and what follows its comma.
fn split(list: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (mut quoted, mut escaped) = (false, false);
    for (index, &byte) in list.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return (list.get(..index).unwrap_or_default(), list.get(index + 1..)),
            _ => {}
        }
    }
    (list, None)
}

/// Without the optional white space around it: SP and HTAB, nothing else.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether this is a token by RFC 9110 section 5.6.2.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(tchar)
}

/// An HTTP-date in any of its three forms (RFC 9110 section 5.6.7).
pub(super) fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(trim(value)).ok()?).ok()
}

/// A run of digits. What does not fit is the largest number: it means "very much" everywhere it is used.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quoted_strings_do_not_separate() {
        let all = |value: &'static str| elements(value.as_bytes()).map(|e| str::from_utf8(e).unwrap()).collect::<Vec<_>>();
        assert_eq!(all("a, b\t,,c"), ["a", "b", "c"]);
        assert_eq!(all(r#"a="x, y" , b="\",", c"#), [r#"a="x, y""#, r#"b="\",""#, "c"]);
        assert_eq!(all(r#"a="never ends, b"#), [r#"a="never ends, b"#]);
        assert_eq!(all(" ,, "), [""; 0]);
    }

    #[test]
    fn a_number_that_is_too_large_is_the_largest() {
        assert_eq!(number(b"018446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"99999999999999999999999"), Some(u64::MAX));
        assert_eq!(number(b"0012"), Some(12));
        for no in [&b""[..], b"-1", b"+1", b"1.5", b" 1", b"1e3"] {
            assert_eq!(number(no), None);
        }
    }
}
