//! `Content-Disposition`, with names in any script (RFC 6266, RFC 8187).

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but `attr-char` (RFC 8187 section 3.2.1).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The field's value. Of a name that is a path only the last component is told, since clients must not use more
/// (RFC 6266 section 4.3).
///
/// What is not ASCII is told twice: as it is in `filename*`, and for old clients with underscores in `filename`.
pub(super) fn value(kind: &str, name: Option<&str>) -> Option<HeaderValue> {
    let name = name.and_then(|name| name.rsplit(['/', '\\']).next());
    let name: Option<String> = name.map(|name| name.chars().filter(|char| !char.is_control()).collect());
    let Some(name) = name.filter(|name| !name.is_empty()) else { return HeaderValue::from_str(kind).ok() };
    // Some clients decode percents in the plain name, others do not.
    let plain = |char: char| if char.is_ascii() && !matches!(char, '"' | '%') { char } else { '_' };
    let fallback: String = name.chars().map(plain).collect();
    let mut value = format!("{kind}; filename=\"{fallback}\"");
    if fallback != name {
        value.push_str("; filename*=UTF-8''");
        value.extend(utf8_percent_encode(&name, ENCODED));
    }
    HeaderValue::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(name: &str) -> String {
        value("attachment", Some(name)).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_name_in_any_script_is_told_with_a_plain_one_beside_it() {
        assert_eq!(attachment("report 1.pdf"), "attachment; filename=\"report 1.pdf\"");
        assert_eq!(
            attachment("Übersicht €.pdf"),
            "attachment; filename=\"_bersicht _.pdf\"; filename*=UTF-8''%C3%9Cbersicht%20%E2%82%AC.pdf"
        );
        assert_eq!(attachment("a\"b%41'.txt"), "attachment; filename=\"a_b_41'.txt\"; filename*=UTF-8''a%22b%2541%27.txt");
    }

    #[test]
    fn neither_paths_nor_line_breaks_get_into_the_field() {
        assert_eq!(attachment("../../etc/passwd"), "attachment; filename=\"passwd\"");
        assert_eq!(attachment("C:\\boot.ini"), "attachment; filename=\"boot.ini\"");
        assert_eq!(attachment("a\r\nSet-Cookie: b"), "attachment; filename=\"aSet-Cookie: b\"");
        assert_eq!(attachment("/"), "attachment");
        assert_eq!(value("inline", None).unwrap(), "inline");
    }
}
