//! Section 6.5: SETTINGS.

use narthex_tests::PATIENCE;
use narthex_tests::h2::conformance::{Case, Expect, case, checked};
use narthex_tests::h2::frame::{
    self, ENABLE_PUSH, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, PROTOCOL_ERROR,
};

pub(crate) fn cases() -> Vec<Case> {
    [wrong(), obeyed()].into_iter().flatten().collect()
}

fn wrong() -> Vec<Case> {
    let broken = || Expect::Connection(vec![PROTOCOL_ERROR]);
    let wrong_size = || Expect::Connection(vec![FRAME_SIZE_ERROR]);
    let value = |name, setting, value, code| {
        case(name, Expect::Connection(vec![code]), move |c| c.send(&frame::settings(&[(setting, value)])))
    };
    vec![
        case("6.5: an acknowledgement with a payload", wrong_size(), |c| {
            c.send(&frame::frame(frame::SETTINGS, frame::ACK, 0, [0; 6]));
        }),
        case("6.5: SETTINGS of a stream", broken(), |c| c.send(&frame::frame(frame::SETTINGS, 0, 1, []))),
        case("6.5: SETTINGS of 3 bytes", wrong_size(), |c| c.send(&frame::frame(frame::SETTINGS, 0, 0, [0, 3, 0]))),
        case("6.5: SETTINGS of 7 bytes", wrong_size(), |c| {
            c.send(&frame::frame(frame::SETTINGS, 0, 0, [0, 3, 0, 0, 0, 100, 0]));
        }),
        value("6.5.2: ENABLE_PUSH is 0 or 1", ENABLE_PUSH, 2, PROTOCOL_ERROR),
        value("6.5.2: INITIAL_WINDOW_SIZE above 2^31-1", INITIAL_WINDOW_SIZE, 1 << 31, FLOW_CONTROL_ERROR),
        value("6.5.2: MAX_FRAME_SIZE below 16 384", MAX_FRAME_SIZE, 16_383, PROTOCOL_ERROR),
        value("6.5.2: MAX_FRAME_SIZE above 2^24-1", MAX_FRAME_SIZE, 1 << 24, PROTOCOL_ERROR),
    ]
}

fn obeyed() -> Vec<Case> {
    vec![
        checked("6.5.3: every SETTINGS is acknowledged", Expect::Serves, |c| {
            let values: [&[(u16, u32)]; 3] =
                [&[], &[(ENABLE_PUSH, 0)], &[(INITIAL_WINDOW_SIZE, 100_000), (MAX_FRAME_SIZE, 20_000)]];
            for values in values {
                c.send(&frame::settings(values));
                let acknowledged = |frame: &frame::Frame| frame.kind == frame::SETTINGS && frame.has(frame::ACK);
                let frame = c.until(PATIENCE, acknowledged).map_err(|end| format!("{end:?}"))?;
                if !frame.payload.is_empty() {
                    return Err(format!("{frame:?}"));
                }
            }
            Ok(())
        }),
        case("6.5.2: unknown settings are ignored", Expect::Answered(1, 200), |c| {
            c.send(&frame::settings(&[(0xff, 1), (0, 7), (0xfff0, u32::MAX)]));
            c.get(1, "/");
        }),
        case("6.5: an empty SETTINGS", Expect::Answered(1, 200), |c| {
            c.send(&frame::settings(&[]));
            c.get(1, "/");
        }),
        checked("6.5.3: of a value given twice the last counts", Expect::Serves, |c| {
            c.replenish = false;
            c.send(&frame::settings(&[(INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)]));
            c.get(1, "/");
            let data = c.until(PATIENCE, |frame| frame.kind == frame::DATA).map_err(|end| format!("{end:?}"))?;
            c.send(&frame::settings(&[(INITIAL_WINDOW_SIZE, 65_535)]));
            if data.payload.len() == 1 { Ok(()) } else { Err(format!("{data:?}")) }
        }),
        checked("6.5.2: no frame is larger than the client allows", Expect::Serves, |c| {
            c.get(1, "/bytes?n=60000");
            loop {
                let frame = c.until(PATIENCE, |frame| frame.kind == frame::DATA).map_err(|end| format!("{end:?}"))?;
                if frame.payload.len() > 16_384 {
                    return Err(format!("a frame of {} bytes", frame.payload.len()));
                }
                if frame.has(END_STREAM) {
                    return Ok(());
                }
            }
        }),
        case("6.5.2: a client that takes no table of fields is answered", Expect::Answered(1, 200), |c| {
            c.send(&frame::settings(&[(HEADER_TABLE_SIZE, 0)]));
            c.get(1, "/");
        }),
        checked("6.5.2: MAX_CONCURRENT_STREAMS of the client is about pushes", Expect::Answered(1, 200), |c| {
            c.get(1, "/");
            Ok(())
        })
        .settings(&[(MAX_CONCURRENT_STREAMS, 0)]),
        checked("6.5.2: the server pushes nothing", Expect::Serves, |c| {
            c.get(1, "/");
            let last = c.until(PATIENCE, |frame| frame.kind == frame::PUSH_PROMISE || frame.has(END_STREAM) && frame.stream == 1);
            let last = last.map_err(|end| format!("{end:?}"))?;
            if last.kind == frame::PUSH_PROMISE { Err(format!("{last:?}")) } else { Ok(()) }
        })
        .settings(&[(ENABLE_PUSH, 1)]),
        checked("6.5.2: what the server announces is valid", Expect::Serves, |c| {
            let at = |setting| c.settings.get(&setting).copied();
            let right = at(ENABLE_PUSH).unwrap_or(0) == 0
                && at(INITIAL_WINDOW_SIZE).unwrap_or(65_535) < 1 << 31
                && (16_384..1 << 24).contains(&at(MAX_FRAME_SIZE).unwrap_or(16_384))
                && at(frame::ENABLE_CONNECT_PROTOCOL) == Some(1);
            if right { Ok(()) } else { Err(format!("{:?}", c.settings)) }
        }),
    ]
}
