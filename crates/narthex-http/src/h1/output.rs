//! What waits to be written to a client: bytes and file ranges, in order.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};

use crate::transport::Transport;

/// More slices in one write gain nothing measurable.
const MAX_SLICES: usize = 32;
/// The most that one `sendfile` call is asked for, so that one fast client does not keep a worker to itself.
const FILE_STEP: u64 = 1 << 20;

enum Segment {
    Bytes { bytes: Bytes, body: usize },
    File { file: Rc<File>, offset: u64, left: u64 },
}

/// The queue. `body` counts of a segment are the bytes in it that belong to the message body and not to its framing.
#[derive(Default)]
pub(crate) struct Output {
    segments: VecDeque<Segment>,
    buffered: usize,
    drained: usize,
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes in memory that wait here. File ranges do not count.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    pub(crate) fn push(&mut self, bytes: Bytes, body: usize) {
        if !bytes.is_empty() {
            self.buffered += bytes.len();
            self.segments.push_back(Segment::Bytes { bytes, body });
        }
    }

    pub(crate) fn push_file(&mut self, file: Rc<File>, offset: u64, length: u64) {
        if length > 0 {
            self.segments.push_back(Segment::File { file, offset, left: length });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.segments.clear();
        self.buffered = 0;
    }

    /// Counts body bytes that went to the socket without passing through the queue.
    pub(crate) fn note_drained(&mut self, body: usize) {
        self.drained += body;
    }

    /// Counts from zero for a new response. What is left of the one before it, held back to share a write, is nobody's.
    pub(crate) fn start_counting(&mut self) {
        self.drained = 0;
        for segment in &mut self.segments {
            if let Segment::Bytes { body, .. } = segment {
                *body = 0;
            }
        }
    }

    /// Body bytes that the socket has taken since the last call.
    pub(crate) fn take_drained(&mut self) -> usize {
        std::mem::take(&mut self.drained)
    }

    /// Writes as much as the socket takes. Returns whether anything was written, and whether all of it was.
    pub(crate) fn poll_flush(&mut self, transport: &mut Transport, cx: &mut Context<'_>) -> (bool, Poll<io::Result<()>>) {
        let mut progressed = false;
        while let Some(front) = self.segments.front_mut() {
            let written = match front {
                Segment::File { file, offset, left } => {
                    let step = usize::try_from((*left).min(FILE_STEP)).unwrap_or(usize::MAX);
                    match transport.poll_send_file(cx, file, *offset, step) {
                        Poll::Ready(Ok(0)) => {
                            // The length was promised in the head: all that is left is to break the connection.
                            return (progressed, Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())));
                        }
                        Poll::Ready(Ok(sent)) => {
                            *offset += sent as u64;
                            *left = left.saturating_sub(sent as u64);
                            if *left == 0 {
                                self.segments.pop_front();
                            }
                            progressed = true;
                            continue;
                        }
                        other => other,
                    }
                }
                Segment::Bytes { .. } => self.write_slices(transport, cx),
            };
            match written {
                Poll::Pending => return (progressed, Poll::Pending),
                Poll::Ready(Err(error)) => return (progressed, Poll::Ready(Err(error))),
                Poll::Ready(Ok(0)) => return (progressed, Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => {
                    progressed = true;
                    self.advance(written);
                }
            }
        }
        (progressed, Poll::Ready(Ok(())))
    }

    fn write_slices(&self, transport: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slot, segment) in slices.iter_mut().zip(&self.segments) {
            let Segment::Bytes { bytes, .. } = segment else { break };
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
            let Some(Segment::Bytes { bytes, body }) = self.segments.front_mut() else { return };
            if written < bytes.len() {
                bytes.advance(written);
                return;
            }
            written -= bytes.len();
            self.drained += *body;
            self.segments.pop_front();
        }
    }
}
