//! An HTTP/3 connection's task.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connecting, ConnectionError, RecvStream, SendStream, VarInt, ZeroRttAccepted};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until, timeout};

use crate::h1::head::Version;
use crate::h3::carrier::Carrier;
use crate::h3::endpoint::Handshake;
use crate::h3::frame::{self, Frames, HEADERS, Next, Trouble};
use crate::h3::{code, control, head, qpack};
use crate::mux::{self, Connection, carrier};
use crate::reason::Reason;
use crate::request::{Handler, TlsInfo};

/// After the last stream of a connection that is to end, its client has so long to take the rest and to leave.
const LINGER: Duration = Duration::from_secs(2);
/// Requests that a client may take back before it has taken as many answers (rapid reset). Each answer gives it two more.
const ALLOWANCE: u64 = 1_000;
/// When there is no deadline.
const FAR: Duration = Duration::from_secs(30 * 86_400);

/// A connection, as its streams see it.
pub(super) struct Shared {
    quic: quinn::Connection,
    connection: Rc<Connection>,
    /// The handshake is complete: what comes is no repetition of what somebody has recorded.
    established: Cell<bool>,
    is_established: Notify,
    /// Heads that are being read.
    heads: Cell<usize>,
    /// Kinds of the client's own streams that there must be one of.
    seen: RefCell<Vec<u64>>,
}

impl Shared {
    pub(super) fn new(quic: quinn::Connection, connection: Rc<Connection>, established: bool) -> Rc<Self> {
        let (heads, seen) = (Cell::new(0), RefCell::default());
        Rc::new(Self { quic, connection, established: Cell::new(established), is_established: Notify::new(), heads, seen })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.quic.close_reason().is_none()
    }

    pub(super) fn establish(&self) {
        self.established.set(true);
        self.is_established.notify_waiters();
    }

    pub(super) fn close(&self, code: VarInt) {
        self.quic.close(code, b"");
    }

    pub(super) fn max_head(&self) -> usize {
        self.connection.worker.limits().max_head
    }

    pub(super) fn is_first(&self, kind: u64) -> bool {
        let mut seen = self.seen.borrow_mut();
        let first = !seen.contains(&kind);
        seen.push(kind);
        first
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve<H: Handler>(
    connection: Rc<Connection>,
    connecting: Connecting,
    early_data: bool,
    handshake: Handshake,
    handler: Rc<H>,
) {
    let limit = connection.worker.timeouts().header_wait.unwrap_or(FAR);
    let begun = tokio::select! {
        begun = timeout(limit, begin(connecting, early_data)) => begun,
        () = connection.killed() => return,
    };
    let (quic, accepted) = match begun {
        Ok(Ok(begun)) => begun,
        Ok(Err(error)) => return tracing::debug!(%error, peer = %connection.info.peer, "a QUIC handshake failed"),
        Err(_) => return mux::refused(&connection, Reason::TimerHeaderWait),
    };
    connection.set_tls(tls_info(&quic));
    let shared = Shared::new(quic, connection, accepted.is_none());
    if let Some(accepted) = accepted {
        let shared = Rc::clone(&shared);
        spawn_local(async move {
            accepted.await;
            drop(handshake);
            // Or it has failed.
            if shared.is_alive() {
                shared.establish();
            }
        });
    } else {
        drop(handshake);
    }
    run(shared, handler).await;
}

async fn begin(
    mut connecting: Connecting,
    early_data: bool,
) -> Result<(quinn::Connection, Option<ZeroRttAccepted>), ConnectionError> {
    if !early_data {
        return Ok((connecting.await?, None));
    }
    // Until then the client's name for the server is not known.
    let _ = connecting.handshake_data().await?;
    match connecting.into_0rtt() {
        Ok((quic, accepted)) => Ok((quic, Some(accepted))),
        Err(connecting) => Ok((connecting.await?, None)),
    }
}

fn tls_info(quic: &quinn::Connection) -> TlsInfo {
    let data = quic.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    TlsInfo {
        version: rustls::ProtocolVersion::TLSv1_3,
        cipher_suite: None,
        server_name: data.and_then(|data| data.server_name).map(Into::into),
        client_certificate: None,
    }
}

async fn run<H: Handler>(shared: Rc<Shared>, handler: Rc<H>) {
    let (quic, connection) = (&shared.quic, &shared.connection);
    let worker = &connection.worker;
    let Ok(mut control) = quic.open_uni().await else { return };
    if control.write_all(&control::hello(shared.max_head())).await.is_err() {
        return;
    }
    let (mut next_stream, mut allowance) = (0, ALLOWANCE);
    let mut idle_since = Some(worker.clock().now());
    let mut told = false;
    let mut timer = pin!(sleep_until(worker.clock().now() + FAR));
    loop {
        let now = worker.clock().now();
        allowance = allowance.saturating_add(2 * connection.take_completed()).min(ALLOWANCE);
        if allowance == 0 {
            tracing::debug!(peer = %connection.info.peer, "an HTTP/3 client floods its connection");
            mux::refused(connection, Reason::ConnLimit);
            return shared.close(code::EXCESSIVE_LOAD);
        }
        let is_idle = connection.streams() + shared.heads.get() == 0;
        idle_since = if is_idle { idle_since.or(Some(now)) } else { None };
        let limit = if told { Some(LINGER) } else { worker.timeouts().idle_connection };
        let deadline = idle_since.zip(limit).map_or(now + FAR, |(since, limit)| since + limit);
        if connection.is_killed() || told && deadline <= now {
            return shared.close(code::NO_ERROR);
        }
        if !told && (worker.is_retiring() || deadline <= now) {
            told = true;
            idle_since = is_idle.then_some(now);
            // A few bytes: the client gives the control stream more room than that.
            let _ = timeout(LINGER, control.write_all(&control::goaway(next_stream))).await;
            continue;
        }
        reset(timer.as_mut(), deadline);
        tokio::select! {
            accepted = quic.accept_bi() => {
                let Ok((mut send, mut receive)) = accepted else { return };
                if told {
                    let _ = (send.reset(code::REJECTED), receive.stop(code::REJECTED));
                    continue;
                }
                next_stream = VarInt::from(receive.id()).into_inner() + 4;
                idle_since = None;
                allowance -= 1;
                let reading = Reading::new(&shared);
                spawn_local(open(reading, send, receive, Rc::clone(&handler)));
            }
            accepted = quic.accept_uni() => {
                let Ok(stream) = accepted else { return };
                spawn_local(control::read(Rc::clone(&shared), stream));
            }
            () = connection.changed() => {}
            () = timer.as_mut() => {}
        }
    }
}

fn reset(timer: std::pin::Pin<&mut tokio::time::Sleep>, at: Instant) {
    if timer.deadline() != at {
        timer.reset(at);
    }
}

/// A head that is being read: its connection is not idle.
struct Reading(Rc<Shared>);

impl Reading {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.heads.set(shared.heads.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.heads.set(self.0.heads.get().saturating_sub(1));
        self.0.connection.nudge();
    }
}

/// Reads a request's head and starts its exchange.
async fn open<H: Handler>(reading: Reading, send: SendStream, receive: RecvStream, handler: Rc<H>) {
    let shared = &reading.0;
    let early = receive.is_0rtt();
    let mut frames = Frames::new(receive, shared.max_head());
    let limit = shared.connection.worker.timeouts().header_wait.unwrap_or(FAR);
    let first = timeout(limit, frames.next()).await;
    let read = match first {
        Ok(Ok(Next::Headers(block))) => match qpack::decode(&block, shared.max_head()) {
            Ok(fields) => head::request(fields).ok_or(Trouble::Stream(code::MESSAGE)),
            Err(qpack::Wrong::Coding) => Err(Trouble::Connection(code::DECOMPRESSION)),
            Err(qpack::Wrong::TooLarge) => Err(Trouble::TooLarge),
        },
        Ok(Ok(Next::Data(_))) => Err(Trouble::Connection(code::FRAME_UNEXPECTED)),
        Ok(Ok(Next::End)) => Err(Trouble::Stream(code::INCOMPLETE)),
        Ok(Err(trouble)) => Err(trouble),
        Err(_) => {
            mux::refused(&shared.connection, Reason::TimerHeaderWait);
            Err(Trouble::Stream(code::REJECTED))
        }
    };
    let (mut incoming, declared) = match read {
        Ok(read) => read,
        Err(trouble) => return refuse(shared, trouble, send, frames).await,
    };
    incoming.ended = declared == Some(0);
    // RFC 8470: what may be a repetition must not change anything.
    let is_harmless = matches!(incoming.head.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    if early && !(is_harmless && declared.is_none_or(|length| length == 0)) {
        while !shared.established.get() {
            tokio::select! {
                () = shared.is_established.notified() => {}
                _ = shared.quic.closed() => return,
            }
        }
    }
    // What has come with the head may show already that there is a body where it says that there is none.
    if declared == Some(0) && incoming.tunnel.is_none() {
        let trouble = match frames.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Next::Data(_))) => Some(Trouble::Stream(code::MESSAGE)),
            Poll::Ready(Err(trouble)) => Some(trouble),
            Poll::Ready(Ok(Next::Headers(_) | Next::End)) | Poll::Pending => None,
        };
        if let Some(trouble) = trouble {
            return refuse(shared, trouble, send, frames).await;
        }
    }
    let mut carrier = Carrier::new(Rc::clone(shared), send, frames, declared);
    // A request without a body is known to be one if its end has come with it.
    if !incoming.ended && incoming.tunnel.is_none() {
        incoming.ended = carrier.has_ended();
    }
    let carrier = carrier::Carrier::Http3(Box::new(carrier));
    mux::open(&shared.connection, &*handler, &incoming, Version::Http3, carrier);
}

/// Answers a head that there is no exchange for.
async fn refuse(shared: &Shared, trouble: Trouble, mut send: SendStream, mut frames: Frames) {
    match trouble {
        Trouble::Gone(_) => {}
        Trouble::Connection(code) => shared.close(code),
        Trouble::Stream(code) => {
            let _ = send.reset(code);
            frames.stop(code);
        }
        Trouble::TooLarge => {
            let connection = &shared.connection;
            connection.worker.tell_refused(&connection.info, Reason::RequestLength, Reason::RequestLength.status());
            let block = qpack::encode(Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE), &HeaderMap::new());
            let _ = send.write_chunk(Bytes::from(frame::whole(HEADERS, &block))).await;
            let _ = send.finish();
            frames.stop(code::NO_ERROR);
        }
    }
}
