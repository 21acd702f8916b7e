//! Both ends of a session against each other: random requests, bodies, cancels, tunnels and deliveries from a seed.
//! The simulation keeps its own books and compares them with what the ends report.

#[path = "wire_pair/pair.rs"]
mod pair;
#[path = "wire_pair/plan.rs"]
mod plan;

use std::collections::HashSet;
use std::net::SocketAddr;

use fastrand::Rng;
use narthex_proto::wire::{AppEnd, AppEvent, BodyLength, HostEnd, HostEvent, HttpVersion, Received, Request, ResponseHead};
use pair::{CREDITS, Pair};
use plan::Plan;
use proptest::prelude::*;

#[test]
fn every_schedule_delivers_bodies_exactly_and_leaves_nothing_behind() {
    let (mut tunnels, mut cancels, mut early) = (0, 0, 0);
    let mut fragments = [0; 2];
    for seed in 0..2000 {
        let mut pair = Pair::new(seed);
        assert!(pair.run(100_000), "seed {seed} does not come to an end");
        pair.check_end();
        for x in pair.exchanges.values() {
            tunnels += usize::from(x.plan.accept && !x.cancelled);
            cancels += usize::from(x.cancelled);
            fragments = [0, 1].map(|kind| fragments[kind] + x.sent_fragments[kind]);
            early += usize::from(x.host.sent < x.plan.request_bytes && !x.cancelled);
        }
    }
    // The schedules are worth something only if they reach these.
    assert!(fragments.iter().all(|count| *count > 500), "{fragments:?}");
    assert!(tunnels > 500 && cancels > 500 && early > 100, "{tunnels} {cancels} {early}");
}

#[test]
fn a_lost_session_hands_back_exactly_the_live_streams() {
    for seed in 0..500 {
        let mut pair = Pair::new(seed);
        let steps = pair.rng.usize(..300);
        pair.run(steps);
        let host: HashSet<_> = pair.host.abandon().collect();
        let app: HashSet<_> = pair.app.abandon().collect();
        assert_eq!(host, pair.host_ids.into_iter().collect());
        assert_eq!(app, pair.app_ids.into_iter().collect());
    }
}

#[test]
fn nothing_but_credit_lets_a_waiting_request_through() {
    let mut pair = Pair::new(1);
    pair.plans = vec![Plan::random(&mut Rng::with_seed(3)); 2 * CREDITS as usize];
    pair.open();
    assert_eq!(pair.opened, 0, "no credit has arrived");
    while pair.host.credit() == 0 {
        pair.deliver_to_host();
    }
    (0..2 * CREDITS).for_each(|_| pair.open());
    assert_eq!(pair.opened, CREDITS as usize);
    assert!(pair.run(100_000));
    pair.check_end();
}

/// Feeds all of `input` to both ends, each in the middle of a few streams, until one call fails.
fn feed(input: &[u8]) {
    let mut host = HostEnd::new();
    let mut app = AppEnd::<u32>::new();
    app.grant(1000);
    let credit = app.output().split_off(0);
    host.receive(&credit).unwrap();
    for key in 0..16 {
        let upgrade = key % 3 == 0;
        let request = Request {
            registration: key,
            version: HttpVersion::Http2,
            tls: false,
            upgrade,
            expect_continue: key % 5 == 0,
            length: if upgrade { BodyLength::None } else { BodyLength::Unknown },
            peer: SocketAddr::from(([0; 16], 1)),
            local: SocketAddr::from(([1; 4], 1)),
            path_base: b"",
            target: b"",
            certificate: b"",
            head: b"GET / HTTP/1.1\r\n\r\n",
        };
        host.open(&request, key).unwrap();
    }
    let mut rest = input;
    while let Ok(Received::Event { used, event }) = host.receive(rest) {
        rest = &rest[used..];
        if let HostEvent::Data { id, bytes, .. } = event {
            host.consumed(id, bytes.len());
            let _ = host.send_data(id, bytes, bytes.len() % 2 == 0);
        } else if let HostEvent::File { id, part } = event {
            match part.offset % 2 {
                0 => host.fragment_missing(id),
                _ => drop(host.file_taken(id)),
            }
        } else if let HostEvent::Fragment { id, offset, .. } = event {
            match offset % 2 {
                0 => host.fragment_missing(id),
                _ => {
                    host.fragment_found(id, offset);
                    host.consumed(id, 1);
                }
            }
        }
    }
    let mut rest = input;
    while let Ok(Received::Event { used, event }) = app.receive(rest) {
        rest = &rest[used..];
        match event {
            AppEvent::Request { id, request } if request.upgrade => {
                let mut head = ResponseHead::new(101, BodyLength::None);
                head.upgrade = true;
                app.respond_with(id, head, |_| {}, b"hi", false).unwrap();
            }
            AppEvent::Request { id, request } => {
                app.want_body(id);
                if request.registration % 2 == 0 {
                    app.respond_with(id, ResponseHead::new(200, BodyLength::Unknown), |_| {}, b"", false).unwrap();
                    app.send_fragment(id, "http://a/x", 1, None).unwrap();
                }
            }
            AppEvent::Data { id, bytes, .. } => app.consumed(id, bytes.len()),
            _ => {}
        }
    }
}

/// The bytes of a whole session in one direction.
fn recorded(seed: u64, to_app: bool) -> Vec<u8> {
    let mut pair = Pair::new(seed);
    pair.record = Some(Default::default());
    pair.run(2_000);
    let [to_host, record_to_app] = pair.record.unwrap();
    if to_app { record_to_app } else { to_host }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        feed(&bytes);
    }

    #[test]
    fn well_framed_garbage_never_panics(
        frames in prop::collection::vec(
            (1u8..20, any::<bool>(), 0u32..20, 0u32..3, prop::collection::vec(any::<u8>(), 0..40)),
            0..40,
        ),
    ) {
        let mut input = Vec::new();
        for (kind, end, slot, generation, payload) in frames {
            input.extend_from_slice(&(payload.len() as u32).to_le_bytes()[..3]);
            input.push(kind | if end { 0x80 } else { 0 });
            input.extend_from_slice(&(slot | generation << 20).to_le_bytes());
            input.extend_from_slice(&payload);
        }
        feed(&input);
    }

    #[test]
    fn a_mutated_session_never_panics(
        seed in 0u64..2000,
        to_app in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = recorded(seed, to_app);
        prop_assume!(!bytes.is_empty());
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let from = cut.index(bytes.len());
        feed(&bytes);
        feed(&bytes[from..]);
    }
}
