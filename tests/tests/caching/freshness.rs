//! How long an answer stays, and how old it says it is.

use std::time::{Duration, Instant};

use narthex_tests::Response;

use crate::caching::stage::{Stage, answer, count, eventually};

fn age(response: &Response) -> u64 {
    response.header("age").and_then(|age| age.parse().ok()).expect("a stored answer says how old it is")
}

#[test]
fn a_time_to_live_ends() {
    let stage = Stage::new();
    let targets = ["policy=1", "header=cache-control: public, max-age=1"].map(answer);
    let begun = Instant::now();
    let first = targets.each_ref().map(|target| count(&stage.get(target)));
    let second = targets.each_ref().map(|target| count(&stage.get(target)));
    // On a machine that is stuck the time may be over already.
    assert!(first == second || begun.elapsed() > Duration::from_secs(1), "{first:?} {second:?}");
    for (target, first) in targets.iter().zip(first) {
        eventually("the end of the time to live", || count(&stage.get(target)) > first);
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[test]
fn what_stays_until_it_is_flushed_grows_older() {
    let stage = Stage::new();
    let target = answer("policy=flush&header=cache-control: max-age=0");
    stage.get(&target);
    assert!(age(&stage.get(&target)) <= 1);
    eventually("an age", || age(&stage.get(&target)) >= 1);
}

#[test]
fn an_answer_that_was_old_already_goes_on_from_there() {
    let stage = Stage::new();
    let target = answer("header=cache-control: public, max-age=600&header=age: 100");
    stage.get(&target);
    assert!((100..110).contains(&age(&stage.get(&target))));
    let stale = answer("header=cache-control: public, max-age=60&header=age: 100");
    assert_ne!(count(&stage.get(&stale)), count(&stage.get(&stale)));
}
