//! One stream to one app worker: requests of many connections leave in one write per turn, their responses come back and
//! go straight to the clients' sockets, without waking a task for each.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use narthex_http::descriptor::{self, Foreign};
use narthex_http::fields::Fields;
use narthex_http::{BodyLength, Exchange, Link, Piece, Reason};
use narthex_proto::wire::{
    self, Beat, CancelCode, HostEnd, HostEvent, OpenError, PING_AFTER, PingTimer, ProtocolError, Received, StreamId,
};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::cache::{Answer, asks_for_caching};
use crate::snapshot::AppId;
use crate::worker::WorkerState;
use crate::worker::files::Files;
use crate::worker::queue::{CachingOf, InProgress, Shard, Waiting};

/// How often a session looks whether its app is still there.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Milliseconds. An app whose handlers block its worker answers no ping meanwhile; that alone is no reason to drop it soon.
const DEAD_AFTER: u64 = 120_000;

/// The host's end of a session, as the connections of its worker use it.
pub(crate) struct Session {
    pub(crate) app: AppId,
    end: RefCell<HostEnd<InProgress>>,
    /// The session's task, to be woken once per turn.
    waker: RefCell<Waker>,
    woken: Cell<bool>,
    /// The queues that its credit serves.
    shards: RefCell<Vec<Weak<Shard>>>,
    /// Connections that hold body bytes back until more of the output is written.
    held_back: RefCell<Vec<Waker>>,
    /// The header fields of the response at hand.
    fields: RefCell<Fields>,
    /// Where in the stream to the app the output begins.
    output_begins_at: Cell<u64>,
    gone: Cell<bool>,
    /// What the app has passed to be sent.
    files: Files,
    state: Weak<WorkerState>,
}

impl Session {
    /// A request of the group with this tag has become a tunnel.
    pub(crate) fn has_tunnel(&self, tag: u32) {
        if let Some(state) = self.state.upgrade() {
            state.meters.tunnelled(tag);
        }
    }

    pub(crate) fn new(app: AppId, state: Weak<WorkerState>) -> Rc<Self> {
        Rc::new(Self {
            app,
            end: RefCell::new(HostEnd::new()),
            waker: RefCell::new(Waker::noop().clone()),
            woken: Cell::new(false),
            shards: RefCell::default(),
            held_back: RefCell::default(),
            fields: RefCell::default(),
            output_begins_at: Cell::new(0),
            gone: Cell::new(false),
            files: Files::default(),
            state,
        })
    }

    pub(crate) fn serves(&self, shards: Vec<Weak<Shard>>) {
        *self.shards.borrow_mut() = shards;
        self.wake();
    }

    /// Requests that the app would take now.
    pub(crate) fn credit(&self) -> u32 {
        let end = self.end.borrow();
        if end.can_open() && !self.gone.get() { end.credit() } else { 0 }
    }

    pub(crate) fn open(&self, request: &wire::Request<'_>, stream: InProgress) -> Result<StreamId, OpenError> {
        let kept = stream.kept.is_some();
        let mut end = self.end.borrow_mut();
        let id = end.open(request, stream)?;
        if kept {
            let ends_at = self.output_begins_at.get() + end.output().len() as u64;
            if let Some(stream) = end.get_mut(id) {
                stream.ends_at = ends_at;
            }
        }
        drop(end);
        self.wake();
        Ok(id)
    }

    /// How many body bytes the stream may take now. When it is 0, the task of `cx` is woken once it is more.
    pub(crate) fn poll_window(&self, cx: &Context<'_>, id: StreamId) -> usize {
        let mut end = self.end.borrow_mut();
        if end.output().len() > Link::HIGH_WATER {
            let mut held_back = self.held_back.borrow_mut();
            if !held_back.iter().any(|waker| waker.will_wake(cx.waker())) {
                held_back.push(cx.waker().clone());
            }
            return 0;
        }
        // A WINDOW frame wakes the exchange.
        end.send_window(id)
    }

    pub(crate) fn send_data(&self, id: StreamId, bytes: &[u8], last: bool) {
        // An error means that the app wants no more: the exchange ends by its response.
        let closed = self.end.borrow_mut().send_data(id, bytes, last);
        drop(closed);
        self.wake();
    }

    pub(crate) fn send_trailers(&self, id: StreamId, lines: &[u8]) {
        let _ = self.end.borrow_mut().send_trailers(id, lines);
        self.wake();
    }

    pub(crate) fn consumed(&self, id: StreamId, bytes: usize) {
        self.end.borrow_mut().consumed(id, bytes);
        self.wake();
    }

    /// The client's side of a stream is over. Does nothing if the app's is too.
    pub(crate) fn cancel(&self, id: StreamId) {
        let stream = self.end.borrow_mut().cancel(id, CancelCode::CLIENT_GONE);
        if stream.is_some() {
            self.wake();
        }
        drop(stream);
    }

    /// The app has left: once what it has sent is read, the session ends, and its streams with it.
    pub(crate) fn close(&self) {
        self.gone.set(true);
        self.wake();
    }

    fn wake(&self) {
        if !self.woken.replace(true) {
            self.waker.borrow().wake_by_ref();
        }
    }

    /// Runs the session until its app or its host ends it. `begun` was read already; `app_end` is the app's end of the
    /// stream, if it has shown it.
    pub(crate) async fn run(self: &Rc<Self>, stream: UnixStream, begun: Vec<u8>, app_end: Option<Foreign>) {
        let mut link = Link::new(stream, begun).with_descriptors();
        let started = Instant::now();
        let mut pings = PingTimer::with_limits(0, PING_AFTER, DEAD_AFTER);
        let mut heartbeat = pin!(sleep(HEARTBEAT));
        if let Err(error) = self.receive(&mut link) {
            tracing::warn!(app = self.app, %error, "a session with an app is broken off");
            self.abandon(link.written(), app_end);
            return link.end();
        }
        let ended = poll_fn(|cx| self.poll(cx, &mut link, started, &mut pings, heartbeat.as_mut())).await;
        if let Err(error) = ended {
            tracing::warn!(app = self.app, %error, "a session with an app is broken off");
        }
        self.abandon(link.written(), app_end);
        link.end();
    }

    /// Ends all streams. Requests that the app has not read go back to their queue, and so do, once, those that mean no harm if they
    /// are asked twice; the others are lost with it.
    fn abandon(&self, written: u64, app_end: Option<Foreign>) {
        self.gone.set(true);
        self.held_back.take().into_iter().for_each(Waker::wake);
        let read = written.saturating_sub(app_end.map_or(0, |app_end| left_unread(&app_end, written)));
        let end = std::mem::take(&mut *self.end.borrow_mut());
        let (unread, lost): (Vec<_>, Vec<_>) = end
            .abandon()
            .map(|(_, stream)| stream)
            .partition(|stream| stream.kept.as_ref().is_some_and(|kept| stream.ends_at > read || kept.may_be_asked_again()));
        for stream in lost {
            stream.exchange.refuse(Reason::ConnectionAbandonedByReqQueue);
        }
        let mut unread: Vec<(u64, Rc<Waiting>)> =
            unread.into_iter().filter_map(|mut stream| Some((stream.ends_at, stream.kept.take()?))).collect();
        // The oldest is put to the front last.
        unread.sort_by_key(|(ends_at, _)| std::cmp::Reverse(*ends_at));
        for (_, waiting) in &unread {
            let shard = Rc::clone(&waiting.shard.borrow());
            shard.take_back(Rc::clone(waiting));
        }
        for (_, waiting) in unread {
            let shard = Rc::clone(&waiting.shard.borrow());
            shard.pump_all();
        }
    }

    fn poll(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        link: &mut Link,
        started: Instant,
        pings: &mut PingTimer,
        mut heartbeat: Pin<&mut Sleep>,
    ) -> Poll<Result<(), SessionError>> {
        if !self.waker.borrow().will_wake(cx.waker()) {
            *self.waker.borrow_mut() = cx.waker().clone();
        }
        self.woken.set(true);
        let now = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        loop {
            if self.gone.get() {
                link.end_input();
            }
            // Writing first gives a turn's requests one write; after reading there may be more to say (credits, windows).
            // Reading never waits for writing: if both ends did that, each would wait for the other.
            let all_written = match self.poll_write(cx, link) {
                Ok(all_written) => all_written,
                // An app that takes no more may have answered before it left.
                Err(_) if !self.gone.replace(true) => continue,
                Err(_) => false,
            };
            if !all_written && self.end.borrow_mut().output().len() > Link::HARD_LIMIT {
                return Poll::Ready(Err(SessionError::Unread));
            }
            match link.poll_read(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => pings.heard(now()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => break,
            }
            self.files.arrive(link.arrived());
            self.receive(link)?;
        }
        // Judged after reading: what waits to be read after a pause of ours is a sign of life.
        while heartbeat.as_mut().poll(cx).is_ready() {
            match pings.on_time(now()) {
                Beat::Ping(at) => self.end.borrow_mut().ping(at),
                Beat::Dead => return Poll::Ready(Err(SessionError::Silent)),
                Beat::Wait(_) => {}
            }
            heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
            if self.poll_write(cx, link).is_err() {
                self.gone.set(true);
                link.end_input();
            }
        }
        self.woken.set(false);
        Poll::Pending
    }

    /// Writes what waits. Returns whether that was all.
    fn poll_write(&self, cx: &mut Context<'_>, link: &mut Link) -> io::Result<bool> {
        let mut end = self.end.borrow_mut();
        let output = end.output();
        let blocked = output.len() > Link::HIGH_WATER;
        let all_written = link.poll_write(cx, output)?.is_ready();
        self.output_begins_at.set(link.output_begins_at());
        drop(end);
        if blocked && all_written {
            self.held_back.take().into_iter().for_each(Waker::wake);
        }
        Ok(all_written)
    }

    fn receive(self: &Rc<Self>, link: &mut Link) -> Result<(), SessionError> {
        let mut done = 0;
        let mut credited = false;
        loop {
            let received = self.end.borrow_mut().receive(link.input().get(done..).unwrap_or_default())?;
            match received {
                Received::Event { used, event } => {
                    done += used;
                    credited |= matches!(event, HostEvent::Credit(_));
                    self.on_event(event);
                }
                Received::NeedMore { used, total } => {
                    link.consume(done + used, total);
                    // Once for all that was read: an app may say it in many small frames.
                    if credited {
                        self.pump();
                    }
                    return Ok(());
                }
            }
        }
    }

    fn on_event(self: &Rc<Self>, event: HostEvent<'_, InProgress>) {
        match event {
            HostEvent::Response { id, head, headers, body, end, closed } => {
                self.on_response(id, head, headers, body, end, closed)
            }
            HostEvent::Data { id, bytes, end, closed } => {
                let mut closed = closed;
                self.gather(id, closed.as_mut(), bytes, end);
                if let Some(exchange) = self.exchange_of(id, closed.as_ref()) {
                    self.pass_on(id, &exchange, Piece::Slice(bytes), end);
                }
            }
            HostEvent::Fragment { id, url, offset, length } => self.on_fragment(id, url, offset, length),
            HostEvent::File { id, part } => self.on_file(id, part),
            HostEvent::Trailers { id, lines, closed } => {
                if let Some(exchange) = self.exchange_of(id, closed.as_ref()) {
                    let _ = exchange.trailers(lines);
                }
            }
            HostEvent::Inform { id, status, headers } => {
                let mut fields = self.fields.borrow_mut();
                if let Some(exchange) = self.exchange(id)
                    && fields.parse(headers)
                {
                    let _ = exchange.inform(status, fields.iter(headers));
                }
            }
            // The connection's task reads the body; for a withheld one, its first read sends 100 Continue.
            HostEvent::Window { id, .. } => {
                self.keep_no_longer(id);
                if let Some(exchange) = self.exchange(id) {
                    exchange.wake();
                }
            }
            HostEvent::Cancelled { data: stream, code, .. } => {
                tracing::debug!(app = self.app, ?code, "an app gave a request up");
                match code {
                    CancelCode::REQUEST_CANCELLED => stream.exchange.reset(Reason::RequestCancelled),
                    CancelCode::SHUTTING_DOWN => stream.exchange.refuse(Reason::AppShutdown),
                    _ => stream.exchange.refuse(Reason::Internal),
                }
            }
            HostEvent::Delegated { queue, url, data: stream, .. } => self.on_delegated(queue, url, stream),
            HostEvent::Credit(_) | HostEvent::Pong(_) | HostEvent::Drain => {}
        }
    }

    /// Sends a part of a stored fragment as if the app had sent it, if it is there.
    fn on_fragment(&self, id: StreamId, url: &str, offset: u64, length: Option<u64>) {
        let (Some(exchange), Some(state)) = (self.exchange(id), self.state.upgrade()) else { return };
        let queue = self.end.borrow().get(id).map(|stream| Arc::clone(&stream.shard.queue));
        let found = queue.and_then(|queue| state.caching.fragment(&queue, url, offset, length));
        let Some(bytes) = found else { return self.end.borrow_mut().fragment_missing(id) };
        self.gather(id, None, &bytes, false);
        self.end.borrow_mut().fragment_found(id, bytes.len() as u64);
        self.pass_on(id, &exchange, Piece::Shared(bytes), false);
    }

    /// Sends a part of a file in the place of what is left of the app's response, unless the app had better send the bytes.
    fn on_file(&self, id: StreamId, part: wire::FilePart) {
        // Taken even if nobody is there to have it: the descriptor must not stay.
        let file = self.files.take(part);
        let Some(exchange) = self.exchange(id) else { return };
        let mut end = self.end.borrow_mut();
        // The cache keeps bytes, and few enough that they may as well come from the app once.
        let is_gathered = end.get(id).is_some_and(|stream| matches!(stream.caching, CachingOf::Gathered(_)));
        let Some(file) = file.filter(|_| !is_gathered) else { return end.fragment_missing(id) };
        // From here on the response needs no app.
        let closed = end.file_taken(id);
        drop(end);
        let _ = exchange.file(file, part.offset, part.length);
        drop(closed);
    }

    /// The app has begun on a request: it must not come back, whatever the app's end of the stream shows.
    fn keep_no_longer(&self, id: StreamId) {
        let mut end = self.end.borrow_mut();
        let kept = end.get_mut(id).and_then(|stream| stream.kept.take());
        drop(end);
        if let Some(kept) = kept {
            kept.let_go();
        }
    }

    fn on_delegated(&self, queue: &str, url: &str, mut stream: InProgress) {
        let exchange = stream.exchange.clone();
        let Some(kept) = stream.kept.take().filter(|kept| kept.is_kept()) else {
            tracing::error!(
                app = self.app,
                queue,
                "an app delegated a request whose body it had begun to read, or without saying at its registration that it delegates"
            );
            return exchange.refuse(Reason::Internal);
        };
        let from = Rc::clone(&stream.shard);
        drop(stream);
        if let Some(state) = self.state.upgrade()
            && let Err(why) = state.delegate(&from, kept, queue, url)
        {
            tracing::error!(app = self.app, queue, why, "a request could not be delegated");
            exchange.refuse(Reason::NotAvailable);
        }
    }

    /// Tells the app that the client sends no more.
    pub(crate) fn client_closed(&self, id: StreamId) {
        self.end.borrow_mut().client_closed(id);
        self.wake();
    }

    /// Gives this session's credit to the requests that wait for it.
    fn pump(self: &Rc<Self>) {
        let shards: Vec<_> = self.shards.borrow().iter().filter_map(Weak::upgrade).filter(|shard| shard.has_waiting()).collect();
        for shard in shards {
            shard.pump(self);
        }
    }

    fn exchange(&self, id: StreamId) -> Option<Exchange> {
        self.end.borrow().get(id).map(|stream| stream.exchange.clone())
    }

    /// The exchange of a stream that an event may have closed.
    fn exchange_of(&self, id: StreamId, closed: Option<&InProgress>) -> Option<Exchange> {
        closed.map(|stream| stream.exchange.clone()).or_else(|| self.exchange(id))
    }

    fn on_response(
        &self,
        id: StreamId,
        head: wire::ResponseHead,
        block: &[u8],
        body: &[u8],
        end: bool,
        closed: Option<InProgress>,
    ) {
        let whole = closed.is_some() && end && !head.upgrade;
        // A stream that is closed keeps nothing any more.
        if closed.is_none() {
            self.keep_no_longer(id);
        }
        let Some(exchange) = self.exchange_of(id, closed.as_ref()) else { return };
        let mut fields = self.fields.borrow_mut();
        if !fields.parse(block) {
            tracing::error!(app = self.app, "an app sent header lines that are not HTTP; the client gets 500 instead");
            exchange.refuse(Reason::Internal);
            return;
        }
        let mut closed = closed;
        if self.cache_head(id, closed.as_mut(), &head, fields.iter(block), body.len()) {
            self.gather(id, closed.as_mut(), body, end);
        }
        let close = head.close.then_some((&b"connection"[..], &b"close"[..]));
        let lines = fields.iter(block).chain(close);
        if head.upgrade {
            if head.status != 101 {
                exchange.refuse(Reason::Internal);
            } else if exchange.upgrade(lines).is_ok() {
                self.pass_on(id, &exchange, Piece::Slice(body), end);
                exchange.wake();
            }
            return;
        }
        let told = match head.length {
            wire::BodyLength::None => BodyLength::Exact(0),
            wire::BodyLength::Exact(length) => BodyLength::Exact(length),
            wire::BodyLength::Unknown => BodyLength::Unknown,
        };
        if whole && (body.is_empty() && told == BodyLength::Exact(0) || told == BodyLength::Exact(body.len() as u64)) {
            let _ = exchange.send(head.status, lines, Piece::Slice(body));
            return;
        }
        if exchange.start(head.status, lines, told).is_ok() && (end || !body.is_empty()) {
            self.pass_on(id, &exchange, Piece::Slice(body), end);
        }
    }

    /// Lets the cache see the head of a response. Returns whether it wants the body.
    fn cache_head<'f>(
        &self,
        id: StreamId,
        closed: Option<&mut InProgress>,
        head: &wire::ResponseHead,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        begun: usize,
    ) -> bool {
        let mut end = self.end.borrow_mut();
        let at_hand = closed.is_some();
        let Some(stream) = closed.or_else(|| end.get_mut(id)) else { return false };
        stream.shard.queue.habit.learn(|| asks_for_caching(head.cache, fields.clone()));
        let CachingOf::Watched(watch) = std::mem::replace(&mut stream.caching, CachingOf::Nothing) else { return false };
        let length = match head.length {
            wire::BodyLength::None => Some(0),
            wire::BodyLength::Exact(length) => Some(length),
            wire::BodyLength::Unknown => at_hand.then_some(begun as u64),
        };
        let answer = Answer { status: head.status, policy: head.cache, length, fields };
        if !head.upgrade
            && let Some(state) = self.state.upgrade()
            && let Some(collector) = state.caching.answered(&watch, &answer)
        {
            stream.caching = CachingOf::Gathered(collector);
            return true;
        }
        false
    }

    /// Adds a piece of a response's body to what the cache gathers of it.
    fn gather(&self, id: StreamId, closed: Option<&mut InProgress>, bytes: &[u8], last: bool) {
        let mut end = self.end.borrow_mut();
        let Some(stream) = closed.or_else(|| end.get_mut(id)) else { return };
        let CachingOf::Gathered(collector) = &mut stream.caching else { return };
        if collector.push(bytes) && !last {
            return;
        }
        let CachingOf::Gathered(collector) = std::mem::replace(&mut stream.caching, CachingOf::Nothing) else { return };
        if last && let Some(state) = self.state.upgrade() {
            state.caching.store(*collector, &state.snapshot.borrow());
        }
    }

    /// Body bytes on their way to the client. What the socket takes at once may be sent anew at once; the connection's
    /// task reports the rest.
    fn pass_on(&self, id: StreamId, exchange: &Exchange, bytes: Piece<'_>, end: bool) {
        if exchange.data(bytes, end).is_err() {
            // The client is gone; the connection's task cancels the stream.
            return;
        }
        if !end {
            let drained = exchange.take_drained();
            if drained > 0 {
                self.end.borrow_mut().consumed(id, drained);
            }
        }
    }
}

/// More than a socket holds of what was not read.
const MOST_UNREAD: usize = 16 << 20;

/// How much of what was written to an app it has not read: what is left at its end of the stream, which is read here so that
/// nobody else can. At most `most`, and at most as much as a socket holds: an app may show one that somebody keeps filling.
fn left_unread(app_end: &Foreign, most: u64) -> u64 {
    // In one read, if it can be: what an app that still lives would read after a first part looks like frames and is none.
    let mut buffer = vec![0; 1 << 20];
    let mut unread: usize = 0;
    while unread < MOST_UNREAD && (unread as u64) < most {
        match descriptor::read_now(app_end, &mut buffer) {
            Ok(received) if received > 0 => unread += received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Nothing is left; or it is no socket, and then no request counts as unread.
            _ => break,
        }
    }
    unread as u64
}

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    #[error("the app does not answer pings")]
    Silent,
    #[error("the app does not read")]
    Unread,
}
