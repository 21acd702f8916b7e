//! Frames of a stream (RFC 9114 section 7), read with no more memory than a head may have.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, VarInt};

use crate::h3::code;
use crate::reason::Reason;

pub(super) const DATA: u64 = 0;
pub(super) const HEADERS: u64 = 1;
pub(super) const SETTINGS: u64 = 4;
pub(super) const GOAWAY: u64 = 7;

/// One read takes at most this much.
const READ: usize = 16 * 1024;
/// Frames without anything in them that a client may send on a stream. Nobody has a use for many.
const MOST_VOID: u32 = 1_000;

/// Reads a number (RFC 9000 section 16): its value and its length.
pub(super) fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let length = 1 << (bytes.first()? >> 6);
    let (first, rest) = bytes.get(..length)?.split_first()?;
    Some((rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte)), length))
}

/// Writes a number. One beyond 2^62 does not occur.
pub(super) fn write_number(value: u64, out: &mut Vec<u8>) {
    match value {
        0..0x40 => out.push(value as u8),
        0x40..0x4000 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

/// How a frame begins.
pub(super) fn header(kind: u64, length: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(9);
    write_number(kind, &mut header);
    write_number(length as u64, &mut header);
    header
}

/// A whole frame.
pub(super) fn whole(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(kind, payload.len());
    frame.extend_from_slice(payload);
    frame
}

/// What is wrong with what a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The stream or the connection has ended before its time.
    Gone(Reason),
    /// The stream cannot go on.
    Stream(VarInt),
    /// The connection cannot go on.
    Connection(VarInt),
    /// A head is larger than allowed.
    TooLarge,
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Gone(if matches!(error, ReadError::Reset(_)) { Reason::ClientReset } else { Reason::ConnectionDropped })
    }
}

/// What comes next on a request stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Headers(Bytes),
    /// A piece of the body, never empty.
    Data(Bytes),
    End,
}

/// The client's half of a request stream.
pub(super) struct Frames {
    pub(super) stream: RecvStream,
    buffer: BytesMut,
    /// Of a DATA frame.
    left: u64,
    /// Of a frame that means nothing here.
    skip: u64,
    void: u32,
    max_head: usize,
}

impl Frames {
    pub(super) fn new(stream: RecvStream, max_head: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), left: 0, skip: 0, void: 0, max_head }
    }

    /// Reads more; `false` at the end of the stream. What nobody has asked for stays in the transport, and holds the client up.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Trouble>> {
        let before = self.buffer.len();
        self.buffer.resize(before + READ, 0);
        let polled = self.stream.poll_read(cx, self.buffer.get_mut(before..).unwrap_or_default());
        let read = if let Poll::Ready(Ok(read)) = polled { read } else { 0 };
        self.buffer.truncate(before + read);
        if polled.is_pending() && before == 0 {
            // A stream that rests holds no memory.
            self.buffer = BytesMut::new();
        }
        Poll::Ready(Ok(ready!(polled)? > 0))
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Trouble>> {
        loop {
            let has = self.buffer.len() as u64;
            if self.left > 0 && has > 0 {
                let take = self.left.min(has);
                self.left -= take;
                return Poll::Ready(Ok(Next::Data(self.buffer.split_to(take as usize).freeze())));
            }
            if self.skip > 0 && has > 0 {
                let take = self.skip.min(has);
                self.skip -= take;
                self.buffer.advance(take as usize);
                continue;
            }
            if self.left == 0
                && self.skip == 0
                && let Some(frame) = self.frame()?
            {
                return Poll::Ready(Ok(frame));
            }
            if (self.left > 0 || self.skip > 0) && !self.buffer.is_empty() {
                continue;
            }
            if !ready!(self.poll_fill(cx))? {
                let is_whole = self.left == 0 && self.skip == 0 && self.buffer.is_empty();
                return Poll::Ready(if is_whole { Ok(Next::End) } else { Err(Trouble::Connection(code::FRAME)) });
            }
        }
    }

    /// Begins on the next frame. `None` if more has to be read first.
    fn frame(&mut self) -> Result<Option<Next>, Trouble> {
        loop {
            let Some((kind, first)) = number(&self.buffer) else { return Ok(None) };
            let Some((length, second)) = self.buffer.get(first..).and_then(number) else { return Ok(None) };
            let header = first + second;
            match kind {
                DATA if length > 0 => self.left = length,
                HEADERS => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    if length > self.max_head {
                        return Err(Trouble::TooLarge);
                    }
                    if self.buffer.len() - header < length {
                        return Ok(None);
                    }
                    self.buffer.advance(header);
                    return Ok(Some(Next::Headers(self.buffer.split_to(length).freeze())));
                }
                // Those of the control stream, and those that HTTP/2 had.
                2..=9 | 0xd => return Err(Trouble::Connection(code::FRAME_UNEXPECTED)),
                _ => {
                    self.void += 1;
                    if self.void > MOST_VOID {
                        return Err(Trouble::Connection(code::EXCESSIVE_LOAD));
                    }
                    self.skip = length;
                }
            }
            self.buffer.advance(header);
            if self.left > 0 || self.skip > 0 {
                return Ok(None);
            }
        }
    }

    /// Whether the stream is known to have ended.
    pub(super) fn is_at_end(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.buffer.is_empty() && self.left == 0 && matches!(self.poll_fill(&mut cx), Poll::Ready(Ok(false)))
    }

    pub(super) async fn next(&mut self) -> Result<Next, Trouble> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(super) fn stop(&mut self, code: VarInt) {
        // It fails only if the stream is over.
        let _ = self.stream.stop(code);
    }
}

/// Writes what is pending. Ready when all of it is with the transport.
pub(super) fn poll_write(stream: &mut quinn::SendStream, out: &mut Bytes, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
    while !out.is_empty() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, out)) {
            Ok(written) => out.advance(written),
            Err(quinn::WriteError::Stopped(_)) => return Poll::Ready(Err(Reason::ClientReset)),
            Err(_) => return Poll::Ready(Err(Reason::ConnectionDropped)),
        }
    }
    Poll::Ready(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for value in [0, 63, 64, 16_383, 16_384, 1 << 29, (1 << 30) - 1, 1 << 30, (1 << 62) - 1] {
            let mut out = Vec::new();
            write_number(value, &mut out);
            assert_eq!(number(&out), Some((value, out.len())));
            assert_eq!(number(&out[..out.len() - 1]), None);
        }
    }
}
