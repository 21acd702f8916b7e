//! A map from host names or path segments, which compares without regard to case and does not copy ASCII names.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::case;

/// Up to here comparing lengths and bytes is cheaper than hashing.
const FEW: usize = 8;
/// What is folded on the stack before a hash look-up; no DNS name or path segment of a prefix is longer in ASCII.
const LONGEST_ASCII: usize = 260;

/// Keys are folded (see [`case::fold`]); look-ups fold what they are given.
#[derive(Clone)]
pub(super) enum Names<T> {
    Few(Vec<(Box<str>, T)>),
    /// Seeded per map: clients choose what is looked up, though only apps choose what is in it.
    Many(HashMap<Box<[u8]>, T, RandomState>),
}

impl<T> Names<T> {
    pub(super) const fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    /// The value for `name` in any case.
    pub(super) fn find(&self, name: &str) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        if !name.is_ascii() {
            return self.get(&case::fold(name));
        }
        match self {
            Self::Few(few) => few.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value),
            Self::Many(many) => {
                let mut folded = [0; LONGEST_ASCII];
                let folded = folded.get_mut(..name.len())?;
                folded.copy_from_slice(name.as_bytes());
                folded.make_ascii_lowercase();
                many.get(&*folded)
            }
        }
    }

    /// The value for an already folded key.
    pub(super) fn get(&self, key: &str) -> Option<&T> {
        match self {
            Self::Few(few) => few.iter().find(|(known, _)| **known == *key).map(|(_, value)| value),
            Self::Many(many) => many.get(key.as_bytes()),
        }
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        match self {
            Self::Few(few) => few.iter_mut().find(|(known, _)| **known == *key).map(|(_, value)| value),
            Self::Many(many) => many.get_mut(key.as_bytes()),
        }
    }

    /// The value for a folded key, put there if it is missing.
    pub(super) fn get_or_insert_with(&mut self, key: &str, new: impl FnOnce() -> T) -> &mut T {
        if let Self::Few(few) = self
            && few.len() == FEW
            && !few.iter().any(|(known, _)| **known == *key)
        {
            let all = few.drain(..).map(|(key, value)| (key.into_boxed_bytes(), value));
            *self = Self::Many(all.collect());
        }
        match self {
            Self::Few(few) => {
                let at = few.iter().position(|(known, _)| **known == *key).unwrap_or_else(|| {
                    few.push((key.into(), new()));
                    few.len() - 1
                });
                &mut few[at].1
            }
            Self::Many(many) => many.entry(key.as_bytes().into()).or_insert_with(new),
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        match self {
            Self::Few(few) => few.retain(|(known, _)| **known != *key),
            Self::Many(many) => {
                many.remove(key.as_bytes());
            }
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        let (few, many) = match self {
            Self::Few(few) => (Some(few), None),
            Self::Many(many) => (None, Some(many)),
        };
        few.into_iter().flatten().map(|(_, value)| value).chain(many.into_iter().flat_map(HashMap::values))
    }
}
