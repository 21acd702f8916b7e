//! What a prefix would take from others, and what others would take from it.

use serde::Serialize;

use super::{EntryKind, Match};
use crate::prefix::{PrefixHost, UrlPrefix};
use crate::routing::{Bucket, Table};

/// An entry that has URLs in common with a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// The entry.
    #[serde(flatten)]
    pub entry: Match,
    /// The one that loses gets none of its URLs because of the other; else it loses those that both match.
    pub whole: bool,
}

/// What a prefix has in common with the entries of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overlaps {
    /// Entries that would lose URLs to the prefix, sorted.
    pub shadows: Vec<Overlap>,
    /// Entries that keep URLs from the prefix, sorted.
    pub shadowed_by: Vec<Overlap>,
}

impl<R, V> Table<R, V> {
    /// What registering `prefix` would do to the other entries, and they to it. The entries of the prefix itself are left
    /// out, and so are reservations that are in use, since their registrations stand for them, and those that cover the
    /// prefix: they are there to be used.
    pub fn overlaps(&self, prefix: &UrlPrefix) -> Overlaps {
        let registered = self.registrations().map(|(other, _)| (EntryKind::Registration, other));
        let reserved = self.reservations().map(|(other, _)| (EntryKind::Reservation, other));
        let is_above = |other: &UrlPrefix| other.host() == prefix.host() && other.covers_path(prefix.path());
        let reserved = reserved.filter(|(_, other)| self.registration(other).is_none() && !is_above(other));
        let mut others: Vec<_> =
            registered.chain(reserved).filter(|(_, other)| other != &prefix && meet(prefix, other)).collect();
        others.sort_by_key(|(_, other)| *other);
        let mut overlaps = Overlaps::default();
        for (kind, other) in others {
            let entry = Match { prefix: other.clone(), kind, bucket: Bucket::of(other) };
            let wins = precedes(prefix, other);
            let (winner, loser) = if wins { (prefix, other) } else { (other, prefix) };
            let overlap = Overlap { entry, whole: covers(winner, loser) };
            if wins { overlaps.shadows.push(overlap) } else { overlaps.shadowed_by.push(overlap) }
        }
        overlaps
    }
}

/// Whether some request matches both.
fn meet(one: &UrlPrefix, other: &UrlPrefix) -> bool {
    let hosts = Bucket::of(one) != Bucket::of(other) || one.host() == other.host();
    let paths = one.covers_path(other.path()) || other.covers_path(one.path());
    one.port() == other.port() && one.scheme() == other.scheme() && hosts && paths
}

/// Whether a request that both match goes to `one`.
fn precedes(one: &UrlPrefix, other: &UrlPrefix) -> bool {
    let (first, second) = (Bucket::of(one), Bucket::of(other));
    first < second || first == second && one.folded_path().len() > other.folded_path().len()
}

/// Whether `winner` matches everything that `loser` does.
fn covers(winner: &UrlPrefix, loser: &UrlPrefix) -> bool {
    let hosts = *winner.host() == PrefixHost::Strong || winner.host() == loser.host();
    hosts && winner.covers_path(loser.path())
}
