//! A control connection: greetings and JSON messages, sans I/O. Host, app and command line use the same type.

use super::PROTOCOL_VERSION;
use super::error::{MessageTooLarge, ProtocolError};
use super::frame::{self, Kind, MAX_PAYLOAD, Parsed, malformed, misplaced};
use super::message::Message;
use super::stream::StreamId;

const MAGIC: &[u8; 4] = b"NTHX";

/// The longest message, and the most bytes that one may have beside its JSON; a service state with some ten thousand
/// registrations.
const MAX_MESSAGE: usize = 16 << 20;

/// Frames and unframes messages. Every connection to the host begins as one; a data connection's goes on as a
/// session with [`into_parts`](Self::into_parts) after the greetings.
///
/// The first message in each direction has to be [`Message::Hello`] or [`Message::Welcome`]; it carries the protocol version.
#[derive(Debug, Default)]
pub struct ControlConnection {
    input: Vec<u8>,
    read: usize,
    partial: Vec<u8>,
    /// The bytes of the message that follows.
    attached: Vec<u8>,
    out: Vec<u8>,
    greeted: bool,
    was_greeted: bool,
    pongs: Option<u64>,
    longest: Option<usize>,
}

impl ControlConnection {
    /// A connection on which nothing has been said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes no message of more than so many bytes from the peer from now on. Default: 16 MiB.
    pub fn limit_received(&mut self, bytes: usize) {
        self.longest = Some(bytes.min(MAX_MESSAGE));
    }

    /// Adds bytes from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.drain(..self.read);
        self.read = 0;
        self.input.extend_from_slice(bytes);
    }

    /// The next whole message of those pushed. `None`: push more.
    ///
    /// # Errors
    /// The connection cannot go on. If the peer speaks another version, [`output`](Self::output) has a greeting
    /// that tells it ours: write it before closing, so that both ends can say what is wrong.
    pub fn receive(&mut self) -> Result<Option<Message>, ProtocolError> {
        loop {
            let rest = self.input.get(self.read..).unwrap_or_default();
            if !self.was_greeted {
                check_first_bytes(rest)?;
            }
            let (frame, used) = match frame::parse(rest)? {
                Parsed::NeedMore(_) => return Ok(None),
                Parsed::Frame(frame, after) => (frame, rest.len() - after.len()),
            };
            self.read += used;
            match frame.kind {
                Kind::Hello if self.was_greeted => {
                    return Err(misplaced(Kind::Hello, "is the second greeting"));
                }
                Kind::Hello => {
                    let greeting = greeting(frame.payload);
                    if let Err(ProtocolError::Version { .. }) = &greeting
                        && !self.greeted
                    {
                        self.greeted = true;
                        put_greeting(&mut self.out, b"{}");
                    }
                    let message = decode(greeting?)?;
                    if !matches!(message, Message::Hello(_) | Message::Welcome(_)) {
                        return Err(malformed(Kind::Hello, "there is no greeting"));
                    }
                    self.was_greeted = true;
                    return Ok(Some(message));
                }
                Kind::Control => {
                    if self.partial.len() + frame.payload.len() > self.longest.unwrap_or(MAX_MESSAGE) {
                        return Err(malformed(Kind::Control, "the message is too long"));
                    }
                    if frame.end && self.partial.is_empty() {
                        let message = decode(frame.payload)?;
                        return self.complete(message).map(Some);
                    }
                    self.partial.extend_from_slice(frame.payload);
                    if frame.end {
                        let message = decode(&std::mem::take(&mut self.partial))?;
                        return self.complete(message).map(Some);
                    }
                }
                Kind::Bytes => {
                    if self.attached.len() + frame.payload.len() > self.longest.unwrap_or(MAX_MESSAGE) {
                        return Err(malformed(Kind::Bytes, "they are too many"));
                    }
                    self.attached.extend_from_slice(frame.payload);
                }
                Kind::Ping => {
                    let number = frame::get_u64(&frame)?;
                    frame::put_u64(&mut self.out, Kind::Pong, number);
                }
                Kind::Pong => self.pongs = Some(frame::get_u64(&frame)?),
                kind => return Err(misplaced(kind, "belongs on a data connection")),
            }
        }
    }

    /// Gives a message the bytes that came before it.
    fn complete(&mut self, mut message: Message) -> Result<Message, ProtocolError> {
        match &mut message {
            Message::StoreFragment { bytes, .. } => *bytes = std::mem::take(&mut self.attached),
            // Perhaps a later version's message has bytes, too.
            Message::Unknown => self.attached = Vec::new(),
            _ if self.attached.is_empty() => {}
            _ => return Err(malformed(Kind::Bytes, "they belong to no message")),
        }
        Ok(message)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The message is too long for the peer. Nothing has been sent.
    pub fn send(&mut self, message: &Message) -> Result<(), MessageTooLarge> {
        // No message has a map with keys that are not strings or another reason to fail.
        let json = serde_json::to_vec(message).unwrap_or_default();
        let is_greeting = matches!(message, Message::Hello(_) | Message::Welcome(_));
        let limit = if is_greeting { MAX_PAYLOAD - 6 } else { MAX_MESSAGE };
        if json.len() > limit {
            return Err(MessageTooLarge { length: json.len(), limit });
        }
        if let Message::StoreFragment { bytes, .. } = message {
            if bytes.len() > MAX_MESSAGE {
                return Err(MessageTooLarge { length: bytes.len(), limit: MAX_MESSAGE });
            }
            for part in bytes.chunks(MAX_PAYLOAD) {
                frame::put(&mut self.out, Kind::Bytes, false, StreamId::SESSION, part);
            }
        }
        if is_greeting {
            self.greeted = true;
            put_greeting(&mut self.out, &json);
            return Ok(());
        }
        debug_assert!(self.greeted, "the first message has to be a greeting");
        let mut parts = json.chunks(MAX_PAYLOAD).peekable();
        while let Some(part) = parts.next() {
            let end = parts.peek().is_none();
            frame::put(&mut self.out, Kind::Control, end, StreamId::SESSION, part);
        }
        Ok(())
    }

    /// Asks the peer for a sign of life. Its answer is no message; [`take_pong`](Self::take_pong) has it.
    pub fn ping(&mut self, number: u64) {
        frame::put_u64(&mut self.out, Kind::Ping, number);
    }

    /// The number of the last answered ping, once.
    pub fn take_pong(&mut self) -> Option<u64> {
        self.pongs.take()
    }

    /// Bytes for the peer. The caller writes them and removes what it has written.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// What has been pushed and not been read, and what has not been written: a session goes on from here.
    pub fn into_parts(mut self) -> (Vec<u8>, Vec<u8>) {
        self.input.drain(..self.read);
        (self.input, self.out)
    }
}

fn put_greeting(out: &mut Vec<u8>, json: &[u8]) {
    let length = 6 + json.len();
    out.extend_from_slice(&frame::header(Kind::Hello, false, StreamId::SESSION, length));
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    out.extend_from_slice(json);
}

/// The JSON of a greeting in our version.
fn greeting(payload: &[u8]) -> Result<&[u8], ProtocolError> {
    let rest = payload.strip_prefix(MAGIC);
    let Some((version, json)) = rest.and_then(<[u8]>::split_first_chunk::<2>) else {
        return Err(ProtocolError::NotNarthex);
    };
    let theirs = u16::from_le_bytes(*version);
    if theirs != PROTOCOL_VERSION {
        return Err(ProtocolError::Version { ours: PROTOCOL_VERSION, theirs });
    }
    Ok(json)
}

/// Tells a stranger (a browser, say) as soon as its bytes show it, rather than wait for a frame of the length
/// that its first three letters mean.
fn check_first_bytes(bytes: &[u8]) -> Result<(), ProtocolError> {
    let kind = bytes.get(3).is_none_or(|kind| *kind == Kind::Hello as u8);
    let magic = bytes.get(8..).unwrap_or_default();
    if kind && magic.iter().zip(MAGIC).all(|(a, b)| a == b) { Ok(()) } else { Err(ProtocolError::NotNarthex) }
}

fn decode(json: &[u8]) -> Result<Message, ProtocolError> {
    serde_json::from_slice(json).map_err(|e| ProtocolError::Message(e.to_string().into()))
}
