//! Whether a request's conditions let it be answered as it wishes (RFC 9110 section 13).

use std::time::SystemTime;

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};

use super::tag::{self, Comparison, EntityTag, is_settled, lists};

/// What conditions are about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validators<'a> {
    pub(super) tag: Option<&'a EntityTag>,
    pub(super) modified: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed,
    NotModified,
    Failed,
}

/// Judges the conditions of a GET or HEAD, in the order of section 13.2.2.
pub(super) fn judge(headers: &HeaderMap, current: Validators<'_>) -> Verdict {
    if headers.contains_key(IF_MATCH) {
        if !lists(headers, IF_MATCH, current.tag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let Some((modified, since)) = current.modified.zip(date(headers, IF_UNMODIFIED_SINCE))
        && seconds(modified) > seconds(since)
    {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if lists(headers, IF_NONE_MATCH, current.tag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some((modified, since)) = current.modified.zip(date(headers, IF_MODIFIED_SINCE))
        && seconds(modified) <= seconds(since)
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a `Range` counts (section 13.1.5): there is no `If-Range`, or it says exactly what is there now. A date does so only
/// where nothing else can have been there in the same second (section 8.8.2.2).
pub(super) fn range_counts(headers: &HeaderMap, current: Validators<'_>, now: SystemTime) -> bool {
    let Some(value) = headers.get(IF_RANGE) else { return true };
    if let Some(date) = date(headers, IF_RANGE) {
        let settled = current.modified.filter(|modified| is_settled(*modified, now));
        return settled.is_some_and(|modified| seconds(modified) == seconds(date));
    }
    current.tag.is_some_and(|current| tag::is_strongly(value, current))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    httpdate::parse_http_date(only.to_str().ok()?).ok()
}

/// Dates in header fields have no fractions.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;

    const OLD: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn modified() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500)
    }

    fn fields(fields: &[(HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn judged(conditions: &[(HeaderName, &str)]) -> Verdict {
        let tag = EntityTag::strong("v1");
        judge(&fields(conditions), Validators { tag: tag.as_ref(), modified: Some(modified()) })
    }

    #[test]
    fn if_match_fails_unless_the_tag_is_listed() {
        assert_eq!(judged(&[(IF_MATCH, "\"v1\"")]), Verdict::Proceed);
        assert_eq!(judged(&[(IF_MATCH, "*")]), Verdict::Proceed);
        assert_eq!(judged(&[(IF_MATCH, "\"v0\"")]), Verdict::Failed);
        assert_eq!(judged(&[(IF_MATCH, "W/\"v1\"")]), Verdict::Failed);
    }

    #[test]
    fn if_match_goes_before_if_unmodified_since() {
        assert_eq!(judged(&[(IF_UNMODIFIED_SINCE, OLD)]), Verdict::Failed);
        assert_eq!(judged(&[(IF_UNMODIFIED_SINCE, SAME)]), Verdict::Proceed);
        assert_eq!(judged(&[(IF_UNMODIFIED_SINCE, "x")]), Verdict::Proceed);
        assert_eq!(judged(&[(IF_MATCH, "\"v1\""), (IF_UNMODIFIED_SINCE, OLD)]), Verdict::Proceed);
    }

    #[test]
    fn if_none_match_goes_before_if_modified_since() {
        assert_eq!(judged(&[(IF_NONE_MATCH, "W/\"v1\"")]), Verdict::NotModified);
        assert_eq!(judged(&[(IF_NONE_MATCH, "*")]), Verdict::NotModified);
        assert_eq!(judged(&[(IF_MODIFIED_SINCE, SAME)]), Verdict::NotModified);
        assert_eq!(judged(&[(IF_MODIFIED_SINCE, NEW)]), Verdict::NotModified);
        assert_eq!(judged(&[(IF_MODIFIED_SINCE, OLD)]), Verdict::Proceed);
        assert_eq!(judged(&[(IF_NONE_MATCH, "\"v0\""), (IF_MODIFIED_SINCE, NEW)]), Verdict::Proceed);
    }

    #[test]
    fn what_must_match_is_judged_before_what_must_not() {
        assert_eq!(judged(&[(IF_MATCH, "\"v0\""), (IF_NONE_MATCH, "\"v1\"")]), Verdict::Failed);
        assert_eq!(judged(&[(IF_MATCH, "\"v1\""), (IF_NONE_MATCH, "\"v1\"")]), Verdict::NotModified);
    }

    #[test]
    fn a_range_counts_only_of_exactly_what_is_there() {
        let counts = |value: &str, tag: Option<EntityTag>, age: u64| {
            let now = modified() + Duration::from_secs(age);
            range_counts(&fields(&[(IF_RANGE, value)]), Validators { tag: tag.as_ref(), modified: Some(modified()) }, now)
        };
        let strong = || EntityTag::strong("v1");
        assert!(counts("\"v1\"", strong(), 60));
        assert!(counts(SAME, strong(), 60));
        for value in ["\"v0\"", "W/\"v1\"", OLD, NEW, "rubbish", ""] {
            assert!(!counts(value, strong(), 60), "{value}");
        }
        assert!(!counts("\"v1\"", EntityTag::weak("v1"), 60));
        assert!(!counts(SAME, strong(), 1), "it may be written to in the same second");
        assert!(!counts("\"v1\"", None, 60));
    }
}
