//! What is done with a message of the protocol.

use std::sync::Arc;

use super::join::{Wish, join, leave, tell_unsubscribed};
use super::name::check;
use super::protocol::{Incoming, Outgoing};
use super::publish::Publication;
use super::rejection::Rejection;
use super::settings::Channels;
use super::topic::Position;
use crate::hub::handlers::Running;
use crate::hub::message::Message;
use crate::hub::peer::Peer;
use crate::hub::rooms::Kind;
use crate::hub::{Hub, Inner};

/// Says who the peer is: the first message of each connection.
pub(in crate::hub) fn greet(peer: &Peer) {
    peer.tell(&Outgoing::Welcome { peer: peer.id() });
}

/// Does what the client wants, or tells it why not.
pub(in crate::hub) fn serve(hub: &Arc<Inner>, peer: Peer, text: String) -> Running {
    let hub = Arc::clone(hub);
    Box::pin(async move {
        let Some(protocol) = &hub.protocol else { return Ok(()) };
        let (id, done) = match Incoming::parse(&text) {
            Ok(incoming) => (incoming.id, act(&hub, protocol, &peer, incoming).await),
            Err(rejection) => (None, Err(rejection)),
        };
        if let Err(Rejection { code, text }) = done {
            peer.tell(&Outgoing::Error { id, code: &code, text: &text });
        }
        Ok(())
    })
}

async fn act(hub: &Arc<Inner>, protocol: &Channels, peer: &Peer, mut incoming: Incoming) -> Result<(), Rejection> {
    match &*incoming.op {
        "subscribe" => subscribe(hub, protocol, peer, incoming).await,
        "unsubscribe" => {
            let channel = incoming.channel()?;
            if !leave(hub, &channel, peer) {
                return Err(not_subscribed());
            }
            tell_unsubscribed(peer, &channel, incoming.id);
            Ok(())
        }
        "publish" => publish(hub, protocol, peer, incoming).await,
        "presence" => presence(hub, protocol, peer, incoming),
        "request" => {
            let (id, name, data) = (incoming.needs_id()?, incoming.name()?, incoming.data());
            let Some(handler) = protocol.requests.get(&name) else {
                return Err(Rejection::coded("unknown-request", "this server has no answer to requests of this name"));
            };
            let data = handler(peer.clone(), data).await?;
            peer.tell(&Outgoing::Reply { id, data: &data });
            Ok(())
        }
        // Of a request that nobody waits for any more.
        "reply" | "error" => Ok(()),
        _ => Err(Rejection::coded("unknown-op", "this server knows no such operation")),
    }
}

async fn subscribe(hub: &Inner, protocol: &Channels, peer: &Peer, mut incoming: Incoming) -> Result<(), Rejection> {
    let already = || Rejection::coded("already-subscribed", "you have subscribed to this channel: unsubscribe first");
    let channel = incoming.channel()?;
    if peer.is_in(Kind::Channel, &channel) {
        return Err(already());
    }
    if peer.subscriptions().len() >= protocol.max_subscriptions {
        let text = format!("you have {} subscriptions, which is the most", protocol.max_subscriptions);
        return Err(Rejection::coded("too-many-subscriptions", text));
    }
    protocol.permit(peer, &channel).await?;
    let wish = Wish { id: incoming.id, since: incoming.since, last: incoming.last, members: incoming.presence };
    let replayed = join(hub, &channel, peer, wish).map_err(|()| already())?;
    if let Some(replayed) = replayed {
        // What a client has not read bounds what more it can ask for. It does not matter whether it comes through.
        let _ = replayed.await;
    }
    Ok(())
}

async fn publish(hub: &Arc<Inner>, protocol: &Channels, peer: &Peer, mut incoming: Incoming) -> Result<(), Rejection> {
    let channel = incoming.channel()?;
    let data = incoming.needs_data()?;
    check(&channel, protocol.max_name)?;
    let Some(hook) = &protocol.publish else { return Err(Rejection::new("nobody may publish here")) };
    let Publication { channel, data } = hook(peer.clone(), Publication { channel, data }).await?;
    let hub = Hub(Arc::clone(hub));
    let (_, at) = hub.broadcast(raw_form(data.get())).channel(&*channel).json(data, Some(peer.id())).send_at();
    if let Some(id) = incoming.id {
        peer.tell(&Outgoing::Published { id, channel: &channel, position: at });
    }
    Ok(())
}

/// What peers without the protocol get: the text, if it is one; else the JSON.
fn raw_form(json: &str) -> Message {
    Message::Text(serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned()))
}

fn presence(hub: &Inner, protocol: &Channels, peer: &Peer, mut incoming: Incoming) -> Result<(), Rejection> {
    let (id, channel) = (incoming.needs_id()?, incoming.channel()?);
    check(&channel, protocol.max_name)?;
    let receives = hub.channels.reached_by(&channel).iter().any(|room| room.members.contains(peer.id()));
    if !receives {
        return Err(not_subscribed());
    }
    let none = || Rejection::coded("no-presence", "nobody knows who is in this channel");
    protocol.topics.presence_of(&channel).ok_or_else(none)?;
    let told = protocol.topics.with(&channel, |_, state| {
        peer.tell(&Outgoing::Presence { id, channel: &channel, members: state.members(protocol.max_members) });
    });
    told.ok_or_else(none)
}

fn not_subscribed() -> Rejection {
    Rejection::coded("not-subscribed", "you have not subscribed to this channel")
}

impl Hub {
    /// Says something on a channel, as if a client had published it: any value to those who speak the channel protocol; its JSON, or
    /// a string as it is, to the others. Returns whom it reached, and where it stands if the channel keeps a history.
    ///
    /// # Errors
    /// If the value cannot be written as JSON, as a map whose keys are not strings.
    pub fn publish(
        &self,
        channel: &str,
        data: impl serde::Serialize,
    ) -> Result<(crate::hub::Reached, Option<Position>), serde_json::Error> {
        let data = serde_json::value::to_raw_value(&data)?;
        Ok(self.broadcast(raw_form(data.get())).channel(channel).json(data, None).send_at())
    }
}
