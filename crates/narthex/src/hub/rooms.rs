//! Who is where: the index of all peers, and those of channels, groups and sub-protocols. Reading never waits for a joiner for
//! longer than it takes to copy a pointer: a list is handed out as it was when somebody asked.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use indexmap::IndexSet;

use super::mask::matches;
use super::peer::{Peer, PeerId};

/// Peers, and a list of them that is made when somebody asks for it after a change.
#[derive(Default)]
pub(super) struct Members(RwLock<List>);

#[derive(Default)]
struct List {
    /// In the order in which they came, but for gaps that the latest have filled: what belongs to neighbours is near in memory, here and in
    /// the system, and a broadcast in this order waits for less of it.
    members: IndexSet<Member>,
    listed: Option<Arc<[Peer]>>,
}

/// A peer, found by its id.
struct Member(Peer);

impl Borrow<PeerId> for Member {
    fn borrow(&self) -> &PeerId {
        &self.0.0.id
    }
}

impl Hash for Member {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for Member {}

impl Members {
    fn read(&self) -> RwLockReadGuard<'_, List> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, List> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut IndexSet<Member>) -> bool) -> bool {
        let mut list = self.write();
        let listed = list.listed.take();
        let has_changed = change(&mut list.members);
        drop(list);
        // It may be the last who has the list, and lets go of everybody in it: nobody is to wait for that.
        drop(listed);
        has_changed
    }

    /// Returns whether the peer is new.
    pub(super) fn insert(&self, peer: &Peer) -> bool {
        self.change(|members| members.insert(Member(peer.clone())))
    }

    /// Returns whether the peer was there.
    pub(super) fn remove(&self, id: PeerId) -> bool {
        self.change(|members| members.swap_remove(&id))
    }

    pub(super) fn get(&self, id: PeerId) -> Option<Peer> {
        self.read().members.get(&id).map(|member| member.0.clone())
    }

    pub(super) fn contains(&self, id: PeerId) -> bool {
        self.read().members.contains(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.read().members.len()
    }

    /// All of them, as they are now.
    pub(super) fn list(&self) -> Arc<[Peer]> {
        if let Some(listed) = &self.read().listed {
            return Arc::clone(listed);
        }
        let mut list = self.write();
        let List { members, listed } = &mut *list;
        Arc::clone(listed.get_or_insert_with(|| members.iter().map(|member| member.0.clone()).collect()))
    }
}

/// What a name can stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Channel,
    Group,
    Protocol,
}

/// A channel, a group or a sub-protocol that somebody is in.
pub(super) struct Room {
    pub(super) name: Box<str>,
    pub(super) members: Members,
}

/// Where a peer is.
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) room: Arc<Room>,
}

/// All rooms of a kind.
#[derive(Default)]
pub(super) struct Rooms(RwLock<Named>);

#[derive(Default)]
struct Named {
    exact: HashMap<Box<str>, Arc<Room>>,
    /// Those whose name is a mask.
    masks: HashMap<Box<str>, Arc<Room>>,
}

impl Named {
    fn of(&mut self, name: &str) -> &mut HashMap<Box<str>, Arc<Room>> {
        if super::mask::is_mask(name) { &mut self.masks } else { &mut self.exact }
    }
}

impl Rooms {
    fn read(&self) -> RwLockReadGuard<'_, Named> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a peer in. `None`: it is there already.
    pub(super) fn join(&self, name: &str, peer: &Peer) -> Option<Arc<Room>> {
        let mut named = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let rooms = named.of(name);
        let room = match rooms.get(name) {
            Some(room) => Arc::clone(room),
            None => {
                let room = Arc::new(Room { name: name.into(), members: Members::default() });
                rooms.insert(name.into(), Arc::clone(&room));
                room
            }
        };
        room.members.insert(peer).then_some(room)
    }

    /// Lets a peer out. A room without peers is gone. Returns whether the peer was there.
    pub(super) fn leave(&self, name: &str, id: PeerId) -> bool {
        let mut named = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let rooms = named.of(name);
        let Some(room) = rooms.get(name) else { return false };
        let was_there = room.members.remove(id);
        if room.members.len() == 0 {
            rooms.remove(name);
        }
        was_there
    }

    /// The room of exactly this name.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Room>> {
        let named = self.read();
        named.exact.get(name).or_else(|| named.masks.get(name)).cloned()
    }

    /// Where a message to `name` goes: the room of that name, and those whose name is a mask for it.
    pub(super) fn reached_by(&self, name: &str) -> Vec<Arc<Room>> {
        let named = self.read();
        let masks = named.masks.values().filter(|room| matches(&room.name, name));
        named.exact.get(name).into_iter().chain(masks).cloned().collect()
    }

    /// The rooms whose names `mask` stands for.
    pub(super) fn named_like(&self, mask: &str) -> Vec<Arc<Room>> {
        let named = self.read();
        if !super::mask::is_mask(mask) {
            return named.exact.get(mask).into_iter().cloned().collect();
        }
        named.exact.values().filter(|room| matches(mask, &room.name)).cloned().collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let named = self.read();
        named.exact.keys().chain(named.masks.keys()).map(|name| String::from(&**name)).collect()
    }
}

/// Peers by id: those of a thread are together. There may be very many, and they come and go: one list of all would be made anew too often,
/// and all threads would wait for each other.
pub(super) struct Index {
    shards: [Members; Index::SHARDS],
    /// How many there are: who asks waits for no thread.
    count: AtomicUsize,
}

impl Default for Index {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Members::default()), count: AtomicUsize::new(0) }
    }
}

impl Index {
    const SHARDS: usize = 64;

    fn shard(&self, id: PeerId) -> &Members {
        &self.shards[usize::from(id.thread()) % Self::SHARDS]
    }

    pub(super) fn insert(&self, peer: &Peer) {
        if self.shard(peer.id()).insert(peer) {
            self.count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn remove(&self, id: PeerId) {
        if self.shard(id).remove(id) {
            self.count.fetch_sub(1, Relaxed);
        }
    }

    pub(super) fn get(&self, id: PeerId) -> Option<Peer> {
        self.shard(id).get(id)
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    pub(super) fn lists(&self) -> impl Iterator<Item = Arc<[Peer]>> {
        self.shards.iter().map(Members::list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::channels::Speaks;

    fn peer() -> Peer {
        Peer::alone(Speaks::Raw)
    }

    #[test]
    fn peers_of_a_thread_are_listed_in_the_order_in_which_they_came() {
        let index = Index::default();
        let mut came: Vec<Peer> = (0..100).map(|_| peer()).collect();
        for peer in &came {
            index.insert(peer);
        }
        let elsewhere = std::thread::spawn(peer).join().unwrap();
        index.insert(&elsewhere);
        let list = |peer: &Peer| index.shard(peer.id()).list().to_vec();
        assert!(list(&came[0]) == came, "in order");
        assert_eq!((list(&elsewhere).len(), index.len()), (1, 101));

        // The latest fills the gap.
        let gone = came.swap_remove(10);
        index.remove(gone.id());
        index.remove(gone.id());
        assert!(list(&came[0]) == came, "in order but for the gap");
        assert!(index.get(gone.id()).is_none() && index.get(came[50].id()).as_ref() == Some(&came[50]));
        index.insert(&came[5]);
        assert_eq!((list(&came[5]).len(), index.len()), (99, 100), "each is there once");
    }
}
