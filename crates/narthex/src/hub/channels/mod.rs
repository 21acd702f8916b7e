//! The channel protocol: what browsers and other clients say to subscribe, publish and ask, as JSON text. docs/channels.md has every
//! message. It lives beside raw WebSockets in one hub: a broadcast to a channel reaches raw peers as it is, and these in an envelope.
//!
//! A channel that keeps a history or a list of who is there is a topic. Everything that happens to a topic (a message, somebody
//! who comes or leaves) happens under its lock, and so in one order for all: that is why nothing is missed or seen twice between what
//! was kept and what is live.

mod ask;
mod envelope;
mod history;
mod join;
mod name;
mod protocol;
mod publish;
mod rejection;
mod serve;
mod settings;
mod topic;
mod topics;

pub use ask::RequestError;
pub use history::History;
pub use publish::Publication;
pub use rejection::{Permission, Rejection};
pub use settings::Channels;
pub use topic::{Epoch, Position};

pub(super) use ask::{Asked, take_reply};
pub(super) use envelope::{Envelope, Forms};
pub(super) use join::{Wish, join, leave, tell_unsubscribed};
pub(super) use serve::{greet, serve};

/// The name of the sub-protocol.
pub const PROTOCOL: &str = "narthex.channels.v1";

/// What a peer understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// What the app sends, as it is.
    Raw,
    /// The channel protocol, over a WebSocket.
    Channels,
    /// The channel protocol's messages to clients, over server-sent events.
    Events,
}
