//! What a `Range` field asks for, of a representation of known length (RFC 9110 section 14).

use std::ops::Range;

use http::HeaderMap;
use http::header::RANGE;

/// More ranges in one field than any player or download tool asks for. Who does gets the whole representation.
const MOST_ASKED: usize = 64;
/// More parts are not put into one response, for the same reason.
const MOST_PARTS: usize = 16;

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    /// At least one part, none of them empty, no two of which overlap.
    Parts(Vec<Range<u64>>),
    /// Every range begins behind the end.
    Unsatisfiable,
}

/// One range as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The last position is included.
    From(u64, Option<u64>),
    Last(u64),
}

/// Reads the `Range` of a request.
///
/// A field that is malformed, of another unit, or there twice is ignored, as section 14.2 says. So are sets that nobody needs but who
/// wants to make the server work: the whole is cheaper than many parts.
pub(super) fn wanted(headers: &HeaderMap, length: u64) -> Wanted {
    let mut fields = headers.get_all(RANGE).iter();
    let only = fields.next().filter(|_| fields.next().is_none());
    let Some(asked) = only.and_then(|value| parse(value.to_str().ok()?)) else { return Wanted::Whole };
    satisfy(&asked, length)
}

fn parse(field: &str) -> Option<Vec<Asked>> {
    let (unit, set) = field.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut asked = Vec::new();
    // A recipient has to put up with empty elements (RFC 9110 section 5.6.1.2).
    for range in set.split(',').map(|range| range.trim_matches([' ', '\t'])).filter(|range| !range.is_empty()) {
        if asked.len() == MOST_ASKED {
            return None;
        }
        let (first, last) = range.split_once('-')?;
        asked.push(match (first, last) {
            ("", last) => Asked::Last(number(last)?),
            (first, "") => Asked::From(number(first)?, None),
            (first, last) => Asked::From(number(first)?, Some(number(last).filter(|last| Some(*last) >= number(first))?)),
        });
    }
    (!asked.is_empty()).then_some(asked)
}

/// What is too large to be counted is behind every end.
fn number(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn satisfy(asked: &[Asked], length: u64) -> Wanted {
    let mut parts: Vec<Range<u64>> = Vec::new();
    for asked in asked {
        let range = match *asked {
            Asked::From(first, last) => first..last.map_or(length, |last| last.saturating_add(1)).min(length),
            // There is no Content-Range for nothing, and nothing is what was asked for.
            Asked::Last(suffix) if suffix > 0 && length == 0 => return Wanted::Whole,
            Asked::Last(suffix) => length.saturating_sub(suffix)..length,
        };
        if !range.is_empty() {
            add(&mut parts, range);
        }
    }
    match &parts[..] {
        [] => Wanted::Unsatisfiable,
        // Who asks for everything in pieces that overlap gets it as it is.
        [only] if asked.len() > 1 && *only == (0..length) => Wanted::Whole,
        _ if parts.len() > MOST_PARTS => Wanted::Whole,
        _ => Wanted::Parts(parts),
    }
}

/// Adds a range, together with those that it overlaps, in the place of the first of them.
fn add(parts: &mut Vec<Range<u64>>, range: Range<u64>) {
    let mut range = range;
    let mut place = None;
    // What has grown may reach parts that it did not reach before.
    while let Some(at) = parts.iter().position(|part| part.start < range.end && range.start < part.end) {
        let part = parts.remove(at);
        range = range.start.min(part.start)..range.end.max(part.end);
        place = Some(place.map_or(at, |place: usize| place.min(at)));
    }
    parts.insert(place.unwrap_or(parts.len()), range);
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "a list of one range is what is meant")]
mod tests {
    use std::collections::BTreeSet;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(field: &str, length: u64) -> Wanted {
        wanted(&HeaderMap::from_iter([(RANGE, HeaderValue::from_str(field).unwrap())]), length)
    }

    fn parts(parts: &[Range<u64>]) -> Wanted {
        Wanted::Parts(parts.to_vec())
    }

    #[test]
    fn first_last_open_and_suffix_ranges_are_cut_at_the_end() {
        assert_eq!(of("bytes=0-0", 10), parts(&[0..1]));
        assert_eq!(of("bytes=2-5", 10), parts(&[2..6]));
        assert_eq!(of("bytes=2-", 10), parts(&[2..10]));
        assert_eq!(of("bytes=-3", 10), parts(&[7..10]));
        assert_eq!(of("bytes=-30", 10), parts(&[0..10]));
        assert_eq!(of("BYTES=9-99999999999999999999999999", 10), parts(&[9..10]));
    }

    #[test]
    fn parts_keep_their_order_and_those_that_overlap_are_one() {
        assert_eq!(of("bytes=5-6, 0-1", 10), parts(&[5..7, 0..2]));
        assert_eq!(of("bytes=0-1,-1 ,\t2-3", 10), parts(&[0..2, 9..10, 2..4]));
        assert_eq!(of("bytes=1-2,4-5,8-9,2-8", 10), parts(&[1..10]));
        assert_eq!(of("bytes=99-,3-4", 10), parts(&[3..5]));
    }

    #[test]
    fn what_is_behind_the_end_cannot_be_satisfied() {
        for field in ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999999999999-", "bytes=11-12,-0"] {
            assert_eq!(of(field, 10), Wanted::Unsatisfiable, "{field}");
        }
        assert_eq!(of("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(of("bytes=-5", 0), Wanted::Whole);
    }

    #[test]
    fn what_is_malformed_or_of_another_unit_is_ignored() {
        let malformed =
            ["bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=1", "bytes=1-2-3", "bytes=+1-2"];
        for field in malformed.into_iter().chain(["bytes=0-1,x", "bytes =0-1", "bytes=0 - 1", "lines=0-1", "bytes=--1"]) {
            assert_eq!(of(field, 10), Wanted::Whole, "{field}");
        }
        let twice = [(RANGE, HeaderValue::from_static("bytes=0-1")), (RANGE, HeaderValue::from_static("bytes=0-1"))];
        assert_eq!(wanted(&HeaderMap::from_iter(twice), 10), Wanted::Whole);
    }

    #[test]
    fn sets_that_only_make_work_get_the_whole() {
        assert_eq!(of("bytes=0-,0-0", 10), Wanted::Whole);
        assert_eq!(of("bytes=0-1,4-5,8-9,1-8", 10), Wanted::Whole);
        let many: Vec<String> = (0..17).map(|index| format!("{0}-{0}", index * 2)).collect();
        assert_eq!(of(&format!("bytes={}", many.join(",")), 1000), Wanted::Whole);
        assert!(matches!(of(&format!("bytes={}", many[1..].join(",")), 1000), Wanted::Parts(parts) if parts.len() == 16));
        assert_eq!(of(&format!("bytes={}0-", "0-,".repeat(1299)), 1000), Wanted::Whole);
    }

    fn asked() -> impl Strategy<Value = (String, u64)> {
        let bound = 0..40_u64;
        let range = prop_oneof![
            (bound.clone(), bound.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            bound.clone().prop_map(|first| format!("{first}-")),
            bound.prop_map(|suffix| format!("-{suffix}")),
        ];
        (prop::collection::vec(range, 1..16).prop_map(|ranges| format!("bytes={}", ranges.join(","))), 1..32_u64)
    }

    proptest! {
        #[test]
        fn exactly_the_bytes_asked_for_are_sent_and_none_twice((field, length) in asked()) {
            let mut expected = BTreeSet::new();
            for range in field["bytes=".len()..].split(',') {
                let (first, last) = range.split_once('-').unwrap();
                match (first.parse::<u64>(), last.parse::<u64>()) {
                    (Ok(first), Ok(last)) => expected.extend((first..=last).filter(|at| *at < length)),
                    (Ok(first), Err(_)) => expected.extend(first..length),
                    (Err(_), suffix) => expected.extend(length.saturating_sub(suffix.unwrap())..length),
                }
            }
            match of(&field, length) {
                Wanted::Whole => prop_assert_eq!(expected.len() as u64, length, "a valid set is not ignored"),
                Wanted::Unsatisfiable => prop_assert!(expected.is_empty()),
                Wanted::Parts(parts) => {
                    let sent: Vec<u64> = parts.iter().cloned().flatten().collect();
                    prop_assert_eq!(sent.len(), expected.len());
                    prop_assert_eq!(BTreeSet::from_iter(sent), expected);
                }
            }
        }

        #[test]
        fn no_field_makes_it_panic_nor_send_more_than_there_is(field in "(bytes=)?[-0-9, a=]{0,60}", length: u64) {
            if let Wanted::Parts(parts) = of(&field, length) {
                let sum: u64 = parts.iter().map(|part| part.end - part.start).sum();
                prop_assert!(sum <= length);
            }
        }
    }
}
