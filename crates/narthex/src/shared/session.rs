//! One stream to one worker of the host. Requests that arrive together are answered together, in one write.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use narthex_http::Link;
use narthex_proto::wire::{
    self, AppEnd, AppEvent, Beat, CancelCode, HeaderBlock, PingTimer, ProtocolError, Received, ResponseHead, StreamError,
    StreamId,
};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep, sleep};

use super::stream::Stream;
use super::worker::Worker;
use crate::call::App;
use crate::downstream::Closed;
use crate::fragments::Names;
use crate::lifetime::Phases;
use crate::offer::{FilePart, Part};

/// How often a silent host is thought of.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The ping after DRAIN: its answer shows that every request sent before the host knew has come.
const LAST_PING: u64 = u64::MAX;

/// The app's end of a session, as its streams use it.
pub(super) struct Session {
    end: RefCell<AppEnd<Rc<Stream>>>,
    /// The session's task, to be woken once per turn.
    waker: RefCell<Waker>,
    woken: Cell<bool>,
    /// Files that the output names and that were not yet passed.
    files: RefCell<VecDeque<Arc<File>>>,
    /// Streams that wait until more of the output is written.
    held_back: RefCell<Vec<Waker>>,
    drained: Cell<bool>,
    names: Names,
    /// The app has said that it delegates.
    delegates: Arc<AtomicBool>,
}

impl Session {
    /// The worker of the host may have `accepts` requests here at a time.
    pub(super) fn new(accepts: u32, names: Names, delegates: Arc<AtomicBool>) -> Rc<Self> {
        let mut end = AppEnd::new();
        end.grant(accepts);
        Rc::new(Self {
            end: RefCell::new(end),
            waker: RefCell::new(Waker::noop().clone()),
            woken: Cell::new(false),
            files: RefCell::default(),
            held_back: RefCell::default(),
            drained: Cell::new(false),
            names,
            delegates,
        })
    }

    /// Gives a stream a place for what comes, unless it has one. `None` if it is over.
    pub(super) fn attach(&self, id: StreamId) -> Option<Rc<Stream>> {
        let mut end = self.end.borrow_mut();
        if let Some(stream) = end.get(id) {
            return Some(Rc::clone(stream));
        }
        let stream = Stream::new();
        end.attach(id, Rc::clone(&stream)).is_ok().then_some(stream)
    }

    pub(super) fn stream(&self, id: StreamId) -> Option<Rc<Stream>> {
        self.end.borrow().get(id).cloned()
    }

    pub(super) fn want_body(&self, id: StreamId) {
        self.end.borrow_mut().want_body(id);
        self.wake();
    }

    pub(super) fn consumed(&self, id: StreamId, bytes: usize) {
        self.end.borrow_mut().consumed(id, bytes);
        self.wake();
    }

    pub(super) fn window(&self, id: StreamId) -> usize {
        self.end.borrow().send_window(id)
    }

    /// How much may be sent on a stream now. When there is none, a WINDOW frame or a write wakes the stream's task.
    pub(super) fn poll_ready(&self, cx: &Context<'_>, id: StreamId) -> Poll<usize> {
        let mut end = self.end.borrow_mut();
        if end.output().len() > Link::HIGH_WATER {
            let mut held_back = self.held_back.borrow_mut();
            if !held_back.iter().any(|waker| waker.will_wake(cx.waker())) {
                held_back.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        match end.send_window(id) {
            0 => Poll::Pending,
            window => Poll::Ready(window),
        }
    }

    pub(super) fn respond(
        &self,
        id: StreamId,
        head: ResponseHead,
        headers: impl FnOnce(&mut HeaderBlock<'_>),
        body: &[u8],
        end: bool,
    ) -> Result<(), Closed> {
        let mut app = self.end.borrow_mut();
        let responded = app.respond_with(id, head, headers, body, end);
        if responded.is_ok() && (end || head.upgrade) {
            app.grant(1);
        }
        drop(app);
        self.sent(responded)
    }

    pub(super) fn send_data(&self, id: StreamId, bytes: &[u8], end: bool) -> Result<(), Closed> {
        let mut app = self.end.borrow_mut();
        let tunnel = app.get(id).is_some_and(|stream| stream.tunnel.get());
        let sent = app.send_data(id, bytes, end);
        if sent.is_ok() && end && !tunnel {
            app.grant(1);
        }
        drop(app);
        self.sent(sent)
    }

    /// Asks the host to send a part of a fragment. `false`: no host has one of that name.
    pub(super) fn send_fragment(&self, id: StreamId, part: &Part) -> Result<bool, Closed> {
        let url = self.names.url(&part.name);
        let asked = self.end.borrow_mut().send_fragment(id, &url, part.offset, part.length);
        if let Err(StreamError::TooLarge { .. }) = asked {
            return Ok(false);
        }
        self.sent(asked.map(|()| None)).map(|()| true)
    }

    /// Passes the host a file of which it shall send a part. `false`: the file cannot be told from others.
    pub(super) fn send_file(&self, id: StreamId, part: &FilePart) -> Result<bool, Closed> {
        let Ok(metadata) = part.file.metadata() else { return Ok(false) };
        let FilePart { offset, length, ref file } = *part;
        let named = wire::FilePart { offset, length, device: metadata.dev(), inode: metadata.ino() };
        let asked = self.end.borrow_mut().send_file(id, named);
        if asked.is_ok() {
            self.files.borrow_mut().push_back(Arc::clone(file));
        }
        self.sent(asked.map(|()| None)).map(|()| true)
    }

    pub(super) fn inform(&self, id: StreamId, status: u16, lines: &[u8]) -> Result<(), Closed> {
        let sent = self.end.borrow_mut().inform(id, status, lines);
        self.sent(sent.map(|()| None))
    }

    pub(super) fn send_trailers(&self, id: StreamId, lines: &[u8]) -> Result<(), Closed> {
        let mut app = self.end.borrow_mut();
        let sent = app.send_trailers(id, lines);
        if sent.is_ok() {
            app.grant(1);
        }
        drop(app);
        self.sent(sent)
    }

    pub(super) fn delegates(&self) -> bool {
        self.delegates.load(Ordering::Relaxed)
    }

    /// Hands the request of a stream to another queue.
    pub(super) fn delegate(&self, id: StreamId, queue: &str, url: &str) -> Result<(), Closed> {
        let mut app = self.end.borrow_mut();
        let delegated = app.delegate(id, queue, url);
        if delegated.is_ok() {
            app.grant(1);
        }
        drop(app);
        self.sent(delegated)
    }

    /// What closed a stream gives its place back, which is dropped here, where nothing is borrowed.
    fn sent(&self, result: Result<Option<Rc<Stream>>, StreamError>) -> Result<(), Closed> {
        self.wake();
        match result {
            Ok(_) => Ok(()),
            Err(error) => {
                if error != StreamError::Closed {
                    tracing::error!(%error, "a response cannot be sent");
                }
                Err(Closed)
            }
        }
    }

    /// Gives a stream up. Does nothing if it is over.
    pub(super) fn cancel(&self, id: StreamId, code: CancelCode) {
        let mut end = self.end.borrow_mut();
        let before = end.streams();
        let stream = end.cancel(id, code);
        if end.streams() == before {
            return;
        }
        if !stream.as_ref().is_some_and(|stream| stream.tunnel.get()) {
            end.grant(1);
        }
        drop(end);
        self.wake();
    }

    fn wake(&self) {
        if !self.woken.replace(true) {
            self.waker.borrow().wake_by_ref();
        }
    }

    /// Runs the session until the host ends it, or until it has drained. `begun` was read already.
    pub(super) async fn run<S: App>(self: &Rc<Self>, stream: UnixStream, begun: Vec<u8>, worker: &Worker<S>, mut phases: Phases) {
        let mut link = Link::new(stream, begun);
        let mut heart = Heart { started: Instant::now(), pings: PingTimer::new(0), heard: false };
        let mut heartbeat = pin!(sleep(HEARTBEAT));
        let mut draining = pin!(phases.draining());
        let mut is_draining = false;
        let turn = |cx: &mut Context<'_>| {
            if !is_draining && draining.as_mut().poll(cx).is_ready() {
                is_draining = true;
                let mut end = self.end.borrow_mut();
                end.drain();
                end.ping(LAST_PING);
            }
            self.turn(cx, &mut link, worker, &mut heart, heartbeat.as_mut())
        };
        if let Err(error) = poll_fn(turn).await {
            tracing::debug!(%error, "a session with the host has ended");
        }
    }

    /// Ends all streams: the host is gone, or the app is.
    pub(super) fn abandon(&self) {
        self.held_back.take().into_iter().for_each(Waker::wake);
        let end = std::mem::take(&mut *self.end.borrow_mut());
        for (_, stream) in end.abandon() {
            stream.cancelled();
        }
    }

    fn turn<S: App>(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        link: &mut Link,
        worker: &Worker<S>,
        heart: &mut Heart,
        mut heartbeat: Pin<&mut Sleep>,
    ) -> Poll<Result<(), SessionError>> {
        if !self.waker.borrow().will_wake(cx.waker()) {
            *self.waker.borrow_mut() = cx.waker().clone();
        }
        // Whatever happens in this turn is written at its end.
        self.woken.set(true);
        // Frames that came behind the greeting.
        self.receive(link, worker)?;
        loop {
            let all_written = self.poll_write(cx, link)?;
            if all_written && self.drained.get() && self.end.borrow().streams() == 0 {
                return Poll::Ready(Ok(()));
            }
            // Reading never waits for writing: if both ends did that, each would wait for the other.
            if !all_written && self.end.borrow_mut().output().len() > Link::HARD_LIMIT {
                return Poll::Ready(Err(SessionError::Unread));
            }
            match link.poll_read(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())),
                Poll::Ready(Ok(_)) => heart.heard = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => break,
            }
            self.receive(link, worker)?;
        }
        // Judged after reading: what waits to be read after a pause of ours is a sign of life.
        while heartbeat.as_mut().poll(cx).is_ready() {
            match heart.beat() {
                Beat::Ping(number) => self.end.borrow_mut().ping(number),
                Beat::Dead => return Poll::Ready(Err(SessionError::Silent)),
                Beat::Wait(_) => {}
            }
            heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
            self.poll_write(cx, link)?;
        }
        self.woken.set(false);
        Poll::Pending
    }

    /// Writes what waits. Returns whether that was all.
    fn poll_write(&self, cx: &mut Context<'_>, link: &mut Link) -> io::Result<bool> {
        let mut end = self.end.borrow_mut();
        let output = end.output();
        let blocked = output.len() > Link::HIGH_WATER;
        let all_written = link.poll_write_with(cx, output, &mut self.files.borrow_mut())?.is_ready();
        drop(end);
        if blocked && all_written {
            self.held_back.take().into_iter().for_each(Waker::wake);
        }
        Ok(all_written)
    }

    fn receive<S: App>(self: &Rc<Self>, link: &mut Link, worker: &Worker<S>) -> Result<(), SessionError> {
        let mut done = 0;
        loop {
            let received = self.end.borrow_mut().receive(link.input().get(done..).unwrap_or_default())?;
            match received {
                Received::Event { used, event } => {
                    done += used;
                    self.on_event(event, worker);
                }
                Received::NeedMore { used, total } => {
                    link.consume(done + used, total);
                    return Ok(());
                }
            }
        }
    }

    fn on_event<S: App>(self: &Rc<Self>, event: AppEvent<'_, Rc<Stream>>, worker: &Worker<S>) {
        match event {
            AppEvent::Request { id, request } => worker.on_request(self, id, &request),
            AppEvent::Data { id, bytes, end, closed } => {
                if let Some(stream) = closed.or_else(|| self.stream(id)) {
                    stream.push(bytes, end);
                }
            }
            AppEvent::Trailers { id, lines } => {
                if let Some(stream) = self.stream(id) {
                    stream.push_trailers(lines);
                }
            }
            AppEvent::Window { id, .. } => {
                if let Some(stream) = self.stream(id) {
                    stream.wake();
                }
            }
            AppEvent::Fragment { id, sent } => {
                if let Some(stream) = self.stream(id) {
                    stream.fragment.set(Some(sent.is_some()));
                    stream.wake();
                }
            }
            AppEvent::FileTaken { closed, .. } => {
                self.end.borrow_mut().grant(1);
                if let Some(stream) = closed {
                    stream.fragment.set(Some(true));
                    stream.wake();
                }
            }
            AppEvent::Cancelled { data, .. } => {
                if !data.as_ref().is_some_and(|stream| stream.tunnel.get()) {
                    self.end.borrow_mut().grant(1);
                }
                if let Some(stream) = data {
                    stream.cancelled();
                }
            }
            AppEvent::ClientClosed { id } => {
                if let Some(stream) = self.stream(id) {
                    stream.client_closed();
                }
            }
            AppEvent::Pong(LAST_PING) => self.drained.set(true),
            AppEvent::Pong(_) | AppEvent::Drain => {}
        }
    }
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("the host does not answer pings")]
    Silent,
    #[error("the host does not read")]
    Unread,
}

/// Whether the host is alive. Reading only leaves a mark: the clock is asked when the heart beats.
struct Heart {
    started: Instant,
    pings: PingTimer,
    heard: bool,
}

impl Heart {
    fn beat(&mut self) -> Beat {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if std::mem::take(&mut self.heard) {
            self.pings.heard(now);
        }
        self.pings.on_time(now)
    }
}
