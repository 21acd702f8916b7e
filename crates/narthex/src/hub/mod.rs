//! WebSockets: a [`Hub`] has the connections of an app, tells it what happens on them, and sends to one, some or all.
//!
//! ```no_run
//! use narthex::hub::Hub;
//!
//! # #[tokio::main]
//! # async fn main() -> narthex::Result<()> {
//! let hub = Hub::new();
//! hub.on_message(|peer, text| async move {
//!     if let Some(hub) = peer.hub() {
//!         hub.broadcast(text).exclude(peer.id()).send();
//!     }
//! });
//! # #[cfg(feature = "axum")]
//! let app = axum::Router::new().route("/chat", hub.route());
//! # #[cfg(feature = "axum")]
//! narthex::serve("http://+:8888/MyApp/", app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What happens when
//!
//! A client that wants to connect is judged by the hub (version, key, origin, number of connections), then by
//! [`on_connect`](Hub::on_connect). Then come [`on_open`](Hub::on_open), its messages in the order in which they came, and
//! [`on_disconnect`](Hub::on_disconnect), once, last of all. Handlers of one connection run one after the other: a slow one holds up its
//! own connection, whose client is slowed down in the end, and nobody else's. Messages that came before a client left are still
//! handled.
//!
//! Handlers run on the worker thread of the connection: what blocks belongs into a [`BlockingPool`](crate::BlockingPool).
//!
//! # Everywhere the same
//!
//! Hubs work behind a host and on a listener of the app's own, over HTTP/1.1, HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220), where the
//! server is Narthex: a hub's response is only understood there.

mod broadcast;
mod channels;
mod client_module;
mod connect;
mod events;
mod handlers;
mod mask;
mod message;
mod outbox;
mod outgoing;
mod peer;
mod rooms;
mod service;
mod session;
mod settings;
mod writer;

use std::sync::Arc;

use bytes::Bytes;
use narthex_ws::CloseCode;
use narthex_ws::deflate::Compressors;

pub use broadcast::{Broadcast, Reached};
pub use channels::{
    Channels, Epoch, History, PROTOCOL as CHANNELS_V1, Permission, Position, Publication, Rejection, RequestError,
};
pub use client_module::ClientModule;
pub use connect::{Connect, Refusal};
pub use events::{EventsBody, EventsService};
pub use handlers::{Beat, Disconnected, Outcome, PeerError};
pub use message::{Fragment, Message};
pub use narthex_ws::deflate::{Config as Deflate, WindowBits};
pub use narthex_ws::{CloseCode as Code, Delivery, Kind, Limits, ProtocolError};
pub use outbox::{OutboundLimits, Overflow, Priority, Sent};
pub use peer::{Peer, PeerId, ReplyError, Traffic};
pub use service::HubService;
pub(crate) use session::{Session, Switch};
pub use settings::{HeartBeat, HubBuilder};
pub use writer::{MessageWriter, WriterBusy};

use handlers::{Handlers, boxed};
use rooms::{Index, Kind as RoomKind, Place, Rooms};
use settings::Settings;

/// The WebSocket connections of an app. Clones are the same hub, which can be used from any thread.
#[derive(Clone)]
pub struct Hub(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    settings: Settings,
    /// The channel protocol, if it is spoken.
    protocol: Option<Channels>,
    compressors: Option<Arc<Compressors>>,
    handlers: Handlers,
    peers: Index,
    channels: Rooms,
    groups: Rooms,
    protocols: Rooms,
}

impl Inner {
    fn new(settings: Settings, protocol: Option<Channels>, compressors: Option<Arc<Compressors>>) -> Self {
        Self {
            settings,
            protocol,
            compressors,
            handlers: Handlers::default(),
            peers: Index::default(),
            channels: Rooms::default(),
            groups: Rooms::default(),
            protocols: Rooms::default(),
        }
    }

    fn rooms(&self, kind: RoomKind) -> &Rooms {
        match kind {
            RoomKind::Channel => &self.channels,
            RoomKind::Group => &self.groups,
            RoomKind::Protocol => &self.protocols,
        }
    }

    fn join(&self, kind: RoomKind, name: &str, peer: &Peer) -> bool {
        match kind {
            RoomKind::Channel if self.protocol.is_some() => channels::join(self, name, peer, channels::Wish::default()).is_ok(),
            _ => self.enter_room(kind, name, peer),
        }
    }

    fn leave(&self, kind: RoomKind, name: &str, peer: &Peer) -> bool {
        match kind {
            RoomKind::Channel => channels::leave(self, name, peer),
            RoomKind::Group | RoomKind::Protocol => self.leave_room(kind, name, peer),
        }
    }

    /// Lets a peer into a room that it is not in. Returns whether it is in now and was not before.
    fn enter_room(&self, kind: RoomKind, name: &str, peer: &Peer) -> bool {
        let mut about = peer.about();
        // Under the lock: a peer that has left is let in nowhere.
        if peer.outbox().over {
            return false;
        }
        let Some(room) = self.rooms(kind).join(name, peer) else { return false };
        about.rooms.push(Place { kind, room });
        drop(about);
        self.told(kind, true, name, peer);
        true
    }

    fn leave_room(&self, kind: RoomKind, name: &str, peer: &Peer) -> bool {
        peer.about().rooms.retain(|place| place.kind != kind || &*place.room.name != name);
        let left = self.rooms(kind).leave(name, peer.id());
        if left {
            self.told(kind, false, name, peer);
        }
        left
    }

    fn told(&self, kind: RoomKind, joined: bool, name: &str, peer: &Peer) {
        let handler = if joined { &self.handlers.joined } else { &self.handlers.left };
        if kind == RoomKind::Group
            && let Some(handler) = handler.get()
        {
            handler(peer, name);
        }
    }

    /// A peer is here.
    fn enter(&self, peer: &Peer) {
        self.peers.insert(peer);
        if let Some(protocol) = peer.protocol() {
            self.join(RoomKind::Protocol, protocol, peer);
        }
    }

    /// A peer has left: it is nowhere any more.
    fn exit(&self, peer: &Peer) {
        {
            let mut outbox = peer.outbox();
            outbox.over = true;
            outbox.waker = None;
            outbox.clear();
        }
        self.peers.remove(peer.id());
        for Place { kind, room } in peer.forget() {
            self.leave(kind, &room.name, peer);
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("peers", &self.len()).field("handlers", &self.0.handlers).finish_non_exhaustive()
    }
}

/// # What the app does
///
/// Each of these is set once, before clients connect; setting it again panics. A handler's error goes to
/// [`on_error`](Self::on_error), a panic too, and closes the connection with 1011.
impl Hub {
    /// Decides about a client before the handshake ends: by giving back what it got, which it may add to, or a [`Refusal`].
    #[track_caller]
    pub fn on_connect<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Connect) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Connect, Refusal>> + Send + 'static,
    {
        self.0.handlers.connect.set("on_connect", Box::new(move |connect| Box::pin(handler(connect))));
        self
    }

    /// A client has connected.
    #[track_caller]
    pub fn on_open<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Peer) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.0.handlers.open.set("on_open", boxed(move |peer, ()| handler(peer)));
        self
    }

    /// A whole text message has come. Without this handler, a client that sends text is closed with 1003.
    #[track_caller]
    pub fn on_message<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Peer, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.0.handlers.message.set("on_message", boxed(handler));
        self
    }

    /// A whole binary message has come. Without this handler, a client that sends one is closed with 1003.
    #[track_caller]
    pub fn on_binary<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Peer, Bytes) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.0.handlers.binary.set("on_binary", boxed(handler));
        self
    }

    /// A part of a message has come: with [`Delivery::Pieces`] instead of the whole, with [`Delivery::Both`] before it.
    #[track_caller]
    pub fn on_fragment<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Peer, Fragment) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.0.handlers.fragment.set("on_fragment", boxed(handler));
        self
    }

    /// A ping has come. It is answered whatever this does.
    #[track_caller]
    pub fn on_ping<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Peer, Bytes) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.0.handlers.ping.set("on_ping", boxed(handler));
        self
    }

    /// A pong has come.
    #[track_caller]
    pub fn on_pong<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Peer, Bytes) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.0.handlers.pong.set("on_pong", boxed(handler));
        self
    }

    /// Something went wrong on a connection. Without this handler it is logged.
    #[track_caller]
    pub fn on_error<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Peer, PeerError) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.0.handlers.error.set("on_error", boxed(handler));
        self
    }

    /// A connection is over: once for each that was opened, whatever happened, and after all its other events.
    #[track_caller]
    pub fn on_disconnect<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Peer, Disconnected) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.0.handlers.disconnect.set("on_disconnect", boxed(handler));
        self
    }

    /// A ping is due: says whether it is sent, or sends something else.
    #[track_caller]
    pub fn before_heartbeat<F: Fn(&Peer) -> Beat + Send + Sync + 'static>(&self, handler: F) -> &Self {
        self.0.handlers.heartbeat.set("before_heartbeat", Box::new(handler));
        self
    }

    /// A peer has become a member of a group.
    #[track_caller]
    pub fn on_group_join<F: Fn(&Peer, &str) + Send + Sync + 'static>(&self, handler: F) -> &Self {
        self.0.handlers.joined.set("on_group_join", Box::new(handler));
        self
    }

    /// A peer is no longer a member of a group: it was taken out, or has left altogether.
    #[track_caller]
    pub fn on_group_leave<F: Fn(&Peer, &str) + Send + Sync + 'static>(&self, handler: F) -> &Self {
        self.0.handlers.left.set("on_group_leave", Box::new(handler));
        self
    }
}

/// # What the app can do
impl Hub {
    /// A hub with the defaults of [`HubBuilder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A hub with settings.
    pub fn builder() -> HubBuilder {
        HubBuilder::default()
    }

    /// A tower service that answers handshakes. Mount it where clients are to connect.
    #[must_use]
    pub fn service(&self) -> HubService {
        HubService(self.clone())
    }

    /// What axum's `Router::route` takes.
    #[cfg(feature = "axum")]
    pub fn route<S: Clone + Send + Sync + 'static>(&self) -> axum::routing::MethodRouter<S> {
        axum::routing::any_service(self.service())
    }

    /// How many are connected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.peers.len()
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The peer of this id, if it is connected.
    #[must_use]
    pub fn peer(&self, id: PeerId) -> Option<Peer> {
        self.0.peers.get(id)
    }

    /// Everybody who is connected now. Those who come and go meanwhile wait for nothing.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.0.peers.lists().flat_map(|list| list.to_vec()).collect()
    }

    /// Sends a message to one.
    pub fn send(&self, id: PeerId, message: impl Into<Message>) -> Sent {
        self.peer(id).map_or(Sent::NotFound, |peer| peer.send(message))
    }

    /// A message to everybody, or to those whom the [`Broadcast`]'s conditions name.
    pub fn broadcast(&self, message: impl Into<Message>) -> Broadcast<'_> {
        Broadcast::new(self, message.into())
    }

    /// Pings everybody. Returns how many that are.
    pub fn ping_all(&self, payload: &[u8]) -> usize {
        self.peers().iter().filter(|peer| peer.ping(payload).is_queued()).count()
    }

    /// Closes every connection that there is now, in order. New ones are still welcome.
    pub fn disconnect_all(&self, code: CloseCode, reason: &str) {
        self.peers().iter().for_each(|peer| peer.close(code, reason));
    }

    /// The channels and masks that somebody has subscribed to, in no order.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        self.0.channels.names()
    }

    /// Who has subscribed to exactly this channel or mask.
    #[must_use]
    pub fn subscribers(&self, channel: &str) -> Vec<Peer> {
        self.0.channels.get(channel).map(|room| room.members.list().to_vec()).unwrap_or_default()
    }

    /// Makes a peer a member of a group. Returns whether it is one now and was not before.
    pub fn add_to_group(&self, name: &str, peer: &Peer) -> bool {
        self.0.join(RoomKind::Group, name, peer)
    }

    /// Takes a peer out of a group. Returns whether it was a member. A peer that disconnects leaves all of its groups.
    pub fn remove_from_group(&self, name: &str, peer: &Peer) -> bool {
        self.0.leave(RoomKind::Group, name, peer)
    }

    /// The groups that have members, in no order.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        self.0.groups.names()
    }

    /// Who is in this group, or in a group that this mask stands for.
    #[must_use]
    pub fn members(&self, name_or_mask: &str) -> Vec<Peer> {
        let mut members: Vec<Peer> =
            self.0.groups.named_like(name_or_mask).iter().flat_map(|room| room.members.list().to_vec()).collect();
        members.sort_unstable_by_key(Peer::id);
        members.dedup();
        members
    }
}

impl Peer {
    /// Subscribes to a channel, or by a mask (`weather/*`, `room?`) to all channels whose names it stands for, also those that
    /// nobody has used yet. Returns whether it has subscribed now and had not before.
    pub fn subscribe(&self, channel: &str) -> bool {
        self.hub().is_some_and(|hub| hub.0.join(RoomKind::Channel, channel, self))
    }

    /// Ends a subscription. Returns whether there was one. A peer that disconnects leaves all of its channels.
    pub fn unsubscribe(&self, channel: &str) -> bool {
        let left = self.hub().is_some_and(|hub| hub.0.leave(RoomKind::Channel, channel, self));
        if left {
            channels::tell_unsubscribed(self, channel, None);
        }
        left
    }

    /// The channels and masks that it has subscribed to.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<String> {
        self.places(RoomKind::Channel)
    }

    /// The groups that it is in.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        self.places(RoomKind::Group)
    }

    fn is_in(&self, kind: RoomKind, name: &str) -> bool {
        self.about().rooms.iter().any(|place| place.kind == kind && &*place.room.name == name)
    }

    fn places(&self, kind: RoomKind) -> Vec<String> {
        let about = self.about();
        about.rooms.iter().filter(|place| place.kind == kind).map(|place| String::from(&*place.room.name)).collect()
    }
}
