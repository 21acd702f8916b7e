//! The response cache as one worker uses it: what it stores and drops, the other workers are told.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use narthex_http::{Exchange, Request};
use narthex_proto::wire::CachePolicy;
use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::time::{Instant, sleep};

use crate::cache::{
    Answer, Answered, Cache, CacheBudget, CacheSettings, Collector, Entry, Flush, FragmentError, FragmentName, Invalidation,
    Looked, Now, Reported, UrlFilter, Watch,
};
use crate::snapshot::{Queue, Snapshot};
use crate::worker::Command;

/// A worker's cache, and the way to the others'.
pub(super) struct Caching {
    cache: Cache,
    started: Instant,
    others: Vec<WeakUnboundedSender<Command>>,
    /// The registrations that may have entries. `None` after a change, until somebody asks.
    live: RefCell<Option<HashSet<u32>>>,
    /// Header lines of parts that were asked for.
    scratch: RefCell<Vec<u8>>,
}

/// What a request is to the cache.
pub(super) enum Found {
    /// It has been answered.
    Answered,
    /// Its answer may be stored.
    Watch(Box<Watch>),
    Nothing,
}

impl Caching {
    pub(super) fn new(
        budget: Arc<CacheBudget>,
        settings: CacheSettings,
        started: Instant,
        others: Vec<WeakUnboundedSender<Command>>,
    ) -> Self {
        Self { cache: Cache::new(budget, settings), started, others, live: RefCell::default(), scratch: RefCell::default() }
    }

    pub(super) fn set_settings(&self, settings: CacheSettings) {
        self.cache.set_settings(settings);
    }

    #[expect(clippy::disallowed_methods, reason = "dates in header fields are the wall's")]
    fn now(&self) -> Now {
        Now { running: self.started.elapsed(), wall: SystemTime::now() }
    }

    /// Answers a request from the cache, or says whether its answer may be stored.
    pub(super) fn look(&self, request: &Request<'_>, registration: u32, exchange: &Exchange) -> Found {
        let now = self.started.elapsed();
        let hit = match self.cache.look(request, registration, now) {
            Looked::Hit(hit) => hit,
            Looked::Watch(watch) => return Found::Watch(Box::new(watch)),
            Looked::Pass => return Found::Nothing,
        };
        let mut scratch = self.scratch.borrow_mut();
        let served = hit.serve(request, now, &mut scratch);
        // A client that has gone needs no answer.
        let _ = exchange.send_stored(served.status, served.block, served.age, served.body());
        Found::Answered
    }

    /// The head of the answer to a request that was watched. What is returned gathers its body.
    pub(super) fn answered<'f, F>(&self, watch: &Watch, answer: &Answer<F>) -> Option<Box<Collector>>
    where
        F: Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    {
        match self.cache.answered(watch, answer, self.now()) {
            Answered::Nothing => None,
            Answered::Collect(collector) => Some(collector),
            Answered::Invalidated(invalidation) => {
                self.tell(|| Command::CacheInvalidated(invalidation.clone()));
                None
            }
        }
    }

    /// A response that was gathered is complete.
    pub(super) fn store(&self, collector: Collector, snapshot: &Snapshot) {
        if !self.may_have(collector.registration(), snapshot) {
            return;
        }
        let Some(entry) = self.cache.store(collector, self.started.elapsed()) else { return };
        self.tell(|| Command::CacheStored(Arc::clone(&entry)));
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for other in self.others.iter().filter_map(WeakUnboundedSender::upgrade) {
            // A worker that is gone has nothing that could be out of date.
            let _ = other.send(command());
        }
    }

    /// Stores what an app wants kept. What is returned is for the other workers.
    pub(super) fn store_fragment(
        &self,
        name: FragmentName,
        registration: u32,
        policy: CachePolicy,
        bytes: Bytes,
    ) -> Result<Arc<Entry>, FragmentError> {
        self.cache.store_fragment(name, registration, policy, bytes, self.now())
    }

    pub(super) fn remove_fragment(&self, name: &FragmentName) {
        self.cache.remove_fragment(name);
    }

    /// A part of a fragment of a queue's apps.
    pub(super) fn fragment(&self, queue: &Queue, url: &str, offset: u64, length: Option<u64>) -> Option<Bytes> {
        if self.cache.is_empty() {
            return None;
        }
        let name = FragmentName::parse(url, queue.id).ok()?;
        self.cache.fragment(&name, offset, length, self.started.elapsed())
    }

    /// What another worker has stored.
    pub(super) fn stored(&self, entry: Arc<Entry>, snapshot: &Snapshot) {
        if self.may_have(entry.registration, snapshot) {
            self.cache.insert(entry, self.started.elapsed());
        }
    }

    pub(super) fn invalidated(&self, invalidation: &Invalidation) {
        self.cache.invalidate(invalidation);
    }

    pub(super) fn flush(&self, flush: &Flush) -> usize {
        self.cache.flush(flush)
    }

    pub(super) fn report(&self, url: Option<&UrlFilter>) -> Vec<Reported> {
        self.cache.report(url, self.started.elapsed())
    }

    /// Drops what belongs to registrations that are gone, or to groups that must not cache any more. To be called with every new
    /// snapshot.
    pub(super) fn retain(&self, snapshot: &Snapshot) {
        self.live.replace(None);
        if !self.cache.is_empty() {
            self.cache.retain_registrations(|id| self.may_have(id, snapshot));
        }
    }

    /// Whether a registration may have entries. It may have gone while its response was under way.
    fn may_have(&self, registration: u32, snapshot: &Snapshot) -> bool {
        let caches = |group: usize| snapshot.group(group).is_some_and(|group| group.response_cache);
        let live = || snapshot.routes.registrations().filter(|(_, of)| caches(of.group)).map(|(_, of)| of.id).collect();
        self.live.borrow_mut().get_or_insert_with(live).contains(&registration)
    }

    /// Runs the scavenger for as long as the worker lives.
    pub(super) async fn scavenge(&self) {
        loop {
            sleep(self.cache.settings().period).await;
            self.cache.scavenge(self.started.elapsed());
        }
    }
}
