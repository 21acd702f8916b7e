//! One WebSocket connection, as the app holds it.

use std::any::Any;
use std::fmt;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::thread::ThreadId;
use std::time::Duration;

use narthex_http::roughly_now;
use narthex_ws::{Close, CloseCode, Kind};
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use super::channels::{Asked, Forms, Speaks};
use super::message::Message;
use super::outbox::{Ending, Item, OutboundLimits, Outbox, Priority, Sent, Shared, What};
use super::rooms::Place;
use super::writer::{MessageWriter, WriterBusy};
use super::{Hub, Inner};

/// A peer's id: a UUID, random but for its last byte, written as `6ba7b810-9dad-41d1-80b4-00c04fd430c8`. It names, it does not authorize.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(Uuid);

impl PeerId {
    /// One for a peer of this thread.
    pub(super) fn random() -> Self {
        static THREADS: AtomicU8 = AtomicU8::new(0);
        thread_local! {
            static THREAD: u8 = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        let mut bytes = Uuid::new_v4().into_bytes();
        let [.., last] = &mut bytes;
        *last = THREAD.with(|thread| *thread);
        Self(Uuid::from_bytes(bytes))
    }

    /// The same for all peers of a thread, and seldom the same for those of another.
    pub(super) fn thread(self) -> u8 {
        let [.., last] = self.0.into_bytes();
        last
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl std::str::FromStr for PeerId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Who has connected, and how.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) peer: Option<Address>,
    pub(super) local: Option<Address>,
    pub(super) tls: bool,
    pub(super) protocol: Option<Box<str>>,
    /// The target, and a line for each header field.
    pub(super) head: Box<str>,
}

/// An address in half the room of a [`SocketAddr`], if it is one of IPv4.
#[derive(Clone, Debug)]
pub(super) enum Address {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(address),
            SocketAddr::V6(address) => Self::V6(Box::new(address)),
        }
    }
}

impl From<&Address> for SocketAddr {
    fn from(address: &Address) -> Self {
        match address {
            Address::V4(address) => Self::V4(*address),
            Address::V6(address) => Self::V6(**address),
        }
    }
}

/// What a peer has received and sent. All times are counted from the moment when it connected, in steps of 16 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Whole messages that came from the peer.
    pub messages_received: u64,
    /// Messages that were given to the transport.
    pub messages_sent: u64,
    /// Bytes of frames, with their headers, that came.
    pub bytes_received: u64,
    /// Bytes of frames, with their headers, that were given to the transport.
    pub bytes_sent: u64,
    /// When the first ping was sent.
    pub first_ping: Option<Duration>,
    /// When the last ping was sent.
    pub last_ping: Option<Duration>,
    /// When the last pong came.
    pub last_pong: Option<Duration>,
    /// When the last message came.
    pub last_message: Option<Duration>,
}

/// Counters that the session writes and anybody reads.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) messages_received: AtomicU64,
    pub(super) messages_sent: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) first_ping: Time,
    pub(super) last_ping: Time,
    pub(super) last_pong: Time,
    pub(super) last_message: Time,
}

/// Milliseconds in a step of [`Time`].
const STEP: u64 = 16;

/// Steps since the beginning, plus one; 0 is never. After two years it is the largest.
#[derive(Default)]
pub(super) struct Time(AtomicU32);

impl Time {
    /// `now`: in milliseconds.
    #[inline]
    pub(super) fn set(&self, now: u64) {
        self.0.store(u32::try_from(now / STEP + 1).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Option<Duration> {
        self.0.load(Ordering::Relaxed).checked_sub(1).map(|steps| Duration::from_millis(u64::from(steps) * STEP))
    }

    pub(super) fn is_set(&self) -> bool {
        self.get().is_some()
    }
}

/// Only the session writes, so that no addition is lost; others may read somewhat old values.
pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

pub(super) struct State {
    pub(super) id: PeerId,
    pub(super) hub: Weak<Inner>,
    /// See [`Origin`], as what follows.
    peer: Option<Address>,
    local: Option<Address>,
    protocol: Option<Box<str>>,
    head: Box<str>,
    tls: bool,
    speaks: Speaks,
    /// By [`roughly_now`].
    since: u64,
    pub(super) counters: Counters,
    /// Whose thread runs the session.
    pub(super) thread: ThreadId,
    /// The session is looking at the outbox, and will look again: nobody needs to wake it. Read under the outbox's lock.
    pub(super) looking: AtomicBool,
    /// Somebody waits for the next message.
    replying: AtomicBool,
    outbox: Mutex<Outbox>,
    about: Mutex<Option<Box<About>>>,
}

/// What is seldom looked at.
#[derive(Default)]
pub(super) struct About {
    data: Option<Arc<dyn Any + Send + Sync>>,
    /// Waits for the next message.
    pub(super) reply: Option<oneshot::Sender<Message>>,
    /// What the peer is a member of.
    pub(super) rooms: Vec<Place>,
    /// What it was asked by the channel protocol.
    pub(super) asked: Option<Box<Asked>>,
}

/// Most peers need no memory for it.
pub(super) struct AboutGuard<'p>(MutexGuard<'p, Option<Box<About>>>);

impl Deref for AboutGuard<'_> {
    type Target = About;

    fn deref(&self) -> &About {
        static NOTHING: About = About { data: None, reply: None, rooms: Vec::new(), asked: None };
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for AboutGuard<'_> {
    fn deref_mut(&mut self) -> &mut About {
        self.0.get_or_insert_default()
    }
}

/// One WebSocket connection. Clones are the same; all methods can be called from any thread, also after it has ended.
#[derive(Clone)]
pub struct Peer(pub(super) Arc<State>);

/// Why a reply did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The message could not be sent.
    #[error("the message could not be sent: the peer has left, or its queue is full")]
    NotSent,
    /// Another reply is being waited for.
    #[error("another reply of this peer is being waited for: one at a time")]
    Busy,
    /// Nothing came in time.
    #[error("no message came in time")]
    TimedOut,
    /// The peer left first.
    #[error("the peer left before it replied")]
    Left,
}

impl Peer {
    pub(super) fn new(hub: Weak<Inner>, origin: Origin, speaks: Speaks, data: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        let Origin { peer, local, tls, protocol, head } = origin;
        Self(Arc::new(State {
            id: PeerId::random(),
            hub,
            peer,
            local,
            protocol,
            head,
            tls,
            speaks,
            since: roughly_now(),
            counters: Counters::default(),
            thread: std::thread::current().id(),
            looking: AtomicBool::new(false),
            replying: AtomicBool::new(false),
            outbox: Mutex::default(),
            about: Mutex::new(data.map(|data| Box::new(About { data: Some(data), ..About::default() }))),
        }))
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn about(&self) -> AboutGuard<'_> {
        AboutGuard(self.0.about.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the peer was a member of. It has left, and nobody gets a reply from it.
    pub(super) fn forget(&self) -> Vec<Place> {
        let mut about = self.about();
        let Some(about) = about.0.as_deref_mut() else { return Vec::new() };
        (about.reply, about.asked) = (None, None);
        std::mem::take(&mut about.rooms)
    }

    /// Who waits for the next message, if anybody does.
    pub(super) fn take_reply(&self) -> Option<oneshot::Sender<Message>> {
        // Whoever waits has sent something since, and the session has taken that out of the outbox.
        if !self.0.replying.load(Ordering::Relaxed) {
            return None;
        }
        self.0.replying.store(false, Ordering::Relaxed);
        self.about().reply.take()
    }

    pub(super) fn speaks(&self) -> Speaks {
        self.0.speaks
    }

    /// The hub. `None`: it is gone, and takes its peers with it.
    #[must_use]
    pub fn hub(&self) -> Option<Hub> {
        self.0.hub.upgrade().map(Hub)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.0.id
    }

    /// The client's address, as far as the server knows it.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.peer.as_ref().map(Into::into)
    }

    /// The address that the client has reached.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.local.as_ref().map(Into::into)
    }

    /// Whether the client's connection is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.tls
    }

    /// The sub-protocol that was agreed on.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.0.protocol.as_deref()
    }

    /// Path and query of the request, as the app sees them.
    #[must_use]
    pub fn target(&self) -> &str {
        self.0.head.lines().next().unwrap_or_default()
    }

    /// The first value of a field of the request. Fields that are not ASCII are not kept, nor are those by which somebody has shown who they
    /// are: guards and the app mark them ([`HeaderValue::set_sensitive`](http::HeaderValue::set_sensitive)). Nor are those that only the
    /// handshake needs: `Connection`, `Upgrade`, and the key, version and extensions of the WebSocket.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The request's fields, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.head.lines().skip(1).filter_map(|line| line.split_once(": "))
    }

    /// Attaches a value of the app's to the connection, in the place of the one before.
    pub fn set_data<T: Any + Send + Sync>(&self, data: T) {
        let _old = self.about().data.replace(Arc::new(data));
    }

    /// The value that was attached, if there is one and it is of this type.
    #[must_use]
    pub fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.about().data.clone()?.downcast().ok()
    }

    /// What it has received and sent so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let counters = &self.0.counters;
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            messages_received: number(&counters.messages_received),
            messages_sent: number(&counters.messages_sent),
            bytes_received: number(&counters.bytes_received),
            bytes_sent: number(&counters.bytes_sent),
            first_ping: counters.first_ping.get(),
            last_ping: counters.last_ping.get(),
            last_pong: counters.last_pong.get(),
            last_message: counters.last_message.get(),
        }
    }

    /// How long it has been connected, to some milliseconds.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(roughly_now().saturating_sub(self.0.since))
    }

    /// Whether messages can be sent: it has not left, and nobody has closed it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outbox().is_open()
    }

    /// Bytes of messages that wait to be given to the transport.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.outbox().bytes()
    }

    /// Sends a message: text if it is a string, binary if it is bytes. It never blocks: see [`OutboundLimits`].
    ///
    /// Who speaks the channel protocol gets text in an envelope without a channel.
    ///
    /// [`OutboundLimits`]: super::OutboundLimits
    pub fn send(&self, message: impl Into<Message>) -> Sent {
        let message = message.into();
        if self.0.looking.load(Ordering::Relaxed) && self.frame(&message) {
            return Sent::Queued;
        }
        self.push_message(message, |item| item)
    }

    /// Makes a frame of a message for a session that looks for some.
    fn frame(&self, message: &Message) -> bool {
        let mut outbox = self.outbox();
        self.0.looking.load(Ordering::Relaxed) && outbox.frame(message)
    }

    fn push_message(&self, message: Message, prepare: impl FnOnce(Item) -> Item) -> Sent {
        let what = match self.speaks() {
            Speaks::Raw => What::Message(message),
            Speaks::Channels | Speaks::Events => match Forms::new(&message, None, None).for_peer(self) {
                Some(shared) => What::Shared(shared),
                None => return Sent::Refused,
            },
        };
        self.push(prepare(Item::new(what)))
    }

    /// [`send`](Self::send) with another priority than [`Priority::Normal`].
    pub fn send_with_priority(&self, message: impl Into<Message>, priority: Priority) -> Sent {
        self.push_message(message.into(), |item| Item { priority, ..item })
    }

    /// Sends a message in frames of at most so many bytes, for a client or a proxy in between that takes no larger ones. Who speaks
    /// the channel protocol gets one frame.
    pub fn send_in_frames(&self, message: impl Into<Message>, most: NonZeroUsize) -> Sent {
        let message = message.into();
        if self.speaks() != Speaks::Raw || message.len() <= most.get() {
            return self.push_message(message, |item| item);
        }
        self.push(Item::new(What::Frames(Box::new((message, most)))))
    }

    /// Sends a message that takes the place of an earlier one with the same key, if that still waits: what is no longer true
    /// need not be sent. What is longer than the earlier one and has no room ([`OutboundLimits`](super::OutboundLimits)) is treated as any
    /// other message is then.
    pub fn send_latest(&self, key: &str, message: impl Into<Message>) -> Sent {
        self.push_message(message.into(), |item| Item { key: Some(key.into()), ..item })
    }

    /// Sends a message and waits until the transport has taken it. `false`: it will not be sent.
    ///
    /// Dropping the future does not take the message back.
    pub async fn send_and_flush(&self, message: impl Into<Message>) -> bool {
        let (done, is_done) = oneshot::channel();
        self.push_message(message.into(), |item| Item { done: Some(done), ..item }).is_queued() && is_done.await.is_ok()
    }

    /// Sends a message, and gives the next message that comes: it does not go to a handler. Messages that came before go to theirs.
    ///
    /// To be used in a handler as well: reading goes on meanwhile. Text of who speaks the channel protocol is not taken for a reply:
    /// see [`request`](Self::request). Dropping the future lets later messages go to their handlers.
    ///
    /// # Errors
    /// If nothing comes within `limit`, and for what [`ReplyError`] lists.
    pub async fn send_and_wait(&self, message: impl Into<Message>, limit: Duration) -> Result<Message, ReplyError> {
        let (reply, received) = oneshot::channel();
        {
            let mut about = self.about();
            if about.reply.as_ref().is_some_and(|reply| !reply.is_closed()) {
                return Err(ReplyError::Busy);
            }
            about.reply = Some(reply);
            self.0.replying.store(true, Ordering::Relaxed);
        }
        if !self.send(message).is_queued() {
            self.about().reply = None;
            return Err(ReplyError::NotSent);
        }
        match timeout(limit, received).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(_)) => Err(ReplyError::Left),
            Err(_) => {
                self.about().reply = None;
                Err(ReplyError::TimedOut)
            }
        }
    }

    /// Begins a message whose parts are not all there yet. Each part is a frame; other messages wait for the last.
    ///
    /// # Errors
    /// If another is being written.
    pub fn writer(&self, kind: Kind) -> Result<MessageWriter, WriterBusy> {
        MessageWriter::new(self.clone(), kind)
    }

    /// Sends a ping with these bytes, of which at most 125 are sent.
    pub fn ping(&self, payload: &[u8]) -> Sent {
        let payload = payload.get(..narthex_ws::MAX_CONTROL_PAYLOAD).unwrap_or(payload);
        self.push(Item { priority: Priority::High, ..Item::new(What::Ping(payload.into())) })
    }

    /// Closes the connection: what waits is sent, then a Close with this code and reason (cut at 123 bytes), and the peer gets
    /// [`close_timeout`](super::HubBuilder::close_timeout) to answer. Nothing can be sent any more.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.end(Ending::Close(Some(Box::new(Close::shortened(code, reason).into_owned()))));
    }

    /// Cuts the connection off without a Close: the client sees 1006. What waits is lost.
    pub fn disconnect(&self) {
        self.end(Ending::Cut);
    }

    fn end(&self, ending: Ending) {
        let mut outbox = self.outbox();
        if outbox.over || outbox.ending == Ending::Cut || outbox.ending != Ending::No && ending != Ending::Cut {
            return;
        }
        outbox.ending = ending;
        let waker = self.sleeper(&outbox);
        drop(outbox);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whom to wake when the outbox is free again.
    fn sleeper(&self, outbox: &Outbox) -> Option<Waker> {
        if self.0.looking.load(Ordering::Relaxed) { None } else { outbox.waker.clone() }
    }

    /// Sends what many get.
    pub(super) fn share(&self, shared: Shared) -> Sent {
        self.put(|outbox| match outbox.share(shared) {
            Ok(()) => Sent::Queued,
            Err(shared) => outbox.push(Item::new(What::Shared(shared)), || self.limits()),
        })
    }

    pub(super) fn push(&self, item: Item) -> Sent {
        self.put(|outbox| outbox.push(item, || self.limits()))
    }

    fn put(&self, put: impl FnOnce(&mut Outbox) -> Sent) -> Sent {
        let mut outbox = self.outbox();
        let was_open = outbox.is_open();
        let sent = put(&mut outbox);
        let waker = if was_open { self.sleeper(&outbox) } else { None };
        drop(outbox);
        waker.into_iter().for_each(Waker::wake);
        sent
    }

    fn limits(&self) -> OutboundLimits {
        // While a peer is open, its hub is there.
        self.0.hub.upgrade().map(|hub| hub.settings.outbound).unwrap_or_default()
    }

    /// Milliseconds since it connected.
    pub(super) fn now(&self) -> u64 {
        roughly_now().saturating_sub(self.0.since)
    }
}

#[cfg(test)]
impl Peer {
    /// Without a session or a hub.
    pub(super) fn alone(speaks: Speaks) -> Self {
        let origin = Origin { peer: None, local: None, tls: false, protocol: None, head: "/".into() };
        Self::new(Weak::new(), origin, speaks, None)
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Peer {}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("id", &self.0.id).field("peer_addr", &self.peer_addr()).finish_non_exhaustive()
    }
}
