//! From bytes to messages, RFC 6455 section 5: one end's receiving half.

mod assembly;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use self::assembly::{Assembly, Frame, Unfinished};
use crate::close::Close;
use crate::deflate::{Agreement, Inflater};
use crate::error::ProtocolError;
use crate::event::{Event, Kind};
use crate::frame::{Header, Opcode};
use crate::role::Role;
use crate::settings::{Delivery, Settings};

/// Finds events in bytes as they arrive.
///
/// The bytes are unmasked where they lie, and a message that lies there whole is handed over there. What is left over of a
/// message or a frame is kept inside, so that one buffer does for all connections of a thread, and a reader with nothing half
/// done is 32 bytes and nothing on the heap (with context takeover, 47 KiB once something was inflated).
///
/// ```
/// use narthex_ws::{Event, Reader, Role};
///
/// let mut reader = Reader::new(Role::Server, Default::default(), None);
/// let mut bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// let mut input = &mut bytes[..];
/// assert_eq!(reader.read(&mut input)?, Some(Event::Text("Hello".into())));
/// assert_eq!(reader.read(&mut input)?, None);
/// # Ok::<(), narthex_ws::ProtocolError>(())
/// ```
pub struct Reader {
    settings: Arc<Settings>,
    unfinished: Option<Box<Unfinished>>,
    inflater: Option<Box<Inflater>>,
    role: Role,
    inflation: Inflation,
    /// After a Close frame or an error nothing is read any more.
    ended: bool,
}

/// What the peer's RSV1 means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inflation {
    NotAgreed,
    /// Each message is by itself.
    MessageByMessage,
    /// Messages may refer to earlier ones.
    ContextTakeover,
}

impl Reader {
    /// A reader for the end in `role`, which has agreed on permessage-deflate if there is an agreement.
    pub fn new(role: Role, settings: Arc<Settings>, agreement: Option<Agreement>) -> Self {
        let inflation = match agreement {
            None => Inflation::NotAgreed,
            Some(agreement) if agreement.context_takeover(role.peer()) => Inflation::ContextTakeover,
            Some(_) => Inflation::MessageByMessage,
        };
        Self { settings, unfinished: None, inflater: None, role, inflation, ended: false }
    }

    /// The next event in `input`, which is taken off its front. `None`: all of `input` has been taken, and there is no more.
    ///
    /// After an error or [`Event::Close`] whatever else comes is taken and ignored (RFC 6455 sections 1.4 and 7.1.7).
    ///
    /// # Errors
    ///
    /// What the peer sent breaks the protocol or a limit. [`ProtocolError::close_code`] is what to tell it.
    #[inline]
    pub fn read<'i>(&mut self, input: &mut &'i mut [u8]) -> Result<Option<Event<'i>>, ProtocolError> {
        if self.ended {
            *input = &mut [];
            return Ok(None);
        }
        let event = self.advance(input);
        if matches!(event, Err(_) | Ok(Some(Event::Close(_)))) {
            (self.ended, self.unfinished, self.inflater) = (true, None, None);
        }
        event
    }

    /// Whether nothing is half done: no message has begun, and no frame.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.unfinished.is_none()
    }

    fn advance<'i>(&mut self, input: &mut &'i mut [u8]) -> Result<Option<Event<'i>>, ProtocolError> {
        if self.unfinished.is_some()
            && let Some(event) = self.resume(input)?
        {
            return Ok(Some(event));
        }
        loop {
            let Some(header) = self.header(input)? else { return Ok(None) };
            self.judge(&header)?;
            if self.may_stay_in_place(&header, input.len()) {
                self.tidy();
                let payload = take(input, header.len as usize);
                if let Some(key) = header.mask {
                    key.apply(payload);
                }
                return in_place(header.opcode, payload).map(Some);
            }
            self.begin(&header)?;
            if let Some(event) = self.resume(input)? {
                return Ok(Some(event));
            }
        }
    }

    /// The header at the front of `input`. What is there of one that is not complete is kept.
    #[inline]
    fn header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, ProtocolError> {
        if self.unfinished.as_ref().is_none_or(|unfinished| unfinished.header.is_empty()) {
            if let Some((header, len)) = Header::parse(input)? {
                take(input, len);
                return Ok(Some(header));
            }
            if input.is_empty() {
                return Ok(None);
            }
        }
        let header = &mut self.unfinished.get_or_insert_default().header;
        while !input.is_empty() {
            if let Some(header) = header.push(take(input, 1)[0])? {
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Whether the frame may come from this peer, here and now.
    #[inline]
    fn judge(&self, header: &Header) -> Result<(), ProtocolError> {
        // RFC 6455 section 5.1: a server closes on a frame that is not masked, and a client on one that is.
        if header.mask.is_some() != (self.role == Role::Server) {
            return Err(ProtocolError::Masking);
        }
        // RFC 7692 section 6: the bit is only on the first frame of a message.
        if header.rsv1 && (self.inflation == Inflation::NotAgreed || !matches!(header.opcode, Opcode::Text | Opcode::Binary)) {
            return Err(ProtocolError::ReservedBits);
        }
        if header.opcode.is_control() {
            return Ok(());
        }
        let limit = self.settings.limits.max_frame_size;
        if header.len > limit {
            return Err(ProtocolError::TooBig(limit));
        }
        // RFC 6455 section 5.4: the fragments of one message stand between no other's.
        match (header.opcode, self.has_message()) {
            (Opcode::Continuation, false) => Err(ProtocolError::NothingToContinue),
            (Opcode::Text | Opcode::Binary, true) => Err(ProtocolError::Interleaved),
            _ => Ok(()),
        }
    }

    /// Whether the frame is an event by itself, and all of its payload is there.
    #[inline]
    fn may_stay_in_place(&self, header: &Header, available: usize) -> bool {
        let is_message = header.fin
            && !header.rsv1
            && header.opcode != Opcode::Continuation
            && self.settings.delivery == Delivery::Whole
            && header.len <= self.settings.limits.max_message_size;
        header.len <= available as u64 && (is_message || header.opcode.is_control())
    }

    /// From here on the frame's payload is awaited.
    fn begin(&mut self, header: &Header) -> Result<(), ProtocolError> {
        let unfinished = self.unfinished.get_or_insert_default();
        let kind = match header.opcode {
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            _ => None,
        };
        if let Some(kind) = kind {
            unfinished.message = Some(Assembly::new(kind, header.rsv1));
        }
        if !header.opcode.is_control()
            && let Some(message) = &mut unfinished.message
        {
            message.announce(header, &self.settings.limits)?;
        }
        unfinished.frame = Some(Frame::new(header));
        Ok(())
    }

    /// Goes on with what has begun, as far as `input` goes.
    fn resume<'i>(&mut self, input: &mut &'i mut [u8]) -> Result<Option<Event<'i>>, ProtocolError> {
        let Some(unfinished) = &mut self.unfinished else { return Ok(None) };
        if let Some(message) = &mut unfinished.message
            && message.complete
        {
            let event = message.whole();
            self.end_message();
            return event.map(Some);
        }
        let Some(frame) = &mut unfinished.frame else { return Ok(None) };
        if frame.awaits_more() && input.is_empty() {
            return Ok(None);
        }
        let part = frame.take(input);
        if part.ends_frame {
            unfinished.frame = None;
        }
        if part.opcode.is_control() {
            unfinished.control.extend_from_slice(part.data);
            if !part.ends_frame {
                return Ok(None);
            }
            let payload = std::mem::take(&mut unfinished.control);
            self.tidy();
            return control(part.opcode, payload.into()).map(Some);
        }
        let Some(message) = &mut unfinished.message else { return Ok(None) };
        let inflater =
            if message.compressed { Some(&mut **self.inflater.get_or_insert_with(|| Box::new(Inflater::new()))) } else { None };
        let event = message.add(&part, inflater, self.settings.delivery, &self.settings.limits)?;
        if part.ends_message && self.settings.delivery != Delivery::Both {
            self.end_message();
        }
        Ok(event)
    }

    fn has_message(&self) -> bool {
        self.unfinished.as_ref().is_some_and(|unfinished| unfinished.message.is_some())
    }

    fn end_message(&mut self) {
        if self.inflation != Inflation::ContextTakeover {
            self.inflater = None;
        }
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.message = None;
        }
        self.tidy();
    }

    /// Gives up what is held for nothing.
    #[inline]
    fn tidy(&mut self) {
        if self.unfinished.as_ref().is_some_and(|unfinished| unfinished.is_empty()) {
            self.unfinished = None;
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("role", &self.role)
            .field("idle", &self.is_idle())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// An event from a frame that lies whole in the input.
#[inline]
fn in_place(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, ProtocolError> {
    match opcode {
        Opcode::Text => {
            let text = simdutf8::basic::from_utf8(payload).map_err(|_| ProtocolError::InvalidUtf8)?;
            Ok(Event::Text(text.into()))
        }
        Opcode::Binary => Ok(Event::Binary(payload.into())),
        _ => control(opcode, payload.into()),
    }
}

fn control(opcode: Opcode, payload: Cow<'_, [u8]>) -> Result<Event<'_>, ProtocolError> {
    match opcode {
        Opcode::Ping => Ok(Event::Ping(payload)),
        Opcode::Pong => Ok(Event::Pong(payload)),
        _ => Close::parse(payload).map(Event::Close),
    }
}

/// Takes `len` bytes off the front of `input`.
#[inline]
fn take<'i>(input: &mut &'i mut [u8], len: usize) -> &'i mut [u8] {
    let (taken, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    taken
}
