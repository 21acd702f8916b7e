//! What a routing look-up costs with 10, 1 000 and 100 000 prefixes, and cooking beside it.
//!
//! `cargo bench -p narthex-proto`. The numbers must not grow with the number of prefixes, beyond cache misses.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use narthex_proto::cooked::{Cooking, cook};
use narthex_proto::host::RequestHost;
use narthex_proto::prefix::Scheme;
use narthex_proto::routing::{Route, Table};

const ROUND: u32 = 4096;
const ROUNDS: usize = 60;

fn main() {
    let local: SocketAddr = "127.0.0.1:80".parse().expect("an address");
    let host = RequestHost::parse(b"shop.example.com").expect("a host");

    let mut root = Table::<(), u32>::new();
    root.register("http://+:80/".parse().expect("a prefix"), 0).expect("a free prefix");
    report("route: only a root prefix", |_| {
        let route = root.route(Scheme::Http, local, Some(black_box(&host)), black_box("/api/v1/items"));
        assert!(matches!(black_box(route), Route::Registered { .. }));
    });

    for size in [10, 1_000, 100_000] {
        let table = table(size);
        let paths: Vec<String> = (0..ROUND).map(|n| format!("/team{}/App{}/items/1", n % 7, spread(n, size))).collect();
        report(&format!("route: {size} prefixes on one wildcard"), |n| {
            let route = table.route(Scheme::Http, local, Some(black_box(&host)), &paths[n as usize]);
            assert!(matches!(black_box(route), Route::Registered { .. }));
        });
        let names: Vec<String> = (0..ROUND).map(|n| format!("App{}.Example.com", spread(n, size))).collect();
        let local = SocketAddr::new(local.ip(), 8080);
        report(&format!("route: {size} prefixes on as many hosts"), |n| {
            let host = RequestHost::parse(names[n as usize].as_bytes()).expect("a host");
            let route = table.route(Scheme::Http, local, Some(&host), black_box("/items/1"));
            assert!(matches!(black_box(route), Route::Registered { .. }));
        });
    }

    for target in ["/api/v1/items/12345?page=2&sort=name", "/api/v1/caf%C3%A9/../items?page=2"] {
        report(&format!("cook: {target}"), |_| {
            let target = cook(black_box(target), Cooking::Strict).expect("a target");
            black_box(target.path().len());
        });
    }
}

fn table(size: u32) -> Table<(), u32> {
    let mut table = Table::new();
    for n in 0..size {
        for team in 0..if size == 10 { 7 } else { 1 } {
            let team = if size == 10 { team } else { n % 7 };
            let prefix = format!("http://+:80/team{team}/app{n}/").parse().expect("a prefix");
            table.register(prefix, n).expect("a free prefix");
        }
        let prefix = format!("http://app{n}.example.com:8080/").parse().expect("a prefix");
        table.register(prefix, n).expect("a free prefix");
    }
    table
}

/// Some number below `size` that has `n % 7` as its rest by 7, so that the team and the app fit.
fn spread(n: u32, size: u32) -> u32 {
    let sevens = (size / 7).max(1);
    (n.wrapping_mul(2_654_435_761) % sevens) * 7 + n % 7
}

/// The fastest of several rounds: on a busy machine the others measure the neighbours.
// A benchmark measures real time, which only the clock module may read elsewhere.
#[allow(clippy::disallowed_methods)]
fn report(name: &str, mut look_up: impl FnMut(u32)) {
    let round = |look_up: &mut dyn FnMut(u32)| -> Duration {
        let start = Instant::now();
        (0..ROUND).for_each(look_up);
        start.elapsed()
    };
    let best = (0..ROUNDS).map(|_| round(&mut look_up)).min().unwrap_or_default();
    println!("{name:<45} {:>8.1} ns", best.as_nanos() as f64 / f64::from(ROUND));
}
