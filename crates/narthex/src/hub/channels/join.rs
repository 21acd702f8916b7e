//! How a peer comes into a channel and leaves it: with what it has missed, and with word to those who are there.

use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::Speaks;
use super::envelope::Envelope;
use super::protocol::{Member, Outgoing};
use super::topic::{At, Position, State, Topic};
use crate::hub::Inner;
use crate::hub::outbox::{Item, Shared, What};
use crate::hub::peer::Peer;
use crate::hub::rooms::Kind;

/// What a subscriber wants besides what comes.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::hub) struct Wish {
    /// The request's.
    pub(in crate::hub) id: Option<u64>,
    /// It was there before, up to here.
    pub(in crate::hub) since: Option<Position>,
    /// If it was not, or cannot get all that it missed: the last so many messages.
    pub(in crate::hub) last: usize,
    /// The list of who is there.
    pub(in crate::hub) members: bool,
}

/// What is told of all that was missed, or why not.
struct Recovery {
    recovered: Option<bool>,
    reason: Option<&'static str>,
}

impl Recovery {
    /// The channel keeps nothing.
    fn impossible(wish: &Wish) -> Self {
        Self { recovered: wish.since.map(|_| false), reason: wish.since.map(|_| "no-history") }
    }
}

/// Told when the transport has what was missed.
type Replayed = oneshot::Receiver<()>;

/// Subscribes a peer that has not subscribed to this channel. `Err`: it has, or it has left.
pub(in crate::hub) fn join(hub: &Inner, name: &str, peer: &Peer, wish: Wish) -> Result<Option<Replayed>, ()> {
    let topics = hub.protocol.as_ref().map(|protocol| &protocol.topics);
    // What the app says of the peer it must not say under a lock.
    let info = topics.and_then(|topics| topics.presence_of(name)).map(|describe| Arc::from(describe(peer)));
    let entered = topics.and_then(|topics| topics.with(name, |topic, state| enter_topic(hub, topic, state, peer, wish, info)));
    entered.unwrap_or_else(|| enter_channel(hub, name, peer, wish))
}

/// Into a channel that remembers nothing.
fn enter_channel(hub: &Inner, name: &str, peer: &Peer, wish: Wish) -> Result<Option<Replayed>, ()> {
    if peer.is_in(Kind::Channel, name) {
        return Err(());
    }
    let Recovery { recovered, reason } = Recovery::impossible(&wish);
    // Before what is live.
    peer.tell(&Outgoing::Subscribed {
        id: wish.id,
        channel: name,
        position: None,
        recovered,
        reason,
        replayed: None,
        members: None,
    });
    hub.enter_room(Kind::Channel, name, peer).then_some(None).ok_or(())
}

/// Into a topic: the answer, what was kept, and then what is live, with nothing in between, since the topic is locked.
fn enter_topic(
    hub: &Inner,
    topic: &Topic,
    state: &mut State,
    peer: &Peer,
    wish: Wish,
    info: Option<Arc<RawValue>>,
) -> Result<Option<Replayed>, ()> {
    let name = &*topic.identity.name;
    if peer.is_in(Kind::Channel, name) {
        return Err(());
    }
    if let Some(info) = &info {
        state.members.insert(peer.id(), Arc::clone(info));
    }
    let (Recovery { recovered, reason }, kept) = prepare(topic, state, &wish);
    // Where the client is before it has what was kept: if it is lost halfway, it comes back to there.
    let at = topic.history.map(|_| topic.at(state.ring.top().saturating_sub(kept.len() as u64)));
    let most_members = hub.protocol.as_ref().map_or(0, |protocol| protocol.max_members);
    let reply = Outgoing::Subscribed {
        id: wish.id,
        channel: name,
        position: at.as_ref().map(At::position),
        recovered,
        reason,
        replayed: topic.history.map(|_| kept.len()),
        members: (wish.members && topic.describe.is_some()).then(|| state.members(most_members)),
    };
    peer.tell_at(&reply, at);
    let replayed = replay(peer, kept);
    if !hub.enter_room(Kind::Channel, name, peer) {
        // It has left meanwhile.
        state.members.remove(&peer.id());
        return Err(());
    }
    state.subscribers += 1;
    if let Some(info) = &info {
        let joined = Outgoing::Joined { channel: name, member: Member { peer: peer.id(), info } };
        notify(hub, name, &joined, peer);
    }
    Ok(replayed)
}

/// What a subscriber gets of what was kept.
fn prepare(topic: &Topic, state: &mut State, wish: &Wish) -> (Recovery, Vec<Arc<Envelope>>) {
    let told = |recovered, reason| Recovery { recovered: Some(recovered), reason };
    let Some(history) = &topic.history else {
        return (Recovery::impossible(wish), Vec::new());
    };
    state.ring.expire(history);
    let last = |ring: &super::history::Ring| ring.last(wish.last).cloned().collect();
    let Some(since) = wish.since else {
        return (Recovery { recovered: None, reason: None }, last(&state.ring));
    };
    if since.epoch != topic.identity.epoch {
        return (told(false, Some("epoch")), last(&state.ring));
    }
    match state.ring.since(since.offset) {
        Some(missed) => (told(true, None), missed.cloned().collect()),
        None => (told(false, Some("trimmed")), last(&state.ring)),
    }
}

/// Sends what was kept. It does not count against the peer's limits: it was kept within limits of its own, and is not copied.
fn replay(peer: &Peer, missed: Vec<Arc<Envelope>>) -> Option<Replayed> {
    if peer.speaks() == Speaks::Raw {
        return None;
    }
    let last = missed.len().checked_sub(1)?;
    let (done, replayed) = oneshot::channel();
    let mut done = Some(done);
    for (at, envelope) in missed.into_iter().enumerate() {
        let done = if at == last { done.take() } else { None };
        let item = Item { done, uncounted: true, ..Item::new(What::Shared(Shared::Envelope(envelope))) };
        if !peer.push(item).is_queued() {
            return None;
        }
    }
    Some(replayed)
}

/// Ends a subscription. Returns whether there was one.
pub(in crate::hub) fn leave(hub: &Inner, name: &str, peer: &Peer) -> bool {
    let remembered = hub.protocol.as_ref().and_then(|protocol| {
        protocol.topics.with(name, |_, state| {
            let left = hub.leave_room(Kind::Channel, name, peer);
            if left {
                state.subscribers = state.subscribers.saturating_sub(1);
            }
            if state.members.remove(&peer.id()).is_some() {
                notify(hub, name, &Outgoing::Left { channel: name, peer: peer.id() }, peer);
            }
            left
        })
    });
    remembered.unwrap_or_else(|| hub.leave_room(Kind::Channel, name, peer))
}

/// Tells a peer that it is no longer subscribed.
pub(in crate::hub) fn tell_unsubscribed(peer: &Peer, channel: &str, id: Option<u64>) {
    peer.tell(&Outgoing::Unsubscribed { id, channel });
}

/// Tells those who have subscribed of somebody else.
fn notify(hub: &Inner, name: &str, outgoing: &Outgoing<'_>, about: &Peer) {
    let envelope = Arc::new(Envelope::new(outgoing, None, hub.compressors.clone()));
    hub.each_in(&hub.channels.reached_by(name), |peer| {
        if peer != about && peer.speaks() != Speaks::Raw {
            // Who is too slow for it is dealt with by its own queue.
            let _ = peer.share(Shared::Envelope(Arc::clone(&envelope)));
        }
    });
}

impl Peer {
    /// Sends a message of the protocol, if it is spoken.
    pub(super) fn tell(&self, outgoing: &Outgoing<'_>) {
        self.tell_at(outgoing, None);
    }

    fn tell_at(&self, outgoing: &Outgoing<'_>, at: Option<At>) {
        let what = match (self.speaks(), at) {
            (Speaks::Raw, _) => return,
            (Speaks::Events, Some(at)) => What::Shared(Shared::Envelope(Arc::new(Envelope::new(outgoing, Some(at), None)))),
            _ => What::Message(outgoing.text().into()),
        };
        // What a client of events is told it has not asked for again and again: its request is bounded.
        let _ = self.push(Item { uncounted: self.speaks() == Speaks::Events, ..Item::new(what) });
    }
}
