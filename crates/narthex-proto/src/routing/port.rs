//! What one port has, in its four buckets.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use super::names::Names;
use super::tree::Node;
use crate::host::RequestHost;
use crate::prefix::{PrefixHost, Scheme, UrlPrefix};

/// The kinds of hosts, in the order in which they are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// `+`.
    Strong,
    /// A name that the request's host equals.
    Explicit,
    /// The local address the request arrived on, whatever its host says.
    IpBound,
    /// `*`.
    Weak,
}

impl Bucket {
    /// All buckets in search order.
    pub const ORDER: [Self; 4] = [Self::Strong, Self::Explicit, Self::IpBound, Self::Weak];

    /// The bucket a prefix is in.
    pub fn of(prefix: &UrlPrefix) -> Self {
        match prefix.host() {
            PrefixHost::Strong => Self::Strong,
            PrefixHost::Name(_) => Self::Explicit,
            PrefixHost::Ip(_) => Self::IpBound,
            PrefixHost::Weak => Self::Weak,
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Strong => "strong wildcard",
            Self::Explicit => "explicit host",
            Self::IpBound => "IP-bound weak wildcard",
            Self::Weak => "weak wildcard",
        })
    }
}

#[derive(Clone)]
pub(super) struct Port<R, V> {
    pub(super) scheme: Scheme,
    /// How many registrations there are: a port is open while there is one.
    pub(super) registrations: usize,
    pub(super) reservations: usize,
    strong: Option<Arc<Node<R, V>>>,
    names: Names<Arc<Node<R, V>>>,
    /// Machines have few addresses: a search beats a map.
    addresses: Vec<(IpAddr, Arc<Node<R, V>>)>,
    weak: Option<Arc<Node<R, V>>>,
}

impl<R, V> Port<R, V> {
    pub(super) fn new(scheme: Scheme) -> Self {
        Self { scheme, registrations: 0, reservations: 0, strong: None, names: Names::new(), addresses: Vec::new(), weak: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.strong.is_none() && self.weak.is_none() && self.names.is_empty() && self.addresses.is_empty()
    }

    /// What a bucket has for a request.
    pub(super) fn bucket(&self, bucket: Bucket, local: IpAddr, host: Option<&RequestHost<'_>>) -> Option<&Node<R, V>> {
        match bucket {
            Bucket::Strong => self.strong.as_deref(),
            Bucket::Explicit if self.names.is_empty() => None,
            Bucket::Explicit => self.names.find(host?.name()).map(|node| &**node),
            Bucket::IpBound if self.addresses.is_empty() => None,
            // A dual-stack socket reports IPv4 peers in IPv6 form.
            Bucket::IpBound => self.address(&local.to_canonical()),
            Bucket::Weak => self.weak.as_deref(),
        }
    }

    /// The tree that has, or would have, this prefix.
    pub(super) fn tree(&self, prefix: &UrlPrefix) -> Option<&Node<R, V>> {
        match prefix.host() {
            PrefixHost::Strong => self.strong.as_deref(),
            PrefixHost::Name(_) => self.names.get(prefix.wire_host()).map(|node| &**node),
            PrefixHost::Ip(ip) => self.address(ip),
            PrefixHost::Weak => self.weak.as_deref(),
        }
    }

    fn address(&self, ip: &IpAddr) -> Option<&Node<R, V>> {
        self.addresses.iter().find(|(address, _)| address == ip).map(|(_, node)| &**node)
    }

    /// Every node with or without entries, in no particular order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node<R, V>> {
        let wildcards = self.strong.iter().chain(&self.weak);
        wildcards.chain(self.names.values()).chain(self.addresses.iter().map(|(_, node)| node)).flat_map(|tree| tree.iter())
    }

    /// Some prefix on this port, to name in a message.
    pub(super) fn any_prefix(&self) -> Option<&UrlPrefix> {
        self.nodes().find_map(|node| {
            let registered = node.registered.as_ref().map(|entry| &entry.prefix);
            registered.or(node.reserved.as_ref().map(|entry| &entry.prefix))
        })
    }
}

impl<R: Clone, V: Clone> Port<R, V> {
    /// The tree that has this prefix, or an empty one put in its place.
    pub(super) fn tree_mut(&mut self, prefix: &UrlPrefix) -> &mut Node<R, V> {
        let new = || Arc::new(Node::new());
        Arc::make_mut(match prefix.host() {
            PrefixHost::Strong => self.strong.get_or_insert_with(new),
            PrefixHost::Name(_) => self.names.get_or_insert_with(prefix.wire_host(), new),
            PrefixHost::Ip(ip) => {
                let at = self.addresses.iter().position(|(address, _)| address == ip).unwrap_or_else(|| {
                    self.addresses.push((*ip, new()));
                    self.addresses.len() - 1
                });
                &mut self.addresses[at].1
            }
            PrefixHost::Weak => self.weak.get_or_insert_with(new),
        })
    }

    /// Forgets the tree of a prefix: [`route`](super::Table::route) takes a tree to mean that its host is known.
    pub(super) fn remove_tree(&mut self, prefix: &UrlPrefix) {
        match prefix.host() {
            PrefixHost::Strong => self.strong = None,
            PrefixHost::Name(_) => self.names.remove(prefix.wire_host()),
            PrefixHost::Ip(ip) => self.addresses.retain(|(address, _)| address != ip),
            PrefixHost::Weak => self.weak = None,
        }
    }
}
