//! Conditional requests answered from a stored response (RFC 9110 section 13).

use std::time::{Duration, SystemTime};

use super::list::{date, trim};

/// An entity tag (RFC 9110 section 8.8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntityTag {
    weak: bool,
    /// Between the quotes.
    opaque: Box<[u8]>,
}

impl EntityTag {
    /// The value of an `ETag` line.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (weak, opaque, rest) = tag(trim(value))?;
        rest.is_empty().then(|| Self { weak, opaque: opaque.into() })
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.opaque.len()
    }
}

/// `[W/]"opaque"` at the start: whether it is weak, what is between the quotes, and what follows. A backslash has no meaning
/// in it.
fn tag(value: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (weak, quoted) = match value.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, value),
    };
    let inner = quoted.strip_prefix(b"\"")?;
    let (opaque, rest) = inner.split_at_checked(memchr::memchr(b'"', inner)?)?;
    let etagc = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
    opaque.iter().all(etagc).then_some((weak, opaque, rest.get(1..)?))
}

/// What a stored response can be compared by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validators<'e> {
    pub(super) etag: Option<&'e EntityTag>,
    pub(super) last_modified: Option<SystemTime>,
    /// When the response was made.
    pub(super) created: SystemTime,
}

impl Validators<'_> {
    /// Whether the client's copy is still good: 304. `If-Modified-Since` counts only without `If-None-Match`
    /// (RFC 9110 section 13.1.3); a date that is none, or comes twice, does not count.
    pub(super) fn not_modified<'f>(&self, fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> bool {
        let mut listed = None;
        let mut since = Since::Absent;
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(b"if-none-match") {
                listed = Some(listed.unwrap_or(false) || self.is_listed(value));
            } else if name.eq_ignore_ascii_case(b"if-modified-since") {
                since = match (since, date(value)) {
                    (Since::Absent, Some(date)) => Since::Date(date),
                    _ => Since::Unusable,
                };
            }
        }
        match (listed, since, self.last_modified) {
            (Some(listed), ..) => listed,
            (None, Since::Date(since), Some(modified)) => modified <= since,
            _ => false,
        }
    }

    /// By weak comparison. What stands behind a malformed element is not looked at.
    fn is_listed(&self, list: &[u8]) -> bool {
        if trim(list) == b"*" {
            return true;
        }
        let Some(etag) = self.etag else { return false };
        let mut rest = list;
        loop {
            while let [b' ' | b'\t' | b',', after @ ..] = rest {
                rest = after;
            }
            let Some((_, opaque, after)) = tag(rest) else { return false };
            if *opaque == *etag.opaque && matches!(trim(after), [] | [b',', ..]) {
                return true;
            }
            rest = trim(after);
            if !matches!(rest, [b',', ..]) {
                return false;
            }
        }
    }

    /// Whether the part that `Range` asks for belongs to what the client has: by strong comparison, or exactly the same
    /// date (RFC 9110 section 13.1.5).
    pub(super) fn if_range(&self, value: &[u8]) -> bool {
        if let Some(asked) = EntityTag::parse(value) {
            return self.etag.is_some_and(|etag| !etag.weak && *etag == asked);
        }
        let (Some(asked), Some(modified)) = (date(value), self.last_modified) else { return false };
        // Within the same second it could have changed again (RFC 9110 section 8.8.2.2).
        let strong = modified.checked_add(Duration::from_secs(1)).is_some_and(|after| after <= self.created);
        asked == modified && strong
    }
}

enum Since {
    Absent,
    Date(SystemTime),
    Unusable,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Tue, 15 Nov 1994 12:45:26 GMT";
    const EARLIER: &str = "Tue, 15 Nov 1994 12:45:25 GMT";
    const LATER: &str = "Tue, 15 Nov 1994 12:45:27 GMT";

    fn not_modified(etag: Option<&str>, last_modified: Option<&str>, lines: &[(&str, &str)]) -> bool {
        let etag = etag.map(|etag| EntityTag::parse(etag.as_bytes()).unwrap());
        let last_modified = last_modified.map(|value| date(value.as_bytes()).unwrap());
        let created = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 31);
        let validators = Validators { etag: etag.as_ref(), last_modified, created };
        validators.not_modified(lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    #[test]
    fn entity_tags_are_those_of_rfc_9110() {
        for good in [r#""xyzzy""#, r#"W/"xyzzy""#, r#""""#, r#"  "a" "#, r#""a\""#, "\"\u{e9}\"", r#""a,b""#] {
            assert!(EntityTag::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in ["", "xyzzy", r#"w/"xyzzy""#, r#"W/xyzzy"#, r#""a"#, r#""a"b"#, r#""a b""#, r#""a","b""#, "*"] {
            assert!(EntityTag::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn if_none_match_is_a_weak_comparison_with_a_list() {
        for (etag, value, same) in [
            (r#""1""#, r#""1""#, true),
            (r#"W/"1""#, r#"W/"1""#, true),
            (r#"W/"1""#, r#"W/"2""#, false),
            (r#"W/"1""#, r#""1""#, true),
            (r#""1""#, r#"W/"1""#, true),
            (r#""c3piozzzz""#, r#""xyzzy", "r2d2xxxx", "c3piozzzz""#, true),
            (r#""1""#, r#",, "2" ,"1","#, true),
            (r#""1""#, "*", true),
            (r#""1""#, r#""2", *"#, false),
            (r#""1""#, "1", false),
            (r#""a,b""#, r#""x", "a,b""#, true),
            (r#""b""#, r#""a\", "b""#, true),
            (r#""1""#, r#""2" "1""#, false),
            (r#""1""#, r#""1" x"#, false),
            (r#""1""#, "", false),
        ] {
            assert_eq!(not_modified(Some(etag), None, &[("If-None-Match", value)]), same, "{etag} {value}");
        }
        assert!(not_modified(Some(r#""1""#), None, &[("if-none-match", r#""2""#), ("if-none-match", r#""1""#)]));
        assert!(not_modified(None, None, &[("if-none-match", "*")]), "there is a representation");
        assert!(!not_modified(None, None, &[("if-none-match", r#""1""#)]));
    }

    #[test]
    fn if_modified_since_counts_only_alone_and_as_a_date() {
        for (since, same) in [
            (DATE, true),
            (LATER, true),
            (EARLIER, false),
            ("Tuesday, 15-Nov-94 12:45:26 GMT", true),
            ("Tue Nov 15 12:45:26 1994", true),
            ("Tue, 15 Nov 1994 12:45:26", false),
            ("784903526", false),
            ("", false),
        ] {
            assert_eq!(not_modified(None, Some(DATE), &[("If-Modified-Since", since)]), same, "{since}");
        }
        let none_match = ("If-None-Match", r#""2""#);
        assert!(!not_modified(Some(r#""1""#), Some(DATE), &[none_match, ("If-Modified-Since", DATE)]));
        assert!(!not_modified(Some(r#""1""#), Some(DATE), &[("If-Modified-Since", DATE), none_match]));
        assert!(!not_modified(None, Some(DATE), &[("If-Modified-Since", LATER), ("If-Modified-Since", LATER)]));
        assert!(!not_modified(None, None, &[("If-Modified-Since", LATER)]), "there is nothing to compare with");
        assert!(!not_modified(Some(r#""1""#), Some(DATE), &[("Accept", "*")]));
    }

    #[test]
    fn if_range_is_a_strong_comparison() {
        let ask = |etag: Option<&str>, created: &str, value: &str| {
            let etag = etag.map(|etag| EntityTag::parse(etag.as_bytes()).unwrap());
            let last_modified = date(DATE.as_bytes());
            Validators { etag: etag.as_ref(), last_modified, created: date(created.as_bytes()).unwrap() }
                .if_range(value.as_bytes())
        };
        assert!(ask(Some(r#""1""#), LATER, r#""1""#));
        assert!(!ask(Some(r#""1""#), LATER, r#""2""#));
        assert!(!ask(Some(r#""1""#), LATER, r#"W/"1""#));
        assert!(!ask(Some(r#"W/"1""#), LATER, r#"W/"1""#));
        assert!(!ask(Some(r#"W/"1""#), LATER, r#""1""#));
        assert!(!ask(None, LATER, r#""1""#));
        assert!(ask(None, LATER, DATE));
        assert!(!ask(None, LATER, LATER), "a later date is not the same one");
        assert!(!ask(None, LATER, EARLIER));
        assert!(!ask(None, DATE, DATE), "made in the second of its last change, it could have changed again");
        assert!(!ask(None, LATER, "nonsense"));
    }
}
