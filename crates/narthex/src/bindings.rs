//! What a server is about to register, for `on_bind` to look at and to change.

use narthex_proto::prefix::PrefixSpec;

use crate::error::{Error, Result};
use crate::settings::RequestQueue;

/// What a server is about to register. See [`Server::on_bind`](crate::Server::on_bind).
#[derive(Debug)]
pub struct Bindings {
    prefixes: Vec<PrefixSpec>,
    queue: RequestQueue,
    shared: bool,
}

impl Bindings {
    pub(crate) fn new(prefixes: Vec<PrefixSpec>, queue: RequestQueue, shared: bool) -> Self {
        Self { prefixes, queue, shared }
    }

    pub(crate) fn into_parts(self) -> (Vec<PrefixSpec>, RequestQueue) {
        (self.prefixes, self.queue)
    }

    /// The prefixes. Port 0 is not yet resolved.
    #[must_use]
    pub fn prefixes(&self) -> &[PrefixSpec] {
        &self.prefixes
    }

    /// Adds a prefix.
    ///
    /// # Errors
    /// If it is not one.
    pub fn add(&mut self, prefix: impl AsRef<str>) -> Result<()> {
        self.prefixes.push(parse(prefix.as_ref())?);
        Ok(())
    }

    /// Keeps only the prefixes for which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&PrefixSpec) -> bool) {
        self.prefixes.retain(keep);
    }

    /// The request queue.
    #[must_use]
    pub fn queue(&self) -> &RequestQueue {
        &self.queue
    }

    /// Uses another request queue.
    pub fn set_queue(&mut self, queue: RequestQueue) {
        self.queue = queue;
    }

    /// Whether the app is about to run behind a host, or on HTTP.sys, rather than on its own listener.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared
    }
}

pub(crate) fn parse(prefix: &str) -> Result<PrefixSpec> {
    prefix.parse().map_err(|source| Error::Prefix { prefix: prefix.to_owned(), source })
}
