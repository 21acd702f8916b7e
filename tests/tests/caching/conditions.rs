//! Conditional requests and ranges, answered from the cache.

use narthex_tests::Response;

use crate::caching::stage::{CACHED, Stage, answer, count, is_stored};

const DATE: &str = "Sun, 22 Nov 2026 10:00:00 GMT";
const EARLIER: &str = "Sat, 21 Nov 2026 10:00:00 GMT";
const LATER: &str = "Mon, 23 Nov 2026 10:00:00 GMT";

/// A stored answer of 1000 bytes with these header fields, and what asks for it.
fn stored(fields: &str) -> (Stage, impl Fn(&Stage, &str) -> Response + use<>) {
    let target = answer(&format!("{CACHED}&size=1000&header=content-type: text/plain{fields}"));
    let stage = Stage::new();
    stage.get(&target);
    // Only what is stored can be answered from now on.
    stage.app.process.pause();
    (stage, move |stage: &Stage, lines: &str| stage.get_with(&target, lines))
}

#[test]
fn a_client_that_has_the_answer_is_told_so() {
    let (stage, ask) = stored(&format!("&header=etag: \"v1\"&header=last-modified: {DATE}"));
    for (lines, status) in [
        ("If-None-Match: \"v1\"\r\n".to_owned(), 304),
        ("If-None-Match: W/\"v1\"\r\n".to_owned(), 304),
        ("If-None-Match: \"v0\", \"v1\"\r\n".to_owned(), 304),
        ("If-None-Match: *\r\n".to_owned(), 304),
        ("If-None-Match: \"v2\"\r\n".to_owned(), 200),
        (format!("If-Modified-Since: {DATE}\r\n"), 304),
        (format!("If-Modified-Since: {LATER}\r\n"), 304),
        (format!("If-Modified-Since: {EARLIER}\r\n"), 200),
        ("If-Modified-Since: never\r\n".to_owned(), 200),
        // The tag goes before the date.
        (format!("If-None-Match: \"v2\"\r\nIf-Modified-Since: {DATE}\r\n"), 200),
    ] {
        let response = ask(&stage, &lines);
        assert_eq!(response.status, status, "{lines:?}");
        assert_eq!(response.header("etag"), Some("\"v1\""), "{lines:?}");
        assert_eq!(response.body.len(), if status == 304 { 0 } else { 1000 }, "{lines:?}");
        assert!(is_stored(&response) && response.has("date"), "{lines:?}");
    }
}

#[test]
fn parts_come_from_the_cache() {
    let (stage, ask) = stored("&header=etag: \"v1\"");
    let whole = ask(&stage, "");
    for (range, part) in [("0-0", 0..1), ("10-19", 10..20), ("990-", 990..1000), ("-5", 995..1000), ("500-5000", 500..1000)] {
        let response = ask(&stage, &format!("Range: bytes={range}\r\n"));
        assert_eq!(response.status, 206, "{range}");
        let expected = format!("bytes {}-{}/1000", part.start, part.end - 1);
        assert_eq!(response.header("content-range"), Some(expected.as_str()), "{range}");
        assert_eq!(response.body, whole.body[part], "{range}");
        assert_eq!(response.header("content-type"), Some("text/plain"));
    }
}

#[test]
fn a_part_that_is_not_there_is_refused() {
    let (stage, ask) = stored("");
    for range in ["1000-", "5000-6000", "-0"] {
        let response = ask(&stage, &format!("Range: bytes={range}\r\n"));
        assert_eq!((response.status, response.header("content-range")), (416, Some("bytes */1000")), "{range}");
        assert!(response.body.is_empty(), "{range}");
    }
}

#[test]
fn ranges_that_are_none_get_the_whole() {
    let (stage, ask) = stored("");
    for range in ["lines=0-1", "bytes=5-1", "bytes=x", "bytes="] {
        let response = ask(&stage, &format!("Range: {range}\r\n"));
        assert_eq!((response.status, response.body.len()), (200, 1000), "{range}");
    }
}

#[test]
fn a_part_is_sent_only_of_what_the_client_has() {
    let (stage, ask) = stored(&format!("&header=etag: \"v1\"&header=last-modified: {DATE}"));
    for (condition, status) in [("\"v1\"", 206), ("\"v2\"", 200), ("W/\"v1\"", 200), (EARLIER, 200), (LATER, 200)] {
        let response = ask(&stage, &format!("Range: bytes=0-9\r\nIf-Range: {condition}\r\n"));
        assert_eq!(response.status, status, "{condition}");
        assert_eq!(response.body.len(), if status == 206 { 10 } else { 1000 }, "{condition}");
    }
}

#[test]
fn conditions_go_before_ranges() {
    let (stage, ask) = stored("&header=etag: \"v1\"");
    assert_eq!(ask(&stage, "If-None-Match: \"v1\"\r\nRange: bytes=0-9\r\n").status, 304);
}

#[test]
fn conditions_are_for_successful_answers_only() {
    let stage = Stage::new();
    let target = answer(&format!("{CACHED}&status=404&header=etag: \"v1\""));
    let first = stage.get(&target);
    let second = stage.get_with(&target, "If-None-Match: \"v1\"\r\nRange: bytes=0-1\r\n");
    assert_eq!((second.status, count(&second), second.body == first.body), (404, count(&first), true));
}
