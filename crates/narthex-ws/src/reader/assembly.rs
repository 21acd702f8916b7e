//! What has arrived of a frame or a message that is not complete.

use std::borrow::Cow;

use crate::deflate::{Inflater, Stop};
use crate::error::ProtocolError;
use crate::event::{Event, Kind, Piece};
use crate::frame::{Header, MAX_HEADER, Opcode};
use crate::mask::MaskKey;
use crate::settings::{Delivery, Limits};
use crate::utf8::Validator;

/// All that a reader holds between two reads, and does not while nothing is half there.
#[derive(Default)]
pub(super) struct Unfinished {
    pub(super) header: PartialHeader,
    /// The frame whose payload is arriving.
    pub(super) frame: Option<Frame>,
    /// What is there of a control frame's payload.
    pub(super) control: Vec<u8>,
    /// The message that has begun; control frames may come meanwhile.
    pub(super) message: Option<Assembly>,
}

impl Unfinished {
    pub(super) fn is_empty(&self) -> bool {
        self.header.is_empty() && self.frame.is_none() && self.message.is_none()
    }
}

/// A header whose rest has not arrived.
#[derive(Default)]
pub(super) struct PartialHeader {
    bytes: [u8; MAX_HEADER],
    len: u8,
}

impl PartialHeader {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes one more byte; the header, if that was the last.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<Header>, ProtocolError> {
        let len = usize::from(self.len) + 1;
        self.bytes[len - 1] = byte;
        self.len += 1;
        let header = Header::parse(&self.bytes[..len])?;
        if header.is_some() {
            self.len = 0;
        }
        Ok(header.map(|(header, _)| header))
    }
}

/// A frame whose payload is arriving.
pub(super) struct Frame {
    opcode: Opcode,
    fin: bool,
    key: Option<MaskKey>,
    left: u64,
}

/// What one read has of a frame's payload.
pub(super) struct Part<'i> {
    pub(super) opcode: Opcode,
    pub(super) data: &'i [u8],
    /// The frame is complete.
    pub(super) ends_frame: bool,
    /// And so is its message.
    pub(super) ends_message: bool,
}

impl Frame {
    pub(super) fn new(header: &Header) -> Self {
        Self { opcode: header.opcode, fin: header.fin, key: header.mask, left: header.len }
    }

    pub(super) fn awaits_more(&self) -> bool {
        self.left > 0
    }

    /// Takes what is there of the payload off the front of `input`.
    pub(super) fn take<'i>(&mut self, input: &mut &'i mut [u8]) -> Part<'i> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        let data = super::take(input, len);
        if let Some(key) = &mut self.key {
            key.apply(data);
            *key = key.advanced(len);
        }
        self.left -= len as u64;
        let ends_frame = self.left == 0;
        Part { opcode: self.opcode, data, ends_frame, ends_message: ends_frame && self.fin }
    }
}

/// A message that has begun.
pub(super) struct Assembly {
    kind: Kind,
    pub(super) compressed: bool,
    /// No piece of it has been handed over.
    first: bool,
    /// It is complete, and its last piece has been handed over.
    pub(super) complete: bool,
    utf8: Validator,
    fragments: u32,
    /// Bytes of payload in its frames, those on their way included.
    announced: u64,
    inflated: usize,
    buffer: Vec<u8>,
}

impl Assembly {
    pub(super) fn new(kind: Kind, compressed: bool) -> Self {
        Self {
            kind,
            compressed,
            first: true,
            complete: false,
            utf8: Validator::default(),
            fragments: 0,
            announced: 0,
            inflated: 0,
            buffer: Vec::new(),
        }
    }

    /// Counts a frame that has been announced.
    pub(super) fn announce(&mut self, header: &Header, limits: &Limits) -> Result<(), ProtocolError> {
        self.fragments += 1;
        if self.fragments > limits.max_fragments {
            return Err(ProtocolError::TooManyFragments(limits.max_fragments));
        }
        self.announced = self.announced.saturating_add(header.len);
        if self.announced > limits.max_message_size { Err(ProtocolError::TooBig(limits.max_message_size)) } else { Ok(()) }
    }

    /// Takes a part of the message, and gives what is to be handed over now. Text is judged byte by byte as it comes.
    pub(super) fn add<'i>(
        &mut self,
        part: &Part<'i>,
        inflater: Option<&mut Inflater>,
        delivery: Delivery,
        limits: &Limits,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        let last = part.ends_message;
        let held = self.buffer.len();
        match inflater {
            Some(inflater) => self.inflate(part.data, last, inflater, limits)?,
            None if delivery == Delivery::Pieces => {}
            None => self.hold(part.data),
        }
        let data = if self.compressed { &self.buffer[held..] } else { part.data };
        if self.kind == Kind::Text {
            self.utf8.feed(data).map_err(|_| ProtocolError::InvalidUtf8)?;
            if last {
                self.utf8.finish().map_err(|_| ProtocolError::InvalidUtf8)?;
            }
        }
        self.complete = last;
        if delivery == Delivery::Whole {
            return if last { self.whole().map(Some) } else { Ok(None) };
        }
        if data.is_empty() && !last {
            return Ok(None);
        }
        let data = match (self.compressed, delivery) {
            (false, _) => Cow::Borrowed(part.data),
            (true, Delivery::Both) => data.to_vec().into(),
            (true, _) => std::mem::take(&mut self.buffer).into(),
        };
        let first = std::mem::take(&mut self.first);
        Ok(Some(Event::Piece(Piece { kind: self.kind, data, first, last })))
    }

    /// The message, which is complete.
    pub(super) fn whole(&mut self) -> Result<Event<'static>, ProtocolError> {
        let data = std::mem::take(&mut self.buffer);
        Ok(match self.kind {
            Kind::Text => Event::Text(String::from_utf8(data).map_err(|_| ProtocolError::InvalidUtf8)?.into()),
            Kind::Binary => Event::Binary(data.into()),
        })
    }

    fn inflate(&mut self, data: &[u8], last: bool, inflater: &mut Inflater, limits: &Limits) -> Result<(), ProtocolError> {
        let held = self.buffer.len();
        let left = limits.max_inflated_size - self.inflated;
        inflater
            .inflate(data, &mut self.buffer, left)
            .and_then(|()| {
                let left = left - (self.buffer.len() - held);
                if last { inflater.finish(&mut self.buffer, left) } else { Ok(()) }
            })
            .map_err(|stop| match stop {
                Stop::Corrupt => ProtocolError::Deflate,
                Stop::TooBig => ProtocolError::TooBig(limits.max_inflated_size as u64),
            })?;
        self.inflated += self.buffer.len() - held;
        Ok(())
    }

    /// Keeps `data` for the whole message. Room for what has been announced is made at once, but no more than a peer has
    /// shown that it will fill: a header costs it nothing.
    fn hold(&mut self, data: &[u8]) {
        if self.buffer.capacity() - self.buffer.len() < data.len() {
            let missing = usize::try_from(self.announced).unwrap_or(usize::MAX).saturating_sub(self.buffer.len());
            let shown = (self.buffer.len() + data.len()) * 4;
            self.buffer.reserve_exact(missing.min(shown).max(data.len()));
        }
        self.buffer.extend_from_slice(data);
    }
}
