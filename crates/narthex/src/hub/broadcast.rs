//! One message to many peers.

use std::collections::HashSet;
use std::future::{IntoFuture, Ready, ready};
use std::sync::Arc;

use serde_json::value::RawValue;

use super::channels::{Forms, Position};
use super::message::Message;
use super::outbox::{Item, Priority, Sent, What};
use super::peer::{Peer, PeerId};
use super::rooms::Room;
use super::{Hub, Inner};

type Filter<'a> = Box<dyn Fn(&Peer) -> bool + Send + 'a>;

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
    /// What who speaks the channel protocol gets, if it is not the message's text.
    json: Option<Box<RawValue>>,
    /// The peer that says it.
    from: Option<PeerId>,
}

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
            json: None,
            from: None,
        }
    }

    /// To those who have subscribed to this channel, or to a mask that stands for it. Who speaks the channel protocol gets text in an
    /// envelope with the channel's name. If the channel keeps a history, it keeps text that has no other condition, no priority
    /// and no key: what not everybody gets in the same order is not a part of it.
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

    pub(super) fn json(mut self, json: Box<RawValue>, from: Option<PeerId>) -> Self {
        self.json = Some(json);
        self.from = from;
        self
    }

    /// Sends it.
    pub fn send(self) -> Reached {
        self.send_at().0
    }

    /// Sends it, and says where in its channel's history it stands.
    pub(super) fn send_at(self) -> (Reached, Option<Position>) {
        let forms = || {
            Forms::new(&self.message, self.channel.as_deref(), self.hub.0.compressors.clone())
                .data(self.json.as_deref(), self.from)
        };
        let recorded = match (&self.hub.0.protocol, &self.channel) {
            (Some(protocol), Some(channel)) if self.is_for_all() => protocol.record(channel, |at| {
                let forms = forms().at(at);
                let reached = self.deliver(&forms);
                forms.envelope().map(|envelope| (reached, Arc::clone(envelope)))
            }),
            _ => None,
        };
        match recorded {
            Some((reached, position)) => (reached, Some(position)),
            None => (self.deliver(&forms()), None),
        }
    }

    /// Whether all subscribers of its channel get it, in order.
    fn is_for_all(&self) -> bool {
        self.group.is_none()
            && self.protocol.is_none()
            && self.include.is_none()
            && self.exclude.is_empty()
            && self.filter.is_none()
            && self.is_plain()
            && self.message.as_text().is_some()
    }

    /// Whether it goes after what was sent before it and before what is sent after it.
    fn is_plain(&self) -> bool {
        self.priority == Priority::Normal && self.key.is_none()
    }

    fn deliver(&self, forms: &Forms<'_>) -> Reached {
        let mut reached = Reached::default();
        let send = |peer: &Peer| match forms.for_peer(peer) {
            Some(shared) if self.is_plain() => peer.share(shared),
            Some(shared) => {
                let key = self.key.as_deref().map(Into::into);
                peer.push(Item { priority: self.priority, key, ..Item::new(What::Shared(shared)) })
            }
            None => Sent::Refused,
        };
        self.each(|peer| match send(peer) {
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
        hub.each_in(first, |peer| visit(peer, 1));
    }
}

impl Inner {
    /// Everybody in these rooms. Who is in several is visited once.
    pub(super) fn each_in(&self, rooms: &[Arc<Room>], mut visit: impl FnMut(&Peer)) {
        let mut seen = HashSet::new();
        for room in rooms {
            for peer in room.members.list().iter() {
                if rooms.len() == 1 || seen.insert(peer.id()) {
                    visit(peer);
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
