//! The response cache: what an app said may be answered again is answered here, without asking it.
//!
//! Each worker has a [`Cache`] of its own, so that no request waits for a lock. Entries are shared: what one worker stores
//! it gives to the others, and all of them take their room from one [`CacheBudget`]. An entry that finds no room is not
//! stored, as in HTTP.sys; nothing is evicted for another but by the scavenger, which drops what nobody asked for.
//!
//! # What a worker does
//!
//! * [`Cache::look`] for each request of an app that may cache at all ([`CachingHabit`] says): a [`Hit`] is to be answered
//!   with [`Hit::serve`]; a [`Watch`] is to be kept beside the exchange until the response is there.
//! * [`Cache::answered`] with the `Watch` when the response's head is there. A [`Collector`] is to be given the body; then
//!   comes [`Cache::store`], and the entry goes to the other workers' [`Cache::insert`]. A response that breaks off or ends
//!   with trailers is not stored: the collector is dropped. An [`Invalidation`] goes to the others' [`Cache::invalidate`].
//! * [`Cache::scavenge`] once per `scavenger_period`; [`Cache::retain_registrations`] with every new snapshot.
//!
//! Time is an argument: `now` is the time since a moment that is the same for all workers, and never goes back.
//!
//! # Which answers
//!
//! A request is answered from the cache, or its answer stored, as `request::Facts` says; a response is stored if `gate` lets
//! it pass. Both follow HTTP.sys and RFC 9111, with these differences: HTTP.sys asks for header lines of 1024 bytes at most
//! and a body that is not empty, and only an app's policy makes it cache; there is no limit on the header lines alone here,
//! an answer may be empty, and `Cache-Control: public` with an explicit time is as good as a policy, as it is in ASP.NET.
//! `Vary` makes variants, where ASP.NET does not cache. `Cache-Control` and `Pragma` of requests are not looked at, as in
//! HTTP.sys: the host answers for the origin, and a client must not be able to bypass it at will.

mod budget;
mod collector;
mod conditional;
mod directives;
mod entry;
mod fragment;
mod gate;
mod habit;
mod invalidate;
mod list;
mod range;
mod report;
mod request;
mod serve;
mod shelf;
mod url;
mod vary;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use narthex_proto::wire::CachePolicy;

pub(crate) use budget::CacheBudget;
pub(crate) use collector::Collector;
pub(crate) use entry::Entry;
pub(crate) use fragment::{FragmentError, FragmentName};
pub(crate) use gate::{Answer, asks_for_caching};
pub(crate) use habit::CachingHabit;
pub(crate) use invalidate::{Flush, Invalidation};
pub(crate) use report::Reported;
pub(crate) use request::{RequestHead, Watch};
pub(crate) use serve::Hit;
pub(crate) use url::UrlFilter;

use budget::Reserved;
use invalidate::{Recent, Removed};
use request::{Buffer, Facts, Spare, Use, write_key};
use shelf::Shelf;

/// What the cache goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheSettings {
    /// The longest header lines and body together, in bytes (`max_cache_response_size`).
    pub(crate) most: u64,
    /// The longest part that answers a range request, in bytes (`cache_range_chunk_size`).
    pub(crate) range: usize,
    /// How long an entry may go without a request (`scavenger_period`).
    pub(crate) period: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { most: 262_144, range: 262_144, period: Duration::from_secs(120) }
    }
}

/// The time, twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Since a moment that is the same for all workers.
    pub(crate) running: Duration,
    /// What the clock on the wall shows.
    pub(crate) wall: SystemTime,
}

/// An entry as one worker has it.
#[derive(Debug)]
struct Stored {
    entry: Arc<Entry>,
    hits: Cell<u64>,
}

/// What the cache says to a request.
#[derive(Debug)]
pub(crate) enum Looked {
    /// Answer it with this.
    Hit(Hit),
    /// Ask the app, and then [`Cache::answered`].
    Watch(Watch),
    /// Ask the app. The answer does not concern the cache.
    Pass,
}

/// What an answer means to the cache.
#[derive(Debug)]
pub(crate) enum Answered {
    /// Nothing.
    Nothing,
    /// It is to be stored when its body is there.
    Collect(Box<Collector>),
    /// What was stored is out of date. This worker has dropped it; the others are to be told.
    Invalidated(Invalidation),
}

/// One worker's cache.
#[derive(Debug)]
pub(crate) struct Cache {
    budget: Arc<CacheBudget>,
    settings: Cell<CacheSettings>,
    shelf: RefCell<Shelf>,
    /// How many entries there are: a worker without any looks at nothing else.
    entries: Cell<usize>,
    recent: RefCell<Recent>,
    spare: Spare,
    /// When it was last tried to make room.
    cleared: Cell<Option<Duration>>,
}

/// Where new entries find their place.
struct Room<'c> {
    cache: &'c Cache,
    most: u64,
    now: Now,
}

impl Room<'_> {
    /// Takes room for so many bytes. If there is none, the scavenger gets a chance: once a second, since that is a look
    /// at every entry, and workers share them, so that what this one drops may still be held by another.
    fn take(&self, bytes: usize) -> Option<Reserved> {
        let bytes = bytes as u64;
        let now = self.now.running;
        if let Some(taken) = self.cache.budget.reserve(bytes) {
            return Some(taken);
        }
        if self.cache.cleared.get().is_some_and(|at| now < at + Duration::from_secs(1)) {
            return None;
        }
        self.cache.cleared.set(Some(now));
        self.cache.scavenge(now);
        self.cache.budget.reserve(bytes)
    }
}

impl Cache {
    /// An empty cache.
    pub(crate) fn new(budget: Arc<CacheBudget>, settings: CacheSettings) -> Self {
        Self {
            budget,
            settings: Cell::new(settings),
            shelf: RefCell::default(),
            entries: Cell::new(0),
            recent: RefCell::default(),
            spare: Spare::default(),
            cleared: Cell::new(None),
        }
    }

    /// Goes by these settings from now on.
    pub(crate) fn set_settings(&self, settings: CacheSettings) {
        self.settings.set(settings);
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> CacheSettings {
        self.settings.get()
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.get() == 0
    }

    /// What to do with a request for `registration`. A hit allocates nothing; a request that has to be watched has its head
    /// copied into a buffer that is used again.
    pub(crate) fn look(&self, request: &impl RequestHead, registration: u32, now: Duration) -> Looked {
        let facts = Facts::of(request);
        let serve = match facts.usage {
            Use::None => return Looked::Pass,
            Use::Serve if self.is_empty() => return Looked::Pass,
            Use::Invalidate => false,
            Use::Serve | Use::ServeAndStore => !self.is_empty(),
        };
        let mut buffer = Buffer::take(&self.spare);
        let places = write_key(request, registration, &mut buffer.bytes);
        if serve && let Some(stored) = self.shelf.borrow().find(&buffer.bytes, request, facts.cookie, now) {
            stored.hits.set(stored.hits.get().saturating_add(1));
            stored.entry.last_hit.set(now);
            return Looked::Hit(Hit::new(stored, facts, self.settings.get().range));
        }
        if facts.usage == Use::Serve {
            return Looked::Pass;
        }
        if facts.usage == Use::ServeAndStore {
            if request.raw().len() > Watch::MOST_HEAD {
                return Looked::Pass;
            }
            buffer.bytes.extend_from_slice(request.raw());
        }
        Looked::Watch(Watch {
            usage: facts.usage,
            cookie: facts.cookie,
            registration,
            scheme: request.scheme(),
            port: request.port(),
            cooking: request.cooking(),
            asked: now,
            places,
            buffer,
        })
    }

    /// The app has begun to answer a request that was watched. Not to be asked for interim responses, nor for an upgrade.
    pub(crate) fn answered<'f, F>(&self, watch: &Watch, answer: &Answer<F>, now: Now) -> Answered
    where
        F: Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    {
        if watch.usage == Use::Invalidate {
            if !(200..400).contains(&answer.status) {
                return Answered::Nothing;
            }
            let invalidation = Invalidation { key: request::Key::new(watch.key()), at: now.running };
            self.invalidate(&invalidation);
            return Answered::Invalidated(invalidation);
        }
        let most = self.settings.get().most;
        let delay = now.running.saturating_sub(watch.asked);
        let Ok(permit) = gate::judge(answer, watch.cookie, delay, now.wall, most) else { return Answered::Nothing };
        let room = Room { cache: self, most, now };
        let length = answer.length.unwrap_or_default();
        let collector = Collector::new(watch, answer.status, answer.fields.clone(), length, permit, &room);
        collector.map_or(Answered::Nothing, |collector| Answered::Collect(Box::new(collector)))
    }

    /// A response is complete. What is returned is stored here and to be given to the other workers.
    pub(crate) fn store(&self, collector: Collector, now: Duration) -> Option<Arc<Entry>> {
        let entry = Arc::new(collector.finish(&self.budget)?);
        self.insert(Arc::clone(&entry), now).then_some(entry)
    }

    /// Takes what another worker has stored. `false` if it is out of date already.
    pub(crate) fn insert(&self, entry: Arc<Entry>, now: Duration) -> bool {
        let key = entry.key.as_bytes();
        if !entry.is_fresh(now) || self.recent.borrow().since(entry.asked, key, entry.registration) {
            return false;
        }
        self.shelf.borrow_mut().put(entry, now);
        self.count();
        true
    }

    /// Drops what another worker's app has made out of date.
    pub(crate) fn invalidate(&self, invalidation: &Invalidation) {
        let key = invalidation.key.as_bytes();
        self.recent.borrow_mut().push(invalidation.at, Removed::Key(key));
        self.shelf.borrow_mut().remove(key);
        self.count();
    }

    /// Drops what an operator or an app wants removed. Returns how many entries, fragments included.
    pub(crate) fn flush(&self, flush: &Flush) -> usize {
        // Responses of the same apps' other URLs that are under way are not stored either. A flush is rare, and they come
        // again.
        match &flush.registrations {
            None => self.recent.borrow_mut().push_all(flush.at),
            Some(own) => own.iter().for_each(|&own| self.recent.borrow_mut().push(flush.at, Removed::Registration(own))),
        }
        self.retain(|entry| !flush.concerns(entry))
    }

    /// Drops what nobody has asked for within the scavenger's period, and what is stale. Returns how many entries.
    pub(crate) fn scavenge(&self, now: Duration) -> usize {
        let period = self.settings.get().period;
        self.retain(|entry| entry.is_fresh(now) && now.saturating_sub(entry.last_hit.get()) <= period)
    }

    /// Drops what belongs to registrations that are gone. Returns how many entries.
    pub(crate) fn retain_registrations(&self, lives: impl Fn(u32) -> bool) -> usize {
        if self.is_empty() {
            return 0;
        }
        self.retain(|entry| lives(entry.registration))
    }

    /// Makes a fragment, or another one of the same name, and stores it here. What is returned is to be given to the other
    /// workers' [`insert`](Self::insert).
    pub(crate) fn store_fragment(
        &self,
        name: FragmentName,
        registration: u32,
        policy: CachePolicy,
        bytes: Bytes,
        now: Now,
    ) -> Result<Arc<Entry>, FragmentError> {
        let room = Room { cache: self, most: self.settings.get().most, now };
        let entry = Arc::new(fragment::new(name, registration, policy, bytes, self.budget.next_id(), &room)?);
        // What an app says now is not out of date because of a flush at the same moment.
        self.shelf.borrow_mut().put(Arc::clone(&entry), now.running);
        self.count();
        Ok(entry)
    }

    /// The bytes of a fragment from `offset` on: `length` of them, or all. `None` if there is no such fragment or part: it may
    /// go at any time, and the app then sends the bytes themselves.
    pub(crate) fn fragment(&self, name: &FragmentName, offset: u64, length: Option<u64>, now: Duration) -> Option<Bytes> {
        let stored = self.shelf.borrow().any(&name.key, now)?;
        let body = &stored.entry.body;
        let start = usize::try_from(offset).ok().filter(|start| *start <= body.len())?;
        let length = match length {
            Some(length) => usize::try_from(length).ok()?,
            None => body.len() - start,
        };
        let end = start.checked_add(length).filter(|end| *end <= body.len())?;
        let bytes = body.slice(start..end);
        stored.hits.set(stored.hits.get().saturating_add(1));
        stored.entry.last_hit.set(now);
        Some(bytes)
    }

    /// Drops a fragment, if there is one.
    pub(crate) fn remove_fragment(&self, name: &FragmentName) {
        self.shelf.borrow_mut().remove(&name.key);
        self.count();
    }

    /// What is in it, below `url` or everywhere.
    pub(crate) fn report(&self, url: Option<&UrlFilter>, now: Duration) -> Vec<Reported> {
        let shelf = self.shelf.borrow();
        let meant = shelf.iter().filter(|stored| stored.entry.is_fresh(now));
        let meant = meant.filter(|stored| url.is_none_or(|url| url.matches(&stored.entry.url)));
        meant.map(|stored| report::report(stored, now)).collect()
    }

    fn retain(&self, keep: impl Fn(&Entry) -> bool) -> usize {
        self.shelf.borrow_mut().retain(keep);
        let before = self.entries.get();
        self.count();
        before.saturating_sub(self.entries.get())
    }

    fn count(&self) {
        self.entries.set(self.shelf.borrow().len());
    }
}
