//! A response on its way into the cache. It comes in pieces; the room for all of it is taken when its head is there.

use std::time::Duration;

use super::budget::{CacheBudget, Reserved};
use super::entry::{Block, Entry, LastHit, OVERHEAD};
use super::gate::Permit;
use super::request::{Key, Watch};
use super::url::CacheUrl;
use super::vary::Selecting;
use super::{Now, Room};

/// Gathers one response. Dropping it gives it up, as does a body of another length than was announced.
#[derive(Debug)]
pub(crate) struct Collector {
    key: Key,
    registration: u32,
    url: CacheUrl,
    status: u16,
    block: Block,
    permit: Permit,
    vary: Box<[Selecting]>,
    asked: Duration,
    started: Now,
    /// `None` once more came than was announced: the beginning is not to be taken for the whole.
    body: Option<Vec<u8>>,
    length: usize,
    room: Reserved,
}

impl Collector {
    /// `None` if there is no room for it.
    pub(super) fn new<'f>(
        watch: &Watch,
        status: u16,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        length: u64,
        mut permit: Permit,
        room: &Room<'_>,
    ) -> Option<Self> {
        let url = CacheUrl::new(watch.scheme, watch.host(), watch.port, watch.target(), watch.cooking)?;
        let block = Block::new(fields);
        let length = usize::try_from(length).ok()?;
        if (block.lines().len() + length) as u64 > room.most {
            return None;
        }
        let vary: Box<[_]> =
            std::mem::take(&mut permit.vary).into_iter().map(|name| Selecting::new(name, watch.fields())).collect();
        let key = Key::new(watch.key());
        let selecting: usize = vary.iter().map(Selecting::size).sum();
        let tag = permit.etag.as_ref().map_or(0, |etag| etag.size());
        let size = OVERHEAD + key.as_bytes().len() + url.size() + block.lines().len() + selecting + tag + length;
        let taken = room.take(size)?;
        Some(Self {
            key,
            registration: watch.registration,
            url,
            status,
            block,
            permit,
            vary,
            asked: watch.asked,
            started: room.now,
            body: Some(Vec::with_capacity(length)),
            length,
            room: taken,
        })
    }

    /// Whose response it is.
    pub(crate) fn registration(&self) -> u32 {
        self.registration
    }

    /// Adds a piece of the body. `false` if that is more than was announced: the collector is of no use then.
    #[must_use]
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let length = self.length;
        self.body = self.body.take().filter(|body| bytes.len() <= length.saturating_sub(body.len()));
        let Some(body) = &mut self.body else { return false };
        body.extend_from_slice(bytes);
        true
    }

    /// The response is over. `None` if something is missing.
    pub(super) fn finish(self, budget: &CacheBudget) -> Option<Entry> {
        let length = self.length;
        let body = self.body.filter(|body| body.len() == length)?;
        let Now { running, wall } = self.started;
        Some(Entry {
            id: budget.next_id(),
            registration: self.registration,
            url: self.url,
            fragment: false,
            key: self.key,
            status: self.status,
            block: self.block,
            body: body.into(),
            etag: self.permit.etag,
            last_modified: self.permit.last_modified,
            public: self.permit.public,
            vary: self.vary,
            created: wall,
            asked: self.asked,
            // Its time runs from when its head came, however long its body took.
            stored: running,
            age: self.permit.age,
            lifetime: self.permit.lifetime,
            last_hit: LastHit::new(running),
            _room: self.room,
        })
    }
}
