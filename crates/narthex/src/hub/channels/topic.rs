//! A channel that remembers: what was said, who is there.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::history::{History, Ring};
use super::protocol::{Member, Members};
use super::settings::Describe;
use crate::hub::peer::PeerId;

/// Which life of a channel its offsets belong to: another after a restart, and after the channel was forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// No channel's.
    pub(super) const UNKNOWN: Self = Self(0);

    fn random() -> Self {
        Self(fastrand::u64(1..))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

impl FromStr for Epoch {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// How far a channel's history has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which life of the channel.
    pub epoch: Epoch,
    /// The number of the message: the first has 1. 0: before the first.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.offset)
    }
}

impl FromStr for Position {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, offset) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { epoch: epoch.parse()?, offset: offset.parse()? })
    }
}

/// Which channel, in which of its lives.
pub(super) struct Identity {
    pub(super) name: Box<str>,
    pub(super) epoch: Epoch,
}

/// Where a message stands.
#[derive(Clone)]
pub(in crate::hub) struct At {
    pub(super) identity: Arc<Identity>,
    pub(super) offset: u64,
}

impl At {
    pub(in crate::hub) fn channel(&self) -> &str {
        &self.identity.name
    }

    pub(in crate::hub) fn position(&self) -> Position {
        Position { epoch: self.identity.epoch, offset: self.offset }
    }
}

pub(super) struct Topic {
    pub(super) identity: Arc<Identity>,
    pub(super) history: Option<History>,
    pub(super) describe: Option<Describe>,
    state: Mutex<State>,
}

/// What changes under the topic's lock.
#[derive(Default)]
pub(super) struct State {
    pub(super) ring: Ring,
    pub(super) members: BTreeMap<PeerId, Arc<RawValue>>,
    /// Peers in the room of exactly this name.
    pub(super) subscribers: usize,
    /// It was taken out of the registry: who has found it before has to look again.
    pub(super) gone: bool,
}

impl Topic {
    pub(super) fn new(name: &str, history: Option<History>, describe: Option<Describe>) -> Self {
        let identity = Arc::new(Identity { name: name.into(), epoch: Epoch::random() });
        Self { identity, history, describe, state: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn at(&self, offset: u64) -> At {
        At { identity: Arc::clone(&self.identity), offset }
    }
}

impl State {
    /// Nobody would miss it.
    pub(super) fn is_idle(&self) -> bool {
        self.subscribers == 0 && self.ring.is_empty()
    }

    /// The first of those who are there.
    pub(super) fn members(&self, most: usize) -> Members<'_> {
        let members = self.members.iter().take(most).map(|(peer, info)| Member { peer: *peer, info }).collect();
        Members { members, total: self.members.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_written_and_read() {
        let position = Position { epoch: Epoch(0xabc), offset: 12 };
        assert_eq!(position.to_string(), "0000000000000abc.12");
        assert_eq!(position.to_string().parse(), Ok(position));
        assert_eq!(serde_json::to_string(&position).unwrap(), r#"{"epoch":"0000000000000abc","offset":12}"#);
        for wrong in ["", ".", "abc", "x.1", "1.x", "1.-1", "11111111111111111.1"] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }
}
