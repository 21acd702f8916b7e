//! Rows F: what a thousand requests cost an app that runs on.

use std::time::{Duration, Instant};

use narthex_tests::matrix::{Ask, Rows, Scene, Variant, Wire, same, that};

pub(crate) fn rows(variant: Variant) {
    const REQUESTS: u32 = 1000;
    let mut scene = Scene::start(variant, &["--routes", "letters"]);
    let mut rows = Rows::default();
    let mut wire = scene.wire();
    rows.row("F1-F4", || (0..200).try_for_each(|nth| one(&mut wire, nth)));
    let (before, open) = (memory(&mut wire), scene.descriptors());
    rows.row("F1-F4", || (0..REQUESTS).try_for_each(|nth| one(&mut wire, nth)));
    let grown = memory(&mut wire).and_then(|after| Ok(after.saturating_sub(before?)));
    println!("{variant}: {grown:?} KiB for {REQUESTS} requests");
    rows.row("F5", || grown.clone().and_then(|grown| that(grown < 2000, || format!("it grew by {grown} KiB"))));
    rows.row("F6", || {
        grown.clone().and_then(|grown| that(grown < 2 * u64::from(REQUESTS), || format!("it grew by {grown} KiB")))
    });
    // Horse counts the idle objects of its pool here. There is none: what is to come back to nothing are requests and connections.
    rows.row("F7", || {
        let asks: Vec<_> = (0..20).map(|n| Ask::get(format!("/param/{n}"))).collect();
        scene.at_once(&asks)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while scene.descriptors() > open {
            that(Instant::now() < deadline, || "connections stay open that their clients have closed".to_owned())?;
            std::thread::sleep(Duration::from_millis(10));
        }
        while wire.ask(&Ask::get("/mem/active"))?.json()?["requests"] != 1 {
            that(Instant::now() < deadline, || "requests stay active that were answered".to_owned())?;
        }
        Ok(())
    });
    rows.done();
}

fn one(wire: &mut Wire, nth: u32) -> Result<(), String> {
    let ask = match nth % 6 {
        0 => Ask::new("DELETE", format!("/param/{nth}")),
        1 => Ask::new("PUT", format!("/param/{nth}")),
        2 => Ask::get(format!("/param/{nth}")),
        3 => Ask::new("PATCH", format!("/param/{nth}")),
        4 => Ask::post(format!("/param/{nth}"), "hello"),
        _ => Ask::new("DELETE", format!("/multi/{nth}/b")),
    };
    same(wire.ask(&ask)?.status, 200)
}

fn memory(wire: &mut Wire) -> Result<u64, String> {
    let seen = wire.ask(&Ask::get("/mem"))?.json()?;
    seen["workingSetKB"].as_u64().ok_or_else(|| format!("{seen}"))
}
