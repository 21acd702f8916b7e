//! Why a URL goes where it goes: the entry that gets it, and every other that would have matched.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::cooked::{self, CookError, Cooking};
use crate::host::{HostError, RequestHost};
use crate::prefix::{Scheme, UrlPrefix};
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
    /// A reservation that no app has registered comes first and keeps the URL from everybody else.
    UnownedReservation,
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
}

/// Where a URL goes and why. `Display` is a text for people.
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
}

/// Why a URL cannot be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// It is no absolute URL.
    #[error("write the whole URL, as in http://example.com:8888/path")]
    NotAbsolute,
    /// A request for it would be refused.
    #[error("a request for this URL is refused with 400: {0}")]
    Target(#[from] CookError),
    /// A request to its host would be refused.
    #[error("a request for this URL is refused with 400: {0}")]
    Host(#[from] HostError),
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
            None => Outcome::NoHost,
        };
        Explanation {
            scheme,
            local,
            host: host.map(|host| host.name().to_owned()),
            path: path.to_owned(),
            outcome,
            decided_by,
            shadowed,
        }
    }

    /// Explains an absolute URL as if a client had asked for it on the local address `local`.
    pub fn explain_url(&self, url: &str, local: IpAddr, mode: Cooking) -> Result<Explanation, ExplainError> {
        let target = cooked::cook(url, mode)?;
        let authority = target.authority().ok_or(ExplainError::NotAbsolute)?;
        let host = RequestHost::parse(authority.as_bytes())?;
        let is_https = url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let scheme = if is_https { Scheme::Https } else { Scheme::Http };
        let port = host.port().unwrap_or(scheme.default_port().get());
        Ok(self.explain(scheme, SocketAddr::new(local, port), Some(&host), target.path()))
    }
}

fn reason(winner: &Match, loser: &Match) -> Reason {
    match (winner.kind, loser.kind) {
        (EntryKind::Reservation, EntryKind::Registration) => Reason::UnownedReservation,
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
            Self::LaterBucket => "later bucket",
            Self::ShorterPath => "shorter path",
            Self::UnownedReservation => "behind a reservation without owner",
            Self::InUse => "in use by the registration",
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or("(no host)");
        writeln!(f, "{}://{host}:{}{}, arriving on {}", self.scheme, self.local.port(), self.path, self.local.ip())?;
        match (&self.decided_by, self.outcome) {
            (Some(winner), Outcome::Registered) => writeln!(f, "  goes to {winner}")?,
            (Some(winner), _) => writeln!(f, "  gets 503: {winner} has no app; start it, or delete the reservation")?,
            (None, Outcome::NoPath) => {
                writeln!(f, "  gets 404: the host is known, but nothing is registered for the path")?;
            }
            (None, _) => {
                writeln!(f, "  gets 400: nothing on port {} is registered for the host", self.local.port())?;
            }
        }
        for Shadowed { entry, reason } in &self.shadowed {
            writeln!(f, "  not to {entry}: {reason}")?;
        }
        Ok(())
    }
}
