//! Whose a refused request was, for the error log: also when its group is gone by then, as after an app's death.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::snapshot::{Group, Queue};

/// Groups that are remembered after their end. What an app leaves unanswered is refused right after it is gone.
const MOST_GONE: usize = 256;

/// What stands in a line of the error log.
#[derive(Clone, Debug)]
pub(super) struct Whose {
    pub(super) group: u64,
    pub(super) queue: Arc<Queue>,
}

/// The groups by the tags of their exchanges. An index would not do: the next group gets that of one that is gone.
#[derive(Debug, Default)]
pub(super) struct Tags {
    live: HashMap<u32, Whose>,
    gone: VecDeque<(u32, Whose)>,
}

/// The tag of a group's exchanges.
pub(crate) fn tag(group: &Group) -> u32 {
    // Numbers are given in turn: four thousand million groups later, nobody waits any more.
    (group.id & u64::from(u32::MAX)).try_into().unwrap_or_default()
}

impl Tags {
    /// From now on these are the groups.
    pub(super) fn set<'g>(&mut self, groups: impl Iterator<Item = (&'g Group, &'g Arc<Queue>)>) {
        let whose = |(group, queue): (&Group, &Arc<Queue>)| (tag(group), Whose { group: group.id, queue: Arc::clone(queue) });
        let before = std::mem::replace(&mut self.live, groups.map(whose).collect());
        self.gone.extend(before.into_iter().filter(|(tag, _)| !self.live.contains_key(tag)));
        self.gone.drain(..self.gone.len().saturating_sub(MOST_GONE));
    }

    pub(super) fn is_live(&self, tag: u32) -> bool {
        self.live.contains_key(&tag)
    }

    pub(super) fn get(&self, tag: u32) -> Option<&Whose> {
        let gone = || self.gone.iter().find(|(other, _)| *other == tag).map(|(_, whose)| whose);
        self.live.get(&tag).or_else(gone)
    }
}
