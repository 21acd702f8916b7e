//! One message to many peers.

use std::collections::HashSet;
use std::future::{IntoFuture, Ready, ready};
use std::sync::Arc;

use narthex_ws::Broadcast as Frames;

use super::Hub;
use super::message::Message;
use super::outbox::{Priority, Sent};
use super::peer::{Peer, PeerId};
use super::rooms::Room;

/// A message on its way to many, made by [`Hub::broadcast`]. What its methods say are conditions: a peer gets it if all are met.
///
/// It goes out with [`send`](Self::send), or when it is awaited, which is the same: neither waits for anybody. Each form of
/// the frame is made once, however many get it. One peer's failure is nobody else's.
#[must_use = "nothing is sent before `send` is called or it is awaited"]
pub struct Broadcast<'a> {
    hub: &'a Hub,
    message: Message,
    channel: Option<String>,
    group: Option<String>,
    protocol: Option<String>,
    include: Option<HashSet<PeerId>>,
    exclude: HashSet<PeerId>,
    filter: Option<Filter<'a>>,
    priority: Priority,
    key: Option<String>,
}

type Filter<'a> = Box<dyn Fn(&Peer) -> bool + Send + 'a>;

/// How many peers a broadcast reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// It waits for these, or is on its way to them.
    pub queued: usize,
    /// These had no room for it.
    pub refused: usize,
}

impl<'a> Broadcast<'a> {
    pub(super) fn new(hub: &'a Hub, message: Message) -> Self {
        Self {
            hub,
            message,
            channel: None,
            group: None,
            protocol: None,
            include: None,
            exclude: HashSet::new(),
            filter: None,
            priority: Priority::default(),
            key: None,
        }
    }

    /// To those who have subscribed to this channel, or to a mask that stands for it.
    pub fn channel(mut self, name: impl Into<String>) -> Self {
        self.channel = Some(name.into());
        self
    }

    /// To the members of this group, or of all groups that this mask stands for.
    pub fn group(mut self, name_or_mask: impl Into<String>) -> Self {
        self.group = Some(name_or_mask.into());
        self
    }

    /// To those who speak this sub-protocol.
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = Some(protocol.into());
        self
    }

    /// To these. Called again, to those too.
    pub fn include(mut self, ids: impl IntoIterator<Item = PeerId>) -> Self {
        self.include.get_or_insert_default().extend(ids);
        self
    }

    /// Not to this one, even if it is included.
    pub fn exclude(mut self, id: PeerId) -> Self {
        self.exclude.insert(id);
        self
    }

    /// Not to these.
    pub fn exclude_all(mut self, ids: impl IntoIterator<Item = PeerId>) -> Self {
        self.exclude.extend(ids);
        self
    }

    /// To those for whom `condition` holds.
    pub fn filter(mut self, condition: impl Fn(&Peer) -> bool + Send + 'a) -> Self {
        self.filter = Some(Box::new(condition));
        self
    }

    /// Before or after other messages that wait. Default: [`Priority::Normal`].
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// In the place of an earlier message with this key that still waits.
    pub fn latest(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sends it.
    pub fn send(self) -> Reached {
        let compressors = self.hub.0.compressors.clone();
        let frames = match &self.message {
            Message::Text(text) => Frames::text(text, compressors),
            Message::Binary(bytes) => Frames::binary(bytes, compressors),
        };
        let mut reached = Reached::default();
        self.each(|peer| match peer.share(frames.clone(), self.priority, self.key.as_deref()) {
            Sent::Queued => reached.queued += 1,
            Sent::Refused => reached.refused += 1,
            Sent::NotFound => {}
        });
        reached
    }

    fn each(&self, mut visit: impl FnMut(&Peer)) {
        let hub = &self.hub.0;
        let rooms = |chosen: &Option<String>, find: &dyn Fn(&str) -> Vec<Arc<Room>>| chosen.as_deref().map(find);
        let conditions: Vec<Vec<Arc<Room>>> = [
            rooms(&self.channel, &|name| hub.channels.reached_by(name)),
            rooms(&self.group, &|mask| hub.groups.named_like(mask)),
            rooms(&self.protocol, &|name| hub.protocols.get(name).into_iter().collect()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut visit = |peer: &Peer, known: usize| {
            let id = peer.id();
            let is_in = |rooms: &Vec<Arc<Room>>| rooms.iter().any(|room| room.members.contains(id));
            let wanted = !self.exclude.contains(&id)
                && self.include.as_ref().is_none_or(|include| include.contains(&id))
                && conditions.iter().skip(known).all(is_in)
                && self.filter.as_ref().is_none_or(|filter| filter(peer));
            if wanted {
                visit(peer);
            }
        };
        if let Some(include) = &self.include {
            include.iter().filter_map(|id| self.hub.peer(*id)).for_each(|peer| visit(&peer, 0));
            return;
        }
        let Some(first) = conditions.first() else {
            return hub.peers.lists().for_each(|list| list.iter().for_each(|peer| visit(peer, 0)));
        };
        // Who is in several rooms gets it once.
        let mut seen = HashSet::new();
        for room in first {
            for peer in room.members.list().iter() {
                if first.len() == 1 || seen.insert(peer.id()) {
                    visit(peer, 1);
                }
            }
        }
    }
}

impl IntoFuture for Broadcast<'_> {
    type Output = Reached;
    type IntoFuture = Ready<Reached>;

    fn into_future(self) -> Ready<Reached> {
        ready(self.send())
    }
}
