//! What the cache may take, and what goes when it is full or unused.

use std::time::{Duration, Instant};

use crate::caching::stage::{CACHED, Stage, answer, eventually, is_stored};

fn ask(stage: &Stage, size: u32, number: u32) -> bool {
    is_stored(&stage.get(&answer(&format!("{CACHED}&size={size}&number={number}"))))
}

#[test]
fn the_longest_answer_counts_with_its_header_lines() {
    let stage = Stage::with(1, "max_cache_response_size = 10000");
    for (size, stored) in [(9000, true), (9999, false), (10_000, false), (10_001, false)] {
        ask(&stage, size, 0);
        assert_eq!(ask(&stage, size, 0), stored, "{size}");
    }
}

#[test]
fn what_finds_no_room_is_sent_and_not_stored() {
    let stage = Stage::with(1, "max_cache_size = 100000");
    for number in 0..10 {
        ask(&stage, 20_000, number);
    }
    let stored = stage.cached();
    assert_eq!(stored.len(), 4);
    assert_eq!((0..10).filter(|&number| ask(&stage, 20_000, number)).count(), 4);
    // Room that is given back is room.
    stage.host.operate(&["delete", "cache"]);
    assert!(!ask(&stage, 20_000, 9));
    assert!(ask(&stage, 20_000, 9));
}

#[test]
fn a_cache_without_room_stores_nothing() {
    let stage = Stage::with(1, "max_cache_size = 0");
    assert!(!ask(&stage, 1, 0));
    assert!(!ask(&stage, 1, 0));
}

#[test]
fn what_nobody_asks_for_goes() {
    let stage = Stage::with(1, "scavenger_period = 10");
    let begun = Instant::now();
    ask(&stage, 10, 0);
    ask(&stage, 10, 1);
    while stage.cached().len() == 2 {
        assert!(begun.elapsed() < Duration::from_secs(25), "the scavenger does not come");
        assert!(ask(&stage, 10, 0), "what is asked for is dropped");
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(ask(&stage, 10, 0));
    eventually("the other's end", || stage.cached().len() == 1);
    assert!(begun.elapsed() >= Duration::from_secs(9));
}
