//! The simulation: two ends, the bytes between them, and its own books of what each end should know.

mod events;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use fastrand::Rng;
use narthex_proto::wire::{
    AppEnd, BodyLength, CachePolicy, CancelCode, HostEnd, HttpVersion, INITIAL_WINDOW, OpenError, Received, Request, Response,
    ResponseHead, StreamError, StreamId,
};

use crate::plan::Plan;

pub(crate) const CREDITS: u32 = 4;

/// One end's view of one exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    pub(crate) open: bool,
    pub(crate) sent: usize,
    pub(crate) sent_end: bool,
    pub(crate) got: usize,
    pub(crate) got_end: bool,
    pub(crate) unconsumed: usize,
    /// Of those, the ones that were a fragment's: they came last.
    pub(crate) of_fragment: usize,
}

impl Side {
    fn get(&mut self, key: usize, from_app: bool, bytes: &[u8]) {
        assert!(!self.got_end, "bytes after the end");
        let expected = content(key, from_app, self.got, bytes.len());
        assert!(bytes == expected, "exchange {key}: wrong bytes");
        self.got += bytes.len();
        self.unconsumed += bytes.len();
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) plan: Plan,
    pub(crate) id: StreamId,
    pub(crate) host: Side,
    pub(crate) app: Side,
    pub(crate) responded: bool,
    pub(crate) response_seen: bool,
    pub(crate) proceed_seen: bool,
    pub(crate) cancelled: bool,
    /// What the app waits to hear of.
    pub(crate) asked: Option<usize>,
    /// What the host has asked itself, if it has not answered yet.
    pub(crate) unanswered: Option<usize>,
    /// Fragments that were sent, and that were missing.
    pub(crate) sent_fragments: [usize; 2],
}

/// Bytes that tell which exchange, direction and offset they belong to.
fn content(key: usize, from_app: bool, offset: usize, length: usize) -> Vec<u8> {
    let salt = key.wrapping_mul(0x9E37_79B9) ^ usize::from(from_app) << 7;
    let byte = |at: usize| (at ^ (at >> 8).wrapping_mul(31) ^ salt ^ (salt >> 11)) as u8;
    (offset..offset + length).map(byte).collect()
}

/// Some responses have a cache policy, each another one.
fn cache_policy(key: usize) -> Option<CachePolicy> {
    match NonZeroU32::new(key as u32) {
        _ if !key.is_multiple_of(3) => None,
        None => Some(CachePolicy::UntilFlushed),
        Some(seconds) => Some(CachePolicy::TimeToLive(seconds)),
    }
}

pub(crate) struct Pair {
    pub(crate) rng: Rng,
    pub(crate) host: HostEnd<usize>,
    pub(crate) app: AppEnd<usize>,
    pub(crate) host_input: Vec<u8>,
    pub(crate) app_input: Vec<u8>,
    pub(crate) plans: Vec<Plan>,
    pub(crate) exchanges: HashMap<usize, Exchange>,
    pub(crate) host_ids: HashMap<StreamId, usize>,
    pub(crate) app_ids: HashMap<StreamId, usize>,
    pub(crate) opened: usize,
    pub(crate) app_saw: usize,
    /// Credit the app owes the host again.
    pub(crate) owed: u32,
    pub(crate) draining: bool,
    pub(crate) pongs: u32,
    pub(crate) record: Option<[Vec<u8>; 2]>,
}

impl Pair {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let count = rng.usize(1..16);
        let plans = (0..count).map(|_| Plan::random(&mut rng)).collect();
        let mut app = AppEnd::new();
        app.grant(CREDITS);
        Self {
            rng,
            host: HostEnd::new(),
            app,
            host_input: Vec::new(),
            app_input: Vec::new(),
            plans,
            exchanges: HashMap::new(),
            host_ids: HashMap::new(),
            app_ids: HashMap::new(),
            opened: 0,
            app_saw: 0,
            owed: 0,
            draining: false,
            pongs: 0,
            record: None,
        }
    }

    fn is_done(&mut self) -> bool {
        let idle = self.host_ids.is_empty() && self.app_ids.is_empty();
        let all = self.opened == self.plans.len() || self.draining;
        let silent = self.host.output().is_empty() && self.app.output().is_empty();
        idle && all && silent && self.owed == 0 && self.opened == self.app_saw
    }

    pub(crate) fn run(&mut self, steps: usize) -> bool {
        for _ in 0..steps {
            if self.is_done() {
                return true;
            }
            self.step();
        }
        false
    }

    fn step(&mut self) {
        match self.rng.u8(..16) {
            0..2 => self.open(),
            2..5 => self.host_acts(),
            5..8 => self.app_acts(),
            8..11 => self.deliver_to_app(),
            11..14 => self.deliver_to_host(),
            14 => {
                let n = self.rng.u32(0..=self.owed);
                self.app.grant(n);
                self.owed -= n;
            }
            _ => match self.rng.u16(..400) {
                0 => {
                    self.host.drain();
                    self.draining = true;
                }
                1 => self.app.drain(),
                2..10 => self.host.ping(7),
                10..20 => self.app.ping(8),
                _ => {}
            },
        }
    }

    pub(crate) fn open(&mut self) {
        let key = self.opened;
        let Some(plan) = self.plans.get(key).cloned() else {
            return;
        };
        let head = content(key, false, 0, 16 + key);
        let request = Request {
            registration: key as u32,
            version: HttpVersion::Http11,
            tls: key.is_multiple_of(2),
            upgrade: plan.upgrade,
            expect_continue: plan.expect,
            length: plan.length(),
            peer: SocketAddr::from(([127, 0, 0, 1], key as u16)),
            local: SocketAddr::from(([0; 16], 80)),
            path_base: b"/base",
            target: b"",
            certificate: b"",
            head: &head,
        };
        let could = self.host.can_open();
        let credit = self.host.credit();
        match self.host.open(&request, key) {
            Ok(id) => {
                assert!(could);
                assert_eq!(self.host.credit(), credit - 1);
                assert!(self.host_ids.insert(id, key).is_none(), "id given twice");
                assert_eq!(self.host.get(id), Some(&key));
                let host = Side { open: true, sent_end: !plan.has_body, ..Side::default() };
                let exchange = Exchange {
                    plan,
                    id,
                    host,
                    app: Side::default(),
                    responded: false,
                    response_seen: false,
                    proceed_seen: false,
                    cancelled: false,
                    asked: None,
                    unanswered: None,
                    sent_fragments: [0; 2],
                };
                self.exchanges.insert(key, exchange);
                self.opened += 1;
            }
            Err(error) => {
                assert!(!could);
                let expected =
                    if credit == 0 && error != OpenError::Draining { OpenError::NoCredit } else { OpenError::Draining };
                assert_eq!(error, expected);
            }
        }
    }

    fn pick(&mut self, host: bool) -> Option<usize> {
        let ids = if host { &self.host_ids } else { &self.app_ids };
        let mut keys: Vec<usize> = ids.values().copied().collect();
        keys.sort_unstable();
        self.rng.choice(keys)
    }

    fn host_acts(&mut self) {
        let Some(key) = self.pick(true) else { return };
        let x = self.exchanges.get_mut(&key).unwrap();
        let (id, rng) = (x.id, &mut self.rng);
        if x.plan.host_cancels && rng.u8(..12) == 0 {
            assert_eq!(self.host.cancel(id, CancelCode::CLIENT_GONE), Some(key));
            assert_eq!(self.host.cancel(id, CancelCode::CLIENT_GONE), None);
            assert_eq!(self.host.send_data(id, b"x", false), Err(StreamError::Closed));
            x.cancelled = true;
            x.host.open = false;
            self.host_ids.remove(&id);
            return;
        }
        if rng.u8(..16) == 0 {
            self.host.client_closed(id);
        }
        if let Some(length) = x.unanswered.take_if(|_| rng.bool()) {
            if rng.bool() {
                self.host.fragment_missing(id);
            } else {
                // As if the app had sent them, but for the window.
                self.host.fragment_found(id, length as u64);
                let bytes = content(key, true, x.host.got, length);
                x.host.get(key, true, &bytes);
                x.host.of_fragment = length;
            }
        }
        let n = rng.usize(..=x.host.unconsumed);
        self.host.consumed(id, n);
        x.host.unconsumed -= n;
        x.host.of_fragment = x.host.of_fragment.min(x.host.unconsumed);
        if x.host.sent_end {
            assert_eq!(self.host.send_window(id), 0);
            return;
        }
        let left = x.plan.request_bytes - x.host.sent;
        let n = rng.usize(..=left.min(self.host.send_window(id)));
        let last = n == left && rng.bool();
        let bytes = content(key, false, x.host.sent, n);
        let tunnel = x.plan.accept && x.response_seen;
        let trailers = last && x.plan.request_trailers;
        x.host.sent += n;
        x.host.sent_end = last;
        assert!(x.host.sent <= x.app.got - x.app.unconsumed + INITIAL_WINDOW as usize);
        let closed = self.host.send_data(id, &bytes, last && !trailers).unwrap();
        if trailers {
            self.host.send_trailers(id, b"a: b\r\n").unwrap();
        }
        if last && tunnel && x.host.got_end {
            assert_eq!(closed, Some(key));
            x.host.open = false;
            self.host_ids.remove(&id);
        } else {
            assert_eq!(closed, None);
        }
    }

    fn app_acts(&mut self) {
        let Some(key) = self.pick(false) else { return };
        let x = self.exchanges.get_mut(&key).unwrap();
        let (id, rng) = (x.id, &mut self.rng);
        if x.plan.app_cancels && rng.u8(..12) == 0 {
            let gone = match rng.bool() && !x.responded {
                true => self.app.delegate(id, "queue", "/url").unwrap(),
                false => self.app.cancel(id, CancelCode::HANDLER_GONE),
            };
            assert_eq!(gone, Some(key));
            x.cancelled = true;
            self.app_closed(key, id);
            return;
        }
        let n = rng.usize(..=x.app.unconsumed);
        self.app.consumed(id, n);
        x.app.unconsumed -= n;
        if rng.bool() && !x.plan.early {
            self.app.want_body(id);
        }
        if x.app.sent_end {
            assert_eq!(self.app.send_window(id), 0);
            return;
        }
        if x.asked.is_some() {
            assert_eq!(self.app.send_window(id), 0);
            assert_eq!(self.app.send_data(id, b"x", false), Err(StreamError::FragmentUnanswered));
            assert_eq!(self.app.send_trailers(id, b""), Err(StreamError::FragmentUnanswered));
            assert_eq!(self.app.send_fragment(id, "u", 0, None), Err(StreamError::FragmentUnanswered));
            return;
        }
        if x.plan.fragments && rng.u8(..4) == 0 {
            let left = x.plan.response_bytes - x.app.sent;
            let (length, at) = (rng.usize(..=left), x.app.sent as u64);
            let sent = self.app.send_fragment(id, "http://a/x", at, Some(length as u64));
            assert_eq!(sent, if x.responded { Ok(()) } else { Err(StreamError::NotResponded) });
            x.asked = x.responded.then_some(length);
            return;
        }
        if !x.responded && rng.u8(..4) == 0 {
            self.app.inform(id, 103, b"link: </>\r\n").unwrap();
        }
        if !x.responded && rng.u8(..3) != 0 {
            let early = self.app.send_data(id, b"x", false);
            assert_eq!(early, Err(StreamError::NotResponded));
            return;
        }
        let left = x.plan.response_bytes - x.app.sent;
        let n = rng.usize(..=left.min(self.app.send_window(id)));
        let may_end = x.plan.early || x.plan.accept || x.app.got_end;
        let last = n == left && may_end && rng.bool();
        let trailers = last && x.plan.response_trailers;
        let bytes = content(key, true, x.app.sent, n);
        x.app.sent += n;
        assert_eq!(x.host.of_fragment, 0, "nothing follows a fragment before the client has it");
        assert!(x.app.sent <= x.host.got - x.host.unconsumed + INITIAL_WINDOW as usize);
        let end = last && !trailers;
        let mut closed = if x.responded {
            self.app.send_data(id, &bytes, end).unwrap()
        } else {
            let status = if x.plan.accept { 101 } else { 200 + key as u16 };
            let mut head = ResponseHead::new(status, BodyLength::Unknown);
            head.upgrade = x.plan.accept;
            head.cache = cache_policy(key);
            let headers = content(key, true, 0, key);
            x.responded = true;
            if x.plan.accept {
                self.owed += 1;
                x.app.got_end = false;
            }
            let response = Response { head, headers: &headers, body: &bytes };
            self.app.respond(id, &response, end).unwrap()
        };
        if trailers {
            closed = self.app.send_trailers(id, b"c: d\r\n").unwrap();
        }
        x.app.sent_end = last;
        if last && (!x.plan.accept || x.app.got_end) {
            assert_eq!(closed, Some(key));
            self.app_closed(key, id);
        } else {
            assert_eq!(closed, None);
        }
    }

    /// Credit goes back when a response has ended or a tunnel was established.
    fn app_closed(&mut self, key: usize, id: StreamId) {
        let x = self.exchanges.get_mut(&key).unwrap();
        x.app.open = false;
        if !(x.plan.accept && x.responded) {
            self.owed += 1;
        }
        assert_eq!(self.app_ids.remove(&id), Some(key));
        assert_eq!(self.app.send_data(id, b"x", false), Err(StreamError::Closed));
    }

    /// A random part of the output, often less than a frame.
    fn transfer(&mut self, to_app: bool) -> usize {
        let from = if to_app { self.host.output() } else { self.app.output() };
        let n = match self.rng.u8(..3) {
            0 => self.rng.usize(..=from.len().min(12)),
            1 => self.rng.usize(..=from.len()),
            _ => from.len(),
        };
        let input = if to_app { &mut self.app_input } else { &mut self.host_input };
        let old = input.len();
        input.extend(from.drain(..n));
        if let Some(record) = &mut self.record {
            record[usize::from(to_app)].extend_from_slice(&input[old..]);
        }
        n
    }

    fn deliver_to_app(&mut self) {
        self.transfer(true);
        let input = std::mem::take(&mut self.app_input);
        let mut at = 0;
        loop {
            match self.app.receive(&input[at..]).unwrap() {
                Received::NeedMore { used, total } => {
                    at += used;
                    assert!(total > input.len() - at);
                    break;
                }
                Received::Event { used, event } => {
                    at += used;
                    self.on_app_event(event);
                }
            }
        }
        self.app_input = input[at..].to_vec();
    }
}
