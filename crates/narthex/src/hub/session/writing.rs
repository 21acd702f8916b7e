//! From the outbox to the client's end: what waits becomes frames, and frames are sent.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use narthex_http::Piece;
use narthex_ws::{Close, Connection, SendError};

use super::Session;
use super::line::Line;
use crate::downstream::Closed;
use crate::hub::handlers::Disconnected;
use crate::hub::message::Message;
use crate::hub::outbox::{Ending, Item, Outbox, Shared, What};
use crate::hub::outgoing::{GATHER, Outgoing};
use crate::hub::peer::count;

/// A frame of this size is given to the transport as it is, not copied together with others.
const LARGE: usize = 1_024;

impl Session {
    /// Gives the transport what waits, as far as it takes it.
    pub(super) fn poll_write(&mut self, line: &mut impl Line, cx: &mut Context<'_>) -> Result<(), Closed> {
        let mut more = true;
        loop {
            let Poll::Ready(room) = line.poll_ready(cx) else {
                self.clock.blocked(self.hub.settings.write_timeout);
                return Ok(());
            };
            let room = room?;
            self.clock.unblocked();
            if self.is_written() {
                if let Some(outgoing) = &mut self.outgoing {
                    outgoing.renew();
                }
                if more {
                    more = self.fill();
                }
                if self.is_written() {
                    self.rest();
                    return Ok(());
                }
            }
            let Some(outgoing) = &mut self.outgoing else { return Ok(()) };
            let waits = outgoing.bytes.get(outgoing.sent..).unwrap_or_default();
            let taken = if waits.is_empty() {
                let bytes = outgoing.large.split_to(room.min(outgoing.large.len()));
                let taken = bytes.len();
                line.send(cx, Piece::Shared(bytes))?;
                taken
            } else {
                let bytes = waits.get(..room).unwrap_or(waits);
                line.send(cx, Piece::Slice(bytes))?;
                outgoing.sent += bytes.len();
                bytes.len()
            };
            count(&self.peer.0.counters.bytes_sent, taken as u64);
            if !more && outgoing.is_sent() && line.is_flushed() {
                outgoing.renew();
                self.rest();
                return Ok(());
            }
        }
    }

    pub(super) fn is_written(&self) -> bool {
        self.outgoing.as_ref().is_none_or(|outgoing| outgoing.is_sent())
    }

    /// Makes bytes of what waits: what is framed, answers that are owed, what else was sent, then the Close. Returns whether there may be
    /// more.
    fn fill(&mut self) -> bool {
        let is_owing = self.ping || self.codec.owes_answer();
        let mut outbox = self.peer.outbox();
        let frames = outbox.frames.take();
        let shared = if frames.is_some() || is_owing { None } else { outbox.take_shared() };
        let is_all = self.has_all(&outbox);
        // No more of them come meanwhile: something waits before them, or nobody looks.
        drop(outbox);
        if let Some(frames) = frames {
            self.take_over(frames);
        }
        if let Some(shared) = shared {
            self.fill_by(|session, outgoing| {
                let written = share(&mut session.codec, &shared, outgoing);
                session.counted(written)
            });
        }
        (!is_all || is_owing) && self.fill_by(Self::fill_into)
    }

    /// Whether nothing waits any more. Then who sends wakes this task, also while it is busy.
    fn has_all(&self, outbox: &Outbox) -> bool {
        let is_all = !outbox.has_next() && outbox.ending == Ending::No;
        if is_all {
            self.peer.0.looking.store(false, Ordering::Relaxed);
        }
        is_all
    }

    /// These frames go next: what was gathered before is with the transport.
    fn take_over(&mut self, frames: Box<Outgoing>) {
        // Nothing follows a Close.
        if !self.codec.is_done() {
            count(&self.peer.0.counters.messages_sent, frames.messages);
            if let Some(empty) = self.outgoing.replace(frames) {
                empty.give_back();
            }
        }
    }

    fn fill_by<R>(&mut self, fill: impl FnOnce(&mut Self, &mut Outgoing) -> R) -> R {
        let mut outgoing = self.outgoing.take().unwrap_or_else(Outgoing::spare);
        let filled = fill(self, &mut outgoing);
        self.outgoing = Some(outgoing);
        filled
    }

    fn fill_into(&mut self, outgoing: &mut Outgoing) -> bool {
        self.codec.answer(&mut outgoing.bytes);
        if std::mem::take(&mut self.ping) && self.codec.ping(b"", &mut outgoing.bytes).is_ok() {
            let (counters, now) = (&self.peer.0.counters, self.peer.now());
            if !counters.first_ping.is_set() {
                counters.first_ping.set(now);
            }
            counters.last_ping.set(now);
            self.clock.pinged(&self.hub.settings.heartbeat);
        }
        while outgoing.bytes.len() < GATHER && outgoing.large.is_empty() && self.codec.is_open() {
            let mut outbox = self.peer.outbox();
            let item = outbox.pop();
            self.has_all(&outbox);
            let waits = outbox.has_next();
            let ending = if waits { Ending::No } else { outbox.ending.clone() };
            drop(outbox);
            if let Some(item) = item {
                self.encode(item, outgoing);
            }
            if waits || !outgoing.large.is_empty() {
                continue;
            }
            if let Ending::Close(close) = ending {
                self.close(close.as_deref(), outgoing);
            }
            return false;
        }
        true
    }

    /// A connection that rests holds no memory for what it sends.
    fn rest(&mut self) {
        if let Some(outgoing) = self.outgoing.take() {
            outgoing.give_back();
        }
    }

    fn close(&mut self, close: Option<&Close<'_>>, outgoing: &mut Outgoing) {
        if self.codec.close(close, &mut outgoing.bytes).is_ok() {
            let (code, reason) = close.map_or((1005, ""), |close| (close.code().get(), close.reason()));
            self.ended.get_or_insert_with(|| Box::new(Disconnected { code, reason: reason.to_owned(), by_client: false }));
            self.clock.close_by(self.hub.settings.close_timeout);
        }
    }

    fn encode(&mut self, item: Item, outgoing: &mut Outgoing) {
        let out = &mut outgoing.bytes;
        let written = match item.what {
            What::Message(Message::Text(text)) => self.codec.text(&text, out),
            What::Message(Message::Binary(data)) => self.codec.binary(&data, out),
            What::Frames(split) => in_frames(&mut self.codec, &split.0, split.1.get(), out),
            What::Shared(shared) => share(&mut self.codec, &shared, outgoing),
            What::Ping(payload) => self.codec.ping(&payload, out),
            What::Begin(kind, data) => self.codec.begin(kind, &data, out),
            What::Append(data, last) => self.codec.append(&data, last, out),
        };
        if self.counted(written) {
            outgoing.flushed.extend(item.done);
        }
    }

    /// Counts a message that has become a frame.
    fn counted(&self, written: Result<(), SendError>) -> bool {
        match written {
            Ok(()) => count(&self.peer.0.counters.messages_sent, 1),
            Err(error) => tracing::debug!(%error, "a message was not sent"),
        }
        written.is_ok()
    }
}

/// A large frame is not copied.
fn share(codec: &mut Connection, shared: &Shared, outgoing: &mut Outgoing) -> Result<(), SendError> {
    let frame = codec.broadcast(shared.frames())?;
    if frame.len() >= LARGE {
        outgoing.large = frame.clone();
    } else {
        outgoing.bytes.extend_from_slice(frame);
    }
    Ok(())
}

/// Writes a message in frames of at most so many bytes.
fn in_frames(codec: &mut Connection, message: &Message, most: usize, out: &mut Vec<u8>) -> Result<(), SendError> {
    let kind = message.kind();
    let mut parts = message.as_bytes().chunks(most);
    codec.begin(kind, parts.next().unwrap_or_default(), out)?;
    while let Some(part) = parts.next() {
        codec.append(part, parts.len() == 0, out)?;
    }
    Ok(())
}
