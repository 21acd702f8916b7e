//! Sections 3.4 and 4: the preface, and frames of any type.

use narthex_tests::h2::conformance::{Case, Expect, case, checked};
use narthex_tests::h2::frame::{self, COMPRESSION_ERROR, END_HEADERS, END_STREAM, FRAME_SIZE_ERROR, PROTOCOL_ERROR};
use narthex_tests::h2::hpack;
use narthex_tests::{PATIENCE, h2::Connection};

pub(crate) fn cases() -> Vec<Case> {
    [prefaces(), formats(), sizes(), blocks()].into_iter().flatten().collect()
}

fn prefaces() -> Vec<Case> {
    vec![
        checked("3.4: the server's preface is SETTINGS, its first frame", Expect::Serves, |c| {
            c.send(frame::PREFACE);
            c.send(&frame::settings(&[]));
            let first = c.next(PATIENCE).map_err(|end| format!("{end:?}"))?;
            let is_settings = first.kind == frame::SETTINGS && !first.has(frame::ACK) && first.stream == 0;
            if is_settings { Ok(()) } else { Err(format!("the first frame is {first:?}")) }
        })
        .silent(),
        case("3.4: a preface in single bytes", Expect::Serves, |c| {
            for byte in frame::PREFACE {
                c.send(&[*byte]);
            }
            c.send(&frame::settings(&[]));
        })
        .silent(),
        case("3.4: a request may follow the preface at once", Expect::Answered(1, 200), |c| {
            let mut bytes = [frame::PREFACE, &frame::settings(&[])].concat();
            bytes.extend(frame::headers(1, END_STREAM, c.request("GET", "/", &[])));
            c.send(&bytes);
        })
        .silent(),
        case("3.4: no preface at all", Expect::Ends, |c| c.send(b"INVALID CONNECTION PREFACE\r\n\r\n")).silent(),
        case("3.4: a preface with another end", Expect::Ends, |c| c.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")).silent(),
        case("3.4: a preface of another version", Expect::Ends, |c| c.send(b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n")).silent(),
        case("3.4: a preface that HTTP/1.1 fields interrupt", Expect::Ends, |c| {
            c.send(b"PRI * HTTP/2.0\r\nHost: a\r\n\r\nSM\r\n\r\n");
        })
        .silent(),
        case("3.4: a preface cut short", Expect::Ends, |c| {
            c.send(b"PRI * HTTP/2.0\r\n\r\nSM");
            c.finish();
        })
        .silent(),
        case("3.4: the first frame is no SETTINGS", Expect::Ends, |c| {
            c.send(frame::PREFACE);
            c.send(&frame::ping(0, [0; 8]));
        })
        .silent(),
        case("3.4: the first frame is HTTP/1.1", Expect::Ends, |c| {
            c.send(frame::PREFACE);
            c.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        })
        .silent(),
    ]
}

/// The answer to a PING comes.
fn pong(c: &mut Connection) -> Result<(), String> {
    let is_pong = |frame: &frame::Frame| frame.kind == frame::PING && frame.has(frame::ACK);
    c.until(PATIENCE, is_pong).map(|_| ()).map_err(|end| format!("the ping is not answered: {end:?}"))
}

fn formats() -> Vec<Case> {
    vec![
        case("4.1: a frame of unknown type is ignored", Expect::Serves, |c| c.send(&frame::frame(0xee, 0xff, 0, [0; 8]))),
        case("4.1: a frame of unknown type on an idle stream is ignored", Expect::Serves, |c| {
            c.send(&frame::frame(0xee, 0, 7, "unknown"));
        }),
        case("4.1: a frame of unknown type on an open stream is ignored", Expect::Answered(1, 200), |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::frame(0x16, 0, 1, "unknown"));
            c.send(&frame::data(1, END_STREAM, "abc"));
        }),
        case("5.5: a frame of a retired type is ignored", Expect::Serves, |c| c.send(&frame::frame(0xa, 0, 0, "alt-svc"))),
        checked("4.1: undefined flags are ignored", Expect::Serves, |c| {
            c.send(&frame::ping(0xfe, *b"flagged!"));
            pong(c)
        }),
        case("4.1: undefined flags of HEADERS and DATA are ignored", Expect::Answered(1, 200), |c| {
            let block = c.request("POST", "/len", &[]);
            c.send(&frame::headers(1, 0x92, block));
            c.send(&frame::data(1, END_STREAM | 0xf6, "abc"));
        }),
        checked("4.1: the reserved bit of a stream is ignored", Expect::Serves, |c| {
            c.send(&frame::frame(frame::PING, 0, 1 << 31, *b"reserved"));
            pong(c)
        }),
        case("4.1: the reserved bit of a request's stream is ignored", Expect::Answered(1, 200), |c| {
            let block = c.request("GET", "/", &[]);
            c.send(&frame::headers(1 | 1 << 31, END_STREAM, block));
        }),
        case("4.1: frames may come byte by byte", Expect::Answered(1, 200), |c| {
            let block = c.request("GET", "/", &[]);
            for byte in frame::headers(1, END_STREAM, block) {
                c.send(&[byte]);
            }
        }),
    ]
}

fn sizes() -> Vec<Case> {
    let too_large = || Expect::Connection(vec![FRAME_SIZE_ERROR]);
    vec![
        case("4.2: DATA of 16 384 bytes", Expect::Answered(1, 200), |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::data(1, END_STREAM, [7; 16_384]));
        }),
        case("4.2: DATA of more than 16 384 bytes", Expect::Either(1, vec![FRAME_SIZE_ERROR]), |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::data(1, END_STREAM, [7; 16_385]));
        }),
        case("4.2: HEADERS of more than 16 384 bytes", too_large(), |c| {
            let large = "v".repeat(16_384);
            let block = c.request("GET", "/", &[("x-large", &large)]);
            c.send(&frame::headers(1, END_STREAM, block));
        }),
        case("4.2: CONTINUATION of more than 16 384 bytes", too_large(), |c| {
            let block = c.request("GET", "/", &[("x-large", &"v".repeat(17_000))]);
            c.send(&frame::frame(frame::HEADERS, END_STREAM, 1, &block[..20]));
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, &block[20..]));
        }),
        case("4.2: SETTINGS of more than 16 384 bytes", too_large(), |c| c.send(&frame::settings(&[(0xff, 1); 3_000]))),
        case("4.2: a frame of unknown type of more than 16 384 bytes", Expect::Either(1, vec![FRAME_SIZE_ERROR]), |c| {
            c.send(&frame::frame(0xee, 0, 0, [0; 20_000]));
        }),
        case("4.2: a frame of 16 MiB", too_large(), |c| c.send(&[0xff, 0xff, 0xff, frame::HEADERS, 4, 0, 0, 0, 1])),
    ]
}

fn blocks() -> Vec<Case> {
    let broken = || Expect::Connection(vec![PROTOCOL_ERROR]);
    let undecodable = || Expect::Connection(vec![COMPRESSION_ERROR]);
    let begun = |c: &mut Connection| {
        let block = c.request("GET", "/", &[]);
        c.send(&frame::frame(frame::HEADERS, END_STREAM, 1, block));
    };
    vec![
        case("4.3: a field block that cannot be decoded", undecodable(), |c| c.send(&frame::headers(1, END_STREAM, [0x40]))),
        case("4.3: a field block that ends within a literal", undecodable(), |c| {
            let block = c.request("GET", "/", &[]);
            c.send(&frame::headers(1, END_STREAM, &block[..block.len() - 3]));
        }),
        case("4.3: trailers that cannot be decoded", undecodable(), |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::headers(1, END_STREAM, [0xff, 0xff, 0xff, 0x7f]));
        }),
        case("4.3: PRIORITY within a field block", broken(), move |c| {
            begun(c);
            c.send(&frame::frame(frame::PRIORITY, 0, 1, frame::dependency(0)));
        }),
        case("4.3: PING within a field block", broken(), move |c| {
            begun(c);
            c.send(&frame::ping(0, [0; 8]));
        }),
        case("4.3: DATA within a field block", broken(), move |c| {
            begun(c);
            c.send(&frame::data(1, END_STREAM, "x"));
        }),
        case("4.3: SETTINGS within a field block", broken(), move |c| {
            begun(c);
            c.send(&frame::settings(&[]));
        }),
        case("4.3: another stream's HEADERS within a field block", broken(), move |c| {
            begun(c);
            c.get(3, "/");
        }),
        case("5.5: a frame of unknown type within a field block", broken(), move |c| {
            begun(c);
            c.send(&frame::frame(0xee, 0, 1, "unknown"));
        }),
        case("4.3: a field block is decoded even if its stream is not served", Expect::Answered(5, 200), |c| {
            // The second request needs what the first, malformed one left in the table.
            let mut block = c.request("GET", "/", &[("connection", "close")]);
            block.extend(hpack::kept("x-kept", "1"));
            c.send(&frame::headers(3, END_STREAM, block));
            let mut block = c.request("GET", "/", &[]);
            block.extend(hpack::indexed(62));
            c.send(&frame::headers(5, END_STREAM, block));
        }),
    ]
}
