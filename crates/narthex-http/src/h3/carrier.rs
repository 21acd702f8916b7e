//! A request stream.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use quinn::{SendStream, StoppedError, VarInt};

use crate::h3::frame::{self, DATA, Frames, HEADERS, Next, Trouble, poll_write};
use crate::h3::serve::Shared;
use crate::h3::{code, head, qpack};
use crate::mux::carrier::Fault;
use crate::reason::Reason;

type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

/// Both directions of a stream.
pub(crate) struct Carrier {
    shared: Rc<Shared>,
    send: SendStream,
    /// What the transport has no room for yet: a frame's header, and the rest of its payload.
    header: Bytes,
    payload: Bytes,
    /// Nothing follows what is pending.
    last: bool,
    finished: bool,
    stopped: Option<Stopped>,
    receive: Frames,
    /// What the body must still have, if that was announced.
    expected: Option<u64>,
    trailers: Option<HeaderMap>,
    received: bool,
}

impl Carrier {
    pub(super) fn new(shared: Rc<Shared>, send: SendStream, receive: Frames, expected: Option<u64>) -> Self {
        let (header, payload) = (Bytes::new(), Bytes::new());
        let (last, finished, received, stopped, trailers) = (false, false, false, None, None);
        Self { shared, send, header, payload, last, finished, stopped, receive, expected, trailers, received }
    }

    /// Whether the request has no body, as far as has arrived. What arrives is kept.
    pub(super) fn has_ended(&mut self) -> bool {
        self.receive.is_at_end() && self.received(Ok(Next::End)).is_ok()
    }

    /// Whether everything that was sent is with the transport.
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        for out in [&mut self.header, &mut self.payload] {
            std::task::ready!(poll_write(&mut self.send, out, cx))?;
        }
        if self.last && !self.finished {
            self.finished = true;
            // It fails if the client has no interest any more, and then nobody has.
            let _ = self.send.finish();
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn send_head(&mut self, head: Response<()>, end: bool) -> Result<(), Reason> {
        self.send_frame(HEADERS, qpack::encode(Some(head.status()), head.headers()).into(), end)
    }

    pub(crate) fn send_data(&mut self, bytes: Bytes, end: bool) -> Result<(), Reason> {
        if bytes.is_empty() {
            self.last = end;
            return self.begin();
        }
        self.send_frame(DATA, bytes, end)
    }

    pub(crate) fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Reason> {
        self.send_frame(HEADERS, qpack::encode(None, &trailers).into(), true)
    }

    /// Only called when idle, so that there is never more than one frame here.
    fn send_frame(&mut self, kind: u64, payload: Bytes, end: bool) -> Result<(), Reason> {
        self.header = frame::header(kind, payload.len()).into();
        self.payload = payload;
        self.last = end;
        self.begin()
    }

    /// Gives the transport what it takes at once; whoever pumps asks for the rest.
    fn begin(&mut self) -> Result<(), Reason> {
        match self.poll_idle(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(Err(reason)) => Err(reason),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Reason>>> {
        if self.received {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(self.receive.poll_next(cx));
        Poll::Ready(match self.received(next) {
            Ok(bytes) => bytes.map(Ok),
            Err(trouble) => Some(Err(self.trouble(trouble))),
        })
    }

    fn received(&mut self, next: Result<Next, Trouble>) -> Result<Option<Bytes>, Trouble> {
        let malformed = Trouble::Stream(code::MESSAGE);
        match next? {
            Next::Data(_) | Next::Headers(_) if self.trailers.is_some() => {
                return Err(Trouble::Connection(code::FRAME_UNEXPECTED));
            }
            Next::Data(bytes) => {
                if let Some(expected) = &mut self.expected {
                    *expected = expected.checked_sub(bytes.len() as u64).ok_or(malformed)?;
                }
                return Ok(Some(bytes));
            }
            Next::Headers(block) => {
                let fields = qpack::decode(&block, self.shared.max_head()).map_err(|wrong| match wrong {
                    qpack::Wrong::Coding => Trouble::Connection(code::DECOMPRESSION),
                    qpack::Wrong::TooLarge => Trouble::TooLarge,
                })?;
                self.trailers = Some(head::trailers(fields).ok_or(malformed)?);
            }
            Next::End => {}
        }
        if self.expected.is_some_and(|expected| expected > 0) {
            return Err(malformed);
        }
        self.received = true;
        Ok(None)
    }

    /// Does what the trouble asks for. The stream is broken off by who asked.
    fn trouble(&mut self, trouble: Trouble) -> Reason {
        match trouble {
            Trouble::Gone(reason) => return reason,
            Trouble::TooLarge => return Reason::RequestLength,
            Trouble::Connection(code) => self.shared.close(code),
            Trouble::Stream(code) => {
                self.receive.stop(code);
                let _ = self.send.reset(code);
            }
        }
        Reason::BadRequest
    }

    pub(crate) fn poll_trailers(&mut self, _cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Reason>> {
        Poll::Ready(Ok(self.trailers.take()))
    }

    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let stopped = self.stopped.get_or_insert_with(|| Box::pin(self.send.stopped()));
        match std::task::ready!(stopped.as_mut().poll(cx)) {
            Ok(Some(_)) => Poll::Ready(Reason::ClientReset),
            Err(_) => Poll::Ready(Reason::ConnectionDropped),
            Ok(None) => {
                // The client has all of it.
                self.stopped = Some(Box::pin(std::future::pending()));
                Poll::Pending
            }
        }
    }

    pub(crate) fn reset(&mut self, fault: Fault) {
        let code = match fault {
            Fault::Internal => code::INTERNAL,
            Fault::Cancel => code::CANCELLED,
            Fault::Refused => code::REJECTED,
        };
        self.finished = true;
        let _ = self.send.reset(code);
        self.receive.stop(code);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        // Left to itself, the transport would end the response as if it were whole.
        if !self.finished {
            let _ = self.send.reset(code::INTERNAL);
        }
        // After an early response, the client need not send the rest (RFC 9114 section 4.1).
        self.receive.stop(code::NO_ERROR);
    }
}
