//! What waits to be sent to a peer. Anybody puts into it, from any thread; the peer's own session takes out of it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::Waker;

use narthex_ws::{Broadcast, Close, CloseCode, Kind};
use tokio::sync::oneshot;

use super::channels::Envelope;
use super::message::Message;
use super::outgoing::{GATHER, Outgoing};

/// Which of several waiting messages goes first. Those of one priority keep their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Before all others.
    High,
    /// As most are.
    #[default]
    Normal,
    /// When nothing else waits.
    Low,
}

/// What happens to a message that no more room is left for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It is refused; who sends it is told.
    DropNewest,
    /// The oldest of the lowest priority make room.
    DropOldest,
    /// The peer is too slow: what waits is dropped, and the connection closed with this code.
    Close(CloseCode),
}

/// How much may wait for one peer. What its session has begun to give to the transport, up to 16 KiB and one message, does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboundLimits {
    /// Bytes of messages. One message goes, however large, if nothing waits. Default: 1 MiB.
    pub bytes: usize,
    /// Messages. Default: 1 024.
    pub messages: usize,
    /// What happens beyond. Default: the connection is closed with 1013 (try again later).
    pub overflow: Overflow,
}

impl Default for OutboundLimits {
    fn default() -> Self {
        Self { bytes: 1 << 20, messages: 1_024, overflow: Overflow::Close(CloseCode::TRY_AGAIN_LATER) }
    }
}

/// What became of a message that was to be sent to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says whether the message will be sent"]
pub enum Sent {
    /// It waits, or is on its way.
    Queued,
    /// There is no such peer, or it is leaving.
    NotFound,
    /// The peer's queue is full ([`OutboundLimits`]).
    Refused,
}

impl Sent {
    /// Whether it was [`Queued`](Self::Queued).
    #[must_use]
    pub fn is_queued(self) -> bool {
        self == Self::Queued
    }
}

/// One thing to send.
pub(super) struct Item {
    pub(super) what: What,
    pub(super) priority: Priority,
    /// A later message of the same key takes its place.
    pub(super) key: Option<Box<str>>,
    /// Told when the transport has it.
    pub(super) done: Option<oneshot::Sender<()>>,
    /// It was kept elsewhere, within bounds, and does not count against the peer's.
    pub(super) uncounted: bool,
}

pub(super) enum What {
    Message(Message),
    /// In frames of at most so many bytes.
    Frames(Box<(Message, NonZeroUsize)>),
    Shared(Shared),
    Ping(Box<[u8]>),
    /// The beginning of a message in pieces. Nothing else but pings goes between it and its last piece.
    Begin(Kind, Box<[u8]>),
    Append(Box<[u8]>, bool),
}

/// A message that many get.
#[derive(Clone)]
pub(super) enum Shared {
    Message(Broadcast),
    /// For who speaks the channel protocol.
    Envelope(Arc<Envelope>),
}

impl Shared {
    pub(super) fn frames(&self) -> &Broadcast {
        match self {
            Self::Message(frames) => frames,
            Self::Envelope(envelope) => &envelope.frames,
        }
    }

    fn len(&self) -> usize {
        self.frames().data().len()
    }
}

impl Item {
    pub(super) fn new(what: What) -> Self {
        Self { what, priority: Priority::default(), key: None, done: None, uncounted: false }
    }

    /// What counts of it.
    fn len(&self) -> usize {
        if self.uncounted {
            return 0;
        }
        match &self.what {
            What::Message(message) => message.len(),
            What::Frames(split) => split.0.len(),
            What::Shared(shared) => shared.len(),
            What::Ping(bytes) | What::Begin(_, bytes) | What::Append(bytes, _) => bytes.len(),
        }
    }
}

/// How the session is to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    #[default]
    No,
    /// After what waits.
    Close(Option<Box<Close<'static>>>),
    /// Without a word.
    Cut,
}

/// A spare queue that is larger is not kept.
const SPARE: usize = 64;

thread_local! {
    /// For the next outbox of the thread that something is put into: one that is empty holds no memory for it.
    static QUEUE: Cell<Option<Box<Queue>>> = const { Cell::new(None) };
}

#[derive(Default)]
struct Queue {
    /// Ordered by priority.
    items: VecDeque<Item>,
    /// The further pieces of a message that has begun or waits to.
    pieces: VecDeque<Item>,
    /// Items of high and of normal priority.
    high: usize,
    normal: usize,
    bytes: usize,
    uncounted: usize,
}

#[derive(Default)]
enum Waiting {
    #[default]
    Nothing,
    /// Only this, of [`Priority::Normal`] and without a key: most who get what many get have nothing else that waits, and need no memory
    /// for it.
    Shared(Shared),
    Queue(Box<Queue>),
}

#[derive(Default)]
pub(super) struct Outbox {
    waiting: Waiting,
    /// Messages as frames, before all that waits.
    pub(super) frames: Option<Box<Outgoing>>,
    /// Who sends may make a frame of a message: the session would do the same.
    pub(super) may_frame: bool,
    pub(super) waker: Option<Waker>,
    pub(super) ending: Ending,
    /// Pieces are being written: messages wait.
    in_pieces: bool,
    /// Somebody writes a message in pieces.
    pub(super) has_writer: bool,
    /// The session is over: nothing can be sent any more.
    pub(super) over: bool,
}

impl Queue {
    /// How many messages count.
    fn counted(&self) -> usize {
        self.items.len() + self.pieces.len() - self.uncounted
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.pieces.is_empty()
    }

    /// `Err`: the peer is to be closed with this code.
    fn push(&mut self, item: Item, limits: impl FnOnce() -> OutboundLimits) -> Result<Sent, CloseCode> {
        let length = item.len();
        let limits = (!item.uncounted && self.counted() > 0).then(limits);
        let alone = self.counted() <= 1;
        let same = |old: &Item| old.key == item.key && old.priority == item.priority;
        if item.key.is_some()
            && let Some(at) = self.items.iter().position(same)
            && let Some(old) = self.items.get_mut(at)
        {
            let others = self.bytes - old.len();
            let fits = alone || limits.is_none_or(|limits| others.saturating_add(length) <= limits.bytes);
            if fits {
                self.bytes = others + length;
                *old = item;
                return Ok(Sent::Queued);
            }
            if limits.is_some_and(|limits| limits.overflow != Overflow::DropNewest) {
                self.remove(at);
            }
        }
        if let Some(limits) = limits {
            while self.counted() > 0 && (self.bytes.saturating_add(length) > limits.bytes || self.counted() >= limits.messages) {
                match limits.overflow {
                    Overflow::DropOldest if self.drop_oldest(item.priority) => {}
                    Overflow::DropNewest | Overflow::DropOldest => return Ok(Sent::Refused),
                    Overflow::Close(code) => return Err(code),
                }
            }
        }
        self.append(item);
        Ok(Sent::Queued)
    }

    /// Puts it behind all that goes before it.
    fn append(&mut self, item: Item) {
        self.bytes += item.len();
        self.uncounted += usize::from(item.uncounted);
        match item.what {
            What::Append(..) => self.pieces.push_back(item),
            _ => self.insert(item),
        }
    }

    fn insert(&mut self, item: Item) {
        let at = match item.priority {
            Priority::High => {
                self.high += 1;
                self.high - 1
            }
            Priority::Normal => {
                self.normal += 1;
                self.high + self.normal - 1
            }
            Priority::Low => self.items.len(),
        };
        // Both are the same there, but for their cost.
        if at == self.items.len() { self.items.push_back(item) } else { self.items.insert(at, item) }
    }

    fn remove(&mut self, at: usize) -> Option<Item> {
        let item = if at == 0 { self.items.pop_front()? } else { self.items.remove(at)? };
        match item.priority {
            Priority::High => self.high -= 1,
            Priority::Normal => self.normal -= 1,
            Priority::Low => {}
        }
        self.bytes -= item.len();
        self.uncounted -= usize::from(item.uncounted);
        Some(item)
    }

    /// Makes room: of what counts, the oldest of the lowest priority goes, unless that is higher than `priority`.
    fn drop_oldest(&mut self, priority: Priority) -> bool {
        let (normal, low, end) = (self.high, self.high + self.normal, self.items.len());
        let oldest = |from: usize, to: usize| (from..to).find(|&at| self.items.get(at).is_some_and(|item| !item.uncounted));
        let Some(at) = oldest(low, end).or_else(|| oldest(normal, low)).or_else(|| oldest(0, normal)) else { return false };
        // Without its beginning, a message in pieces makes no sense.
        let may_go = |item: &Item| item.priority >= priority && !matches!(item.what, What::Begin(..));
        self.items.get(at).is_some_and(may_go) && self.remove(at).is_some()
    }
}

impl Outbox {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        let framed = self.frames.as_ref().map_or(0, |frames| frames.bytes.len());
        let waiting = match &self.waiting {
            Waiting::Nothing => 0,
            Waiting::Shared(shared) => shared.len(),
            Waiting::Queue(queue) => queue.bytes,
        };
        framed + waiting
    }

    pub(super) fn is_open(&self) -> bool {
        !self.over && self.ending == Ending::No
    }

    /// Whether what is sent now has to wait for nothing but [`frames`](Self::frames).
    #[inline]
    fn is_free(&self) -> bool {
        matches!(self.waiting, Waiting::Nothing) && !self.in_pieces && self.is_open()
    }

    /// Takes what many get, if it is all that waits. Otherwise it is to be [pushed](Self::push).
    #[inline]
    pub(super) fn share(&mut self, shared: Shared) -> Result<(), Shared> {
        if !self.is_free() {
            return Err(shared);
        }
        self.waiting = Waiting::Shared(shared);
        Ok(())
    }

    /// What was [shared](Self::share), if nothing else waits before or after it.
    #[inline]
    pub(super) fn take_shared(&mut self) -> Option<Shared> {
        match std::mem::take(&mut self.waiting) {
            Waiting::Shared(shared) => Some(shared),
            other => {
                self.waiting = other;
                None
            }
        }
    }

    /// Makes a frame of a message that has to wait for nothing, for a session that is about to give it to the transport: no more
    /// than it would gather itself. `false`: it is to be [pushed](Self::push).
    #[inline]
    pub(super) fn frame(&mut self, message: &Message) -> bool {
        if !self.is_free() || !self.may_frame || message.len() > GATHER {
            return false;
        }
        let frames = self.frames.get_or_insert_with(Outgoing::spare);
        if frames.bytes.len() >= GATHER {
            return false;
        }
        narthex_ws::frame(message.kind(), message.as_bytes(), &mut frames.bytes);
        frames.messages += 1;
        true
    }

    /// `limits` is asked if something waits already: one message goes in any case.
    pub(super) fn push(&mut self, item: Item, limits: impl FnOnce() -> OutboundLimits) -> Sent {
        if !self.is_open() {
            return Sent::NotFound;
        }
        let mut queue = match std::mem::take(&mut self.waiting) {
            Waiting::Queue(queue) => queue,
            before => {
                let mut queue = QUEUE.take().unwrap_or_default();
                if let Waiting::Shared(shared) = before {
                    queue.append(Item::new(What::Shared(shared)));
                }
                queue
            }
        };
        match queue.push(item, limits) {
            Ok(sent) => {
                self.waiting = Waiting::Queue(queue);
                sent
            }
            Err(code) => {
                self.ending = Ending::Close(Some(Box::new(Close::shortened(code, "this client reads too slowly"))));
                Sent::Refused
            }
        }
    }

    /// What is to be sent next.
    pub(super) fn pop(&mut self) -> Option<Item> {
        if let Some(shared) = self.take_shared() {
            return Some(Item::new(What::Shared(shared)));
        }
        let Waiting::Queue(queue) = &mut self.waiting else { return None };
        let whole = if self.in_pieces {
            // Control frames may come between the frames of a message (RFC 6455 section 5.4).
            queue.items.iter().position(|item| matches!(item.what, What::Ping(_)))
        } else {
            Some(0)
        };
        let item = match whole.and_then(|at| queue.remove(at)) {
            Some(item) => {
                self.in_pieces |= matches!(item.what, What::Begin(..));
                item
            }
            None if self.in_pieces => {
                let item = queue.pieces.pop_front()?;
                queue.bytes -= item.len();
                self.in_pieces = !matches!(item.what, What::Append(_, true));
                item
            }
            None => return None,
        };
        if queue.is_empty()
            && let Waiting::Queue(spare) = std::mem::take(&mut self.waiting)
            && spare.items.capacity() <= SPARE
            && spare.pieces.capacity() <= SPARE
        {
            QUEUE.set(Some(spare));
        }
        Some(item)
    }

    /// Whether the session has something to send.
    pub(super) fn has_some(&self) -> bool {
        self.frames.is_some() || self.has_next()
    }

    /// Whether [`pop`](Self::pop) would give something.
    #[inline]
    pub(super) fn has_next(&self) -> bool {
        match &self.waiting {
            Waiting::Nothing => false,
            Waiting::Shared(_) => true,
            Waiting::Queue(queue) if self.in_pieces => {
                !queue.pieces.is_empty() || queue.items.iter().any(|item| matches!(item.what, What::Ping(_)))
            }
            Waiting::Queue(queue) => !queue.items.is_empty(),
        }
    }

    pub(super) fn clear(&mut self) {
        (self.waiting, self.frames) = (Waiting::Nothing, None);
    }
}

#[cfg(test)]
mod tests;
