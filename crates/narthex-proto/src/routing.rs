//! The routing table: which registration or reservation gets a request.
//!
//! Buckets are searched in order and the first with any match decides, by its longest path on segment
//! boundaries. Reservations take part: one that wins without a registration of its own keeps the request from
//! everybody else.

mod conflict;
mod names;
mod port;
mod tree;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

pub use conflict::Conflict;
pub use port::Bucket;

use crate::host::RequestHost;
use crate::prefix::{Scheme, UrlPrefix};
use port::Port;
use tree::{Entry, Node};

/// Registrations, each with a `V`, and reservations, each with an `R`.
///
/// A clone shares everything with its original until one of them changes, and then all but the changed path:
/// meant to be changed in one place and published as a snapshot after each change.
#[derive(Clone)]
pub struct Table<R, V> {
    /// Sorted by port; machines have few.
    ports: Vec<(NonZeroU16, Arc<Port<R, V>>)>,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Route<'a, R, V> {
    /// To the app that registered this prefix.
    Registered {
        /// The prefix that matched.
        prefix: &'a UrlPrefix,
        /// What was registered with it.
        value: &'a V,
        /// The bucket that decided.
        bucket: Bucket,
    },
    /// Nowhere: it belongs to a reservation without a live registration (503).
    Reserved {
        /// The prefix that matched.
        prefix: &'a UrlPrefix,
        /// What was reserved with it.
        value: &'a R,
        /// The bucket that decided.
        bucket: Bucket,
    },
    /// Nowhere: the host is known on this port, the path is not (404).
    NoPath,
    /// Nowhere: the host is not known on this port (400, reason `Hostname`).
    NoHost,
}

impl<R, V> Clone for Route<'_, R, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, V> Copy for Route<'_, R, V> {}

impl<R, V> Default for Table<R, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R, V> Table<R, V> {
    /// A table without entries.
    pub const fn new() -> Self {
        Self { ports: Vec::new() }
    }

    /// Finds who gets a request that arrived at `local` over `scheme`.
    ///
    /// `host` is `None` for an HTTP/1.0 request without one: no explicit host can match it then. `path` is the cooked
    /// path, empty for `*`. The port of the host is not looked at, only that of `local`.
    pub fn route(&self, scheme: Scheme, local: SocketAddr, host: Option<&RequestHost<'_>>, path: &str) -> Route<'_, R, V> {
        let Some(port) = self.port(local.port()).filter(|port| port.scheme == scheme) else {
            return Route::NoHost;
        };
        let mut host_seen = false;
        for bucket in Bucket::ORDER {
            let Some(tree) = port.bucket(bucket, local.ip(), host) else { continue };
            if let Some(route) = tree.longest(path).and_then(|node| decide(node, bucket)) {
                return route;
            }
            host_seen = true;
        }
        if host_seen { Route::NoPath } else { Route::NoHost }
    }

    /// What is registered under exactly this prefix.
    pub fn registration(&self, prefix: &UrlPrefix) -> Option<(&UrlPrefix, &V)> {
        self.node(prefix)?.registered.as_ref().map(Entry::parts)
    }

    /// What is reserved under exactly this prefix.
    pub fn reservation(&self, prefix: &UrlPrefix) -> Option<(&UrlPrefix, &R)> {
        self.node(prefix)?.reserved.as_ref().map(Entry::parts)
    }

    /// The reservation that decides who may register `prefix`: the longest in its bucket that covers it.
    pub fn covering_reservation(&self, prefix: &UrlPrefix) -> Option<(&UrlPrefix, &R)> {
        let tree = self.port(prefix.port().get()).filter(|port| port.scheme == prefix.scheme())?.tree(prefix)?;
        tree.matches(prefix.folded_path()).into_iter().find_map(|node| node.reserved.as_ref()).map(Entry::parts)
    }

    /// Every registration, in no particular order; [`UrlPrefix`] sorts.
    pub fn registrations(&self) -> impl Iterator<Item = (&UrlPrefix, &V)> {
        self.nodes().filter_map(|node| node.registered.as_ref().map(Entry::parts))
    }

    /// Every reservation, in no particular order; [`UrlPrefix`] sorts.
    pub fn reservations(&self) -> impl Iterator<Item = (&UrlPrefix, &R)> {
        self.nodes().filter_map(|node| node.reserved.as_ref().map(Entry::parts))
    }

    /// Whether anything at all is reserved on this port, for whatever scheme and host.
    pub fn has_reservations_on(&self, port: NonZeroU16) -> bool {
        self.port(port.get()).is_some_and(|port| port.reservations > 0)
    }

    /// The ports with at least one registration, in order: those to listen on. Reservations open no port.
    pub fn listening_ports(&self) -> impl Iterator<Item = (NonZeroU16, Scheme)> {
        self.ports.iter().filter(|(_, port)| port.registrations > 0).map(|(number, port)| (*number, port.scheme))
    }

    fn nodes(&self) -> impl Iterator<Item = &Node<R, V>> {
        self.ports.iter().flat_map(|(_, port)| port.nodes())
    }

    fn port(&self, number: u16) -> Option<&Port<R, V>> {
        self.ports.iter().find(|(known, _)| known.get() == number).map(|(_, port)| &**port)
    }

    fn node(&self, prefix: &UrlPrefix) -> Option<&Node<R, V>> {
        let port = self.port(prefix.port().get()).filter(|port| port.scheme == prefix.scheme())?;
        port.tree(prefix)?.get(prefix.folded_path())
    }

    fn check_scheme(&self, prefix: &UrlPrefix) -> Result<(), Conflict> {
        match self.port(prefix.port().get()) {
            Some(port) if port.scheme != prefix.scheme() => Err(Conflict::Scheme {
                prefix: prefix.clone(),
                existing: port.any_prefix().unwrap_or(prefix).clone(),
                scheme: port.scheme,
            }),
            _ => Ok(()),
        }
    }
}

fn decide<R, V>(node: &Node<R, V>, bucket: Bucket) -> Option<Route<'_, R, V>> {
    if let Some(Entry { prefix, value }) = &node.registered {
        return Some(Route::Registered { prefix, value, bucket });
    }
    node.reserved.as_ref().map(|Entry { prefix, value }| Route::Reserved { prefix, value, bucket })
}

impl<T> Entry<T> {
    fn parts(&self) -> (&UrlPrefix, &T) {
        (&self.prefix, &self.value)
    }
}

impl<R: Clone, V: Clone> Table<R, V> {
    /// Registers a prefix. The table does not know who may: see [`covering_reservation`](Self::covering_reservation).
    pub fn register(&mut self, prefix: UrlPrefix, value: V) -> Result<(), Conflict> {
        self.check_scheme(&prefix)?;
        if let Some((existing, _)) = self.registration(&prefix) {
            return Err(Conflict::Registered { existing: existing.clone(), prefix });
        }
        let port = self.port_mut(&prefix);
        port.registrations += 1;
        port.tree_mut(&prefix).get_or_insert(prefix.folded_path()).registered = Some(Entry { prefix: prefix.clone(), value });
        Ok(())
    }

    /// Ends a registration and returns what was registered with it.
    pub fn unregister(&mut self, prefix: &UrlPrefix) -> Option<V> {
        self.registration(prefix)?;
        let taken = self.take(prefix, |node| node.registered.take())?;
        let port = self.port_mut(prefix);
        port.registrations = port.registrations.saturating_sub(1);
        self.drop_if_empty(prefix);
        Some(taken.value)
    }

    /// Reserves a prefix.
    pub fn reserve(&mut self, prefix: UrlPrefix, value: R) -> Result<(), Conflict> {
        self.check_scheme(&prefix)?;
        if let Some((existing, _)) = self.reservation(&prefix) {
            return Err(Conflict::Reserved { existing: existing.clone(), prefix });
        }
        let port = self.port_mut(&prefix);
        port.reservations += 1;
        port.tree_mut(&prefix).get_or_insert(prefix.folded_path()).reserved = Some(Entry { prefix: prefix.clone(), value });
        Ok(())
    }

    /// Ends a reservation and returns what was reserved with it.
    pub fn unreserve(&mut self, prefix: &UrlPrefix) -> Option<R> {
        self.reservation(prefix)?;
        let taken = self.take(prefix, |node| node.reserved.take())?;
        let port = self.port_mut(prefix);
        port.reservations = port.reservations.saturating_sub(1);
        self.drop_if_empty(prefix);
        Some(taken.value)
    }

    /// The value of a registration, to change.
    pub fn registration_mut(&mut self, prefix: &UrlPrefix) -> Option<&mut V> {
        self.registration(prefix)?;
        let node = self.port_mut(prefix).tree_mut(prefix).get_or_insert(prefix.folded_path());
        node.registered.as_mut().map(|entry| &mut entry.value)
    }

    fn port_mut(&mut self, prefix: &UrlPrefix) -> &mut Port<R, V> {
        let at = self.ports.binary_search_by_key(&prefix.port(), |(number, _)| *number).unwrap_or_else(|at| {
            self.ports.insert(at, (prefix.port(), Arc::new(Port::new(prefix.scheme()))));
            at
        });
        Arc::make_mut(&mut self.ports[at].1)
    }

    fn take<T>(&mut self, prefix: &UrlPrefix, take: impl FnOnce(&mut Node<R, V>) -> Option<Entry<T>>) -> Option<Entry<T>> {
        let port = self.port_mut(prefix);
        let tree = port.tree_mut(prefix);
        let taken = tree.take(prefix.folded_path(), take);
        if tree.is_empty() {
            port.remove_tree(prefix);
        }
        taken
    }

    fn drop_if_empty(&mut self, prefix: &UrlPrefix) {
        if self.port(prefix.port().get()).is_some_and(Port::is_empty) {
            self.ports.retain(|(number, _)| *number != prefix.port());
        }
    }
}

/// A match for [`explain`](crate::explain): in search order, a registration before the reservation of its path.
pub(crate) enum Candidate<'a> {
    Registration(&'a UrlPrefix),
    Reservation(&'a UrlPrefix),
}

impl<R, V> Table<R, V> {
    /// Whether a port has entries of another scheme.
    pub(crate) fn speaks_other_scheme(&self, port: u16, scheme: Scheme) -> bool {
        self.port(port).is_some_and(|port| port.scheme != scheme)
    }

    /// Every entry that matches a request, in search order, and whether its host is known.
    pub(crate) fn candidates(
        &self,
        scheme: Scheme,
        local: SocketAddr,
        host: Option<&RequestHost<'_>>,
        path: &str,
    ) -> (Vec<Candidate<'_>>, bool) {
        let Some(port) = self.port(local.port()).filter(|port| port.scheme == scheme) else {
            return (Vec::new(), false);
        };
        let trees: Vec<_> = Bucket::ORDER.iter().filter_map(|&bucket| port.bucket(bucket, local.ip(), host)).collect();
        let nodes = trees.iter().flat_map(|tree| tree.matches(path));
        let candidates = nodes.flat_map(|node| {
            let registered = node.registered.as_ref().map(|entry| Candidate::Registration(&entry.prefix));
            registered.into_iter().chain(node.reserved.as_ref().map(|entry| Candidate::Reservation(&entry.prefix)))
        });
        (candidates.collect(), !trees.is_empty())
    }
}
