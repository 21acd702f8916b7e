//! The prefixes of one bucket and host, by path segment.
//!
//! A look-up costs one small map look-up per segment and ends at the first segment nobody has, so neither the
//! number of prefixes nor the length of a hostile path matters. Nodes are shared between tables until changed.

use std::sync::Arc;

use super::names::Names;
use crate::prefix::UrlPrefix;

#[derive(Clone)]
pub(super) struct Entry<T> {
    pub(super) prefix: UrlPrefix,
    pub(super) value: T,
}

/// One path, with what is registered and reserved there.
#[derive(Clone)]
pub(super) struct Node<R, V> {
    pub(super) registered: Option<Entry<V>>,
    pub(super) reserved: Option<Entry<R>>,
    below: Names<Arc<Self>>,
}

impl<R, V> Node<R, V> {
    pub(super) const fn new() -> Self {
        Self { registered: None, reserved: None, below: Names::new() }
    }

    fn has_entry(&self) -> bool {
        self.registered.is_some() || self.reserved.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_entry() && self.below.is_empty()
    }

    /// The deepest node with an entry on the way that `path` leads.
    pub(super) fn longest(&self, path: &str) -> Option<&Self> {
        let mut deepest = self.has_entry().then_some(self);
        if !self.below.is_empty() {
            self.walk(path, |node| deepest = Some(node));
        }
        deepest
    }

    /// Every node with an entry on the way that `path` leads, deepest first.
    pub(super) fn matches(&self, path: &str) -> Vec<&Self> {
        let mut nodes: Vec<_> = self.has_entry().then_some(self).into_iter().collect();
        self.walk(path, |node| nodes.push(node));
        nodes.reverse();
        nodes
    }

    fn walk<'a>(&'a self, path: &str, mut visit: impl FnMut(&'a Self)) {
        let mut node = self;
        for segment in segments(path) {
            let Some(below) = node.below.find(segment) else { return };
            node = below;
            if node.has_entry() {
                visit(node);
            }
            if node.below.is_empty() {
                return;
            }
        }
    }

    /// The node of exactly this folded prefix path.
    pub(super) fn get(&self, path: &str) -> Option<&Self> {
        prefix_segments(path).try_fold(self, |node, segment| node.below.get(segment).map(|below| &**below))
    }

    /// This node and all below it.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Self> {
        let mut pending = vec![self];
        std::iter::from_fn(move || {
            let node = pending.pop()?;
            pending.extend(node.below.values().map(|below| &**below));
            Some(node)
        })
    }
}

impl<R: Clone, V: Clone> Node<R, V> {
    /// The node of this folded prefix path, made if it is missing.
    pub(super) fn get_or_insert(&mut self, path: &str) -> &mut Self {
        prefix_segments(path)
            .fold(self, |node, segment| Arc::make_mut(node.below.get_or_insert_with(segment, || Arc::new(Self::new()))))
    }

    /// Takes something out of the node of this folded prefix path, and drops the nodes it leaves empty.
    pub(super) fn take<T>(&mut self, path: &str, take: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.take_below(prefix_segments(path), take)
    }

    fn take_below<'p, T>(
        &mut self,
        mut path: impl Iterator<Item = &'p str>,
        take: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let Some(segment) = path.next() else { return take(self) };
        let below = Arc::make_mut(self.below.get_mut(segment)?);
        // A prefix has at most 255 segments: the recursion is shallow.
        let taken = below.take_below(path, take);
        if below.is_empty() {
            self.below.remove(segment);
        }
        taken
    }
}

/// The segments of a request's path: `/a/b` and `/a/b/` both lead to the prefix `/a/b/`.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').into_iter().flat_map(|path| path.split('/'))
}

/// The segments of a prefix's path, none for `/`.
fn prefix_segments(path: &str) -> impl Iterator<Item = &str> {
    path.trim_matches('/').split('/').filter(|segment| !segment.is_empty())
}
