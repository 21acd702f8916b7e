//! Entity tags: how they compare, how lists of them are read, and what a file's is (RFC 9110 section 8.8.3).

use std::fs::Metadata;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

/// File systems write down times in steps of up to two seconds (FAT). Until then a file may change and keep its time.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// An entity tag, such as `"v1"` or `W/"v1"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag {
    value: HeaderValue,
    weak: bool,
}

impl EntityTag {
    /// A tag that changes whenever a single byte does. `None` if `opaque` has other characters than RFC 9110 allows: visible
    /// ASCII but the double quote.
    #[must_use]
    pub fn strong(opaque: &str) -> Option<Self> {
        Self::new(opaque, false)
    }

    /// A tag that changes whenever the difference matters. Parts of what has it cannot be put together: ranges are not resumed
    /// by it.
    #[must_use]
    pub fn weak(opaque: &str) -> Option<Self> {
        Self::new(opaque, true)
    }

    fn new(opaque: &str, weak: bool) -> Option<Self> {
        if !opaque.bytes().all(is_opaque) {
            return None;
        }
        let text = if weak { format!("W/\"{opaque}\"") } else { format!("\"{opaque}\"") };
        Some(Self { value: HeaderValue::try_from(text).ok()?, weak })
    }

    /// A file's tag is made of its time of modification in nanoseconds, its length and its number in the file system. So it is another
    /// one after every change, and after the file has been replaced, however old the new one is.
    ///
    /// It is weak as long as the file is so new that it could be written to once more at what counts as the same time: only then
    /// do two contents share a tag.
    pub(super) fn of_file(metadata: &Metadata, now: SystemTime) -> Option<Self> {
        let modified = metadata.modified().ok()?;
        let nanos = modified.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let number = 0;
        Self::new(&format!("{nanos:x}-{:x}-{number:x}", metadata.len()), !is_settled(modified, now))
    }

    pub(super) fn value(&self) -> &HeaderValue {
        &self.value
    }

    fn opaque(&self) -> &[u8] {
        let bytes = self.value.as_bytes();
        if self.weak { bytes.get(2..).unwrap_or_default() } else { bytes }
    }
}

/// Whether a time of modification is long enough ago that no other content can have it.
pub(super) fn is_settled(modified: SystemTime, now: SystemTime) -> bool {
    now.duration_since(modified).is_ok_and(|age| age >= SETTLED_AFTER)
}

fn is_opaque(byte: u8) -> bool {
    byte == 0x21 || (0x23..=0x7e).contains(&byte)
}

/// How two tags are compared (RFC 9110 section 8.8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Strong,
    Weak,
}

/// Whether a field such as `If-Match` has the tag, or `*`.
pub(super) fn lists(headers: &HeaderMap, name: HeaderName, tag: Option<&EntityTag>, comparison: Comparison) -> bool {
    headers.get_all(name).iter().any(|value| {
        let value = value.as_bytes().trim_ascii();
        value == b"*" || tag.is_some_and(|tag| tags(value).any(|(opaque, weak)| matches(tag, opaque, weak, comparison)))
    })
}

/// Whether a field's value is this tag, by the strong comparison.
pub(super) fn is_strongly(value: &HeaderValue, tag: &EntityTag) -> bool {
    tags(value.as_bytes()).next().is_some_and(|(opaque, weak)| matches(tag, opaque, weak, Comparison::Strong))
}

fn matches(tag: &EntityTag, opaque: &[u8], weak: bool, comparison: Comparison) -> bool {
    (comparison == Comparison::Weak || !weak && !tag.weak) && opaque == tag.opaque()
}

/// The tags of a list, quotes included, up to the first thing that is none; and whether they are weak.
fn tags(list: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let (weak, quoted) = match rest.get(start..)?.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest.get(start..)?),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        // What is older than RFC 7232 may have spaces and other characters inside; commas are not the list's there.
        let length = inner.iter().position(|byte| *byte == b'"')?;
        rest = inner.get(length + 1..)?;
        Some((quoted.get(..length + 2)?, weak))
    })
}

#[cfg(test)]
mod tests {
    use http::header::IF_MATCH;

    use super::*;

    fn listed(list: &str, comparison: Comparison) -> bool {
        let tag = EntityTag::strong("v1");
        lists(&HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_str(list).unwrap())]), IF_MATCH, tag.as_ref(), comparison)
    }

    #[test]
    fn a_list_is_searched_for_the_tag() {
        for list in
            ["\"v1\"", "*", " * ", "\"a\", \"v1\"", "\"a\",\t\"b,c\" , \"v1\"", ",,\"v1\"", "\"v1\", rubbish", "W/\"a\",\"v1\""]
        {
            assert!(listed(list, Comparison::Strong), "{list}");
        }
        for list in ["\"v2\"", ",", "", "v1", "\"v1", "rubbish, \"v1\"", "\"a, \"v1\"", "w/\"v1\""] {
            assert!(!listed(list, Comparison::Weak), "{list}");
        }
    }

    #[test]
    fn weak_tags_are_equal_to_none_in_the_strong_comparison() {
        assert!(listed("W/\"v1\"", Comparison::Weak));
        assert!(!listed("W/\"v1\"", Comparison::Strong));
        let weak = EntityTag::weak("v1").unwrap();
        assert!(!is_strongly(&HeaderValue::from_static("\"v1\""), &weak));
        assert!(!is_strongly(weak.value(), &weak));
        assert!(is_strongly(&HeaderValue::from_static("\"v1\""), &EntityTag::strong("v1").unwrap()));
    }

    #[test]
    fn a_tag_with_a_quote_or_a_space_is_none() {
        assert!(EntityTag::strong("a\"b").is_none() && EntityTag::weak("a b").is_none() && EntityTag::strong("ä").is_none());
        assert_eq!(EntityTag::weak("").unwrap().value(), "W/\"\"");
    }

    #[test]
    fn a_files_tag_is_weak_while_the_file_is_new_and_strong_afterwards() {
        let file = tempfile::tempfile().unwrap();
        let metadata = file.metadata().unwrap();
        let modified = metadata.modified().unwrap();
        let at = |age| EntityTag::of_file(&metadata, modified + age).unwrap();
        assert!(at(Duration::from_millis(1999)).weak);
        assert!(!at(SETTLED_AFTER).weak);
        assert_eq!(at(Duration::ZERO).opaque(), at(SETTLED_AFTER).opaque());
        // A file from the future may be written to until then.
        assert!(EntityTag::of_file(&metadata, modified - Duration::from_secs(60)).unwrap().weak);
    }
}
