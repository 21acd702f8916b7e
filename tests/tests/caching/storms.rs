//! Many clients at once, while what they ask for is stored, flushed and changed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use narthex_tests::Response;

use crate::caching::stage::{CACHED, Stage, answer, count, is_stored};

const CLIENTS: usize = 64;
const SIZE: usize = 20_000;

/// The body that the app's answer of this number has.
fn check(response: &Response) {
    let number = format!("{:07}\n", count(response));
    let whole = response.body.len() == SIZE && response.body.chunks(8).all(|piece| piece == number.as_bytes());
    assert!(whole, "an answer has another one's body: {number:?} with {:?}", response.text().get(..64));
}

#[test]
fn clients_never_get_a_mixed_answer_while_the_cache_changes() {
    let stage = Stage::with(2, "");
    let target = answer(&format!("{CACHED}&size={SIZE}"));
    let (over, stored, new) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let until = Instant::now() + Duration::from_secs(3);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = stage.connect();
                while !over.load(Ordering::Relaxed) {
                    let response = client.get(&target);
                    check(&response);
                    let counter = if is_stored(&response) { &stored } else { &new };
                    counter.fetch_add(1, Ordering::Relaxed);
                    // The others have to get on as well, on a machine with few cores.
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let mut turn = 0;
        while Instant::now() < until {
            turn += 1;
            if turn % 2 == 0 {
                stage.host.operate(&["delete", "cache"]);
            } else {
                assert_eq!(stage.connect().ask("POST", &target, "").status, 200);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let (stored, new) = (stored.into_inner(), new.into_inner());
    assert!(stored > 0 && new > 0, "{stored} stored answers, {new} new ones");
}

#[test]
fn nobody_gets_what_a_change_has_replaced() {
    let stage = Stage::with(2, "");
    let target = answer(CACHED);
    let mut client = stage.connect();
    for _ in 0..30 {
        client.get(&target);
        let changed = count(&client.ask("POST", &target, ""));
        // On this connection, and so on this worker, it holds at once; on the others after a moment.
        assert!(count(&client.get(&target)) > changed);
        crate::caching::stage::eventually("the change on every worker", || (0..4).all(|_| count(&stage.get(&target)) > changed));
    }
}
