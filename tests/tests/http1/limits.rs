//! Sizes at and beyond the default limits: target 8 KiB, head 16 KiB, 100 fields, body 30 000 000 bytes.

use narthex_tests::case::{Case, case};

use crate::http1::{NEXT, chunked, post, refuse};

pub(crate) fn cases() -> Vec<Case> {
    let target = |length: usize| format!("GET /?{} HTTP/1.1\r\nHost: {{host}}\r\n\r\n", "q".repeat(length - 2));
    let fields = |count: usize| {
        let more: String = (1..count).map(|n| format!("X-{n}: v\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: {{host}}\r\n{more}\r\n")
    };
    let field = |length: usize| format!("GET / HTTP/1.1\r\nHost: {{host}}\r\nX-A: {}\r\n\r\n", "v".repeat(length));
    let million = "m".repeat(1_000_000);
    let upload = |fields: &str| case_named_by(fields).send(post(fields));
    let chunks = format!("{:x}\r\n{million}\r\n", million.len());

    let mut longest = upload("Content-Length: 30000000\r\n");
    let mut too_long = case("more than 30 000 000 bytes of chunks").send(chunked(""));
    for _ in 0..30 {
        longest = longest.send_bytes(million.clone());
        too_long = too_long.send_bytes(chunks.clone());
    }

    vec![
        case("a target of 8 192 bytes").send(target(8192)).answer(200).alive(),
        refuse("a target of 8 193 bytes", 414, target(8193)),
        case("a target without an end").send(format!("GET /{}", "a".repeat(40_000))).refused(414),
        case("a head of nearly 16 KiB").send(field(16_200)).answer(200).alive(),
        refuse("a head of more than 16 KiB", 431, field(16_400)),
        case("a head without an end").send(format!("GET / HTTP/1.1\r\nX-A: {}", "v".repeat(40_000))).refused(431),
        case("a field name without an end").send(format!("GET / HTTP/1.1\r\n{}", "n".repeat(40_000))).refused(431),
        case("100 fields").send(fields(100)).answer(200).alive(),
        refuse("101 fields", 431, fields(101)),
        refuse("1 000 fields", 431, fields(1_000)),
        longest.answer(200).body("30000000").alive(),
        case("a length beyond the limit is refused before the body comes")
            .send(post("Content-Length: 30000001\r\n"))
            .refused(413),
        case("an enormous length").send(post("Content-Length: 18446744073709551615\r\n")).refused(413),
        too_long.send(format!("1\r\nm\r\n0\r\n\r\n{NEXT}")).refused(413),
        case("an enormous chunk").send(chunked("FFFFFFFFFFFFFFFF\r\nhello")).refused_with_one_of(&[400, 413]),
        case("an enormous extension")
            .send(chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(100_000))))
            .refused_with_one_of(&[400, 413, 431]),
        case("enormous extensions in many small chunks")
            .send(chunked(&format!("1;{}\r\nx\r\n", "e".repeat(4_000)).repeat(2_000)) + "0\r\n\r\n")
            .refused_with_one_of(&[400, 413, 431]),
        case("enormous trailers")
            .send(chunked(&format!("0\r\nX-A: {}\r\n\r\n", "t".repeat(100_000))))
            .refused_with_one_of(&[400, 413, 431]),
        case("trailers without an end")
            .send(chunked("0\r\n") + &"X-A: b\r\n".repeat(20_000))
            .refused_with_one_of(&[400, 413, 431]),
    ]
}

fn case_named_by(fields: &str) -> Case {
    case(format!("a body with {}", fields.trim()))
}
