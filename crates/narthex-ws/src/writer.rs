//! From messages to bytes: one end's sending half.

use std::fmt;
use std::sync::Arc;

use crate::broadcast::Class;
use crate::close::Close;
use crate::deflate::{Agreement, Compressors, Deflater, WindowBits};
use crate::event::Kind;
use crate::frame::{EncodedHeader, Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode};
use crate::mask::MaskKey;
use crate::role::Role;

/// Where a client takes the key of each frame from: a strong source of randomness, RFC 6455 section 10.3.
pub type MaskKeys = Box<dyn FnMut() -> MaskKey + Send>;

/// Writes frames to the end of an output.
///
/// A writer with no message begun is 32 bytes, and with context takeover the compressor once something was compressed.
pub struct Writer {
    /// What a client masks with.
    keys: Option<Box<MaskKeys>>,
    deflate: Option<Arc<Compressors>>,
    /// With context takeover, or while a compressed message has begun.
    deflater: Option<Box<Deflater>>,
    window: WindowBits,
    context_takeover: bool,
    /// A message has begun and goes on.
    begun: bool,
}

/// A call that does not fit what was written before, or a frame that there cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A message has begun, and must be ended before another.
    #[error("a message has begun: end it by `append` with `last` before the next")]
    MessageBegun,
    /// There is no message to go on with.
    #[error("no message has begun: `begin` comes before `append`")]
    NothingBegun,
    /// A ping or pong with more than 125 bytes.
    #[error("a ping or pong has at most 125 bytes, not {0}")]
    ControlTooLong(usize),
}

/// Writes a whole message of a server's to the end of `out`, in one frame and not compressed.
///
/// For who knows that no other message has begun: a [`Writer`] has nothing to remember of it.
#[inline]
pub fn frame(kind: Kind, data: &[u8], out: &mut Vec<u8>) {
    append(Header { fin: true, rsv1: false, opcode: kind.opcode(), mask: None, len: data.len() as u64 }, data, out);
}

/// Writes a header, and a payload as it is.
#[inline(always)]
fn append(header: Header, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(MAX_HEADER + payload.len());
    header.encode().append_to(out);
    out.extend_from_slice(payload);
}

impl Writer {
    /// A server's writer, with what was agreed on for compression.
    pub fn server(deflate: Option<(Agreement, Arc<Compressors>)>) -> Self {
        Self::new(Role::Server, None, deflate)
    }

    /// A client's writer, with what was agreed on for compression.
    pub fn client(keys: MaskKeys, deflate: Option<(Agreement, Arc<Compressors>)>) -> Self {
        Self::new(Role::Client, Some(Box::new(keys)), deflate)
    }

    fn new(role: Role, keys: Option<Box<MaskKeys>>, deflate: Option<(Agreement, Arc<Compressors>)>) -> Self {
        let (window, context_takeover) = match &deflate {
            Some((agreement, _)) => (agreement.window_bits(role), agreement.context_takeover(role)),
            None => (WindowBits::MAX, false),
        };
        let deflate = deflate.map(|(_, compressors)| compressors);
        Self { keys, deflate, deflater: None, window, context_takeover, begun: false }
    }

    /// Writes a whole message in one frame, compressed if that was agreed on and is worth it.
    ///
    /// The caller sees to it that text is UTF-8.
    ///
    /// # Errors
    ///
    /// [`WriteError::MessageBegun`].
    #[inline]
    pub fn message(&mut self, kind: Kind, data: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
        if self.begun {
            return Err(WriteError::MessageBegun);
        }
        if self.compresses(data.len()) {
            self.compressed(kind, data, out);
        } else {
            self.frame(kind.opcode(), true, data, out);
        }
        Ok(())
    }

    /// The header of a whole message whose `len` bytes the caller writes behind it, uncompressed: what is large needs no
    /// copy. Only servers can, since clients mask.
    ///
    /// # Errors
    ///
    /// [`WriteError::MessageBegun`].
    ///
    /// # Panics
    ///
    /// This is a client's writer.
    pub fn header(&self, kind: Kind, len: u64) -> Result<EncodedHeader, WriteError> {
        self.may_share()?;
        Ok(Header { fin: true, rsv1: false, opcode: kind.opcode(), mask: None, len }.encode())
    }

    /// Begins a message whose length is not known, with its first bytes, which may be none.
    ///
    /// # Errors
    ///
    /// [`WriteError::MessageBegun`].
    pub fn begin(&mut self, kind: Kind, data: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
        if self.begun {
            return Err(WriteError::MessageBegun);
        }
        self.begun = true;
        self.part(kind.opcode(), false, data, out);
        Ok(())
    }

    /// Goes on with the message that has begun, and ends it after `data` if that is the `last`. Pings, pongs and a close may be
    /// written between its parts.
    ///
    /// # Errors
    ///
    /// [`WriteError::NothingBegun`].
    pub fn append(&mut self, data: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), WriteError> {
        if !self.begun {
            return Err(WriteError::NothingBegun);
        }
        self.part(Opcode::Continuation, last, data, out);
        self.begun = !last;
        Ok(())
    }

    /// Writes a ping. The answer has the same payload.
    ///
    /// # Errors
    ///
    /// [`WriteError::ControlTooLong`].
    pub fn ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
        self.control(Opcode::Ping, payload, out)
    }

    /// Writes a pong: the answer to a ping, or a sign of life.
    ///
    /// # Errors
    ///
    /// [`WriteError::ControlTooLong`].
    pub fn pong(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
        self.control(Opcode::Pong, payload, out)
    }

    /// Writes a close. The caller writes nothing after it, RFC 6455 section 5.5.1; [`Connection`](crate::Connection) sees to that.
    pub fn close(&mut self, close: Option<&Close<'_>>, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        if let Some(close) = close {
            payload.extend_from_slice(&close.code().get().to_be_bytes());
            payload.extend_from_slice(close.reason().as_bytes());
        }
        self.frame(Opcode::Close, true, &payload, out);
    }

    /// Which frame of a [`Broadcast`](crate::Broadcast) of `len` bytes this peer can read. It must then be sent.
    ///
    /// A compressed frame refers to nothing before it, but the peer's window has it afterwards and this end's has not: so this
    /// end's next message refers to nothing before it either.
    ///
    /// # Errors
    ///
    /// [`WriteError::MessageBegun`].
    ///
    /// # Panics
    ///
    /// This is a client's writer.
    pub fn broadcast_class(&mut self, len: usize) -> Result<Class, WriteError> {
        self.may_share()?;
        if !self.compresses(len) {
            return Ok(Class::Plain);
        }
        if let Some(deflater) = &mut self.deflater {
            deflater.reset();
        }
        Ok(Class::Deflate(self.window))
    }

    /// Whether bytes may be sent that were not written for this peer alone.
    fn may_share(&self) -> Result<(), WriteError> {
        assert!(self.keys.is_none(), "a client masks each frame: use `Writer::message`");
        if self.begun { Err(WriteError::MessageBegun) } else { Ok(()) }
    }

    /// Whether a message of `len` bytes is compressed.
    #[inline]
    fn compresses(&self, len: usize) -> bool {
        self.deflate.as_ref().is_some_and(|compressors| compressors.suits(len))
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(WriteError::ControlTooLong(payload.len()));
        }
        self.frame(opcode, true, payload, out);
        Ok(())
    }

    /// One frame of `payload` as it is.
    #[inline]
    fn frame(&mut self, opcode: Opcode, fin: bool, payload: &[u8], out: &mut Vec<u8>) {
        let mask = self.keys.as_mut().map(|next| next());
        append(Header { fin, rsv1: false, opcode, mask, len: payload.len() as u64 }, payload, out);
        if let Some(key) = mask {
            let start = out.len() - payload.len();
            key.apply(&mut out[start..]);
        }
    }

    /// A whole message, compressed.
    fn compressed(&mut self, kind: Kind, data: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let len = self.part(kind.opcode(), true, data, out);
        // Without context takeover nobody's window has anything of the message, and it may as well be sent as it is.
        if !self.context_takeover && len >= data.len() {
            out.truncate(start);
            self.frame(kind.opcode(), true, data, out);
        }
    }

    /// One frame of a message, compressed if that was agreed on. Returns the length of its payload.
    fn part(&mut self, opcode: Opcode, fin: bool, data: &[u8], out: &mut Vec<u8>) -> usize {
        let Some(compressors) = &self.deflate else {
            self.frame(opcode, fin, data, out);
            return data.len();
        };
        let mut deflater = self.deflater.take().unwrap_or_else(|| compressors.take(self.window));
        let mask = self.keys.as_mut().map(|next| next());
        // RFC 7692 section 6.1: the bit is on the first frame only.
        let header = Header { fin, rsv1: opcode != Opcode::Continuation, opcode, mask, len: 0 };
        let len = frame_compressed(&mut deflater, header, data, out);
        if fin && !self.context_takeover {
            compressors.give_back(deflater);
        } else {
            self.deflater = Some(deflater);
        }
        len
    }
}

/// One frame with `data` compressed in it. The header's length is known after the payload, which is moved up to
/// it. Returns the payload's length.
pub(crate) fn frame_compressed(deflater: &mut Deflater, mut header: Header, data: &[u8], out: &mut Vec<u8>) -> usize {
    let start = out.len();
    let payload = start + MAX_HEADER;
    out.resize(payload, 0);
    deflater.compress(data, header.fin, out);
    if let Some(key) = header.mask {
        key.apply(&mut out[payload..]);
    }
    let len = out.len() - payload;
    header.len = len as u64;
    let encoded = header.encode();
    out[start..start + encoded.len()].copy_from_slice(&encoded);
    out.copy_within(payload.., start + encoded.len());
    out.truncate(start + encoded.len() + len);
    len
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("deflate", &self.deflate).field("begun", &self.begun).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_shortest_header_that_says_how_long_it_is() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let data = vec![7; len];
            let mut out = b"before".to_vec();
            frame(Kind::Binary, &data, &mut out);
            let (header, end) = Header::parse(&out[6..]).unwrap().unwrap();
            assert_eq!(header, Header { fin: true, rsv1: false, opcode: Opcode::Binary, mask: None, len: len as u64 });
            assert_eq!(out[6 + end..], data);
        }
    }
}
