//! What an app says about its channels.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use super::envelope::Envelope;
use super::history::History;
use super::publish::Publication;
use super::rejection::{Permission, Rejection};
use super::topic::{At, Position};
use super::topics::Topics;
use crate::hub::peer::Peer;

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Rejection>> + Send>>;
type Hook<A, T> = Box<dyn Fn(Peer, A) -> Answer<T> + Send + Sync>;

/// What the others learn of a peer.
pub(super) type Describe = Arc<dyn Fn(&Peer) -> Box<RawValue> + Send + Sync>;

/// The channel protocol of a hub, for [`HubBuilder::channels`](crate::hub::HubBuilder::channels): who may do what, and what channels
/// remember. Until the app says so, nobody may do anything.
///
/// ```
/// use narthex::hub::{Channels, History, Hub, Publication, Rejection};
///
/// let channels = Channels::new()
///     .may_subscribe(|_peer, channel: String| async move { channel.starts_with("chat/") })
///     .may_publish(|_peer, publication: Publication| async move {
///         if publication.channel() == "chat/news" { Err(Rejection::new("only the editors write here")) } else { Ok(publication) }
///     })
///     .on_request("add", |_peer, (a, b): (i64, i64)| async move { Ok::<_, Rejection>(a + b) })
///     .history("chat/*", History::last(100))
///     .presence("chat/*", |peer| peer.header("x-user").map(str::to_owned));
/// let hub = Hub::builder().channels(channels).build();
/// ```
///
/// Hooks run as the hub's handlers do: one after the other for one peer, on the thread of its connection.
pub struct Channels {
    pub(super) subscribe: Option<Hook<String, ()>>,
    pub(super) publish: Option<Hook<Publication, Publication>>,
    pub(super) requests: HashMap<String, Hook<Box<RawValue>, Box<RawValue>>>,
    pub(super) topics: Topics,
    pub(super) masks: bool,
    pub(in crate::hub) max_subscriptions: usize,
    pub(super) max_name: usize,
    pub(super) max_members: usize,
    pub(in crate::hub) retry: Duration,
    pub(in crate::hub) beat: Duration,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            subscribe: None,
            publish: None,
            requests: HashMap::new(),
            topics: Topics::default(),
            masks: false,
            max_subscriptions: 100,
            max_name: 200,
            max_members: 1_000,
            retry: Duration::from_secs(3),
            beat: Duration::from_secs(15),
        }
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").field("max_subscriptions", &self.max_subscriptions).finish_non_exhaustive()
    }
}

impl Channels {
    /// Channels that nobody may use yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a peer may subscribe to a channel: `bool`, or a result with a [`Rejection`]. Also asked for server-sent events.
    #[must_use]
    pub fn may_subscribe<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Peer, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Permission> + Send + 'static,
    {
        self.subscribe = Some(Box::new(move |peer, channel| {
            let asked = hook(peer, channel);
            Box::pin(async move { asked.await.into_result() })
        }));
        self
    }

    /// Whether a peer may publish: by giving back what it got, which may be changed, or a [`Rejection`].
    #[must_use]
    pub fn may_publish<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Peer, Publication) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Publication, Rejection>> + Send + 'static,
    {
        self.publish = Some(Box::new(move |peer, publication| Box::pin(hook(peer, publication))));
        self
    }

    /// Answers clients' requests of this name. Their data must be a `Q`; others are told that it is malformed.
    #[must_use]
    pub fn on_request<Q, A, E, F, Fut>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        Q: DeserializeOwned,
        A: Serialize,
        E: Into<Rejection>,
        F: Fn(Peer, Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
    {
        let hook: Hook<Box<RawValue>, Box<RawValue>> = Box::new(move |peer, data| {
            let data = serde_json::from_str(data.get())
                .map_err(|error| Rejection::malformed(format!("the request's data is not what it should be: {error}")));
            let answer = data.map(|data| handler(peer, data));
            Box::pin(async move {
                let answer = answer?.await.map_err(Into::into)?;
                to_raw_value(&answer).map_err(|error| {
                    tracing::error!(%error, "the answer to a request cannot be written as JSON");
                    Rejection::coded("failed", "the server could not write its answer")
                })
            })
        });
        self.requests.insert(name.into(), hook);
        self
    }

    /// Channels whose names `mask` stands for keep what is said, for who comes late or comes back. The first mask that fits counts.
    #[must_use]
    pub fn history(mut self, mask: impl Into<String>, history: History) -> Self {
        self.topics.history.push((mask.into(), history));
        self
    }

    /// Channels whose names `mask` stands for know who is there, and tell their subscribers: the peer's id, and what `info` says of it.
    /// The first mask that fits counts.
    #[must_use]
    pub fn presence<I: Serialize>(mut self, mask: impl Into<String>, info: impl Fn(&Peer) -> I + Send + Sync + 'static) -> Self {
        let describe: Describe = Arc::new(move |peer| {
            to_raw_value(&info(peer)).unwrap_or_else(|error| {
                tracing::error!(%error, "what is said of a peer cannot be written as JSON");
                RawValue::NULL.to_owned()
            })
        });
        self.topics.presence.push((mask.into(), describe));
        self
    }

    /// Lets clients subscribe by masks (`weather/*`). [`may_subscribe`](Self::may_subscribe) gets the mask then, and has to think of all
    /// channels that it stands for. Default: they cannot.
    #[must_use]
    pub fn allow_masks(mut self) -> Self {
        self.masks = true;
        self
    }

    /// The most subscriptions of a peer. Default: 100.
    #[must_use]
    pub fn max_subscriptions(mut self, most: usize) -> Self {
        self.max_subscriptions = most;
        self
    }

    /// The most bytes of a channel's name. Default: 200.
    #[must_use]
    pub fn max_name(mut self, bytes: usize) -> Self {
        self.max_name = bytes;
        self
    }

    /// The most members that a list of who is there has; it says how many there are in all. Default: 1 000.
    #[must_use]
    pub fn max_members(mut self, most: usize) -> Self {
        self.max_members = most;
        self
    }

    /// What all histories may hold together; beyond, those that were used longest ago are emptied. Default: 64 MiB.
    #[must_use]
    pub fn history_bytes(mut self, bytes: usize) -> Self {
        self.topics.most_bytes = bytes;
        self
    }

    /// How long clients of server-sent events wait before they connect again. Default: 3 s.
    #[must_use]
    pub fn retry(mut self, wait: Duration) -> Self {
        self.retry = wait;
        self
    }

    /// How often a comment goes to clients of server-sent events when there is nothing else, so that nobody in between takes the
    /// connection for dead. Default: 15 s.
    #[must_use]
    pub fn beat(mut self, interval: Duration) -> Self {
        self.beat = interval.max(Duration::from_millis(10));
        self
    }

    /// Keeps what `say` makes, and says where it stands. `say` sends it too: under the topic's lock, so that nobody can come in between.
    /// `None`: the channel keeps nothing.
    pub(in crate::hub) fn record<R>(
        &self,
        channel: &str,
        say: impl FnOnce(At) -> Option<(R, Arc<Envelope>)>,
    ) -> Option<(R, Position)> {
        if !self.topics.keeps(channel) {
            return None;
        }
        self.topics.with(channel, |topic, state| {
            let history = topic.history.as_ref()?;
            let at = topic.at(state.ring.top() + 1);
            let position = at.position();
            let (result, envelope) = say(at)?;
            state.ring.push(envelope, history);
            Some((result, position))
        })?
    }

    /// Whether this name is one that the peer may use, and the app lets it.
    pub(in crate::hub) async fn permit(&self, peer: &Peer, channel: &str) -> Result<(), Rejection> {
        super::name::check_mask(channel, self.max_name, self.masks)?;
        match &self.subscribe {
            Some(hook) => hook(peer.clone(), channel.to_owned()).await,
            None => Err(Rejection::new("nobody may subscribe here")),
        }
    }
}
