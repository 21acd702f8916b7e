//! One request on a session, as the code that calls the app uses it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use narthex_http::{BodyLength, Piece};
use narthex_proto::wire::{self, CancelCode, ResponseHead, StreamId};

use super::session::Session;
use crate::body::BodyError;
use crate::cache::CachePolicy;
use crate::call::{App, Running};
use crate::delegation::Delegation;
use crate::downstream::{Closed, Downstream, Fate, fields, lines};
use crate::offer::{FilePart, Part};

/// What has come of a stream and was not yet taken. Bounded by the stream's window.
pub(super) struct Stream {
    /// The task that works on it.
    waker: RefCell<Waker>,
    /// In one piece: a client can send its body in as many as it likes.
    bytes: RefCell<BytesMut>,
    trailers: RefCell<Bytes>,
    ended: Cell<bool>,
    /// The host has given the stream up.
    cancelled: Cell<bool>,
    /// The host's answer to the last fragment, or to the file: whether it was sent.
    pub(super) fragment: Cell<Option<bool>>,
    /// The client sends no more.
    client_closed: Cell<bool>,
    /// Its credit was returned when the upgrade was accepted.
    pub(super) tunnel: Cell<bool>,
}

impl Stream {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            waker: RefCell::new(Waker::noop().clone()),
            bytes: RefCell::default(),
            trailers: RefCell::default(),
            ended: Cell::new(false),
            cancelled: Cell::new(false),
            fragment: Cell::new(None),
            client_closed: Cell::new(false),
            tunnel: Cell::new(false),
        })
    }

    pub(super) fn push(&self, bytes: &[u8], end: bool) {
        self.bytes.borrow_mut().extend_from_slice(bytes);
        if end {
            self.ended.set(true);
        }
        self.wake();
    }

    pub(super) fn push_trailers(&self, lines: &[u8]) {
        *self.trailers.borrow_mut() = Bytes::copy_from_slice(lines);
        self.ended.set(true);
        self.wake();
    }

    pub(super) fn cancelled(&self) {
        self.cancelled.set(true);
        self.wake();
    }

    pub(super) fn client_closed(&self) {
        self.client_closed.set(true);
        self.wake();
    }

    pub(super) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }
}

/// A stream of a session, on which a response is due.
pub(super) struct WireStream {
    session: Rc<Session>,
    id: StreamId,
    /// Where the host's answer to a file comes: it takes the stream off the session.
    asked: RefCell<Option<Rc<Stream>>>,
}

impl WireStream {
    pub(super) fn new(session: &Rc<Session>, id: StreamId) -> Self {
        Self { session: Rc::clone(session), id, asked: RefCell::default() }
    }

    fn respond(&self, head: &Parts, length: wire::BodyLength, body: &[u8], end: bool, upgrade: bool) -> Result<(), Closed> {
        let cache = CachePolicy::of(head);
        let wire_head = ResponseHead { upgrade, cache, ..ResponseHead::new(head.status.as_u16(), length) };
        self.session.respond(
            self.id,
            wire_head,
            |block| fields(head).for_each(|(name, value)| block.line(name, value)),
            body,
            end,
        )
    }
}

impl Downstream for WireStream {
    fn poll_body(&self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        // The task is woken by way of `StreamTask`, which keeps its waker.
        let Some(stream) = self.session.stream(self.id) else { return Poll::Ready(Some(Err(BodyError::Disconnected))) };
        if !stream.bytes.borrow().is_empty() {
            // A stream that waits holds no memory for what comes.
            let bytes = stream.bytes.take().freeze();
            self.session.consumed(self.id, bytes.len());
            return Poll::Ready(Some(Ok(bytes)));
        }
        if stream.ended.get() {
            return Poll::Ready(None);
        }
        self.session.want_body(self.id);
        Poll::Pending
    }

    fn take_trailers(&self) -> Option<Bytes> {
        let lines = self.session.stream(self.id)?.trailers.take();
        (!lines.is_empty()).then_some(lines)
    }

    fn longest_whole(&self) -> usize {
        self.session.window(self.id)
    }

    fn inform(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), Closed> {
        self.session.inform(self.id, status.as_u16(), &lines(headers))
    }

    fn send(&self, head: &Parts, body: Bytes) -> Result<(), Closed> {
        let length = if body.is_empty() { wire::BodyLength::None } else { wire::BodyLength::Exact(body.len() as u64) };
        self.respond(head, length, &body, true, false)
    }

    fn start(&self, head: &Parts, length: BodyLength) -> Result<(), Closed> {
        let length = match length {
            BodyLength::Exact(length) => wire::BodyLength::Exact(length),
            BodyLength::Unknown => wire::BodyLength::Unknown,
        };
        self.respond(head, length, b"", false, false)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<usize, Closed>> {
        self.session.poll_ready(cx, self.id).map(Ok)
    }

    fn data(&self, bytes: Piece<'_>, end: bool) -> Result<(), Closed> {
        match bytes {
            Piece::Slice(bytes) => self.session.send_data(self.id, bytes, end),
            Piece::Shared(bytes) => self.session.send_data(self.id, &bytes, end),
        }
    }

    fn takes_offers(&self) -> bool {
        true
    }

    fn fragment(&self, part: &Part) -> Result<bool, Closed> {
        self.session.send_fragment(self.id, part)
    }

    fn poll_fragment(&self) -> Poll<bool> {
        // A call's first step may be taken before its stream has a place; the answer comes later.
        let answer = self.session.stream(self.id).and_then(|stream| stream.fragment.take());
        answer.map_or(Poll::Pending, Poll::Ready)
    }

    fn file(&self, part: &FilePart) -> Result<Fate, Closed> {
        let stream = self.session.attach(self.id).ok_or(Closed)?;
        if !self.session.send_file(self.id, part)? {
            return Ok(Fate::Refused);
        }
        *self.asked.borrow_mut() = Some(stream);
        Ok(Fate::Asked)
    }

    fn poll_file(&self) -> Poll<bool> {
        let answer = self.asked.borrow().as_ref().and_then(|stream| stream.fragment.take());
        answer.map_or(Poll::Pending, Poll::Ready)
    }

    fn trailers(&self, lines: &[u8]) -> Result<(), Closed> {
        self.session.send_trailers(self.id, lines)
    }

    fn upgrade(&self, head: &Parts) -> Result<(), Closed> {
        let stream = self.session.attach(self.id).ok_or(Closed)?;
        self.respond(head, wire::BodyLength::Unknown, b"", false, true)?;
        stream.tunnel.set(true);
        Ok(())
    }

    fn delegate(&self, delegation: &Delegation) -> Result<(), Closed> {
        let Delegation { queue, url } = delegation;
        if !self.session.delegates() {
            tracing::error!(
                queue,
                "a request cannot be delegated: the server has not said that it delegates (Server::delegates)"
            );
            self.fail();
            return Ok(());
        }
        self.session.delegate(self.id, queue, url)
    }

    fn client_has_closed(&self) -> bool {
        self.session.stream(self.id).is_some_and(|stream| stream.client_closed.get())
    }

    fn cancel(&self) {
        self.session.cancel(self.id, CancelCode::REQUEST_CANCELLED);
    }

    fn fail(&self) {
        self.session.cancel(self.id, CancelCode::HANDLER_PANICKED);
    }
}

/// The task of a call that was not answered at once.
pub(super) struct StreamTask<S: App> {
    call: Running<S, WireStream>,
    stream: Rc<Stream>,
    session: Rc<Session>,
    id: StreamId,
}

impl<S: App> StreamTask<S> {
    pub(super) fn new(call: Running<S, WireStream>, stream: Rc<Stream>, session: Rc<Session>, id: StreamId) -> Self {
        Self { call, stream, session, id }
    }
}

impl<S: App> Future for StreamTask<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.cancelled.get() {
            return Poll::Ready(());
        }
        if !self.stream.waker.borrow().will_wake(cx.waker()) {
            *self.stream.waker.borrow_mut() = cx.waker().clone();
        }
        Pin::new(&mut self.call).poll(cx)
    }
}

impl<S: App> Drop for StreamTask<S> {
    fn drop(&mut self) {
        // Does nothing if the stream is over.
        self.session.cancel(self.id, CancelCode::HANDLER_GONE);
    }
}
