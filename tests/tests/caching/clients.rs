//! Stored answers as clients get them: framed as HTTP asks for, in order, on every worker.

use narthex_tests::Framing;

use crate::caching::stage::{CACHED, Stage, answer, count, is_stored};

#[test]
fn a_stored_answer_does_not_need_the_app() {
    let stage = Stage::new();
    let target = answer(CACHED);
    let first = stage.get(&target);
    stage.app.process.pause();
    for _ in 0..5 {
        let stored = stage.get(&target);
        assert_eq!((stored.status, stored.body.as_slice(), count(&stored)), (200, first.body.as_slice(), count(&first)));
        assert_eq!(stored.header("x-app"), Some("app"));
        assert_eq!((stored.framing.clone(), stored.has("date")), (Framing::Length, true));
    }
    stage.app.process.resume();
    assert_eq!(count(&stage.get(&answer(""))), count(&first) + 1, "the app has seen stored requests");
}

#[test]
fn head_is_answered_from_what_get_has_stored() {
    let stage = Stage::new();
    let target = answer(&format!("{CACHED}&size=500"));
    stage.get(&target);
    stage.app.process.pause();
    let mut client = stage.connect();
    let head = client.ask("HEAD", &target, "");
    assert_eq!((head.header("content-length"), head.body.len(), is_stored(&head)), (Some("500"), 0, true));
    assert_eq!(client.get(&target).body.len(), 500);
}

#[test]
fn pipelined_requests_are_answered_in_order_whoever_answers() {
    let stage = Stage::new();
    let stored = answer(&format!("{CACHED}&size=3000"));
    let first = count(&stage.get(&stored));
    let mut client = stage.connect();
    for _ in 0..10 {
        client.send("GET", &stored, "");
        client.send("GET", &answer("ms=20"), "");
        client.send("GET", &stored, "");
        client.send("HEAD", &stored, "");
    }
    let mut before = first;
    for _ in 0..10 {
        assert_eq!(count(&client.answer("GET")), first);
        let new = client.answer("GET");
        assert!(!is_stored(&new) && count(&new) > before);
        before = count(&new);
        assert_eq!(count(&client.answer("GET")), first);
        assert_eq!(count(&client.answer("HEAD")), first);
    }
}

#[test]
fn a_client_of_http_1_0_gets_stored_answers() {
    let stage = Stage::new();
    let target = answer(CACHED);
    let first = stage.get_with(&target, "");
    for (lines, stays) in [("", false), ("Connection: keep-alive\r\n", true)] {
        let mut client = stage.connect();
        client.0.send(format!("GET {target} HTTP/1.0\r\nHost: x\r\n{lines}\r\n").as_bytes()).expect("the host reads");
        let stored = client.answer("GET");
        assert_eq!((count(&stored), stored.body.len(), is_stored(&stored)), (count(&first), 8, true), "{lines:?}");
        let ended = matches!(client.0.ending(std::time::Duration::from_millis(300)), narthex_tests::Ending::Closed);
        assert_eq!(ended, !stays, "{lines:?}");
    }
}

#[test]
fn connection_close_ends_the_connection_behind_a_stored_answer() {
    let stage = Stage::new();
    let target = answer(CACHED);
    stage.get(&target);
    let mut client = stage.connect();
    let stored = client.get_with(&target, "Connection: close\r\n");
    assert_eq!((is_stored(&stored), stored.header("connection")), (true, Some("close")));
    assert_eq!(client.0.ending(crate::caching::stage::SOON), narthex_tests::Ending::Closed);
}

#[test]
fn what_one_worker_has_stored_all_of_them_serve() {
    let stage = Stage::with(2, "");
    let target = answer(&format!("{CACHED}&size=40000"));
    let first = stage.get(&target);
    // The kernel deals connections out; so many of them meet both workers.
    let mut stored = 0;
    crate::caching::stage::eventually("a stored answer from every worker", || {
        stored = if is_stored(&stage.get(&target)) { stored + 1 } else { 0 };
        stored >= 20
    });
    stage.app.process.pause();
    let latest = stage.get(&target);
    assert!(count(&latest) >= count(&first));
    for _ in 0..20 {
        let response = stage.get(&target);
        assert_eq!((count(&response), response.body == latest.body), (count(&latest), true));
    }
    let hits: u64 = stage.cached().iter().map(|entry| entry["hits"].as_u64().expect("hits are counted")).sum();
    assert!(hits >= 20, "{hits}");
}

#[test]
fn a_large_stored_answer_reaches_slow_and_leaving_clients_alike() {
    let stage = Stage::new();
    let target = answer(&format!("{CACHED}&size=260000"));
    let first = stage.get(&target);
    stage.app.process.pause();
    let mut slow = stage.connect();
    (0..20).for_each(|_| slow.send("GET", &target, ""));
    for _ in 0..5 {
        let mut leaving = stage.connect();
        (0..20).for_each(|_| leaving.send("GET", &target, ""));
        leaving.0.reset().expect("the connection is there");
    }
    for _ in 0..20 {
        assert!(slow.answer("GET").body == first.body, "a stored answer of another body");
    }
}
