//! What a client gets from an entry: RFC 9110 sections 13 and 14, and `Age`.

use narthex_http::Piece;
use proptest::prelude::*;

use super::*;

const MODIFIED: &str = "Sun, 22 Nov 2026 11:00:00 GMT";

fn filled() -> Cache {
    let cache = cache();
    let given = Given::public("0123456789").with(&[
        ("Content-Type", "text/plain"),
        ("ETag", "\"v1\""),
        ("Last-Modified", MODIFIED),
        ("Date", "Sun, 22 Nov 2026 12:00:00 GMT"),
        ("Connection", "close"),
        ("Content-Length", "10"),
    ]);
    exchange(&cache, &Asked::get("/"), &given, at(0)).unwrap();
    cache
}

fn get(fields: &[(&str, &str)]) -> (u16, String, Option<u64>, String) {
    served(&filled(), &Asked::get("/").with(fields), at(5)).unwrap()
}

const REPEATED: &str = "Cache-Control: public, max-age=60\r\nETag: \"v1\"\r\n";

fn lines(more: &str) -> String {
    format!("{REPEATED}Content-Type: text/plain\r\nLast-Modified: {MODIFIED}\r\n{more}")
}

#[test]
fn a_plain_get_is_served_the_whole_with_its_age() {
    assert_eq!(get(&[]), (200, lines(""), Some(5), "0123456789".into()));
}

#[test]
fn head_is_served_from_the_same_entry_and_knows_no_ranges() {
    let head = Asked::get("/").method("HEAD").with(&[("Range", "bytes=0-1")]);
    assert_eq!(served(&filled(), &head, at(0)), Some((200, lines(""), Some(0), "0123456789".into())));
}

#[test]
fn a_good_copy_is_not_sent_again() {
    let not_modified = (304, REPEATED.to_owned(), Some(5), String::new());
    for fields in [
        [("If-None-Match", "\"v1\"")],
        [("If-None-Match", "W/\"v1\"")],
        [("If-None-Match", "\"v0\", \"v1\"")],
        [("If-None-Match", "*")],
        [("If-Modified-Since", MODIFIED)],
        [("If-Modified-Since", "Sun, 22 Nov 2026 11:00:01 GMT")],
    ] {
        assert_eq!(get(&fields), not_modified, "{fields:?}");
    }
    for fields in [
        &[("If-None-Match", "\"v0\"")][..],
        &[("If-None-Match", "\"v0\""), ("If-Modified-Since", MODIFIED)],
        &[("If-Modified-Since", "Sun, 22 Nov 2026 10:59:59 GMT")],
        &[("If-Modified-Since", "yesterday")],
    ] {
        assert_eq!(get(fields).0, 200, "{fields:?}");
    }
}

#[test]
fn conditions_go_before_ranges() {
    let both = [("Range", "bytes=0-1"), ("If-None-Match", "\"v1\"")];
    assert_eq!(get(&both).0, 304);
    let other = [("Range", "bytes=0-1"), ("If-None-Match", "\"v0\"")];
    assert_eq!(get(&other).0, 206);
}

#[test]
fn a_range_is_served_as_a_part() {
    for (range, part, said) in [
        ("bytes=2-4", "234", "2-4"),
        ("bytes=7-", "789", "7-9"),
        ("bytes=-2", "89", "8-9"),
        ("bytes=0-99", "0123456789", "0-9"),
        ("bytes=-99", "0123456789", "0-9"),
    ] {
        let expected = (206, lines(&format!("content-range: bytes {said}/10\r\n")), Some(5), part.to_owned());
        assert_eq!(get(&[("Range", range)]), expected, "{range}");
    }
    assert_eq!(get(&[("Range", "bytes=0-1,3-4")]).0, 200);
    let unsatisfiable = (416, "content-range: bytes */10\r\n".to_owned(), None, String::new());
    assert_eq!(get(&[("Range", "bytes=10-")]), unsatisfiable);
}

#[test]
fn if_range_decides_between_the_part_and_the_whole() {
    for (value, status) in [("\"v1\"", 206), ("\"v0\"", 200), ("W/\"v1\"", 200), (MODIFIED, 206), ("yesterday", 200)] {
        assert_eq!(get(&[("Range", "bytes=0-1"), ("If-Range", value)]).0, status, "{value}");
    }
    assert_eq!(get(&[("If-Range", "\"v0\"")]).0, 200, "without Range it means nothing");
    let behind = [("Range", "bytes=10-"), ("If-Range", "\"v0\"")];
    assert_eq!(get(&behind).0, 200, "the range is not judged if the copy is old");
}

#[test]
fn parts_are_no_longer_than_the_chunk_size() {
    let cache = filled();
    cache.set_settings(CacheSettings { range: 3, ..CacheSettings::default() });
    let asked = Asked::get("/").with(&[("Range", "bytes=5-")]);
    let (status, block, _, body) = served(&cache, &asked, at(0)).unwrap();
    assert_eq!((status, &*body), (206, "567"));
    assert!(block.ends_with("content-range: bytes 5-7/10\r\n"));
}

#[test]
fn what_is_not_200_is_served_whole_whatever_is_asked() {
    let cache = cache();
    let given = Given { status: 404, ..Given::public("none").with(&[("ETag", "\"v1\"")]) };
    exchange(&cache, &Asked::get("/"), &given, at(0)).unwrap();
    let asked = Asked::get("/").with(&[("If-None-Match", "\"v1\""), ("Range", "bytes=0-1")]);
    let (status, _, _, body) = served(&cache, &asked, at(0)).unwrap();
    assert_eq!((status, &*body), (404, "none"));
}

#[test]
fn an_age_goes_on_from_the_one_that_the_app_told() {
    let cache = cache();
    let asked = Asked::get("/");
    let watch = watch(&cache, &asked, at(0)).unwrap();
    let given = Given::public("x").with(&[("Age", "10")]);
    let Answered::Collect(mut collector) = answer(&cache, &watch, &given, at(3)) else { panic!() };
    assert!(collector.push(b"x"));
    cache.store(*collector, at(9).running).unwrap();
    assert_eq!(served(&cache, &asked, at(10)).unwrap().2, Some(20), "10 told, 3 on the way, 7 since the head came");
    assert!(hit(&cache, &asked, at(49)).is_some());
    assert!(hit(&cache, &asked, at(50)).is_none(), "13 of the 60 seconds were over at the third");
}

#[test]
fn long_bodies_are_shared_and_short_ones_copied() {
    let cache = cache();
    for (target, length) in [("/short", 16 * 1024), ("/long", 16 * 1024 + 1)] {
        exchange(&cache, &Asked::get(target), &Given::public(&"x".repeat(length)), at(0)).unwrap();
        let hit = hit(&cache, &Asked::get(target), at(0)).unwrap();
        let mut scratch = Vec::new();
        let piece = hit.serve(&Asked::get(target), at(0).running, &mut scratch).body();
        assert_eq!(piece.len(), length);
        assert_eq!(matches!(piece, Piece::Shared(_)), target == "/long");
    }
}

const REQUEST_FIELDS: &[&str] =
    &["Range", "If-Range", "If-None-Match", "If-Modified-Since", "Accept", "Cookie", "Expect", "Cache-Control"];
const RESPONSE_FIELDS: &[&str] =
    &["Cache-Control", "Vary", "ETag", "Last-Modified", "Expires", "Date", "Age", "Connection", "Content-Type"];
/// What may stand in a field: near to what is meant, and anything else.
const VALUE: &str = "(bytes=)?[-,0-9 ]{0,25}|(W/)?\"[a-c,\\\\]{0,3}\"[, ]{0,2}|Sun, 22 Nov 2026 1[0-9]:00:00 GMT|\
    public, (max-age|s-maxage)=[0-9\"]{0,22}|accept|\\*|[ -~\t\u{80}-\u{ff}]{0,12}";

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_served_entry_is_what_was_stored(
        body in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(1usize..100, 0..5),
        fields in prop::collection::vec(("X-[a-z]{1,5}", "[!-~]{0,10}"), 0..6),
        target in "/[a-z/]{0,20}(\\?[a-z=&]{0,10})?",
        status in prop::sample::select(vec![200u16, 203, 300, 301, 308, 404, 410]),
        range in prop::option::of((0usize..400, 0usize..400)),
    ) {
        let cache = cache();
        let asked = Asked::get(&target);
        let given = Given { status, body: body.clone(), length: Some(body.len() as u64), fields, ..Given::flushed("") };
        let watch = watch(&cache, &asked, at(0)).unwrap();
        let Answered::Collect(mut collector) = answer(&cache, &watch, &given, at(0)) else { panic!("it may be stored") };
        let mut rest = &body[..];
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            prop_assert!(collector.push(piece));
            rest = after;
        }
        prop_assert!(collector.push(rest));
        prop_assert!(cache.store(*collector, at(0).running).is_some());

        let lines: String = given.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let hit = hit(&cache, &asked, at(1)).unwrap();
        let mut scratch = Vec::new();
        let whole = hit.serve(&asked, at(1).running, &mut scratch);
        prop_assert_eq!((whole.status, whole.block, whole.age, whole.bytes()), (status, lines.as_bytes(), Some(1), &body[..]));

        if let Some((first, length)) = range {
            let asked = asked.with(&[("Range", &format!("bytes={first}-{}", first + length))]);
            let hit = self::hit(&cache, &asked, at(1)).unwrap();
            let part = hit.serve(&asked, at(1).running, &mut scratch);
            let expected = match status {
                200 if first >= body.len() => (416, &[][..]),
                200 => (206, &body[first..(first + length + 1).min(body.len())]),
                _ => (status, &body[..]),
            };
            prop_assert_eq!((part.status, part.bytes()), expected);
        }
    }

    #[test]
    fn nothing_that_a_peer_sends_panics(
        sent in prop::collection::vec((prop::sample::select(REQUEST_FIELDS), VALUE), 0..5),
        answered in prop::collection::vec((prop::sample::select(RESPONSE_FIELDS), VALUE), 0..6),
        body in "[a-z]{0,20}",
        step in 0u64..200,
    ) {
        let cache = cache();
        let pairs = |fields: &[(&'static str, String)]| -> Vec<_> {
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let sent: Vec<_> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let given = Given { fields: pairs(&answered), ..Given::flushed(&body) };
        exchange(&cache, &Asked::get("/"), &given, at(0));
        let asked = Asked::get("/").with(&sent);
        exchange(&cache, &asked, &given, at(step));
        if let Some((status, block, _, part)) = served(&cache, &asked, at(step)) {
            prop_assert!(matches!(status, 200 | 206 | 304 | 416));
            prop_assert!(block.is_empty() || block.ends_with("\r\n"));
            prop_assert!(body.contains(&part));
        }
        cache.report(None, at(step).running);
        cache.scavenge(at(step).running);
    }
}
