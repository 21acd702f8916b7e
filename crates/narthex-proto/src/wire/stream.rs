//! Streams: their names, the table that holds them, and the two windows of each.

use std::fmt;

use super::error::{ProtocolError, StreamError};
use super::frame::{self, Kind, MAX_PAYLOAD, misplaced};
use super::request::MAX_HEAD;

/// How many bytes each direction of a stream may carry before the receiver returns some with WINDOW.
pub const INITIAL_WINDOW: u32 = 64 * 1024;

/// More than any receiver would grant; keeps the sums far from overflow.
const MAX_WINDOW: u32 = i32::MAX as u32;

const SLOT_BITS: u32 = 20;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

/// The name of a stream: a slot, and how many streams had the slot before (modulo 4096).
///
/// An id kept after its stream has closed names nothing: calls with it fail with [`StreamError::Closed`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamId(u32);

impl StreamId {
    pub(super) const SESSION: Self = Self(0);

    pub(super) fn from_wire(bits: u32) -> Self {
        Self(bits)
    }

    /// The id as the number that frames carry, for logs.
    pub fn to_wire(self) -> u32 {
        self.0
    }

    pub(super) fn is_stream(self) -> bool {
        self.0 & SLOT_MASK != 0
    }

    fn new(index: usize, generation: u16) -> Option<Self> {
        let slot = u32::try_from(index).ok()?.checked_add(1)?;
        (slot <= SLOT_MASK).then_some(Self(slot | u32::from(generation) << SLOT_BITS))
    }

    fn index(self) -> usize {
        (self.0 & SLOT_MASK).wrapping_sub(1) as usize
    }

    fn generation(self) -> u16 {
        (self.0 >> SLOT_BITS) as u16
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 & SLOT_MASK, self.generation())
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

/// Why a stream was cancelled. Unknown codes are passed on as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CancelCode(pub u32);

impl CancelCode {
    /// Host: the client closed its connection or broke the protocol.
    pub const CLIENT_GONE: Self = Self(1);
    /// Host: one of the group's timers ran out.
    pub const TIMED_OUT: Self = Self(2);
    /// App: the handler ended without a response, or without the rest of it.
    pub const HANDLER_GONE: Self = Self(3);
    /// App: the handler panicked.
    pub const HANDLER_PANICKED: Self = Self(4);
    /// Host: the response breaks HTTP, so it cannot be sent to the client.
    pub const BAD_RESPONSE: Self = Self(5);
    /// Either: the process is going away.
    pub const SHUTTING_DOWN: Self = Self(6);
    /// App: the client's connection (its stream in HTTP/2 and 3) is to be broken off without an answer.
    pub const REQUEST_CANCELLED: Self = Self(7);
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No RESPONSE yet.
    Waiting,
    Responding,
    Tunnel,
}

/// One stream, as either end sees it.
#[derive(Debug)]
pub(super) struct Stream<T> {
    /// The host's is `None` once it has cancelled the stream; the app's until `attach`.
    pub(super) data: Option<T>,
    pub(super) phase: Phase,
    pub(super) wants_upgrade: bool,
    /// The request expects 100-continue and the app has not asked for its body yet.
    pub(super) withheld: bool,
    pub(super) sent_end: bool,
    pub(super) received_end: bool,
    /// What may be sent.
    pub(super) send_window: u32,
    /// What the peer may send.
    pub(super) receive_window: u32,
    /// Received, and not yet passed on by the caller.
    buffered: u32,
    /// Passed on, and not yet returned to the peer.
    unreturned: u32,
    /// What stands in the place of data.
    pub(super) fragment: Fragment,
}

/// A fragment in a response, from the app's FRAGMENT to the host's answer. Meanwhile the app sends nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fragment {
    None,
    /// The host has not yet said whether it has it.
    Asked,
    /// The host has it, and the client has not taken all of it.
    Found {
        length: u64,
        left: u64,
    },
    /// It is a file, and the host has not yet said whether it takes it.
    File,
}

impl<T> Stream<T> {
    #[inline]
    pub(super) fn new(data: Option<T>, wants_upgrade: bool, withheld: bool) -> Self {
        Self {
            data,
            phase: Phase::Waiting,
            wants_upgrade,
            withheld,
            sent_end: false,
            received_end: false,
            send_window: INITIAL_WINDOW,
            receive_window: INITIAL_WINDOW,
            buffered: 0,
            unreturned: 0,
            fragment: Fragment::None,
        }
    }

    pub(super) fn sendable(&self) -> usize {
        if self.sent_end { 0 } else { self.send_window as usize }
    }

    pub(super) fn send_data(&mut self, id: StreamId, bytes: &[u8], end: bool, out: &mut Vec<u8>) -> Result<(), StreamError> {
        if self.sent_end {
            return Err(StreamError::Ended);
        }
        self.take_window(bytes.len())?;
        self.sent_end = end;
        put_data(id, bytes, end, out);
        Ok(())
    }

    /// The host's side: nothing follows a fragment before it is answered.
    pub(super) fn expect_no_fragment(&self, kind: Kind) -> Result<(), ProtocolError> {
        if self.fragment == Fragment::None {
            Ok(())
        } else {
            Err(misplaced(kind, "follows a FRAGMENT or FILE without an answer"))
        }
    }

    /// Counts bytes that are about to be sent.
    pub(super) fn take_window(&mut self, length: usize) -> Result<(), StreamError> {
        let available = self.send_window as usize;
        if length > available {
            return Err(StreamError::WindowExceeded { available });
        }
        self.send_window -= length as u32;
        Ok(())
    }

    pub(super) fn send_trailers(&mut self, id: StreamId, lines: &[u8], out: &mut Vec<u8>) -> Result<(), StreamError> {
        if self.sent_end {
            return Err(StreamError::Ended);
        }
        if self.phase == Phase::Tunnel {
            return Err(StreamError::Tunnel);
        }
        if lines.len() > MAX_HEAD {
            let length = lines.len();
            return Err(StreamError::TooLarge { length });
        }
        self.sent_end = true;
        frame::put(out, Kind::Trailers, true, id, lines);
        Ok(())
    }

    /// The caller has passed on `n` of the received bytes. Small amounts are returned to the peer together, so
    /// that a stream of small DATA frames does not cause a WINDOW frame for each.
    ///
    /// What was received before a fragment is passed on before it, and nothing is received after it until all of it is
    /// passed on: so the rest of `n` is the fragment's.
    pub(super) fn consumed(&mut self, id: StreamId, n: usize, out: &mut Vec<u8>) {
        let mut n = n;
        if let Fragment::Found { length, left } = self.fragment {
            let of_data = n.min(self.buffered as usize);
            let left = left.saturating_sub((n - of_data) as u64);
            self.fragment = Fragment::Found { length, left };
            n = of_data;
            self.answer_fragment(id, out);
        }
        debug_assert!(n <= self.buffered as usize, "consumed more than was received");
        let n = self.buffered.min(u32::try_from(n).unwrap_or(u32::MAX));
        self.buffered -= n;
        self.unreturned += n;
        if self.unreturned >= INITIAL_WINDOW / 2 {
            self.return_all(id, out);
        }
    }

    /// Tells the app that the client has a fragment, once it has all of it.
    pub(super) fn answer_fragment(&mut self, id: StreamId, out: &mut Vec<u8>) {
        if let Fragment::Found { length, left: 0 } = self.fragment {
            self.fragment = Fragment::None;
            frame::put_sent(out, id, length);
        }
    }

    /// Says at once what is otherwise said together with more.
    pub(super) fn return_all(&mut self, id: StreamId, out: &mut Vec<u8>) {
        if self.unreturned > 0 && !self.received_end {
            frame::put_u32(out, Kind::Window, id, self.unreturned);
            self.receive_window += self.unreturned;
            self.unreturned = 0;
        }
    }

    /// Counts bytes that have come in.
    #[inline]
    pub(super) fn receive_bytes(&mut self, id: StreamId, kind: Kind, sent: usize, end: bool) -> Result<(), ProtocolError> {
        if self.received_end {
            return Err(misplaced(kind, "follows the end of its stream"));
        }
        let window = self.receive_window;
        if sent > window as usize {
            return Err(ProtocolError::WindowExceeded { id, window, sent });
        }
        self.receive_window -= sent as u32;
        self.buffered += sent as u32;
        self.received_end = end;
        Ok(())
    }

    pub(super) fn receive_trailers(&mut self) -> Result<(), ProtocolError> {
        if self.received_end {
            return Err(misplaced(Kind::Trailers, "follows the end of its stream"));
        }
        if self.phase == Phase::Tunnel {
            return Err(misplaced(Kind::Trailers, "is in a tunnel"));
        }
        self.received_end = true;
        Ok(())
    }

    /// The new window, or `None` if the increment came too late to matter.
    pub(super) fn receive_window(&mut self, increment: u32) -> Result<Option<usize>, ProtocolError> {
        if self.sent_end {
            return Ok(None);
        }
        let window = self.send_window.checked_add(increment);
        let window = window.filter(|window| *window <= MAX_WINDOW);
        self.send_window = window.ok_or(ProtocolError::Overflow { what: "window" })?;
        Ok(Some(self.send_window as usize))
    }
}

/// Writes DATA frames, several if `bytes` is longer than one may be. No bytes and no end is no frame.
pub(super) fn put_data(id: StreamId, mut bytes: &[u8], end: bool, out: &mut Vec<u8>) {
    while let Some((first, rest)) = bytes.split_at_checked(MAX_PAYLOAD)
        && !rest.is_empty()
    {
        frame::put(out, Kind::Data, false, id, first);
        bytes = rest;
    }
    if end || !bytes.is_empty() {
        frame::put(out, Kind::Data, end, id, bytes);
    }
}

/// The streams of a session by slot. A slot keeps its generation while it is empty.
#[derive(Debug)]
pub(super) struct Streams<T> {
    slots: Vec<Slot<T>>,
    /// Empty slots; used by the end that names streams.
    free: Vec<StreamId>,
    live: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u16,
    stream: Option<Stream<T>>,
}

impl<T> Streams<T> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), live: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.live
    }

    #[inline]
    pub(super) fn get(&self, id: StreamId) -> Option<&Stream<T>> {
        let slot = self.slots.get(id.index())?;
        if slot.generation != id.generation() {
            return None;
        }
        slot.stream.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream<T>> {
        let slot = self.slots.get_mut(id.index())?;
        if slot.generation != id.generation() {
            return None;
        }
        slot.stream.as_mut()
    }

    /// The name that [`insert`](Self::insert) should give the next stream (the host's side).
    #[inline]
    pub(super) fn vacant(&self) -> Option<StreamId> {
        match self.free.last() {
            Some(id) => Some(*id),
            None => StreamId::new(self.slots.len(), 0),
        }
    }

    /// Gives the slot that [`vacant`](Self::vacant) named to `stream` (the host's side).
    #[inline]
    pub(super) fn insert(&mut self, id: StreamId, stream: Stream<T>) {
        if self.free.pop().is_none() {
            self.slots.push(Slot { generation: id.generation(), stream: Some(stream) });
        } else if let Some(slot) = self.slots.get_mut(id.index()) {
            slot.generation = id.generation();
            slot.stream = Some(stream);
        }
        self.live += 1;
    }

    /// Takes up a stream that the peer has named (the app's side). The host uses slots and generations without
    /// gaps, so anything else is an error, and a peer cannot make this table larger than its own.
    #[inline]
    pub(super) fn accept(&mut self, id: StreamId, stream: Stream<T>) -> Result<(), ProtocolError> {
        let index = id.index();
        if index == self.slots.len() && id.generation() == 0 {
            self.slots.push(Slot { generation: 0, stream: Some(stream) });
        } else {
            let Some(slot) = self.slots.get_mut(index) else {
                return Err(misplaced(Kind::Request, "skips a stream"));
            };
            if slot.stream.is_some() || id.generation() != next_generation(slot.generation) {
                return Err(misplaced(Kind::Request, "takes a stream twice"));
            }
            slot.generation = id.generation();
            slot.stream = Some(stream);
        }
        self.live += 1;
        Ok(())
    }

    /// Empties a slot (the app's side).
    #[inline]
    pub(super) fn remove(&mut self, id: StreamId) -> Option<Stream<T>> {
        let slot = self.slots.get_mut(id.index())?;
        if slot.generation != id.generation() {
            return None;
        }
        let stream = slot.stream.take()?;
        self.live -= 1;
        Some(stream)
    }

    /// Empties a slot and lets [`vacant`](Self::vacant) name it again (the host's side).
    #[inline]
    pub(super) fn release(&mut self, id: StreamId) -> Option<Stream<T>> {
        let stream = self.remove(id)?;
        self.free.extend(StreamId::new(id.index(), next_generation(id.generation())));
        Some(stream)
    }

    pub(super) fn into_data(self) -> impl Iterator<Item = (StreamId, T)> {
        let slots = self.slots.into_iter().enumerate();
        slots.filter_map(|(index, slot)| {
            let id = StreamId::new(index, slot.generation)?;
            Some((id, slot.stream?.data?))
        })
    }
}

fn next_generation(generation: u16) -> u16 {
    (generation + 1) & 0xFFF
}
