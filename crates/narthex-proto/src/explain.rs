//! Why a URL goes where it goes: the entry that gets it, and every other that would have matched.

mod asked;
mod overlap;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

pub use asked::{AskedUrl, ExplainError, Place};
pub use overlap::{Overlap, Overlaps};

use crate::cooked::Cooking;
use crate::host::RequestHost;
use crate::prefix::{PrefixHost, Scheme, UrlPrefix};
use crate::routing::{Bucket, Candidate, Table};

/// What an entry of the routing table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A live app has the prefix.
    Registration,
    /// The operator keeps the prefix for a user.
    Reservation,
}

/// One entry that matches the URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Match {
    /// Its prefix.
    pub prefix: UrlPrefix,
    /// Registration or reservation.
    pub kind: EntryKind,
    /// The bucket it is in.
    pub bucket: Bucket,
}

/// An entry that matches the URL and does not get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shadowed {
    /// The entry.
    #[serde(flatten)]
    pub entry: Match,
    /// Why it does not get the URL.
    pub reason: Reason,
}

/// Why an entry that matches does not get the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The search stopped at an earlier bucket, however short the path that matched there.
    LaterBucket,
    /// Another prefix in the same bucket matches more of the path.
    ShorterPath,
    /// The reservation is in use: the registration of the same prefix gets the URL.
    InUse,
}

/// What happens to the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The app that registered the deciding prefix gets it.
    Registered,
    /// 503: the deciding prefix is reserved and no app has registered it.
    Reserved,
    /// 404: the host is known, the path is not.
    NoPath,
    /// 400: the host is not known on this port.
    NoHost,
    /// The port speaks the other scheme: client and server do not understand each other.
    WrongScheme,
}

/// Where a URL goes and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The scheme of the connection.
    pub scheme: Scheme,
    /// The address the request arrives on.
    pub local: SocketAddr,
    /// The host that was looked up, unless there was none.
    pub host: Option<String>,
    /// The cooked path that was looked up.
    pub path: String,
    /// What happens.
    pub outcome: Outcome,
    /// The entry that decided, unless nothing matched.
    pub decided_by: Option<Match>,
    /// Everything else that matches, in search order.
    pub shadowed: Vec<Shadowed>,
    /// The registration that would get it if the reservations without an app that come first were not there.
    pub would_go_to: Option<Match>,
}

impl<R, V> Table<R, V> {
    /// Explains what [`route`](Self::route) does with the same arguments.
    pub fn explain(&self, scheme: Scheme, local: SocketAddr, host: Option<&RequestHost<'_>>, path: &str) -> Explanation {
        let (candidates, host_seen) = self.candidates(scheme, local, host, path);
        let mut matches = candidates.into_iter().map(|candidate| {
            let (kind, prefix) = match candidate {
                Candidate::Registration(prefix) => (EntryKind::Registration, prefix),
                Candidate::Reservation(prefix) => (EntryKind::Reservation, prefix),
            };
            Match { prefix: prefix.clone(), kind, bucket: Bucket::of(prefix) }
        });
        let decided_by = matches.next();
        let shadowed = match &decided_by {
            Some(winner) => matches.map(|entry| Shadowed { reason: reason(winner, &entry), entry }).collect(),
            None => Vec::new(),
        };
        let outcome = match &decided_by {
            Some(Match { kind: EntryKind::Registration, .. }) => Outcome::Registered,
            Some(Match { kind: EntryKind::Reservation, .. }) => Outcome::Reserved,
            None if host_seen => Outcome::NoPath,
            None if self.speaks_other_scheme(local.port(), scheme) => Outcome::WrongScheme,
            None => Outcome::NoHost,
        };
        let would_go_to = match outcome {
            Outcome::Reserved => {
                shadowed.iter().map(|shadowed: &Shadowed| &shadowed.entry).find(|entry| entry.is_live()).cloned()
            }
            _ => None,
        };
        Explanation {
            scheme,
            local,
            host: host.map(|host| host.name().to_owned()),
            path: path.to_owned(),
            outcome,
            decided_by,
            shadowed,
            would_go_to,
        }
    }

    /// Explains an absolute URL as if a client had asked for it on the local address `local`.
    ///
    /// # Errors
    /// If no request for it would be routed.
    pub fn explain_url(&self, url: &str, local: IpAddr, mode: Cooking) -> Result<Explanation, ExplainError> {
        let asked = AskedUrl::parse(url, mode)?;
        let local = SocketAddr::new(local, asked.port);
        Ok(self.explain(asked.scheme, local, asked.request_host().as_ref(), &asked.path))
    }

    /// The local addresses that entries on this port are bound to, each once, sorted.
    pub fn bound_addresses(&self, port: u16) -> Vec<IpAddr> {
        let entries = self.registrations().map(|(prefix, _)| prefix).chain(self.reservations().map(|(prefix, _)| prefix));
        let of_port = entries.filter(|prefix| prefix.port().get() == port);
        let mut addresses: Vec<IpAddr> = of_port
            .filter_map(|prefix| match prefix.host() {
                PrefixHost::Ip(ip) => Some(*ip),
                _ => None,
            })
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}

impl Match {
    /// Whether an app has it.
    pub fn is_live(&self) -> bool {
        self.kind == EntryKind::Registration
    }
}

fn reason(winner: &Match, loser: &Match) -> Reason {
    match (winner.kind, loser.kind) {
        (EntryKind::Registration, EntryKind::Reservation) if winner.prefix == loser.prefix => Reason::InUse,
        _ if winner.bucket != loser.bucket => Reason::LaterBucket,
        _ => Reason::ShorterPath,
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Registration => "registration",
            Self::Reservation => "reservation",
        })
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.kind, self.prefix, self.bucket)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LaterBucket => "a later bucket is never looked at",
            Self::ShorterPath => "a longer path in the same bucket wins",
            Self::InUse => "it is in use: the registration of the same prefix wins",
        })
    }
}
