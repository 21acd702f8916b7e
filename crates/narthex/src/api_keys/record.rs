//! What is known of a key.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::guard::canonical_network;

/// What is known of a key, which is not the key. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ApiKey {
    /// By what it is called.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// What it may do.
    pub scopes: BTreeSet<String>,
    /// From where it may be used; empty: from everywhere.
    pub networks: Vec<IpNet>,
    /// When it was issued.
    pub issued: u64,
    /// Until when it can be used; `None`: until it is revoked. A key that was rotated has the end of its grace here.
    pub expires: Option<u64>,
    /// When it was revoked.
    pub revoked: Option<u64>,
    /// The key that takes its place.
    pub rotated_to: Option<String>,
}

/// What a new key is to be like, for [`ApiKeys::issue`](super::ApiKeys::issue).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it has to be issued"]
pub struct NewKey {
    pub(super) owner: String,
    pub(super) scopes: BTreeSet<String>,
    pub(super) networks: Vec<IpNet>,
    pub(super) lifetime: Option<Duration>,
}

/// Why a key is not accepted. Clients are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRefused {
    /// It is no key at all.
    #[error("it is no key")]
    Malformed,
    /// There is none like it.
    #[error("nobody has this key")]
    Unknown,
    /// It was revoked.
    #[error("it was revoked")]
    Revoked,
    /// It has expired, or its grace is over.
    #[error("it has expired")]
    Expired,
    /// It may not be used from there.
    #[error("it may not be used from there")]
    Address,
}

impl NewKey {
    /// A key for somebody, that may do nothing in particular, from everywhere, until it is revoked.
    pub fn of(owner: impl Into<String>) -> Self {
        Self { owner: owner.into(), scopes: BTreeSet::new(), networks: Vec::new(), lifetime: None }
    }

    /// Adds what it may do.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item: Into<String>>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Adds a network from which it may be used.
    pub fn from_network(mut self, network: IpNet) -> Self {
        self.networks.push(canonical_network(network));
        self
    }

    /// It expires after so long.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }
}

impl ApiKey {
    /// Whether it is accepted. An address that is not known is in no network.
    pub(super) fn judge(&self, now: u64, from: Option<IpAddr>) -> Result<(), KeyRefused> {
        if self.revoked.is_some() {
            return Err(KeyRefused::Revoked);
        }
        if self.expires.is_some_and(|end| now >= end) {
            return Err(KeyRefused::Expired);
        }
        let is_near = |address: IpAddr| self.networks.iter().any(|network| network.contains(&address.to_canonical()));
        if self.networks.is_empty() || from.is_some_and(is_near) { Ok(()) } else { Err(KeyRefused::Address) }
    }

    /// Since when it cannot be used any more.
    pub(super) fn over_since(&self) -> Option<u64> {
        [self.revoked, self.expires].into_iter().flatten().min()
    }
}

/// What was done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeyAction {
    /// It was issued.
    Issued,
    /// It was revoked.
    Revoked,
    /// Another takes its place.
    Rotated,
    /// What was known of it was deleted.
    Purged,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditEntry {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What.
    pub action: KeyAction,
    /// With which key.
    pub key: String,
    /// Whose it is.
    pub owner: String,
}
