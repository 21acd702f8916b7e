//! One request and its response: what comes from HTTP.sys as it is asked for, what goes there one call after the other.
//!
//! Everything is driven by [`Exchange::poll`], which the task of the request calls whenever it is woken, after the app's own turn.
//! What is sent while an earlier call is under way waits, goes with the next call, and holds the app back once there is much of it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::Code;
use crate::api::{Api, ConnectionId, Feature, Queue, RequestId};
use crate::fields::Fields;
use crate::framing::Framing;
use crate::operation::Operation;
use crate::request::{Request, Version};
use crate::response::{CachePolicy, Chunk, Head, Length, Sending};

/// One read of a request body.
const PIECE: usize = 64 * 1024;
/// Bytes that wait for a call before the app is held back.
const HIGH_WATER: u64 = 256 * 1024;

/// Pieces that a call may have.
const MOST_CHUNKS: usize = 64;

/// The client is gone, or its response is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// Why a request body ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFailure {
    /// The client is gone.
    Disconnected,
    /// It is longer than allowed. The client gets 413.
    TooLarge,
}

/// A request that was taken, until its response is complete.
pub struct Exchange {
    api: Arc<dyn Api>,
    queue: Arc<dyn Queue>,
    id: RequestId,
    connection: ConnectionId,
    version: Version,
    head_only: bool,
    incoming: RefCell<Incoming>,
    outgoing: RefCell<Outgoing>,
    /// The wait for the client to go.
    leaving: RefCell<Option<Operation<()>>>,
    client_gone: Cell<bool>,
}

#[derive(Default)]
struct Incoming {
    receiving: Option<Operation<Option<Bytes>>>,
    ended: bool,
    taken: u64,
    most: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was said.
    Fresh,
    /// More is to come.
    Begun,
    /// All was said.
    Ended,
    /// Nothing can be sent any more.
    Broken,
}

struct Outgoing {
    stage: Stage,
    framing: Framing,
    sending: Option<Operation<()>>,
    /// What the next call sends.
    head: Option<Head>,
    chunks: Vec<Chunk>,
    waiting: u64,
    trailers: Option<Fields>,
    cache: Option<CachePolicy>,
    close_behind: bool,
    /// The client has a head, or will have one.
    has_answered: bool,
    /// The end was handed to HTTP.sys.
    end_sent: bool,
}

impl Exchange {
    /// Of a request that was taken from `queue`.
    pub fn new(api: Arc<dyn Api>, queue: Arc<dyn Queue>, request: &Request) -> Self {
        Self {
            api,
            queue,
            id: request.facts.id,
            connection: request.facts.connection,
            version: request.facts.version,
            head_only: request.method() == b"HEAD",
            incoming: RefCell::new(Incoming { ended: !request.facts.has_body, ..Incoming::default() }),
            outgoing: RefCell::new(Outgoing {
                stage: Stage::Fresh,
                framing: Framing::Absent,
                sending: None,
                head: None,
                chunks: Vec::new(),
                waiting: 0,
                trailers: None,
                cache: None,
                close_behind: asks_to_close(request),
                has_answered: false,
                end_sent: false,
            }),
            leaving: RefCell::new(None),
            client_gone: Cell::new(false),
        }
    }

    /// Bounds what comes of the request body. A client that has announced more is answered 413 at once.
    pub fn set_max_body(&self, most: Option<u64>, announced: Option<u64>) {
        self.incoming.borrow_mut().most = most;
        if announced.zip(most).is_some_and(|(announced, most)| announced > most) {
            self.refuse(413, "Content Too Large");
        }
    }

    /// Whether something can still be sent.
    pub fn is_open(&self) -> bool {
        matches!(self.outgoing.borrow().stage, Stage::Fresh | Stage::Begun)
    }

    /// The next piece of the request body, or of the client's bytes after [`upgrade`](Self::upgrade). The first time that it
    /// is asked for, HTTP.sys tells a client that waits for it to go on.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFailure>>> {
        {
            // HTTP.sys takes the connection for one of HTTP until it has the 101.
            let mut outgoing = self.outgoing.borrow_mut();
            if outgoing.is_upgrading() {
                self.advance(&mut outgoing, cx);
                if outgoing.is_upgrading() {
                    return Poll::Pending;
                }
            }
        }
        let mut incoming = self.incoming.borrow_mut();
        if incoming.ended {
            return Poll::Ready(None);
        }
        let receiving = incoming.receiving.get_or_insert_with(|| self.queue.receive_body(self.id, PIECE));
        let received = ready!(Pin::new(receiving).poll(cx));
        incoming.receiving = None;
        match received {
            Ok(Some(bytes)) => {
                incoming.taken = incoming.taken.saturating_add(bytes.len() as u64);
                if incoming.most.is_some_and(|most| incoming.taken > most) {
                    incoming.ended = true;
                    drop(incoming);
                    self.refuse(413, "Content Too Large");
                    return Poll::Ready(Some(Err(BodyFailure::TooLarge)));
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Ok(None) => {
                incoming.ended = true;
                Poll::Ready(None)
            }
            Err(code) => {
                incoming.ended = true;
                tracing::debug!(%code, "a request body ended early");
                Poll::Ready(Some(Err(BodyFailure::Disconnected)))
            }
        }
    }

    /// Sends a whole response. Its length is told unless `head` does so already.
    ///
    /// # Errors
    /// If the exchange is over.
    pub fn send(&self, mut head: Head, body: Bytes, cache: Option<CachePolicy>) -> Result<(), Closed> {
        let mut outgoing = self.begin()?;
        // HTTP.sys tells the length of what is complete in one call. To HEAD, it would say 0.
        if self.head_only && head.fields.only("content-length").is_none() && !body.is_empty() {
            head.fields.push(b"Content-Length", body.len().to_string().as_bytes());
        }
        outgoing.head = Some(head);
        outgoing.framing = Framing::Absent;
        outgoing.cache = cache;
        if !self.head_only {
            outgoing.push(Chunk::Memory(body));
        }
        outgoing.stage = Stage::Ended;
        Ok(())
    }

    /// Sends a head whose body follows.
    ///
    /// # Errors
    /// If the exchange is over.
    pub fn start(&self, mut head: Head, length: Length) -> Result<(), Closed> {
        let mut outgoing = self.begin()?;
        outgoing.framing = Framing::new(self.version, length, self.head_only);
        outgoing.framing.announce(length, self.version, &mut head.fields);
        outgoing.head = Some(head);
        outgoing.stage = Stage::Begun;
        Ok(())
    }

    /// The connection is to be closed behind the response.
    pub fn close_behind(&self) {
        self.outgoing.borrow_mut().close_behind = true;
    }

    /// Whether the app is held back: it is to be asked again when it no longer is.
    pub fn holds_back(&self) -> bool {
        let outgoing = self.outgoing.borrow();
        outgoing.waiting >= HIGH_WATER || outgoing.is_upgrading()
    }

    /// Whether there is room for more.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.waiting >= HIGH_WATER {
            self.advance(&mut outgoing, cx);
        }
        match outgoing.stage {
            Stage::Broken | Stage::Ended => Poll::Ready(Err(Closed)),
            _ if outgoing.waiting >= HIGH_WATER => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Sends body or tunnel bytes, and with `end` the end.
    ///
    /// # Errors
    /// If the exchange is over, or the body is not as long as it was said to be: then it is broken off.
    pub fn data(&self, chunk: Chunk, end: bool) -> Result<(), Closed> {
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.stage != Stage::Begun {
            return Err(Closed);
        }
        if let Framing::Exact(left) = &mut outgoing.framing {
            let rest = left.checked_sub(chunk.len()).filter(|rest| !end || *rest == 0);
            let Some(rest) = rest else {
                drop(outgoing);
                tracing::error!("a response is broken off: its body is not as long as it was said to be");
                self.cancel();
                return Err(Closed);
            };
            *left = rest;
        }
        if outgoing.framing != Framing::Absent {
            outgoing.push(chunk);
        }
        if end {
            outgoing.stage = Stage::Ended;
        }
        Ok(())
    }

    /// Ends the body with trailer fields.
    ///
    /// # Errors
    /// If the exchange is over.
    pub fn trailers(&self, fields: Fields) -> Result<(), Closed> {
        {
            let mut outgoing = self.outgoing.borrow_mut();
            if outgoing.framing == Framing::Stream && !self.api.has(Feature::Trailers) {
                tracing::warn!("this HTTP.sys does not have {}: they are left out", Feature::Trailers.name());
            } else {
                outgoing.trailers = Some(fields);
            }
        }
        self.data(Chunk::Memory(Bytes::new()), true)
    }

    /// Accepts the upgrade that the client asked for. Where HTTP.sys has no upgrades, the client gets 501.
    ///
    /// # Errors
    /// If the exchange is over, or is now.
    pub fn upgrade(&self, head: Head) -> Result<(), Closed> {
        if !self.api.has(Feature::OpaqueUpgrade) {
            let feature = Feature::OpaqueUpgrade.name();
            tracing::error!("this HTTP.sys does not have {feature}: the client gets 501; use Provider::embedded() for it");
            self.refuse(501, "Not Implemented");
            return Err(Closed);
        }
        let mut outgoing = self.begin()?;
        outgoing.framing = Framing::Opaque;
        outgoing.head = Some(head);
        outgoing.stage = Stage::Begun;
        self.incoming.borrow_mut().ended = false;
        Ok(())
    }

    /// From now on [`client_has_gone`](Self::client_has_gone) knows. `false`: this HTTP.sys does not tell.
    pub fn watch_client(&self) -> bool {
        if !self.api.has(Feature::DisconnectNotice) {
            return false;
        }
        if !self.client_gone.get() {
            self.leaving.borrow_mut().get_or_insert_with(|| self.queue.disconnected(self.connection));
        }
        true
    }

    /// Whether the client is known to have gone.
    pub fn client_has_gone(&self) -> bool {
        self.client_gone.get()
    }

    /// Breaks the client's connection off.
    pub fn cancel(&self) {
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.stage == Stage::Broken || outgoing.end_sent && outgoing.sending.is_none() {
            return;
        }
        match self.queue.cancel(self.id) {
            Ok(()) => outgoing.stage = Stage::Broken,
            Err(code) if code.is_disconnected() => outgoing.stage = Stage::Broken,
            Err(code) => {
                // What can be done instead: nothing more is sent, and the connection ends.
                tracing::warn!(%code, "this HTTP.sys does not break requests off: the response ends where it is");
                outgoing.chunks.clear();
                outgoing.trailers = None;
                outgoing.framing = Framing::Close;
                if outgoing.stage == Stage::Fresh {
                    let head = Head { status: 500, reason: "Internal Server Error", fields: Fields::default() };
                    outgoing.head = Some(head);
                }
                outgoing.stage = Stage::Ended;
            }
        }
    }

    /// Answers with a status of the server's own, or breaks off what was begun.
    pub fn refuse(&self, status: u16, reason: &'static str) {
        if self.outgoing.borrow().stage != Stage::Fresh {
            if self.is_open() {
                self.cancel();
            }
            return;
        }
        let mut head = Head { status, reason, fields: Fields::default() };
        head.fields.push(b"Content-Type", b"text/plain; charset=utf-8");
        // Nothing can be wrong with it: the exchange is fresh.
        let _ = self.send(head, Bytes::from(format!("{status} {reason}\n")), None);
    }

    /// Goes on with what is under way. `Ready` when the response is complete and in HTTP.sys's hands, or the client is gone.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut leaving = self.leaving.borrow_mut();
        if let Some(Poll::Ready(left)) = leaving.as_mut().map(|leaving| Pin::new(leaving).poll(cx)) {
            *leaving = None;
            self.client_gone.set(left.is_ok());
        }
        drop(leaving);
        let mut outgoing = self.outgoing.borrow_mut();
        self.advance(&mut outgoing, cx);
        match outgoing.stage {
            Stage::Broken => Poll::Ready(()),
            Stage::Ended if outgoing.end_sent && outgoing.sending.is_none() => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    /// The response, if nothing was said yet.
    fn begin(&self) -> Result<std::cell::RefMut<'_, Outgoing>, Closed> {
        let outgoing = self.outgoing.borrow_mut();
        if outgoing.stage == Stage::Fresh { Ok(outgoing) } else { Err(Closed) }
    }

    /// Waits for the call that is under way, and makes the next one.
    fn advance(&self, outgoing: &mut Outgoing, cx: &mut Context<'_>) {
        loop {
            if let Some(sending) = &mut outgoing.sending {
                let Poll::Ready(sent) = Pin::new(sending).poll(cx) else { return };
                outgoing.sending = None;
                match sent {
                    Ok(()) => outgoing.has_answered = true,
                    // All of it was sent before.
                    Err(Code::HANDLE_EOF) if outgoing.end_sent => {}
                    Err(code) if outgoing.can_apologize(code) => outgoing.apologize(code),
                    Err(code) => {
                        outgoing.broke(code);
                        if !code.is_disconnected() {
                            let _ = self.queue.cancel(self.id);
                        }
                        return;
                    }
                }
            }
            let Some(sending) = outgoing.next_call() else { return };
            outgoing.sending = Some(self.queue.send(self.id, sending));
        }
    }
}

impl Outgoing {
    fn is_upgrading(&self) -> bool {
        self.framing == Framing::Opaque && self.stage == Stage::Begun && !self.has_answered
    }

    fn push(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.waiting = self.waiting.saturating_add(chunk.len());
            self.chunks.push(chunk);
        }
    }

    /// What is to be sent next, if anything.
    fn next_call(&mut self) -> Option<Sending> {
        // The last byte of a body of known length ends the response, whether or not the app has said so yet.
        let end = self.stage == Stage::Ended || self.framing == Framing::Exact(0);
        let nothing_new = self.head.is_none() && self.chunks.is_empty() && !end;
        if matches!(self.stage, Stage::Fresh | Stage::Broken) || self.end_sent || nothing_new {
            return None;
        }
        let mut chunks = joined(std::mem::take(&mut self.chunks));
        self.waiting = 0;
        self.framing.frame(&mut chunks, self.trailers.take_if(|_| end), end);
        self.end_sent = end;
        let mut head = self.head.take();
        let closes = self.close_behind || matches!(self.framing, Framing::Close | Framing::Opaque);
        if let Some(head) = head.as_mut().filter(|_| closes && self.framing != Framing::Opaque) {
            head.fields.push(b"Connection", b"close");
        }
        Some(Sending {
            opaque: self.framing == Framing::Opaque && head.is_some(),
            head,
            chunks,
            more: !end,
            disconnect: end && closes,
            cache: self.cache.take(),
        })
    }

    /// Whether the client can still be told that its response cannot be sent.
    fn can_apologize(&self, code: Code) -> bool {
        !self.has_answered && !code.is_disconnected() && !code.is_cancelled()
    }

    /// HTTP.sys does not take the response: a field may be longer than it can be.
    fn apologize(&mut self, code: Code) {
        tracing::error!(%code, "HTTP.sys does not take a response: the client gets 500");
        self.head = Some(Head { status: 500, reason: "Internal Server Error", fields: Fields::default() });
        self.chunks.clear();
        (self.trailers, self.cache) = (None, None);
        (self.stage, self.framing) = (Stage::Ended, Framing::Absent);
        (self.close_behind, self.has_answered, self.end_sent) = (true, true, false);
    }

    fn broke(&mut self, code: Code) {
        self.stage = Stage::Broken;
        self.chunks.clear();
        if code.is_disconnected() || code.is_cancelled() {
            tracing::debug!(%code, "a client left before it had its response");
        } else {
            tracing::error!(%code, "HTTP.sys does not send a response");
        }
    }
}

/// Whether the client wants its connection closed (RFC 9112 section 9.3).
fn asks_to_close(request: &Request) -> bool {
    let named = |option| request.fields().lists("connection", option);
    match request.facts.version {
        Version::Http10 => !named("keep-alive"),
        Version::Http11 => named("close"),
        Version::Http2 | Version::Http3 => false,
    }
}

/// As few pieces as one call takes: copying many small ones costs less than to describe each of them.
fn joined(chunks: Vec<Chunk>) -> Vec<Chunk> {
    if chunks.len() <= MOST_CHUNKS {
        return chunks;
    }
    let mut joined = Vec::new();
    let mut bytes = Vec::new();
    for chunk in chunks {
        match chunk {
            Chunk::Memory(piece) => bytes.extend_from_slice(&piece),
            other => joined.extend([Chunk::Memory(std::mem::take(&mut bytes).into()), other]),
        }
    }
    joined.push(Chunk::Memory(bytes.into()));
    joined.retain(|chunk| !matches!(chunk, Chunk::Memory(bytes) if bytes.is_empty()));
    joined
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(leaving) = self.leaving.get_mut().take() {
            leaving.cancel();
        }
        // Whoever gives a request up without an answer must not leave its client waiting.
        if self.is_open() {
            let _ = self.queue.cancel(self.id);
        }
    }
}
