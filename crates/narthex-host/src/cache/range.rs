//! Byte ranges (RFC 9110 section 14).

use std::ops::Range;

use super::list::{elements, number};

/// What a `Range` field means for a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing: several ranges, another unit, or not a range at all. The whole body is sent.
    Whole,
    /// This part of it.
    Part(Range<usize>),
    /// A part that it does not have.
    Unsatisfiable,
}

/// Judges the values of all `Range` lines for a body of `length` bytes. A part longer than `most` is cut: a 206 says what is
/// in it, and the client asks for the rest (RFC 9110 section 15.3.7).
pub(super) fn wanted<'v>(mut values: impl Iterator<Item = &'v [u8]>, length: usize, most: usize) -> Wanted {
    let (Some(value), None) = (values.next(), values.next()) else { return Wanted::Whole };
    let Some(part) = single(value) else { return Wanted::Whole };
    let clip = |start: usize, end: usize| Wanted::Part(start..end.min(start.saturating_add(most.max(1))));
    let small = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    match part {
        Part::Suffix(0) => Wanted::Unsatisfiable,
        // It is all there is, but no Content-Range can say so.
        Part::Suffix(_) if length == 0 => Wanted::Whole,
        Part::Suffix(last) => clip(length.saturating_sub(small(last)), length),
        Part::From(first) | Part::Between(first, _) if small(first) >= length => Wanted::Unsatisfiable,
        Part::From(first) => clip(small(first), length),
        Part::Between(first, last) => clip(small(first), small(last).saturating_add(1).min(length)),
    }
}

enum Part {
    From(u64),
    /// Both are in it.
    Between(u64, u64),
    Suffix(u64),
}

/// The only range of `bytes=…`. `None` if there are more, or something is wrong: then `Range` is to be ignored.
fn single(value: &[u8]) -> Option<Part> {
    let value = super::list::trim(value);
    let (unit, set) = value.split_at_checked(memchr::memchr(b'=', value)?)?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut ranges = elements(set.get(1..)?);
    let (range, None) = (ranges.next()?, ranges.next()) else { return None };
    let (first, last) = range.split_at_checked(memchr::memchr(b'-', range)?)?;
    let last = last.get(1..)?;
    match (first.is_empty(), last.is_empty()) {
        (true, _) => Some(Part::Suffix(number(last)?)),
        (false, true) => Some(Part::From(number(first)?)),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Part::Between(first, last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(value: &str, length: usize) -> Wanted {
        wanted(std::iter::once(value.as_bytes()), length, usize::MAX)
    }

    #[test]
    fn single_ranges_of_rfc_9110_are_served() {
        for (value, expected) in [
            ("bytes=0-499", 0..500),
            ("bytes=500-999", 500..1000),
            ("bytes=-500", 9_500..10_000),
            ("bytes=9500-", 9_500..10_000),
            ("bytes=0-0", 0..1),
            ("bytes=-1", 9_999..10_000),
            ("bytes=0-", 0..10_000),
            ("bytes=9999-20000", 9_999..10_000),
            ("bytes=-20000", 0..10_000),
            ("BYTES=0-1", 0..2),
            ("bytes= 0-1 ", 0..2),
            ("bytes=,0-1,", 0..2),
            ("bytes=00-0001", 0..2),
            ("bytes=0-99999999999999999999999999", 0..10_000),
            ("bytes=-99999999999999999999999999", 0..10_000),
        ] {
            assert_eq!(ask(value, 10_000), Wanted::Part(expected), "{value}");
        }
    }

    #[test]
    fn a_part_behind_the_end_cannot_be_had() {
        for value in ["bytes=10000-", "bytes=10000-10001", "bytes=-0", "bytes=99999999999999999999999999-"] {
            assert_eq!(ask(value, 10_000), Wanted::Unsatisfiable, "{value}");
        }
        assert_eq!(ask("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(ask("bytes=-5", 0), Wanted::Whole);
    }

    #[test]
    fn several_ranges_or_what_is_none_get_the_whole() {
        for value in [
            "bytes=0-0,-1",
            "bytes=500-600,601-999",
            "bytes=5-4",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1-b",
            "bytes=--1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes 0-1",
            "bytes =0-1",
            "lines=0-1",
            "0-1",
            "",
        ] {
            assert_eq!(ask(value, 10_000), Wanted::Whole, "{value}");
        }
        let two = [&b"bytes=0-1"[..], b"bytes=0-1"];
        assert_eq!(wanted(two.into_iter(), 10_000, usize::MAX), Wanted::Whole);
    }

    #[test]
    fn a_long_part_is_cut() {
        let ask = |value: &str, most| wanted(std::iter::once(value.as_bytes()), 10_000, most);
        assert_eq!(ask("bytes=100-", 64), Wanted::Part(100..164));
        assert_eq!(ask("bytes=-500", 64), Wanted::Part(9_500..9_564));
        assert_eq!(ask("bytes=0-63", 64), Wanted::Part(0..64));
        assert_eq!(ask("bytes=9999-", 0), Wanted::Part(9_999..10_000));
    }
}
