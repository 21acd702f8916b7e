//! Bandwidth: what all clients of a group, or of the host, are sent together.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use narthex_proto::wire::{Properties, QueueSettings};
use narthex_tests::wire_app::WireApp;
use narthex_tests::{Client, Ending};

use crate::failures::scene::{own, plain};
use crate::failures::stage::{Stage, get};

const RATE: u64 = 400_000;
/// What a measurement takes.
const TIME: Duration = Duration::from_millis(1500);
/// Until the rate is that of the moment: the kernel's buffers hold what was sent before.
const SETTLED: Duration = Duration::from_millis(300);
/// A busy machine may keep the host from sending, never make it send more: who is too slow gets another try.
const TRIES: usize = 3;
/// The host makes up for slots that it was late for by no more than this.
const LATE: Duration = Duration::from_millis(25);

fn limited(rate: u64) -> Properties {
    Properties { max_bandwidth: Some(rate), ..Properties::default() }
}

/// The bytes that come in this time.
fn received(client: &mut Client, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let mut bytes = 0;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        match client.ending(left) {
            Ending::Data(more) => bytes += more.len() as u64,
            Ending::Open => {}
            ended => panic!("{ended:?}"),
        }
    }
    bytes
}

/// Bytes per second of each of these clients, side by side; and whether the machine kept time meanwhile.
fn rates(clients: &mut [Client], time: Duration) -> (Vec<u64>, bool) {
    let millis = u64::try_from(time.as_millis()).expect("a short time");
    let measure = move |client: &mut Client| {
        received(client, SETTLED);
        received(client, time) * 1000 / millis
    };
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || kept_time(SETTLED + time));
        let running: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || measure(client))).collect();
        let rates = running.into_iter().map(|rate| rate.join().expect("the client reads")).collect();
        (rates, watch.join().expect("the watch runs"))
    })
}

/// Whether no sleep within this time lasted so much too long that the host would have lost a slot.
fn kept_time(time: Duration) -> bool {
    const TICK: Duration = Duration::from_millis(2);
    let end = Instant::now() + time;
    let mut longest = Duration::ZERO;
    let mut now = Instant::now();
    while now < end {
        std::thread::sleep(TICK);
        longest = longest.max(now.elapsed());
        now = Instant::now();
    }
    longest < TICK + LATE
}

fn percent(of: u64, range: Range<u64>) -> Range<u64> {
    of * range.start / 100..of * range.end / 100
}

/// Asserts that all clients together get `rate`, give or take a tenth, and each its share, give or take a quarter. On a
/// machine too busy to keep time, only that it is not more and not much less.
fn assert_rate(clients: &mut [Client], rate: u64, time: Duration) {
    let share = rate / clients.len() as u64;
    let mut tries = Vec::new();
    for _ in 0..TRIES {
        let (rates, in_time) = rates(clients, time);
        let total: u64 = rates.iter().sum();
        assert!(total < percent(rate, 0..110).end, "more than {rate}: {rates:?}");
        let shared = rates.iter().all(|rate| percent(share, 75..125).contains(rate));
        if shared && percent(rate, 90..110).contains(&total) {
            return;
        }
        tries.push((rates, total, in_time));
    }
    let is_excused = tries.iter().any(|(_, total, in_time)| !in_time && *total > rate / 2);
    assert!(is_excused, "less than {rate}, or not in even parts: {tries:?}");
    eprintln!("this machine is too busy to measure {rate} bytes per second: {tries:?}");
}

/// Clients that read what the app sends without end.
fn readers(address: SocketAddr, count: usize) -> Vec<Client> {
    let mut readers: Vec<_> = (0..count).map(|_| Client::connect(address).expect("the host accepts connections")).collect();
    readers.iter_mut().for_each(|client| get(client, "/"));
    readers
}

/// Lets `app` answer without end while `test` runs.
fn pouring(app: &WireApp, test: impl FnOnce()) {
    let mut session = app.session();
    std::thread::scope(|scope| {
        // It ends when `test` has dropped its clients.
        scope.spawn(move || session.pour(Instant::now() + Duration::from_secs(60)));
        test();
    });
}

#[test]
fn a_groups_clients_share_its_bandwidth_evenly_and_it_changes_live() {
    let stage = Stage::new();
    let (mut app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", own(limited(RATE)));
    let mut session = app.session();
    std::thread::scope(|scope| {
        scope.spawn(move || session.pour(Instant::now() + Duration::from_secs(60)));
        let mut clients = readers(address, 2);
        assert_rate(&mut clients, RATE, TIME);
        app.change(limited(2 * RATE), QueueSettings::default());
        assert_rate(&mut clients, 2 * RATE, TIME / 2);
    });
}

#[test]
fn the_hosts_bandwidth_is_for_all_groups_together_and_changes_by_verb() {
    let stage = Stage::new();
    stage.verb(&format!("add setting settingtype=max_bandwidth value={RATE}"));
    let (one, at_one) = WireApp::at(&stage.host, "http://127.0.0.1:0/", plain());
    let (other, at_other) = WireApp::at(&stage.host, "http://127.0.0.1:0/", plain());
    pouring(&one, || {
        pouring(&other, || {
            let mut clients = Vec::from_iter(readers(at_one, 1).into_iter().chain(readers(at_other, 1)));
            assert_rate(&mut clients, RATE, TIME);
            stage.verb(&format!("add setting settingtype=max_bandwidth value={}", 2 * RATE));
            assert_rate(&mut clients, 2 * RATE, TIME / 2);
            stage.verb("delete setting settingtype=max_bandwidth");
            let (rates, _) = rates(&mut clients, TIME / 4);
            assert!(rates.iter().sum::<u64>() > 4 * RATE, "without a limit: {rates:?}");
        });
    });
}

#[test]
fn a_groups_bandwidth_is_not_another_groups() {
    let stage = Stage::new();
    let (slow, at_slow) = WireApp::at(&stage.host, "http://127.0.0.1:0/", own(limited(RATE / 4)));
    let (free, at_free) = WireApp::at(&stage.host, "http://127.0.0.1:0/", plain());
    pouring(&slow, || {
        pouring(&free, || {
            let mut slow = readers(at_slow, 1);
            let mut free = readers(at_free, 1);
            assert!(received(&mut free[0], TIME / 3) > RATE / 2, "the other group's limit is not its own");
            assert_rate(&mut slow, RATE / 4, TIME);
        });
    });
}
