//! What the tests have in common.

use std::time::Duration;

use narthex_tests::{Provider, Secure, Setup};
use serde_json::Value;

/// No test takes longer, and the first one may have to build the host.
const LONGEST: Duration = Duration::from_secs(170);

/// Runs a test, and lets it fail instead of hang. Other threads serve its connections while it waits for processes.
pub(crate) fn run<F: Future<Output = ()>>(test: F) {
    run_on(tokio::runtime::Builder::new_multi_thread().worker_threads(2), test);
}

/// Runs a test whose requests have to reach the server in one packet each: with several threads, another one may send a
/// request's head before its end is written.
pub(crate) fn run_on_one_thread<F: Future<Output = ()>>(test: F) {
    run_on(&mut tokio::runtime::Builder::new_current_thread(), test);
}

fn run_on<F: Future<Output = ()>>(threads: &mut tokio::runtime::Builder, test: F) {
    let runtime = threads.enable_all().build();
    runtime.expect("threads can be started").block_on(async {
        tokio::time::timeout(LONGEST, test).await.expect("what the test waits for does not come");
    });
}

pub(crate) fn start(provider: Provider) -> Secure {
    Secure::start(provider, Setup::default())
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not come to be that {what}");
}

/// What `/headers` has answered.
pub(crate) fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body)))
}

macro_rules! both {
    ($($test:ident;)*) => {
        mod embedded {
            $(#[test] fn $test() { crate::http3::stage::run(super::$test(narthex_tests::Provider::Embedded)); })*
        }
        mod shared {
            $(#[test] fn $test() { crate::http3::stage::run(super::$test(narthex_tests::Provider::Shared)); })*
        }
    };
}
pub(crate) use both;
