//! What of a file is sent, and that nothing else is.

use std::fs;
use std::process::Command;

use narthex_tests::Provider;
use narthex_tests::h2::Connection;
use narthex_tests::h2::frame::{self, END_STREAM};

use crate::files::stage::{Stage, content};

pub(crate) fn ranges_and_conditions(provider: Provider) {
    let stage = Stage::start(provider);
    // More than fits into a socket at once, and enough that it is passed on as a file.
    let bytes = content(1_000_000);
    stage.write("a.bin", &bytes);
    let whole = stage.get("/files/a.bin", "");
    assert!(whole.status == 200 && whole.body == bytes);
    assert_eq!((whole.header("accept-ranges"), whole.header("content-length")), (Some("bytes"), Some("1000000")));
    let (tag, date) = (whole.header("etag").expect("a tag"), whole.header("last-modified").expect("a date"));
    for (range, first, last) in [
        ("0-0", 0, 0),
        ("10-99", 10, 99),
        ("-10", 999_990, 999_999),
        ("100000-", 100_000, 999_999),
        ("1-900000", 1, 900_000),
        ("5-2000000", 5, 999_999),
    ] {
        let part = stage.get("/files/a.bin", &format!("Range: bytes={range}\r\nIf-Range: {tag}\r\n"));
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.header("content-range"), Some(format!("bytes {first}-{last}/1000000").as_str()));
        assert!(part.body == bytes[first..=last], "{range}");
    }
    let several = stage.get("/files/a.bin", "Range: bytes=0-1, 500000-699999, -1\r\n");
    let boundary = several.header("content-type").and_then(|value| value.split_once("boundary=")).expect("a boundary").1;
    let mut expected = Vec::new();
    for (first, last) in [(0, 1), (500_000, 699_999), (999_999, 999_999)] {
        let head = format!("Content-Range: bytes {first}-{last}/1000000\r\nContent-Type: application/octet-stream\r\n\r\n");
        expected.extend_from_slice(format!("\r\n--{boundary}\r\n{head}").as_bytes());
        expected.extend_from_slice(&bytes[first..=last]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(several.status == 206 && several.body == expected);
    for (fields, status) in [
        (format!("If-None-Match: {tag}\r\n"), 304),
        (format!("If-Modified-Since: {date}\r\n"), 304),
        ("If-Match: \"other\"\r\n".to_owned(), 412),
        ("Range: bytes=1000000-\r\n".to_owned(), 416),
        ("Range: bytes=0-1\r\nIf-Range: \"other\"\r\n".to_owned(), 200),
    ] {
        assert_eq!(stage.get("/files/a.bin", &fields).status, status, "{fields}");
    }
    let head = stage.ask("HEAD", "/files/a.bin", "");
    assert_eq!((head.status, head.header("content-length"), head.header("etag")), (200, Some("1000000"), Some(tag)));
    let posted = stage.ask("POST", "/files/a.bin", "Content-Length: 0\r\n");
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
}

pub(crate) fn http2(provider: Provider) {
    let stage = Stage::start(provider);
    let bytes = content(300_000);
    stage.write("a.bin", &bytes);
    let mut connection = Connection::open(stage.subject.app.address);
    connection.send(&frame::window_update(0, 1 << 20));
    for (stream, range, first, last) in
        [(1, "bytes=0-", 0, 299_999), (3, "bytes=-5", 299_995, 299_999), (5, "bytes=7-200000", 7, 200_000)]
    {
        let block = connection.request("GET", "/files/a.bin", &[("range", range)]);
        connection.send(&frame::headers(stream, END_STREAM, block));
        connection.send(&frame::window_update(stream, 1 << 20));
        let answer = connection.answer(stream).expect("the file comes");
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.body == bytes[first..=last], "{range}");
    }
}

pub(crate) fn traversal(provider: Provider) {
    let stage = Stage::start(provider);
    stage.write("inside", b"inside");
    stage.write(".hidden", b"outside");
    fs::write(stage.path("../outside"), b"outside").expect("a file can be written");
    std::os::unix::fs::symlink("../outside", stage.path("link")).expect("a link can be made");
    for path in [
        "..",
        "../outside",
        "../../outside",
        "%2e%2e/outside",
        "%2E%2E%2Foutside",
        "..%2foutside",
        "..%5coutside",
        "..\\outside",
        "x/../../outside",
        "x/%2e%2e/%2e%2e/outside",
        "./../outside",
        ".%2e/outside",
        "%252e%252e/outside",
        "..%00/outside",
        "..;/outside",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "%00",
        "inside%00.txt",
        "inside%2f",
        "link",
        ".hidden",
        "%2ehidden",
        "C:%5cboot.ini",
        "..%c0%afoutside",
        "%c0%ae%c0%ae/outside",
        "%uff0e%uff0e/outside",
        "....//outside",
        "inside/../../outside",
        "inside/",
    ] {
        let answer = stage.get(&format!("/files/{path}"), "");
        // The server itself takes some of them for the app's root.
        let elsewhere = answer.status == 200 && answer.text() == "OK";
        assert!((400..500).contains(&answer.status) || elsewhere, "{path}: {}, {}", answer.status, answer.text());
        assert!(!answer.text().contains("outside") && !answer.text().contains("root:"), "{path}");
    }
    assert_eq!(stage.get("/files/inside", "").text(), "inside");
}

pub(crate) fn kept_alive(provider: Provider) {
    let stage = Stage::start(provider);
    let bytes = content(500_000);
    stage.write("a.bin", &bytes);
    let mut client = stage.subject.connect();
    let ask = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    // The second one is in the server's hands while the first file is on its way.
    client.send([ask("/files/a.bin"), ask("/whoami"), ask("/files/a.bin")].concat().as_bytes()).expect("can ask");
    for (index, expected) in [&bytes[..], b"app", &bytes[..]].into_iter().enumerate() {
        let answer = client.response(false).expect("an answer");
        assert!(answer.status == 200 && answer.body == expected, "{index}");
    }
    client.send(ask("/whoami").as_bytes()).expect("can ask");
    assert_eq!(client.response(false).expect("an answer").text(), "app");
}

pub(crate) fn curl_resumes(provider: Provider) {
    let stage = Stage::start(provider);
    let bytes = content(3_000_000);
    stage.write("Übersicht.bin", &bytes);
    let (url, saved) = (stage.url("/download/%C3%9Cbersicht.bin"), stage.path("../saved"));
    let curl = |more: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--output"]).arg(&saved).args(more).arg(&url);
        command.status().expect("curl can be started").success()
    };
    assert!(curl(&["--range", "0-1234566"]));
    assert_eq!(fs::metadata(&saved).expect("a part is there").len(), 1_234_567);
    let heads = stage.path("../heads");
    assert!(curl(&["--continue-at", "-", "--dump-header", heads.to_str().expect("it is text")]));
    assert!(fs::read(&saved).expect("all is there") == bytes);
    let heads = fs::read_to_string(heads).expect("there are heads").to_ascii_lowercase();
    assert!(heads.starts_with("http/1.1 206 ") && heads.contains("content-range: bytes 1234567-2999999/3000000"), "{heads}");
    assert!(heads.contains("filename*=utf-8''%c3%9cbersicht.bin"), "{heads}");
}
