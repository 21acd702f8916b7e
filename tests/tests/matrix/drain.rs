//! Rows G1, G2 and bound of the drain tests, and those of HTTP/2: what becomes of requests when their app is told to stop.

use std::time::{Duration, Instant};

use narthex_tests::matrix::{Ask, Http, Reply, Rows, Scene, Sent, Variant, Wire, same, that};

pub(crate) fn what_runs_is_finished(variant: Variant) {
    let mut scene = Scene::start(variant, &["--routes", "letters", "--shutdown-timeout", "4000"]);
    let mut wires: Vec<Wire> = (0..4).map(|_| scene.wire()).collect();
    // One request on three of the connections. The last one's streams are eight, where it has streams.
    let streams = if variant.http == Http::Two { 8 } else { 1 };
    let mut running: Vec<(usize, Sent)> = (0..3).map(|nth| (nth, wires[nth].send(&Ask::get("/quick")))).collect();
    running.extend((0..streams).map(|_| (3, wires[3].send(&Ask::get("/quick")))));
    until_running(&scene, 3 + streams);

    let stopped = Instant::now();
    scene.app().terminate();
    let replies: Vec<Result<Reply, String>> = running.into_iter().map(|(wire, sent)| wires[wire].reply(sent)).collect();
    // Clients leave that are told to: who stays is waited for two more seconds.
    drop(wires);
    let status = scene.app().wait(Duration::from_secs(20));
    let took = stopped.elapsed();

    let mut rows = Rows::default();
    let done = |reply: &Result<Reply, String>| {
        let reply = reply.as_ref().map_err(Clone::clone)?;
        same((reply.status, reply.text().as_str()), (200, "done"))
    };
    rows.row("drain G1", || done(&replies[0]));
    rows.row("drain G2", || {
        that(took <= Duration::from_millis(4000), || format!("it took {took:?}"))?;
        same(status.code(), Some(0))
    });
    rows.row("drain B", || replies[..4].iter().try_for_each(done));
    rows.row("drain C", || replies[3..].iter().try_for_each(done));
    rows.done();
}

pub(crate) fn what_takes_too_long_is_not(variant: Variant) {
    let mut scene = Scene::start(variant, &["--routes", "letters", "--shutdown-timeout", "500"]);
    let mut wire = scene.wire();
    let running = wire.send(&Ask::get("/slow"));
    until_running(&scene, 1);
    let stopped = Instant::now();
    scene.app().terminate();
    scene.app().wait(Duration::from_secs(20));
    let took = stopped.elapsed();
    let mut rows = Rows::default();
    // A busy machine may take its time; the handler would take five seconds.
    rows.row("drain bound", || {
        let near = Duration::from_millis(450)..Duration::from_millis(2500);
        that(near.contains(&took), || format!("it took {took:?}"))?;
        // Whatever the client is told, it is not that all went well.
        let reply = wire.reply(running);
        that(reply.as_ref().map_or(true, |reply| reply.status >= 500), || format!("{reply:?}"))
    });
    rows.done();
}

/// Waits until the app has this many requests.
fn until_running(scene: &Scene, wanted: usize) {
    let mut wire = scene.wire();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let seen = wire.ask(&Ask::get("/mem/active")).and_then(|reply| reply.json()).expect("the app tells");
        // The one that asks is one of them.
        if seen["requests"] == wanted + 1 {
            return;
        }
        assert!(Instant::now() < deadline, "{wanted} requests do not reach the app, but {seen}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
