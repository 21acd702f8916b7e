//! Section 5: the states of streams, their numbers, how many there may be, priorities, errors.

use narthex_tests::h2::conformance::{Case, Expect, case, checked};
use narthex_tests::h2::frame::{
    self, CANCEL, END_HEADERS, END_STREAM, FRAME_SIZE_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED, WITH_PRIORITY,
};
use narthex_tests::{PATIENCE, h2::Connection};

pub(crate) fn cases() -> Vec<Case> {
    [idle(), half_closed(), closed(), numbers(), concurrency(), priorities(), errors()].into_iter().flatten().collect()
}

fn broken() -> Expect {
    Expect::Connection(vec![PROTOCOL_ERROR])
}

fn idle() -> Vec<Case> {
    vec![
        case("5.1: idle: DATA", broken(), |c| c.send(&frame::data(1, END_STREAM, "x"))),
        case("5.1: idle: RST_STREAM", broken(), |c| c.send(&frame::reset(1, CANCEL))),
        case("5.1: idle: WINDOW_UPDATE", broken(), |c| c.send(&frame::window_update(1, 100))),
        case("5.1: idle: CONTINUATION", broken(), |c| {
            let block = c.request("GET", "/", &[]);
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, block));
        }),
        case("5.1: idle: PRIORITY is accepted", Expect::Answered(3, 200), |c| {
            c.send(&frame::frame(frame::PRIORITY, 0, 1, frame::dependency(0)));
            c.get(3, "/");
        }),
        case("5.1: idle: a stream that was skipped is closed", Expect::Connection(vec![PROTOCOL_ERROR, STREAM_CLOSED]), |c| {
            c.get(5, "/");
            c.get(3, "/");
        }),
    ]
}

/// The client has sent all of its request, and the answer is not there yet.
fn asked(c: &mut Connection) {
    c.get(1, "/slow?ms=300");
}

fn half_closed() -> Vec<Case> {
    vec![
        case("5.1: half-closed: DATA", Expect::Either(1, vec![STREAM_CLOSED]), |c| {
            asked(c);
            c.send(&frame::data(1, END_STREAM, "x"));
        }),
        case("5.1: half-closed: HEADERS", Expect::Either(1, vec![STREAM_CLOSED]), |c| {
            asked(c);
            asked(c);
        }),
        case("5.1: half-closed: CONTINUATION", Expect::Connection(vec![PROTOCOL_ERROR, STREAM_CLOSED]), |c| {
            asked(c);
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, []));
        }),
        case("5.1: half-closed: WINDOW_UPDATE is accepted", Expect::Answered(1, 200), |c| {
            asked(c);
            c.send(&frame::window_update(1, 100));
        }),
        case("5.1: half-closed: PRIORITY is accepted", Expect::Answered(1, 200), |c| {
            asked(c);
            c.send(&frame::frame(frame::PRIORITY, 0, 1, frame::dependency(0)));
        }),
        case("5.1: half-closed: RST_STREAM is accepted", Expect::Serves, |c| {
            asked(c);
            c.send(&frame::reset(1, CANCEL));
        }),
    ]
}

/// A stream that has ended both ways.
fn done(c: &mut Connection) -> Result<(), String> {
    c.get(1, "/");
    c.answer(1).map(|_| ()).map_err(|end| format!("{end:?}"))
}

fn closed() -> Vec<Case> {
    let after_reset = |c: &mut Connection| {
        c.post(1, "/len", &[]);
        c.send(&frame::reset(1, CANCEL));
    };
    let either = || Expect::Either(1, vec![STREAM_CLOSED, PROTOCOL_ERROR]);
    let connection = || Expect::Connection(vec![STREAM_CLOSED, PROTOCOL_ERROR]);
    vec![
        case("5.1: closed by RST_STREAM: DATA", Expect::Either(1, vec![STREAM_CLOSED]), move |c| {
            after_reset(c);
            c.send(&frame::data(1, END_STREAM, "x"));
        }),
        case("5.1: closed by RST_STREAM: HEADERS", either(), move |c| {
            after_reset(c);
            c.get(1, "/");
        }),
        case("5.1: closed by RST_STREAM: CONTINUATION", connection(), move |c| {
            after_reset(c);
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, []));
        }),
        checked("5.1: closed: DATA", Expect::Either(1, vec![STREAM_CLOSED]), |c| {
            done(c)?;
            c.send(&frame::data(1, END_STREAM, "x"));
            Ok(())
        }),
        checked("5.1: closed: HEADERS", either(), |c| {
            done(c)?;
            c.get(1, "/");
            Ok(())
        }),
        checked("5.1: closed: CONTINUATION", connection(), |c| {
            done(c)?;
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, []));
            Ok(())
        }),
        checked("5.1: closed: WINDOW_UPDATE is ignored", Expect::Serves, |c| {
            done(c)?;
            c.send(&frame::window_update(1, 100));
            Ok(())
        }),
        checked("5.1: closed: RST_STREAM is ignored", Expect::Serves, |c| {
            done(c)?;
            c.send(&frame::reset(1, CANCEL));
            Ok(())
        }),
        checked("5.1: closed: PRIORITY is ignored", Expect::Serves, |c| {
            done(c)?;
            c.send(&frame::frame(frame::PRIORITY, 0, 1, frame::dependency(0)));
            Ok(())
        }),
        checked("5.1: reset by the server: what was under way is ignored", Expect::Serves, |c| {
            c.post(1, "/len", &[("content-length", "1")]);
            c.send(&frame::data(1, 0, "too long"));
            let reset = c.until(PATIENCE, |frame| frame.stream == 1);
            c.send(&frame::data(1, END_STREAM, "x"));
            c.send(&frame::window_update(1, 100));
            reset.map(|_| ()).map_err(|end| format!("{end:?}"))
        }),
    ]
}

fn numbers() -> Vec<Case> {
    vec![
        case("5.1.1: a stream of even number", broken(), |c| c.get(2, "/")),
        case("5.1.1: a stream of lower number than the last", Expect::Connection(vec![PROTOCOL_ERROR, STREAM_CLOSED]), |c| {
            c.post(5, "/len", &[]);
            c.get(3, "/");
        }),
        case("5.1.1: numbers may be left out", Expect::Answered(501, 200), |c| c.get(501, "/")),
        checked("5.1.1: the highest number can be used", Expect::Checked, |c| {
            c.get((1 << 31) - 1, "/");
            let answer = c.answer((1 << 31) - 1).map_err(|end| format!("{end:?}"))?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
        }),
    ]
}

fn concurrency() -> Vec<Case> {
    vec![checked("5.1.2: a stream more than the server allows is refused", Expect::Serves, |c| {
        let most = c.settings.get(&frame::MAX_CONCURRENT_STREAMS).copied().ok_or("no limit is announced")?;
        if most < 100 {
            return Err(format!("only {most} streams"));
        }
        for stream in 0..most {
            c.post(stream * 2 + 1, "/len", &[]);
        }
        let last = most * 2 + 1;
        c.get(last, "/");
        let reset = |frame: &frame::Frame| frame.kind == frame::RST_STREAM;
        let refused = c.until(PATIENCE, reset).map_err(|end| format!("{end:?}"))?;
        if refused.stream != last || ![Some(REFUSED_STREAM), Some(PROTOCOL_ERROR)].contains(&refused.number(0)) {
            return Err(format!("{refused:?}"));
        }
        for stream in 0..most {
            c.send(&frame::data(stream * 2 + 1, END_STREAM, "x"));
            let answer = c.answer(stream * 2 + 1).map_err(|end| format!("{end:?}"))?;
            if answer.text() != "1" {
                return Err(format!("{answer:?}"));
            }
        }
        Ok(())
    })]
}

fn priorities() -> Vec<Case> {
    let prioritized = |c: &mut Connection, on: u32| {
        let block = [&frame::dependency(on)[..], &c.request("GET", "/", &[])].concat();
        c.send(&frame::headers(1, END_STREAM | WITH_PRIORITY, block));
    };
    vec![
        case("5.3: HEADERS with a priority", Expect::Answered(1, 200), move |c| prioritized(c, 0)),
        case("5.3: HEADERS with an exclusive priority below an idle stream", Expect::Answered(1, 200), move |c| {
            prioritized(c, 9 | 1 << 31);
        }),
        // RFC 7540 section 5.3.1 had an error for these, RFC 9113 no longer says anything: both are right.
        checked("5.3: HEADERS of a stream that depends on itself is answered or refused", Expect::Serves, move |c| {
            prioritized(c, 1);
            let answer = c.answer(1).map_err(|end| format!("{end:?}"))?;
            let right = answer.status == 200 || answer.reset == Some(PROTOCOL_ERROR);
            if right { Ok(()) } else { Err(format!("{answer:?}")) }
        }),
        case("5.3: PRIORITY in a circle", Expect::Serves, |c| {
            for (stream, on) in [(1, 3), (3, 5), (5, 1)] {
                c.send(&frame::frame(frame::PRIORITY, 0, stream, frame::dependency(on)));
            }
        }),
        case("5.3: PRIORITY_UPDATE (RFC 9218) is ignored", Expect::Serves, |c| {
            c.send(&frame::frame(0x10, 0, 0, [&[0, 0, 0, 1][..], b"u=0, i"].concat()));
        }),
        case("5.3: a priority field (RFC 9218) is a field", Expect::Answered(1, 200), |c| {
            let block = c.request("GET", "/", &[("priority", "u=0, i")]);
            c.send(&frame::headers(1, END_STREAM, block));
        }),
    ]
}

fn errors() -> Vec<Case> {
    vec![
        case("5.4.1: a connection error is told before the connection ends", Expect::Connection(vec![FRAME_SIZE_ERROR]), |c| {
            c.send(&frame::frame(frame::PING, 0, 0, [0; 6]));
        }),
        checked("5.4.1: GOAWAY names the last stream that was processed", Expect::Connection(vec![PROTOCOL_ERROR]), |c| {
            done(c)?;
            c.send(&frame::data(0, 0, "x"));
            c.until(PATIENCE, |frame| frame.kind == frame::GOAWAY).map_err(|end| format!("{end:?}"))?;
            let last = c.goaways.last().map(|(last, _)| *last);
            if last == Some(1) { Ok(()) } else { Err(format!("the last stream is {last:?}")) }
        }),
        case("7: an unknown error code of RST_STREAM", Expect::Serves, |c| {
            asked(c);
            c.send(&frame::reset(1, 0xdead_beef));
        }),
    ]
}
