//! Section 6.9: windows.

use std::time::Duration;

use narthex_tests::h2::conformance::{Case, Expect, case, checked};
use narthex_tests::h2::frame::{
    self, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, INITIAL_WINDOW_SIZE, PADDED, PROTOCOL_ERROR,
};
use narthex_tests::{PATIENCE, h2::Connection};

pub(crate) fn cases() -> Vec<Case> {
    [updates(), kept(), changed()].into_iter().flatten().collect()
}

const MOST: u32 = (1 << 31) - 1;

fn updates() -> Vec<Case> {
    let of_size = |name, stream: u32, payload: &'static [u8]| {
        case(name, Expect::Connection(vec![FRAME_SIZE_ERROR]), move |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::frame(frame::WINDOW_UPDATE, 0, stream, payload));
        })
    };
    vec![
        case("6.9: WINDOW_UPDATE by 0 of the connection", Expect::Connection(vec![PROTOCOL_ERROR]), |c| {
            c.send(&frame::window_update(0, 0));
        }),
        case("6.9: WINDOW_UPDATE by 0 of a stream", Expect::Either(1, vec![PROTOCOL_ERROR]), |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::window_update(1, 0));
        }),
        of_size("6.9: WINDOW_UPDATE of 3 bytes", 0, &[0, 0, 1]),
        of_size("6.9: WINDOW_UPDATE of 5 bytes", 0, &[0, 0, 0, 1, 0]),
        of_size("6.9: WINDOW_UPDATE of a stream of 3 bytes", 1, &[0, 0, 1]),
        case("6.9: the reserved bit of an increment is ignored", Expect::Serves, |c| {
            c.send(&frame::window_update(0, 1 | 1 << 31));
        }),
        case("6.9.1: a connection's window above 2^31-1", Expect::Connection(vec![FLOW_CONTROL_ERROR]), |c| {
            c.send(&frame::window_update(0, MOST));
        }),
        case("6.9.1: a connection's window above 2^31-1, by two steps", Expect::Connection(vec![FLOW_CONTROL_ERROR]), |c| {
            c.send(&frame::window_update(0, MOST - 65_535));
            c.send(&frame::window_update(0, 1));
        }),
        case("6.9.1: a stream's window above 2^31-1", Expect::Either(1, vec![FLOW_CONTROL_ERROR]), |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::window_update(1, MOST));
        }),
        case("6.9.1: a stream's window above 2^31-1, while it is answered", Expect::Either(1, vec![FLOW_CONTROL_ERROR]), |c| {
            c.get(1, "/slow?ms=300");
            c.send(&frame::window_update(1, MOST));
        }),
    ]
}

/// The next DATA has this size.
fn data_of(c: &mut Connection, size: usize) -> Result<(), String> {
    let frame = c.until(PATIENCE, |frame| frame.kind == frame::DATA).map_err(|end| format!("{end:?}"))?;
    if frame.payload.len() == size { Ok(()) } else { Err(format!("{} bytes instead of {size}", frame.payload.len())) }
}

/// No DATA comes for a moment.
fn quiet(c: &mut Connection) -> Result<(), String> {
    match c.until(Duration::from_millis(150), |frame| frame.kind == frame::DATA) {
        Ok(frame) => Err(format!("{} bytes that there is no room for", frame.payload.len())),
        Err(_) => Ok(()),
    }
}

fn kept() -> Vec<Case> {
    vec![
        checked("6.9.1: a window of one byte", Expect::Serves, |c| {
            c.replenish = false;
            c.get(1, "/");
            data_of(c, 1)?;
            quiet(c)?;
            c.send(&frame::window_update(1, 100));
            data_of(c, 1)?;
            c.send(&frame::settings(&[(INITIAL_WINDOW_SIZE, 65_535)]));
            Ok(())
        })
        .settings(&[(INITIAL_WINDOW_SIZE, 1)]),
        checked("6.9.1: the connection's window holds for all streams together", Expect::Serves, |c| {
            c.replenish = false;
            c.get(1, "/bytes?n=50000");
            c.get(3, "/bytes?n=50000");
            let size = |c: &Connection| c.answers.values().map(|answer| answer.body.len()).sum::<usize>();
            while size(c) < 65_535 {
                c.next(PATIENCE).map_err(|end| format!("{end:?} after {} bytes", size(c)))?;
            }
            quiet(c)?;
            c.send(&frame::window_update(0, 100_000));
            for stream in [1, 3] {
                let answer = c.answer(stream).map_err(|end| format!("{end:?}"))?;
                if answer.body.len() != 50_000 {
                    return Err(format!("{} bytes on {stream}", answer.body.len()));
                }
            }
            Ok(())
        }),
        checked("6.9: a response without a body needs no window", Expect::Serves, |c| {
            c.get(1, "/status/204");
            let answer = c.answer(1).map_err(|end| format!("{end:?}"))?;
            c.send(&frame::settings(&[(INITIAL_WINDOW_SIZE, 65_535)]));
            if answer.status == 204 { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        case("6.9.1: a body beyond the stream's window", Expect::Either(1, vec![FLOW_CONTROL_ERROR]), |c| {
            let window = c.settings.get(&INITIAL_WINDOW_SIZE).copied().unwrap_or(65_535);
            c.post(1, "/slow?ms=3000", &[]);
            // Nobody reads it, so that no more room is made.
            for _ in 0..window.div_ceil(16_384) * 4 + 1 {
                c.send(&frame::data(1, 0, [0; 16_384]));
            }
        }),
        checked("6.9.1: padding counts, and is given back", Expect::Serves, |c| {
            c.post(1, "/len", &[]);
            let padded = [&[200][..], &[7; 100], &[0; 200]].concat();
            for _ in 0..600 {
                c.send(&frame::data(1, PADDED, &padded));
                while c.next(Duration::from_micros(1)).is_ok() {}
            }
            c.send(&frame::data(1, END_STREAM, ""));
            let answer = c.answer(1).map_err(|end| format!("{end:?}, {:?}", c.goaways))?;
            if answer.text() == "60000" { Ok(()) } else { Err(format!("{answer:?}")) }
        }),
    ]
}

fn changed() -> Vec<Case> {
    vec![
        checked("6.9.2: a window of 0 that is opened by SETTINGS", Expect::Serves, |c| {
            c.replenish = false;
            c.get(1, "/");
            quiet(c)?;
            c.send(&frame::settings(&[(INITIAL_WINDOW_SIZE, 1)]));
            data_of(c, 1)?;
            c.send(&frame::settings(&[(INITIAL_WINDOW_SIZE, 65_535)]));
            Ok(())
        })
        .settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        checked("6.9.2: a window that becomes negative", Expect::Serves, |c| {
            c.replenish = false;
            c.get(1, "/bytes?n=10");
            data_of(c, 3)?;
            c.send(&frame::settings(&[(INITIAL_WINDOW_SIZE, 2)]));
            c.send(&frame::window_update(1, 1));
            quiet(c)?;
            c.send(&frame::window_update(1, 1));
            data_of(c, 1)?;
            c.send(&frame::settings(&[(INITIAL_WINDOW_SIZE, 65_535)]));
            Ok(())
        })
        .settings(&[(INITIAL_WINDOW_SIZE, 3)]),
        case("6.9.2: a change that takes a stream's window above 2^31-1", Expect::Connection(vec![FLOW_CONTROL_ERROR]), |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::window_update(1, MOST - 65_535));
            c.send(&frame::settings(&[(INITIAL_WINDOW_SIZE, 65_536)]));
        }),
    ]
}
