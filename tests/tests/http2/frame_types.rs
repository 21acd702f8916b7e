//! Section 6: each type of frame, but for SETTINGS and windows.

use narthex_tests::h2::conformance::{Case, Expect, case, checked};
use narthex_tests::h2::frame::{
    self, END_HEADERS, END_STREAM, FRAME_SIZE_ERROR, PADDED, PROTOCOL_ERROR, STREAM_CLOSED, WITH_PRIORITY,
};
use narthex_tests::{PATIENCE, h2::Connection};

pub(crate) fn cases() -> Vec<Case> {
    [data(), headers(), priority_and_reset(), push_and_ping(), goaway(), continuation()].into_iter().flatten().collect()
}

fn broken() -> Expect {
    Expect::Connection(vec![PROTOCOL_ERROR])
}

fn wrong_size() -> Expect {
    Expect::Connection(vec![FRAME_SIZE_ERROR])
}

/// What `/len` counts of a body sent as these frames.
fn counted(name: &'static str, count: &'static str, frames: fn() -> Vec<u8>) -> Case {
    checked(name, Expect::Serves, move |c| {
        c.post(1, "/len", &[]);
        c.send(&frames());
        let answer = c.answer(1).map_err(|end| format!("{end:?}"))?;
        if answer.text() == count { Ok(()) } else { Err(format!("expected {count}, got {answer:?}")) }
    })
}

fn data() -> Vec<Case> {
    let bad = |name, payload: &'static [u8], expect| {
        case(name, expect, move |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::data(1, END_STREAM | PADDED, payload));
        })
    };
    vec![
        case("6.1: DATA of the connection", broken(), |c| c.send(&frame::data(0, END_STREAM, "x"))),
        case("6.1: DATA of a stream that is not open", Expect::Either(1, vec![STREAM_CLOSED]), |c| {
            c.get(1, "/slow?ms=300");
            c.send(&frame::data(1, END_STREAM, "x"));
        }),
        counted("6.1: padding is no data", "3", || frame::data(1, END_STREAM | PADDED, b"\x05abc\0\0\0\0\0")),
        counted("6.1: padding of no bytes", "3", || frame::data(1, END_STREAM | PADDED, b"\0abc")),
        counted("6.1: an empty frame ends the body", "3", || [frame::data(1, 0, "abc"), frame::data(1, END_STREAM, "")].concat()),
        counted("6.1: an empty frame within the body", "6", || {
            [frame::data(1, 0, "abc"), frame::data(1, 0, ""), frame::data(1, END_STREAM, "def")].concat()
        }),
        counted("6.1: padding as long as the rest of the payload", "0", || frame::data(1, END_STREAM | PADDED, b"\x03\0\0\0")),
        bad("6.1: padding longer than the payload", b"\x04abc", broken()),
        bad("6.1: padding of 255 bytes that are not there", b"\xffabc", broken()),
        bad("6.1: padding without a length", b"", Expect::Connection(vec![PROTOCOL_ERROR, FRAME_SIZE_ERROR])),
    ]
}

fn headers() -> Vec<Case> {
    let padded = |before: &'static [u8], after: usize, flags: u8| {
        move |c: &mut Connection| {
            let block = [before, &c.request("GET", "/", &[]), &vec![0; after]].concat();
            c.send(&frame::headers(1, END_STREAM | flags, block));
        }
    };
    vec![
        case("6.2: HEADERS of the connection", broken(), |c| c.get(0, "/")),
        case("6.2: HEADERS with padding", Expect::Answered(1, 200), padded(b"\x07", 7, PADDED)),
        case("6.2: HEADERS with padding and a priority", Expect::Answered(1, 200), {
            padded(b"\x07\0\0\0\0\x0f", 7, PADDED | WITH_PRIORITY)
        }),
        case("6.2: HEADERS with padding longer than the payload", broken(), padded(b"\xff", 0, PADDED)),
        case("6.2: HEADERS with padding that leaves no room for the priority", broken(), |c| {
            c.send(&frame::headers(1, END_STREAM | PADDED | WITH_PRIORITY, [3, 0, 0, 0, 0, 15, 0, 0]));
        }),
        case("6.2: HEADERS that ends within the priority", Expect::Connection(vec![PROTOCOL_ERROR, FRAME_SIZE_ERROR]), |c| {
            c.send(&frame::headers(1, END_STREAM | WITH_PRIORITY, [0, 0, 0]));
        }),
        case("6.2: HEADERS without END_HEADERS, and then another HEADERS", broken(), |c| {
            let block = c.request("GET", "/", &[]);
            c.send(&frame::frame(frame::HEADERS, END_STREAM, 1, block));
            c.get(1, "/");
        }),
    ]
}

fn priority_and_reset() -> Vec<Case> {
    let either_size = || Expect::Either(1, vec![FRAME_SIZE_ERROR]);
    let priority = |stream: u32, payload: &'static [u8]| {
        move |c: &mut Connection| {
            c.post(1, "/len", &[]);
            c.send(&frame::frame(frame::PRIORITY, 0, stream, payload));
        }
    };
    let reset = |payload: &'static [u8]| {
        move |c: &mut Connection| {
            c.post(1, "/len", &[]);
            c.send(&frame::frame(frame::RST_STREAM, 0, 1, payload));
        }
    };
    vec![
        case("6.3: PRIORITY of the connection", broken(), priority(0, &[0, 0, 0, 0, 15])),
        case("6.3: PRIORITY of 4 bytes", either_size(), priority(1, &[0; 4])),
        case("6.3: PRIORITY of 6 bytes", either_size(), priority(1, &[0; 6])),
        case("6.4: RST_STREAM of the connection", broken(), |c| c.send(&frame::reset(0, 8))),
        case("6.4: RST_STREAM of an idle stream", broken(), |c| c.send(&frame::reset(7, 8))),
        case("6.4: RST_STREAM of 3 bytes", wrong_size(), reset(&[0; 3])),
        case("6.4: RST_STREAM of 5 bytes", wrong_size(), reset(&[0; 5])),
        case("6.4: RST_STREAM ends a request that is still being sent", Expect::Serves, reset(&[0, 0, 0, 8])),
    ]
}

fn push_and_ping() -> Vec<Case> {
    vec![
        case("6.6: a client must not push", broken(), |c| {
            c.post(1, "/len", &[]);
            let block = [&[0, 0, 0, 2][..], &c.request("GET", "/", &[])].concat();
            c.send(&frame::frame(frame::PUSH_PROMISE, END_HEADERS, 1, block));
        }),
        case("6.6: PUSH_PROMISE of the connection", broken(), |c| {
            c.send(&frame::frame(frame::PUSH_PROMISE, END_HEADERS, 0, [0, 0, 0, 2, 0x82]));
        }),
        checked("6.7: PING is answered by the same bytes", Expect::Serves, |c| {
            c.send(&frame::ping(0, *b"echo me!"));
            let pong = c.until(PATIENCE, |frame| frame.kind == frame::PING).map_err(|end| format!("{end:?}"))?;
            let right = pong.has(frame::ACK) && pong.payload == b"echo me!" && pong.stream == 0;
            if right { Ok(()) } else { Err(format!("{pong:?}")) }
        }),
        checked("6.7: an answer to a PING is not answered", Expect::Serves, |c| {
            c.send(&frame::ping(frame::ACK, *b"not sent"));
            c.send(&frame::ping(0, *b"answered"));
            let pong = c.until(PATIENCE, |frame| frame.kind == frame::PING).map_err(|end| format!("{end:?}"))?;
            if pong.payload == b"answered" { Ok(()) } else { Err(format!("{pong:?}")) }
        }),
        case("6.7: PING of a stream", broken(), |c| c.send(&frame::frame(frame::PING, 0, 1, [0; 8]))),
        case("6.7: PING of 6 bytes", wrong_size(), |c| c.send(&frame::frame(frame::PING, 0, 0, [0; 6]))),
        case("6.7: PING of no bytes", wrong_size(), |c| c.send(&frame::frame(frame::PING, 0, 0, []))),
        case("6.7: an answering PING of 9 bytes", wrong_size(), |c| {
            c.send(&frame::frame(frame::PING, frame::ACK, 0, [0; 9]));
        }),
    ]
}

fn goaway() -> Vec<Case> {
    vec![
        case("6.8: GOAWAY of a stream", broken(), |c| c.send(&frame::frame(frame::GOAWAY, 0, 1, [0; 8]))),
        case("6.8: GOAWAY of 7 bytes", wrong_size(), |c| c.send(&frame::frame(frame::GOAWAY, 0, 0, [0; 7]))),
        checked("6.8: after a client's GOAWAY its open streams are completed", Expect::Checked, |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::frame(frame::GOAWAY, 0, 0, [&[0; 8][..], b"some debug data"].concat()));
            c.send(&frame::data(1, END_STREAM, "abc"));
            let answer = c.answer(1).map_err(|end| format!("{end:?}"))?;
            if answer.text() == "3" { Ok(()) } else { Err(format!("{answer:?}")) }
        }),
        checked("7: an unknown error code of GOAWAY", Expect::Checked, |c| {
            c.get(1, "/slow?ms=100");
            c.send(&frame::frame(frame::GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0xff]));
            // Any code is an error that ends the connection, with or without the answer.
            let _ = c.answer(1);
            Ok(())
        }),
    ]
}

fn continuation() -> Vec<Case> {
    /// A request whose block is cut into so many frames.
    fn cut(c: &mut Connection, stream: u32, pieces: usize) {
        let block = c.request("GET", "/", &[("x-long", &"v".repeat(100))]);
        let size = block.len().div_ceil(pieces);
        for (index, piece) in block.chunks(size).enumerate() {
            let end = if (index + 1) * size >= block.len() { END_HEADERS } else { 0 };
            let (kind, flags) = if index == 0 { (frame::HEADERS, END_STREAM) } else { (frame::CONTINUATION, 0) };
            c.send(&frame::frame(kind, flags | end, stream, piece));
        }
    }
    vec![
        case("6.10: a block of two frames", Expect::Answered(1, 200), |c| cut(c, 1, 2)),
        case("6.10: a block of five frames", Expect::Answered(1, 200), |c| cut(c, 1, 5)),
        case("6.10: an empty CONTINUATION", Expect::Answered(1, 200), |c| {
            let block = c.request("GET", "/", &[]);
            c.send(&frame::frame(frame::HEADERS, END_STREAM, 1, block));
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, []));
        }),
        case("6.10: an empty HEADERS, and all in CONTINUATION", Expect::Answered(1, 200), |c| {
            let block = c.request("GET", "/", &[]);
            c.send(&frame::frame(frame::HEADERS, END_STREAM, 1, []));
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, block));
        }),
        case("6.10: a body after a block of two frames", Expect::Answered(1, 200), |c| {
            let block = c.request("POST", "/len", &[]);
            c.send(&frame::frame(frame::HEADERS, 0, 1, &block[..5]));
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, &block[5..]));
            c.send(&frame::data(1, END_STREAM, "x"));
        }),
        case("6.10: CONTINUATION of the connection", broken(), |c| {
            c.send(&frame::frame(frame::HEADERS, END_STREAM, 1, [0x82]));
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 0, [0x84]));
        }),
        case("6.10: CONTINUATION of another stream", broken(), |c| {
            c.send(&frame::frame(frame::HEADERS, END_STREAM, 1, [0x82]));
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 3, [0x84]));
        }),
        case("6.10: CONTINUATION after HEADERS with END_HEADERS", broken(), |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, [0x84]));
        }),
        case(
            "6.10: CONTINUATION after CONTINUATION with END_HEADERS",
            Expect::Connection(vec![PROTOCOL_ERROR, STREAM_CLOSED]),
            |c| {
                cut(c, 1, 3);
                c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, [0x84]));
            },
        ),
        case("6.10: CONTINUATION after DATA", broken(), |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::data(1, 0, "x"));
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, [0x84]));
        }),
        case("6.10: CONTINUATION first of all", broken(), |c| c.send(&frame::frame(frame::CONTINUATION, 0, 1, []))),
    ]
}
