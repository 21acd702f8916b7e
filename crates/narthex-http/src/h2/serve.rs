//! An HTTP/2 connection's task.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::ext::Protocol;
use h2::server::{self, SendResponse};
use http::Request;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::h1::head::Version;
use crate::h2::carrier::Carrier;
use crate::h2::meter::{COMPLETED, Meter};
use crate::h2::socket::{Socket, Wire};
use crate::limits::Limits;
use crate::mux::{self, Connection, Incoming, Tunnel, carrier};
use crate::reason::Reason;
use crate::request::Handler;
use crate::transport::Transport;

/// Bytes of `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`.
const PREFACE: usize = 24;
/// The largest window that there is (RFC 9113 section 6.9.1).
const LARGEST_WINDOW: u32 = i32::MAX as u32;
/// Bytes of a stream's response that wait for the socket.
const SEND_BUFFER: usize = 64 * 1024;
/// After the last stream of a connection that is to end, what is left of it gets so long to be written.
const LINGER: Duration = Duration::from_secs(2);
/// When there is no deadline.
const FAR: Duration = Duration::from_secs(30 * 86_400);

type H2 = server::Connection<Socket, Bytes>;

/// Serves a connection until it ends. `early` was read before it was known to be one.
pub(crate) async fn serve<H: Handler>(connection: Rc<Connection>, transport: Transport, early: BytesMut, handler: Rc<H>) {
    let worker = &connection.worker;
    let meter = Rc::new(RefCell::new(Meter::new(PREFACE)));
    let wire = Wire::new(transport);
    let socket = Socket::new(Rc::clone(&wire), early, Rc::clone(&meter));
    let wait = worker.timeouts().header_wait.unwrap_or(FAR);
    let handshake = timeout(wait, builder(&worker.limits()).handshake(socket));
    let h2 = tokio::select! {
        handshake = handshake => handshake,
        () = connection.killed() => return,
    };
    match h2 {
        Ok(Ok(h2)) => {
            let now = worker.clock().now();
            let mut task = Task { connection, h2, wire, meter, handler, ending: Ending::No, idle_since: Some(now) };
            let mut timer = pin!(sleep_until(now + FAR));
            task.run(timer.as_mut()).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP/2 connection did not begin"),
        Err(_) => mux::refused(&connection, Reason::TimerHeaderWait),
    }
}

fn builder(limits: &Limits) -> server::Builder {
    let window = limits.http2_initial_window.clamp(1, LARGEST_WINDOW);
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(limits.http2_max_streams)
        .initial_window_size(window)
        // Room for all streams: an app that does not read its own does not stop the others'.
        .initial_connection_window_size(window.saturating_mul(limits.http2_max_streams).clamp(65_535, LARGEST_WINDOW))
        .max_header_list_size(u32::try_from(limits.max_head).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol();
    builder
}

/// How far the connection's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// The client was told that no new streams are welcome (GOAWAY).
    Told,
    /// There is nothing left but to write it.
    Until(Instant),
}

struct Task<H> {
    connection: Rc<Connection>,
    h2: H2,
    wire: Rc<Wire>,
    meter: Rc<RefCell<Meter>>,
    handler: Rc<H>,
    ending: Ending,
    /// When the last stream ended, if none is open.
    idle_since: Option<Instant>,
}

impl<H: Handler> Task<H> {
    async fn run(&mut self, mut timer: Pin<&mut Sleep>) {
        let connection = Rc::clone(&self.connection);
        loop {
            // Made anew for each nudge, and dropped with it.
            let mut changed = pin!(connection.changed());
            let ended = poll_fn(|cx| {
                if changed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(false);
                }
                self.wire.hold();
                let polled = self.poll(cx, timer.as_mut());
                match self.wire.poll_release(cx) {
                    // It is told by the next read, too, but that may be long from now.
                    Poll::Ready(Err(error)) => {
                        tracing::debug!(%error, peer = %connection.info.peer, "an HTTP/2 connection broke");
                        Poll::Ready(true)
                    }
                    _ => polled.map(|()| true),
                }
            });
            if ended.await || connection.is_killed() {
                return;
            }
        }
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<()> {
        loop {
            let completed = u32::try_from(self.connection.take_completed()).unwrap_or(u32::MAX);
            self.meter.borrow_mut().earn(completed.saturating_mul(COMPLETED));
            if let Some(code) = self.verdict() {
                self.send_away(code);
            }
            if self.connection.worker.is_retiring() {
                self.end();
            }
            match self.h2.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.idle_since = None;
                    self.open(request, respond);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, peer = %self.connection.info.peer, "an HTTP/2 connection broke");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if self.verdict().is_some() {
                continue;
            }
            match self.poll_deadline(cx, timer.as_mut()) {
                Deadline::None => return Poll::Pending,
                Deadline::Idle => self.end(),
                Deadline::Over => return Poll::Ready(()),
            }
        }
    }

    fn now(&self) -> Instant {
        self.connection.worker.clock().now()
    }

    /// Why the client is to be sent away, if it is and was not yet.
    fn verdict(&self) -> Option<h2::Reason> {
        if self.ending == Ending::No { self.meter.borrow().verdict() } else { None }
    }

    fn send_away(&mut self, code: h2::Reason) {
        if code == h2::Reason::ENHANCE_YOUR_CALM {
            tracing::debug!(peer = %self.connection.info.peer, "an HTTP/2 client floods its connection");
            mux::refused(&self.connection, Reason::ConnLimit);
        }
        self.h2.abrupt_shutdown(code);
        self.ending = Ending::Until(self.now() + LINGER);
    }

    /// Tells the client that no new streams are welcome: first that there will be none, then, a round trip later, which was the
    /// last (RFC 9113 section 6.8). Those that are open go on.
    fn end(&mut self) {
        if self.ending == Ending::No {
            self.ending = Ending::Told;
            self.h2.graceful_shutdown();
        }
    }

    fn open(&mut self, request: Request<h2::RecvStream>, respond: SendResponse<Bytes>) {
        let (mut head, receive) = request.into_parts();
        let tunnel = head.extensions.remove::<Protocol>().map(|protocol| Tunnel(protocol.as_str().into()));
        let incoming = Incoming { ended: receive.is_end_stream(), head, tunnel };
        let carrier = carrier::Carrier::Http2(Carrier::new(respond, receive));
        mux::open(&self.connection, &*self.handler, &incoming, Version::Http2, carrier);
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Deadline {
        let now = self.now();
        if self.connection.streams() > 0 {
            self.idle_since = None;
        } else if self.idle_since.is_none() {
            self.idle_since = Some(now);
        }
        let deadline = match (self.ending, self.idle_since) {
            (Ending::Until(at), _) => Some((at, Deadline::Over)),
            (Ending::Told, Some(since)) => Some((since.max(now) + LINGER, Deadline::Over)),
            (Ending::No, Some(since)) => {
                self.connection.worker.timeouts().idle_connection.map(|limit| (since + limit, Deadline::Idle))
            }
            (_, None) => None,
        };
        if let (Ending::Told, Some((at, _))) = (self.ending, deadline) {
            self.ending = Ending::Until(at);
        }
        let Some((at, what)) = deadline else { return Deadline::None };
        if at <= now {
            return what;
        }
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        if timer.poll(cx).is_ready() { what } else { Deadline::None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline {
    /// None that has passed.
    None,
    /// No stream was open for too long.
    Idle,
    Over,
}
