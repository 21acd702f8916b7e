//! Answers that come in pieces.

use crate::caching::stage::{CACHED, Stage, answer, count, eventually, is_stored};

const LENGTH: &str = "header=content-length: 50";

#[test]
fn a_streamed_answer_of_known_length_is_stored() {
    let stage = Stage::new();
    let target = answer(&format!("{CACHED}&drip=5&size=10&{LENGTH}"));
    let first = stage.get(&target);
    let second = stage.get(&target);
    assert_eq!((is_stored(&second), second.body == first.body, second.body.len()), (true, true, 50));
}

#[test]
fn a_streamed_answer_of_unknown_length_is_not_stored() {
    let stage = Stage::new();
    let target = answer(&format!("{CACHED}&drip=5&size=10"));
    let (first, second) = (stage.get(&target), stage.get(&target));
    assert!(count(&second) > count(&first) && stage.cached().is_empty());
}

#[test]
fn an_answer_that_breaks_off_is_not_stored() {
    let stage = Stage::new();
    let target = answer(&format!("{CACHED}&drip=4&size=10&breaks&{LENGTH}"));
    for _ in 0..2 {
        let mut client = stage.connect();
        client.send("GET", &target, "");
        assert!(client.0.response(false).is_err(), "half an answer is none");
    }
    assert!(stage.cached().is_empty());
}

#[test]
fn an_answer_whose_client_leaves_is_not_stored_by_halves() {
    let stage = Stage::new();
    let target = answer(&format!("{CACHED}&drip=40&size=10&header=content-length: 400"));
    let mut client = stage.connect();
    client.send("GET", &target, "");
    client.0.bytes(100).expect("the answer begins");
    client.0.reset().expect("the connection is there");
    eventually("a whole answer", || stage.get(&target).body.len() == 400);
    assert!(stage.cached().iter().all(|entry| entry["content_length"] == 400));
}

#[test]
fn an_answer_whose_app_dies_is_not_stored() {
    let mut stage = Stage::new();
    let target = answer(&format!("{CACHED}&drip=400&size=10&header=content-length: 4000"));
    let mut client = stage.connect();
    client.send("GET", &target, "");
    client.0.bytes(100).expect("the answer begins");
    stage.app.process.crash();
    assert!(client.0.response(false).is_err());
    assert!(stage.cached().is_empty());
}
