//! Which channels remember, and the ones that have something to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use super::history::History;
use super::settings::Describe;
use super::topic::{State, Topic};
use crate::hub::mask::{is_mask, matches};

pub(super) struct Topics {
    /// Which channels keep what; the first mask that fits counts.
    pub(super) history: Vec<(String, History)>,
    /// Which channels know who is there, and how peers are described.
    pub(super) presence: Vec<(String, Describe)>,
    /// What all histories may hold together.
    pub(super) most_bytes: usize,
    named: RwLock<Named>,
    bytes: AtomicUsize,
}

#[derive(Default)]
struct Named {
    topics: HashMap<Box<str>, Arc<Topic>>,
    /// With so many topics, those whose messages have grown too old are looked for.
    sweep_at: usize,
}

/// Below this, nobody looks for old topics.
const FEW: usize = 1_024;

impl Default for Topics {
    fn default() -> Self {
        Self {
            history: Vec::new(),
            presence: Vec::new(),
            most_bytes: 64 << 20,
            named: RwLock::default(),
            bytes: AtomicUsize::new(0),
        }
    }
}

impl Topics {
    /// Whether messages to this channel are kept.
    pub(super) fn keeps(&self, name: &str) -> bool {
        self.history_of(name).is_some()
    }

    /// How peers are described in this channel, if it knows who is there.
    pub(super) fn presence_of(&self, name: &str) -> Option<Describe> {
        rule(&self.presence, name).cloned()
    }

    fn history_of(&self, name: &str) -> Option<History> {
        rule(&self.history, name).copied()
    }

    /// Does something under the lock of the topic of this name. `None`: the channel remembers nothing.
    pub(super) fn with<R>(&self, name: &str, act: impl FnOnce(&Topic, &mut State) -> R) -> Option<R> {
        loop {
            let topic = self.find(name).or_else(|| self.create(name))?;
            let mut state = topic.lock();
            if state.gone {
                continue;
            }
            let before = state.ring.bytes();
            let result = act(&topic, &mut state);
            let idle = state.is_idle();
            // Under the lock: what is taken away later must have been added before.
            let is_too_much = self.account(before, state.ring.bytes());
            drop(state);
            if is_too_much {
                self.make_room();
            }
            if idle {
                self.forget_if_idle(&mut self.write(), name);
            }
            return Some(result);
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Topic>> {
        self.named.read().unwrap_or_else(PoisonError::into_inner).topics.get(name).cloned()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Named> {
        self.named.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(&self, name: &str) -> Option<Arc<Topic>> {
        let history = self.history_of(name);
        let describe = self.presence_of(name);
        if history.is_none() && describe.is_none() {
            return None;
        }
        let mut named = self.write();
        if named.topics.len() >= named.sweep_at.max(FEW) {
            self.sweep(&mut named);
        }
        let topic = named.topics.entry(name.into()).or_insert_with(|| Arc::new(Topic::new(name, history, describe)));
        Some(Arc::clone(topic))
    }

    /// Counts how a history has changed. Returns whether all of them are too large now.
    fn account(&self, before: usize, after: usize) -> bool {
        if after <= before {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
            return false;
        }
        let more = after - before;
        self.bytes.fetch_add(more, Ordering::Relaxed) + more > self.most_bytes
    }

    /// Empties the histories that were used longest ago, until there is room for a while.
    fn make_room(&self) {
        let mut named = self.write();
        let mut kept: Vec<_> = named.topics.values().map(|topic| (topic.lock().ring.last_used(), Arc::clone(topic))).collect();
        kept.sort_unstable_by_key(|(last_used, _)| *last_used);
        for (_, topic) in kept {
            if self.bytes.load(Ordering::Relaxed) <= self.most_bytes / 4 * 3 {
                break;
            }
            let mut state = topic.lock();
            self.bytes.fetch_sub(state.ring.bytes(), Ordering::Relaxed);
            state.ring.clear();
            drop(state);
            self.forget_if_idle(&mut named, &topic.identity.name);
        }
    }

    /// Drops what is too old, and the topics that are nothing but that.
    fn sweep(&self, named: &mut Named) {
        let topics: Vec<_> = named.topics.values().cloned().collect();
        for topic in topics {
            let mut state = topic.lock();
            let before = state.ring.bytes();
            if let Some(history) = &topic.history {
                state.ring.expire(history);
            }
            self.bytes.fetch_sub(before - state.ring.bytes(), Ordering::Relaxed);
            drop(state);
            self.forget_if_idle(named, &topic.identity.name);
        }
        named.sweep_at = named.topics.len() * 2;
    }

    fn forget_if_idle(&self, named: &mut Named, name: &str) {
        let Some(topic) = named.topics.get(name) else { return };
        let mut state = topic.lock();
        if state.is_idle() {
            state.gone = true;
            drop(state);
            named.topics.remove(name);
        }
    }
}

/// The first whose mask stands for this channel. A mask is no channel.
fn rule<'a, T>(rules: &'a [(String, T)], name: &str) -> Option<&'a T> {
    let (_, rule) = rules.iter().find(|(mask, _)| matches(mask, name))?;
    (!is_mask(name)).then_some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::channels::envelope::Envelope;

    fn keeping(most_bytes: usize) -> Topics {
        Topics { history: vec![("chat/*".to_owned(), History::last(10))], most_bytes, ..Topics::default() }
    }

    fn say(topics: &Topics, name: &str, text: &str) -> u64 {
        topics
            .with(name, |topic, state| {
                state.ring.push(Arc::new(Envelope::of_text(text)), &topic.history.unwrap());
                state.ring.top()
            })
            .unwrap()
    }

    fn kept(topics: &Topics, name: &str) -> usize {
        topics.with(name, |_, state| state.ring.last(100).count()).unwrap()
    }

    #[test]
    fn only_channels_that_a_mask_names_remember() {
        let topics = keeping(1 << 20);
        assert!(topics.with("news", |_, _| ()).is_none());
        assert_eq!((say(&topics, "chat/a", "1"), say(&topics, "chat/a", "2"), say(&topics, "chat/b", "1")), (1, 2, 1));
        assert_eq!((kept(&topics, "chat/a"), kept(&topics, "chat/b"), topics.keeps("news")), (2, 1, false));
    }

    #[test]
    fn a_topic_that_nobody_uses_is_forgotten_and_its_next_life_has_another_epoch() {
        let topics = keeping(1 << 20);
        let epoch = || topics.with("chat/a", |topic, _| topic.identity.epoch).unwrap();
        assert_ne!(epoch(), epoch());
        assert!(topics.find("chat/a").is_none());
        topics.with("chat/a", |_, state| state.subscribers += 1);
        assert_eq!(epoch(), epoch());
    }

    #[test]
    fn all_histories_together_are_bounded_and_the_longest_unused_go_first() {
        let topics = keeping(10_000);
        for number in 0..100 {
            say(&topics, &format!("chat/{number}"), &"x".repeat(1_000));
            assert!(topics.bytes.load(Ordering::Relaxed) <= 10_000);
        }
        assert!(topics.find("chat/0").is_none() && topics.find("chat/99").is_some());
        let held: usize = topics.write().topics.values().map(|topic| topic.lock().ring.bytes()).sum();
        assert_eq!(topics.bytes.load(Ordering::Relaxed), held);
    }

    #[tokio::test(start_paused = true)]
    async fn topics_whose_messages_are_too_old_are_found_when_there_are_many() {
        let topics = keeping(64 << 20);
        for number in 0..FEW {
            say(&topics, &format!("chat/{number}"), "x");
        }
        tokio::time::advance(std::time::Duration::from_secs(4_000)).await;
        say(&topics, "chat/new", "x");
        assert_eq!(topics.write().topics.len(), 1);
    }
}
