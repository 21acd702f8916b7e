//! What waits to be written to a client: bytes and file ranges, in order.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};

use crate::file::{AHEAD, Ahead};
use crate::piece::Piece;
use crate::transport::Transport;

/// More slices in one write gain nothing measurable.
const MAX_SLICES: usize = 32;
/// With so many bytes in memory the queue is full.
const FULL: usize = 64 * 1024;
/// The most that one `sendfile` call is asked for: what is known to be in the kernel's cache, and no more than lets others have
/// their turn.
const FILE_STEP: u64 = AHEAD;

/// Pieces shorter than this are gathered: a segment of its own costs more than they do.
const SMALL: usize = 1024;
/// How much is gathered in one segment.
const GATHER: usize = 16 * 1024;

enum Segment {
    Bytes { bytes: Bytes, body: usize },
    Gathered { bytes: BytesMut, body: usize },
    File { file: Arc<File>, offset: u64, left: u64, ahead: Ahead },
}

/// The queue. `body` counts of a segment are the bytes in it that belong to the message body and not to its framing.
#[derive(Default)]
pub(crate) struct Output {
    segments: VecDeque<Segment>,
    buffered: usize,
    drained: usize,
    /// All is with the transport, which has not passed all of it on.
    unflushed: bool,
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && !self.unflushed
    }

    /// The transport has taken everything, and keeps a part.
    pub(crate) fn is_with_transport(&mut self) {
        self.unflushed = true;
    }

    /// Bytes in memory that wait here. File ranges do not count.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    /// So much waits that no further response is to join it.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.buffered >= FULL || self.segments.len() >= MAX_SLICES
    }

    /// Bytes that wait here, file ranges included.
    pub(crate) fn unsent(&self) -> u64 {
        let file = |segment: &Segment| if let Segment::File { left, .. } = segment { *left } else { 0 };
        self.segments.iter().map(file).fold(self.buffered as u64, u64::saturating_add)
    }

    /// Adds bytes that have to be copied, `body` of which belong to the message body.
    pub(crate) fn push_copy(&mut self, bytes: &[u8], body: usize) {
        if bytes.is_empty() {
            return;
        }
        self.buffered += bytes.len();
        if bytes.len() < SMALL {
            if let Some(Segment::Gathered { bytes: gathered, body: of_body }) = self.segments.back_mut()
                && gathered.len() < GATHER
            {
                gathered.extend_from_slice(bytes);
                *of_body += body;
                return;
            }
            self.segments.push_back(Segment::Gathered { bytes: BytesMut::from(bytes), body });
            return;
        }
        self.segments.push_back(Segment::Bytes { bytes: Bytes::copy_from_slice(bytes), body });
    }

    /// Adds what is left of a piece of the body after its first `written` bytes.
    pub(crate) fn push_piece(&mut self, piece: Piece<'_>, written: usize) {
        let rest = piece.as_slice().get(written..).unwrap_or_default();
        match piece {
            Piece::Shared(ref bytes) if rest.len() >= SMALL => {
                let bytes = bytes.slice(written..);
                self.buffered += bytes.len();
                self.segments.push_back(Segment::Bytes { body: bytes.len(), bytes });
            }
            _ => self.push_copy(rest, rest.len()),
        }
    }

    /// Adds bytes that belong to no body.
    pub(crate) fn push_static(&mut self, bytes: &'static [u8]) {
        self.push_copy(bytes, 0);
    }

    pub(crate) fn push_file(&mut self, file: Arc<File>, offset: u64, length: u64) {
        if length > 0 {
            self.segments.push_back(Segment::File { file, offset, left: length, ahead: Ahead::default() });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.segments.clear();
        self.buffered = 0;
        self.unflushed = false;
    }

    /// Counts body bytes that went to the socket without passing through the queue.
    pub(crate) fn note_drained(&mut self, body: usize) {
        self.drained += body;
    }

    /// Counts from zero for a new response. What is left of the one before it, held back to share a write, is nobody's.
    pub(crate) fn start_counting(&mut self) {
        self.drained = 0;
        for segment in &mut self.segments {
            if let Segment::Bytes { body, .. } | Segment::Gathered { body, .. } = segment {
                *body = 0;
            }
        }
    }

    /// Body bytes that the socket has taken since the last call.
    pub(crate) fn take_drained(&mut self) -> usize {
        std::mem::take(&mut self.drained)
    }

    /// Writes as much as the socket takes, and `most` bytes at most. Returns how many were written, and whether the socket
    /// would take more.
    pub(crate) fn poll_flush(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
        most: u64,
    ) -> (u64, Poll<io::Result<()>>) {
        let mut total = 0;
        while let Some(front) = self.segments.front_mut() {
            let most = most.saturating_sub(total);
            if most == 0 {
                break;
            }
            let written = match front {
                Segment::File { file, offset, left, ahead } => {
                    let step = (*left).min(FILE_STEP).min(most);
                    if ahead.poll(cx, file, *offset, step).is_pending() {
                        return (total, Poll::Pending);
                    }
                    let step = usize::try_from(step).unwrap_or(usize::MAX);
                    match transport.poll_send_file(cx, file, *offset, step) {
                        Poll::Ready(Ok(0)) => {
                            // The length was promised in the head: all that is left is to break the connection.
                            return (total, Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())));
                        }
                        Poll::Ready(Ok(sent)) => {
                            *offset += sent as u64;
                            *left = left.saturating_sub(sent as u64);
                            if *left == 0 {
                                self.segments.pop_front();
                            }
                            total += sent as u64;
                            continue;
                        }
                        other => other,
                    }
                }
                Segment::Bytes { .. } | Segment::Gathered { .. } => self.write_slices(transport, cx, most),
            };
            match written {
                Poll::Pending => return (total, Poll::Pending),
                Poll::Ready(Err(error)) => return (total, Poll::Ready(Err(error))),
                Poll::Ready(Ok(0)) => return (total, Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => {
                    total += written as u64;
                    self.advance(written);
                }
            }
        }
        if !self.segments.is_empty() {
            return (total, Poll::Ready(Ok(())));
        }
        let flushed = transport.poll_flush(cx);
        self.unflushed = flushed.is_pending();
        (total, flushed)
    }

    fn write_slices(&self, transport: &mut Transport, cx: &mut Context<'_>, most: u64) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        let mut most = usize::try_from(most).unwrap_or(usize::MAX);
        for (slot, segment) in slices.iter_mut().zip(&self.segments) {
            let bytes: &[u8] = match segment {
                Segment::Bytes { bytes, .. } => bytes,
                Segment::Gathered { bytes, .. } => bytes,
                Segment::File { .. } => break,
            };
            let bytes = bytes.get(..most).unwrap_or(bytes);
            if bytes.is_empty() {
                break;
            }
            most -= bytes.len();
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        match &slices[..count] {
            [one] => transport.poll_write(cx, one),
            several => transport.poll_write_vectored(cx, several),
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.buffered = self.buffered.saturating_sub(written);
        while written > 0 {
            let (length, body) = match self.segments.front_mut() {
                Some(Segment::Bytes { bytes, body }) => (skip(bytes, written), *body),
                Some(Segment::Gathered { bytes, body }) => (skip(bytes, written), *body),
                _ => return,
            };
            let Some(length) = length else { return };
            written -= length;
            self.drained += body;
            self.segments.pop_front();
        }
    }
}

/// Takes `written` bytes off the front of `bytes`; or, if it has no more than that, says how many it has.
fn skip(bytes: &mut impl Buf, written: usize) -> Option<usize> {
    if written < bytes.remaining() {
        bytes.advance(written);
        return None;
    }
    Some(bytes.remaining())
}
