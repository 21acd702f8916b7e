//! The cache as a worker uses it, with requests made up and time moved by hand.

mod fragments;
mod gate;
mod removal;
mod serving;
mod storing;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use narthex_proto::cooked::Cooking;
use narthex_proto::prefix::Scheme;
use narthex_proto::wire::CachePolicy;

use super::*;

/// A GET of `http://example.com:80/` that a client might send, unless said otherwise.
#[derive(Clone)]
struct Asked {
    method: &'static str,
    host: Option<(&'static str, Option<u16>)>,
    target: String,
    body: bool,
    upgrade: bool,
    fields: Vec<(String, String)>,
    raw: Vec<u8>,
}

impl Asked {
    fn get(target: &str) -> Self {
        let asked = Self {
            method: "GET",
            host: Some(("example.com", None)),
            target: target.to_owned(),
            body: false,
            upgrade: false,
            fields: Vec::new(),
            raw: Vec::new(),
        };
        asked.with(&[("Host", "example.com"), ("User-Agent", "test")])
    }

    fn method(self, method: &'static str) -> Self {
        Self { method, ..self }.with(&[])
    }

    fn with(mut self, fields: &[(&str, &str)]) -> Self {
        self.fields.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let lines: String = self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.raw = format!("{} {} HTTP/1.1\r\n{lines}\r\n", self.method, self.target).into_bytes();
        self
    }
}

impl RequestHead for Asked {
    fn method(&self) -> &str {
        self.method
    }

    fn scheme(&self) -> Scheme {
        Scheme::Http
    }

    fn port(&self) -> u16 {
        80
    }

    fn host(&self) -> Option<(&str, Option<u16>)> {
        self.host
    }

    fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    fn cooking(&self) -> Cooking {
        Cooking::Strict
    }

    fn has_body(&self) -> bool {
        self.body
    }

    fn wants_upgrade(&self) -> bool {
        self.upgrade
    }

    fn raw(&self) -> &[u8] {
        &self.raw
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
    }
}

/// A response that says that it may be stored, unless said otherwise.
#[derive(Clone)]
struct Given {
    status: u16,
    policy: Option<CachePolicy>,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    length: Option<u64>,
}

impl Given {
    fn new(body: &str) -> Self {
        Self { status: 200, policy: None, fields: Vec::new(), body: body.as_bytes().to_vec(), length: Some(body.len() as u64) }
    }

    fn public(body: &str) -> Self {
        Self::new(body).with(&[("Cache-Control", "public, max-age=60")])
    }

    fn flushed(body: &str) -> Self {
        Self { policy: Some(CachePolicy::UntilFlushed), ..Self::new(body) }
    }

    fn with(mut self, fields: &[(&str, &str)]) -> Self {
        self.fields.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}

fn ttl(seconds: u32) -> Option<CachePolicy> {
    std::num::NonZeroU32::new(seconds).map(CachePolicy::TimeToLive)
}

const APP: u32 = 7;
const ROOM: u64 = 1 << 20;
/// Sun, 22 Nov 2026 12:00:00 GMT.
const NOON: u64 = 1_795_348_800;

fn at(seconds: u64) -> Now {
    Now { running: secs(1_000 + seconds), wall: SystemTime::UNIX_EPOCH + secs(NOON + seconds) }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn cache() -> Cache {
    Cache::new(CacheBudget::new(ROOM), CacheSettings::default())
}

fn watch(cache: &Cache, asked: &Asked, now: Now) -> Option<Watch> {
    match cache.look(asked, APP, now.running) {
        Looked::Watch(watch) => Some(watch),
        _ => None,
    }
}

fn hit(cache: &Cache, asked: &Asked, now: Now) -> Option<Hit> {
    match cache.look(asked, APP, now.running) {
        Looked::Hit(hit) => Some(hit),
        _ => None,
    }
}

fn answer(cache: &Cache, watch: &Watch, given: &Given, now: Now) -> Answered {
    let answer = Answer { status: given.status, policy: given.policy, length: given.length, fields: given.fields() };
    cache.answered(watch, &answer, now)
}

/// The request and its response at the same moment. Returns what was stored.
fn exchange(cache: &Cache, asked: &Asked, given: &Given, now: Now) -> Option<Arc<Entry>> {
    let watch = watch(cache, asked, now)?;
    let Answered::Collect(mut collector) = answer(cache, &watch, given, now) else { return None };
    collector.push(&given.body).then(|| cache.store(*collector, now.running))?
}

/// What the request gets from the cache: status, header lines, `Age`, body.
fn served(cache: &Cache, asked: &Asked, now: Now) -> Option<(u16, String, Option<u64>, String)> {
    let hit = hit(cache, asked, now)?;
    let mut scratch = Vec::new();
    let served = hit.serve(asked, now.running, &mut scratch);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Some((served.status, text(served.block), served.age, text(served.bytes())))
}

fn body(cache: &Cache, asked: &Asked, now: Now) -> Option<String> {
    served(cache, asked, now).map(|(.., body)| body)
}
