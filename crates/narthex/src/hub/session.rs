//! The task of one connection: bytes from the client to handlers, messages from the outbox to the client.

mod alarms;
mod clock;
mod draining;
mod handling;
mod inbox;
mod line;
mod writing;

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use narthex_http::Continuation;
use narthex_ws::deflate::Agreement;
use narthex_ws::{Connection, Event, Kind, ProtocolError};

use super::Inner;
use super::channels::{self, PROTOCOL, Speaks};
use super::handlers::{Beat, Disconnected, PeerError, Running, Started};
use super::message::{Fragment, Message};
use super::outbox::Ending;
use super::outgoing::{GATHER, Outgoing};
use super::peer::{Origin, Peer, count};
use crate::downstream::{Closed, Downstream};
use clock::{Clock, Due};
pub(super) use draining::close_when_draining;
use inbox::{Inbound, Inbox};
use line::{Line, Tunnel};

/// After so many messages in a row, what they made is written before the next is handled: what comes in one read must not fill the
/// queue of answers while the transport would take them.
const IN_A_ROW: u8 = 64;
/// So often a session looks for more to do before others of its thread have their turn.
const ROUNDS: u32 = 16;
/// Most often, the second read finds that there is nothing more, and wakes the session when there is.
const READS: usize = 2;

/// What a session begins with.
pub(super) struct Offer {
    pub(super) hub: Arc<Inner>,
    pub(super) origin: Origin,
    pub(super) deflate: Option<Agreement>,
    pub(super) data: Option<Arc<dyn Any + Send + Sync>>,
    pub(super) channels: Vec<String>,
}

/// In a response's extensions: the connection is to become a session of a hub.
#[derive(Clone)]
pub(crate) struct Switch(Arc<Mutex<Option<Offer>>>);

impl Switch {
    pub(super) fn new(offer: Offer) -> Self {
        Self(Arc::new(Mutex::new(Some(offer))))
    }

    /// The session, for who asks first.
    pub(crate) fn begin(&self) -> Option<Box<Session>> {
        let offer = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Box::new(Session::new(offer)))
    }
}

/// How far a session's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The last frame is with the transport, or about to be.
    Closing,
    /// This direction is closed, and the client is given time to see it.
    Parting,
    /// Nothing more comes or goes. Handlers may still run.
    Ended,
}

pub(crate) struct Session {
    hub: Arc<Inner>,
    peer: Peer,
    codec: Connection,
    outgoing: Option<Box<Outgoing>>,
    inbox: Inbox,
    /// What was read and is not looked at yet, since enough waits to be handled.
    unread: Option<Box<BytesMut>>,
    running: Option<Running>,
    /// Whom the outbox and the clock wake.
    waker: Waker,
    /// Messages since the transport was looked at.
    in_a_row: u8,
    /// What is handled is an error.
    failing: bool,
    clock: Clock,
    /// A ping of the heartbeat is to go out next.
    ping: bool,
    stage: Stage,
    /// Its Close has come.
    client_has_closed: bool,
    /// How it ended. Taken when that is handled, last of all.
    ended: Option<Box<Disconnected>>,
}

impl Session {
    fn new(offer: Offer) -> Self {
        let Offer { hub, origin, deflate, data, channels } = offer;
        let speaks_channels = hub.protocol.is_some() && origin.protocol.as_deref() == Some(PROTOCOL);
        let speaks = if speaks_channels { Speaks::Channels } else { Speaks::Raw };
        let peer = Peer::new(Arc::downgrade(&hub), origin, speaks, data);
        let deflate = deflate.zip(hub.compressors.clone());
        peer.outbox().may_frame = speaks == Speaks::Raw && deflate.is_none();
        let codec = Connection::server(Arc::clone(&hub.settings.codec), deflate);
        channels::greet(&peer);
        hub.enter(&peer);
        for channel in channels {
            peer.subscribe(&channel);
        }
        close_when_draining(&hub);
        let clock = Clock::new(&hub.settings.heartbeat);
        let mut inbox = Inbox::default();
        inbox.push(Inbound::Open);
        Self {
            hub,
            peer,
            codec,
            outgoing: None,
            inbox,
            unread: None,
            running: None,
            waker: Waker::noop().clone(),
            in_a_row: 0,
            failing: false,
            clock,
            ping: false,
            stage: Stage::Open,
            client_has_closed: false,
            ended: None,
        }
    }

    /// Goes on with a connection of its own.
    pub(crate) fn on_its_own(self: Box<Self>) -> Continuation {
        Box::new(move |mut upgraded| {
            let mut session = *self;
            Box::pin(poll_fn(move |cx| session.poll_on(&mut upgraded, cx)))
        })
    }

    /// `Ready`: the session is over, and so is the connection.
    pub(crate) fn poll(&mut self, downstream: &impl Downstream, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_on(&mut Tunnel(downstream), cx)
    }

    fn poll_on(&mut self, line: &mut impl Line, cx: &mut Context<'_>) -> Poll<()> {
        self.look(cx);
        let mut rounds = 0;
        loop {
            self.in_a_row = 0;
            let mut progressed = self.poll_handlers(cx);
            progressed |= match self.stage {
                Stage::Open => self.poll_open(line, cx),
                Stage::Closing | Stage::Parting => self.poll_parting(line, cx),
                Stage::Ended if self.running.is_some() || !self.inbox.is_empty() => false,
                Stage::Ended => match self.ended.take() {
                    Some(how) => {
                        self.handle(Inbound::Disconnected(*how), cx);
                        true
                    }
                    None => return Poll::Ready(()),
                },
            };
            rounds += 1;
            if progressed && rounds < ROUNDS {
                continue;
            }
            if let Some(due) = self.clock.poll(cx.waker(), &self.hub.settings.heartbeat) {
                self.due(due, line);
            } else if !progressed && self.may_rest() {
                return Poll::Pending;
            } else if rounds >= ROUNDS {
                // Others have their turn.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            } else if self.peer.outbox().ending == Ending::Cut {
                self.cut(None, line);
            }
        }
    }

    /// From here on, who sends need not wake this task.
    fn look(&mut self, cx: &Context<'_>) {
        self.peer.0.looking.store(true, Ordering::Relaxed);
        if !self.waker.will_wake(cx.waker()) {
            self.waker = cx.waker().clone();
            self.peer.outbox().waker = Some(cx.waker().clone());
            self.clock.forget_waker();
        }
    }

    /// Whether nothing was sent since the outbox was looked at last. If so, who sends wakes this task from here on.
    fn may_rest(&mut self) -> bool {
        if !self.peer.0.looking.load(Ordering::Relaxed) {
            return true;
        }
        let is_blocked = self.clock.is_blocked() || !self.codec.is_open();
        let outbox = self.peer.outbox();
        let rests = match self.stage {
            Stage::Ended => true,
            Stage::Closing | Stage::Parting => outbox.ending != Ending::Cut,
            Stage::Open => outbox.ending != Ending::Cut && (is_blocked || !outbox.has_some() && outbox.ending == Ending::No),
        };
        // Who sends looks at it under the outbox's lock, so that either side sees what the other has done.
        self.peer.0.looking.store(!rests, Ordering::Relaxed);
        rests
    }

    /// Reads first, so that answers leave with what waits. Returns whether there is more to do.
    fn poll_open(&mut self, line: &mut impl Line, cx: &mut Context<'_>) -> bool {
        let mut reads = 0;
        while reads < READS && self.poll_read(line, cx) {
            reads += 1;
            if self.unread.is_none() && !line.may_have_more() {
                break;
            }
        }
        if self.stage != Stage::Open {
            return true;
        }
        if self.poll_write(line, cx).is_err() {
            self.end(lost());
            return true;
        }
        if self.codec.is_done() && self.is_written() {
            self.part();
            return true;
        }
        reads == READS || self.in_a_row >= IN_A_ROW
    }

    /// Reads what has come, if there is room for what it becomes. Returns whether there may be more.
    fn poll_read(&mut self, line: &mut impl Line, cx: &mut Context<'_>) -> bool {
        if self.is_full() || self.codec.is_done() {
            // The client's silence is ours now.
            self.clock.deaf(&self.hub.settings.heartbeat);
            return false;
        }
        let waker = cx.waker();
        if let Some(mut unread) = self.unread.take() {
            let left = self.take_in(&mut unread, waker);
            if left > 0 || self.holds_more() {
                unread.advance(unread.len() - left);
                self.unread = Some(unread);
            }
            return true;
        }
        let Poll::Ready(read) = line.poll_receive(cx, |bytes| self.received(bytes, waker)) else { return false };
        if read.is_none() {
            // A client that leaves without a Close ends the tunnel in order: it is not the app that gave up.
            let _ = line.poll_end(cx);
            self.end(lost());
        }
        read.is_some()
    }

    /// Whether enough waits, or was done before the transport is looked at.
    fn is_full(&self) -> bool {
        self.inbox.is_full() || self.in_a_row >= IN_A_ROW
    }

    /// Whether the codec may have more to tell although it has taken all bytes.
    fn holds_more(&self) -> bool {
        self.is_full() && !self.codec.is_idle()
    }

    fn received(&mut self, bytes: &mut [u8], waker: &Waker) {
        self.clock.heard(&self.hub.settings.heartbeat);
        count(&self.peer.0.counters.bytes_received, bytes.len() as u64);
        let left = self.take_in(bytes, waker);
        if left > 0 || self.holds_more() {
            self.unread = bytes.get(bytes.len() - left..).map(|left| Box::new(BytesMut::from(left)));
        }
    }

    /// Handles what has come, as far as there is room. Returns how many bytes of it are left.
    fn take_in(&mut self, mut input: &mut [u8], waker: &Waker) -> usize {
        while !self.is_full() {
            self.in_a_row += 1;
            let inbound = match self.codec.receive(&mut input) {
                Ok(None) => return 0,
                Ok(Some(event)) => match event {
                    Event::Text(text) => self.message(Message::Text(text.into_owned())),
                    Event::Binary(data) => self.message(Message::Binary(data.into_owned().into())),
                    Event::Piece(piece) => Some(Inbound::Fragment(Fragment {
                        is_text: piece.kind == Kind::Text,
                        data: piece.data.into_owned().into(),
                        first: piece.first,
                        last: piece.last,
                    })),
                    Event::Ping(payload) => {
                        // Each has its own answer while there is room; then the latest has (RFC 6455 section 5.5.3).
                        let outgoing = self.outgoing.get_or_insert_with(Outgoing::spare);
                        if outgoing.large.is_empty() && outgoing.bytes.len() < GATHER {
                            self.codec.answer(&mut outgoing.bytes);
                        }
                        self.control(true, &payload)
                    }
                    Event::Pong(payload) => {
                        self.peer.0.counters.last_pong.set(self.peer.now());
                        self.control(false, &payload)
                    }
                    Event::Close(close) => {
                        let (code, reason) =
                            close.map_or((1005, String::new()), |close| (close.code().get(), close.reason().to_owned()));
                        self.ended.get_or_insert_with(|| Box::new(Disconnected { code, reason, by_client: true }));
                        self.client_has_closed = true;
                        None
                    }
                },
                Err(error) => Some(self.broken(error)),
            };
            if let Some(inbound) = inbound {
                self.deliver(inbound, waker);
            }
            if input.is_empty() && self.codec.is_idle() {
                return 0;
            }
        }
        input.len()
    }

    /// Handles it at once if nothing else is to be handled first.
    fn deliver(&mut self, inbound: Inbound, waker: &Waker) {
        if self.running.is_some() || !self.inbox.is_empty() {
            return self.inbox.push(inbound);
        }
        let cx = &mut Context::from_waker(waker);
        self.handle(inbound, cx);
        if self.running.is_none() {
            // What has failed is handled, too.
            self.poll_handlers(cx);
        }
    }

    /// A ping or a pong, if somebody wants to hear of it.
    fn control(&self, is_ping: bool, payload: &[u8]) -> Option<Inbound> {
        let handlers = &self.hub.handlers;
        let slot = if is_ping { &handlers.ping } else { &handlers.pong };
        slot.get().map(|_| Inbound::Control(is_ping, Bytes::copy_from_slice(payload)))
    }

    fn message(&mut self, message: Message) -> Option<Inbound> {
        let counters = &self.peer.0.counters;
        count(&counters.messages_received, 1);
        counters.last_message.set(self.peer.now());
        if let (Speaks::Channels, Message::Text(text)) = (self.peer.speaks(), &message) {
            let taken = channels::take_reply(&self.peer, text);
            return (!taken).then_some(Inbound::Message(message));
        }
        match self.peer.take_reply() {
            Some(reply) => reply.send(message).err().map(Inbound::Message),
            None => Some(Inbound::Message(message)),
        }
    }

    fn broken(&mut self, error: ProtocolError) -> Inbound {
        let (code, reason) = (error.close_code().get(), error.to_string());
        self.ended.get_or_insert_with(|| Box::new(Disconnected { code, reason, by_client: false }));
        Inbound::Error(PeerError::Protocol(error))
    }

    /// The last frame is with the transport.
    fn part(&mut self) {
        self.stage = Stage::Closing;
        self.clock.linger();
    }

    /// Closes this direction, and gives the client time to see the last frame and to close its side: what is unread when a socket
    /// closes destroys what is on its way.
    fn poll_parting(&mut self, line: &mut impl Line, cx: &mut Context<'_>) -> bool {
        if self.stage == Stage::Closing {
            match line.poll_end(cx) {
                Poll::Ready(Ok(())) => self.stage = Stage::Parting,
                Poll::Ready(Err(Closed)) => {
                    self.end(lost());
                    return true;
                }
                Poll::Pending => {}
            }
        }
        let polled = line.poll_receive(cx, |_| ());
        // When both have sent their Close, nothing more is on its way. A tunnel ends in order when both its directions have.
        let is_over = polled.is_pending() && self.stage == Stage::Parting && self.client_has_closed && line.is_flushed();
        if is_over || polled == Poll::Ready(None) {
            self.end(lost());
        }
        is_over || polled.is_ready()
    }

    /// The transport is done with.
    fn end(&mut self, how: Disconnected) {
        if self.stage == Stage::Ended {
            return;
        }
        self.stage = Stage::Ended;
        self.clock.stop();
        self.outgoing = None;
        self.unread = None;
        self.hub.exit(&self.peer);
        self.ended.get_or_insert_with(|| Box::new(how));
    }

    fn due(&mut self, due: Due, line: &mut impl Line) {
        match due {
            Due::Ping => {
                let beat = self.hub.handlers.heartbeat.get().map(|beat| beat(&self.peer)).unwrap_or_default();
                self.ping = beat == Beat::Ping;
            }
            Due::Pong => self.cut(Some(PeerError::PongTimeout), line),
            Due::Write => self.cut(Some(PeerError::WriteTimeout), line),
            Due::Close => self.cut(None, line),
            Due::Linger => {
                // What it had to see was sent; that it does not close is its own affair.
                line.cancel();
                self.end(lost());
            }
        }
    }

    /// Ends the connection without a word.
    fn cut(&mut self, error: Option<PeerError>, line: &mut impl Line) {
        if let Some(error) = error {
            self.inbox.push(Inbound::Error(error));
        }
        line.cancel();
        self.ended = None;
        self.end(Disconnected { by_client: false, ..lost() });
    }
}

impl Drop for Session {
    /// The server has gone before the client.
    fn drop(&mut self) {
        self.end(Disconnected { by_client: false, ..lost() });
        let Some(how) = self.ended.take() else { return };
        let mut cx = Context::from_waker(Waker::noop());
        // The thread may not come to another task.
        let started = catch_unwind(AssertUnwindSafe(|| self.start(Inbound::Disconnected(*how), &mut cx)));
        if let (Ok(Started::Running(running)), Ok(runtime)) = (started, tokio::runtime::Handle::try_current()) {
            runtime.spawn(running);
        }
    }
}

/// The connection was lost, by whom is not known.
fn lost() -> Disconnected {
    Disconnected { code: 1006, reason: String::new(), by_client: true }
}
