//! RFC 9218: priorities that the client tells. The server may take them for advice, and takes none.

use narthex_tests::PATIENCE;
use narthex_tests::h2::conformance::{Case, Expect, case, checked};
use narthex_tests::h2::frame::{self, END_STREAM};

const PRIORITY_UPDATE: u8 = 0x10;
/// `SETTINGS_NO_RFC7540_PRIORITIES`
const NO_DEPENDENCIES: u16 = 9;

fn update(stream: u32, priority: &str) -> Vec<u8> {
    let payload = [&stream.to_be_bytes()[..], priority.as_bytes()].concat();
    frame::frame(PRIORITY_UPDATE, 0, 0, payload)
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("9218 7.1: PRIORITY_UPDATE before its stream", Expect::Answered(1, 200), |c| {
            c.send(&update(1, "u=0, i"));
            c.get(1, "/");
        }),
        case("9218 7.1: PRIORITY_UPDATE of a stream that is open", Expect::Answered(1, 200), |c| {
            c.post(1, "/len", &[]);
            c.send(&update(1, "u=7"));
            c.send(&frame::data(1, END_STREAM, "abc"));
        }),
        checked("9218 7.1: PRIORITY_UPDATE of a stream that is over", Expect::Serves, |c| {
            c.get(1, "/");
            c.answer(1).map_err(|end| format!("{end:?}"))?;
            c.send(&update(1, "u=1"));
            Ok(())
        }),
        case("9218 7.1: PRIORITY_UPDATE with what is no priority", Expect::Serves, |c| {
            for nonsense in ["", "u=", "u=99, i=\u{7f}", ",,,"] {
                c.send(&update(5, nonsense));
            }
        }),
        case("9218 2.1: a client that gives up the dependencies of RFC 7540", Expect::Answered(1, 200), |c| c.get(1, "/"))
            .settings(&[(NO_DEPENDENCIES, 1)]),
        checked("9218 5: the app sees the field", Expect::Serves, |c| {
            for (stream, priority) in [(1, "u=1, i"), (3, "u=8"), (5, "nonsense=")] {
                let block = c.request("GET", "/headers", &[("priority", priority)]);
                c.send(&frame::headers(stream, END_STREAM, block));
                let answer = c.answer(stream).map_err(|end| format!("{end:?}"))?;
                if !answer.text().contains(&format!("[\"priority\",\"{priority}\"]")) {
                    return Err(format!("{priority}: {}", answer.text()));
                }
            }
            Ok(())
        }),
        checked("9218 10: one stream that matters more does not stop the others", Expect::Serves, |c| {
            c.replenish = false;
            let block = c.request("GET", "/bytes?n=10000000", &[("priority", "u=0")]);
            c.send(&frame::headers(1, END_STREAM, block));
            // It has taken the whole window of the connection.
            let mut left = 65_535;
            while left > 0 {
                let frame = c.until(PATIENCE, |frame| frame.kind == frame::DATA).map_err(|end| format!("{end:?}"))?;
                left -= frame.payload.len();
            }
            let block = c.request("GET", "/", &[("priority", "u=7")]);
            c.send(&frame::headers(3, END_STREAM, block));
            c.send(&frame::window_update(0, 65_535));
            let answer = c.answer(3).map_err(|end| format!("{end:?}"))?;
            c.send(&frame::frame(frame::RST_STREAM, 0, 1, frame::CANCEL.to_be_bytes()));
            if answer.text() == "OK" { Ok(()) } else { Err(answer.text()) }
        }),
    ]
}
