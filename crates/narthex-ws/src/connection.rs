//! One end of a connection, RFC 6455 sections 5.5 and 7: who has closed, and what is owed to the peer.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use crate::broadcast::Broadcast;
use crate::close::{Close, CloseCode};
use crate::deflate::{Agreement, Compressors};
use crate::error::ProtocolError;
use crate::event::{Event, Kind};
use crate::frame::EncodedHeader;
use crate::reader::Reader;
use crate::role::Role;
use crate::settings::Settings;
use crate::writer::{MaskKeys, WriteError, Writer};

/// One end of a connection, without a socket or a clock.
///
/// What arrives goes to [`receive`](Self::receive). Whatever is sent is appended to an output that the caller writes to the
/// peer in order. Pongs and the answer to a Close are not written before [`answer`](Self::answer) is called: a caller
/// whose peer does not read calls it when there is room again, and owes one pong meanwhile, however many pings have come.
///
/// A connection that does nothing is 88 bytes, and with context takeover what its compressor and decompressor are.
///
/// ```
/// use narthex_ws::{Connection, Event};
///
/// let mut connection = Connection::server(Default::default(), None);
/// let mut out = Vec::new();
/// # let mut bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// let mut input = &mut bytes[..]; // what was read from the socket
/// loop {
///     match connection.receive(&mut input) {
///         Ok(Some(Event::Text(text))) => connection.text(&text, &mut out)?,
///         Ok(Some(_)) => {}
///         Ok(None) => break,
///         Err(error) => eprintln!("{error}"), // the peer is told by `answer`
///     }
/// }
/// connection.answer(&mut out);
/// // Write `out` to the socket, and close that if `connection.is_done()`.
/// # assert_eq!(out, [0x81, 0x05, b'H', b'e', b'l', b'l', b'o']);
/// # Ok::<(), narthex_ws::SendError>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    reader: Reader,
    writer: Writer,
    /// The payload of the latest ping that is not answered.
    pong: Option<Box<[u8]>>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// This end has sent its Close, and awaits the peer's.
    CloseSent,
    /// The peer has sent its Close, or broken the protocol, and is owed a Close with this code.
    CloseOwed(Option<CloseCode>),
    /// Nothing is sent any more, and nothing that comes counts.
    Done,
}

/// Why nothing can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// One of the ends has sent its Close, or the peer has broken the protocol.
    #[error("the connection is closing")]
    Closing,
    /// The call does not fit what was written before.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Connection {
    /// The server's end, with what was agreed on for compression.
    pub fn server(settings: Arc<Settings>, deflate: Option<(Agreement, Arc<Compressors>)>) -> Self {
        let agreement = deflate.as_ref().map(|(agreement, _)| *agreement);
        Self::new(Reader::new(Role::Server, settings, agreement), Writer::server(deflate))
    }

    /// The client's end, with what was agreed on for compression, and where it gets the keys that it masks with.
    pub fn client(settings: Arc<Settings>, keys: MaskKeys, deflate: Option<(Agreement, Arc<Compressors>)>) -> Self {
        let agreement = deflate.as_ref().map(|(agreement, _)| *agreement);
        Self::new(Reader::new(Role::Client, settings, agreement), Writer::client(keys, deflate))
    }

    fn new(reader: Reader, writer: Writer) -> Self {
        Self { reader, writer, pong: None, state: State::Open }
    }

    /// The next event in `input`, which is taken off its front. `None`: all of `input` has been taken, and there is no more.
    ///
    /// Messages still come after this end has sent its Close, and until the peer has sent its own. After that, or an
    /// error, whatever else comes is taken and ignored.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol or a limit. It is told by [`answer`](Self::answer), and the connection is over.
    #[inline]
    pub fn receive<'i>(&mut self, input: &mut &'i mut [u8]) -> Result<Option<Event<'i>>, ProtocolError> {
        let event = self.reader.read(input);
        match &event {
            Ok(Some(Event::Ping(payload))) => self.pong = Some(payload.as_ref().into()),
            Ok(Some(Event::Close(close))) => self.owe_close(close.as_ref().map(Close::code)),
            Err(error) => self.owe_close(Some(error.close_code())),
            _ => {}
        }
        event
    }

    fn owe_close(&mut self, code: Option<CloseCode>) {
        self.state = if self.state == State::Open { State::CloseOwed(code) } else { State::Done };
    }

    /// Writes what is owed to the peer: the pong for its latest ping (RFC 6455 section 5.5.3), and the answer to its Close with
    /// the same code, or the code of its error.
    #[inline]
    pub fn answer(&mut self, out: &mut Vec<u8>) {
        if self.owes_answer() {
            self.answer_now(out);
        }
    }

    /// Whether [`answer`](Self::answer) would write something.
    #[inline]
    pub fn owes_answer(&self) -> bool {
        self.pong.is_some() || matches!(self.state, State::CloseOwed(_))
    }

    fn answer_now(&mut self, out: &mut Vec<u8>) {
        if let Some(payload) = self.pong.take()
            && !matches!(self.state, State::CloseSent | State::Done)
        {
            // Cannot be too long: it was a ping's.
            let _ = self.writer.pong(&payload, out);
        }
        if let State::CloseOwed(code) = self.state {
            self.writer.close(code.map(Close::from).as_ref(), out);
            self.state = State::Done;
        }
    }

    /// Whether the socket is to be closed when the output has been written: at once by a server, while a client gives the
    /// server some time to do it first (RFC 6455 section 7.1.1).
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether messages may be sent.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether nothing is held for what has arrived in part.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.reader.is_idle() && self.pong.is_none()
    }

    /// Sends a text message.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], or a message has begun.
    #[inline]
    pub fn text(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), SendError> {
        Ok(self.open()?.message(Kind::Text, text.as_bytes(), out)?)
    }

    /// Sends a binary message.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], or a message has begun.
    #[inline]
    pub fn binary(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), SendError> {
        Ok(self.open()?.message(Kind::Binary, data, out)?)
    }

    /// Begins a message whose length is not known, see [`Writer::begin`].
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], or a message has begun.
    pub fn begin(&mut self, kind: Kind, data: &[u8], out: &mut Vec<u8>) -> Result<(), SendError> {
        Ok(self.open()?.begin(kind, data, out)?)
    }

    /// Goes on with a message that has begun, see [`Writer::append`].
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], or no message has begun.
    pub fn append(&mut self, data: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), SendError> {
        Ok(self.open()?.append(data, last, out)?)
    }

    /// The header of a message that the caller writes itself, see [`Writer::header`].
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], or a message has begun.
    ///
    /// # Panics
    ///
    /// This is a client.
    pub fn header(&mut self, kind: Kind, len: u64) -> Result<EncodedHeader, SendError> {
        Ok(self.open()?.header(kind, len)?)
    }

    /// The frame of `broadcast` that this peer can read. The caller must send it, before whatever it sends next.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], or a message has begun.
    ///
    /// # Panics
    ///
    /// This is a client.
    pub fn broadcast<'b>(&mut self, broadcast: &'b Broadcast) -> Result<&'b Bytes, SendError> {
        let class = self.open()?.broadcast_class(broadcast.data().len())?;
        Ok(broadcast.frame(class))
    }

    /// Sends a ping with at most 125 bytes.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], or the payload is too long.
    pub fn ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), SendError> {
        Ok(self.open()?.ping(payload, out)?)
    }

    /// Sends a pong that nobody asked for, as a sign of life, with at most 125 bytes.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], or the payload is too long.
    pub fn pong(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), SendError> {
        Ok(self.open()?.pong(payload, out)?)
    }

    /// Sends a Close, after which only the peer's is awaited. What was begun stays as it is.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`]: there is, or will be, another.
    pub fn close(&mut self, close: Option<&Close<'_>>, out: &mut Vec<u8>) -> Result<(), SendError> {
        self.open()?.close(close, out);
        self.state = State::CloseSent;
        Ok(())
    }

    /// RFC 6455 section 5.5.1: nothing is sent after a Close.
    #[inline]
    fn open(&mut self) -> Result<&mut Writer, SendError> {
        if self.state == State::Open { Ok(&mut self.writer) } else { Err(SendError::Closing) }
    }
}
