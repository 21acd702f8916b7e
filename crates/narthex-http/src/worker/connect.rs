//! From an accepted socket to the engine that serves it: TLS if the port has it, then the version of HTTP that the client
//! speaks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use narthex_proto::prefix::Scheme;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::acceptor::Counted;
use crate::admission::Permit;
use crate::bandwidth::Whose;
use crate::h1::conn::{Conn, Next};
use crate::h2;
use crate::mux;
#[cfg(target_os = "linux")]
use crate::reactor::{Key, Reactor};
use crate::reason::Reason;
use crate::request::{ConnectionInfo, Handler, TlsInfo};
use crate::transport::Transport;
use crate::upgraded::{Continuation, Switch, Upgraded};
use crate::worker::Worker;
use crate::worker::handshake::{Spoken, shake_hands};

static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

/// Unique in this process.
pub(crate) fn next_connection_id() -> u64 {
    NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed)
}

/// A connection as its worker knows it.
#[derive(Clone)]
pub(crate) enum Served {
    Http1(Rc<Conn>),
    /// HTTP/2 or HTTP/3; or it is not known yet.
    Streams(Rc<mux::Connection>),
    /// It speaks no HTTP any more.
    Upgraded(Rc<Switch>),
    /// As well, and it is with the worker's reactor.
    #[cfg(target_os = "linux")]
    Resting(Rc<Reactor>, Key),
}

impl Served {
    pub(super) fn nudge(&self) {
        match self {
            Self::Http1(conn) => conn.nudge(),
            Self::Streams(connection) => connection.nudge(),
            // Who goes on with it knows by itself when to end.
            Self::Upgraded(_) => {}
            #[cfg(target_os = "linux")]
            Self::Resting(..) => {}
        }
    }

    pub(super) fn kill(&self) {
        match self {
            Self::Http1(conn) => conn.kill(),
            Self::Streams(connection) => connection.kill(),
            Self::Upgraded(switch) => switch.kill(),
            #[cfg(target_os = "linux")]
            Self::Resting(reactor, key) => reactor.kill(*key),
        }
    }

    pub(super) fn http1(&self) -> Option<&Rc<Conn>> {
        match self {
            Self::Http1(conn) => Some(conn),
            _ => None,
        }
    }
}

impl Worker {
    /// `counted`: for the acceptor that dealt it, if one did.
    pub(super) fn adopt<H: Handler>(
        self: &Rc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        scheme: Scheme,
        counted: Option<Counted>,
        handler: &Rc<H>,
    ) {
        let info = info_of(&stream, canonical(peer), scheme);
        let handler = Rc::clone(handler);
        if self.proxy_protocol.borrow().is_expected_at(info.local) {
            return self.adopt_proxied(stream, info, counted, handler);
        }
        let Some(permit) = self.admission.admit(info.peer.ip()) else { return self.turn_away(&stream, &info) };
        if scheme == Scheme::Https {
            let connection = mux::Connection::new(Rc::clone(self), info, None);
            let registered = self.register(Served::Streams(Rc::clone(&connection))).counted(permit, counted);
            spawn_local(serve_tls(stream, connection, registered, handler));
            return;
        }
        let conn = self.http1(Transport::from(stream), info, None);
        let registered = self.register(Served::Http1(Rc::clone(&conn))).counted(permit, counted);
        spawn_local(serve_http1(conn, registered, handler));
    }

    /// There is no place for this connection.
    pub(super) fn turn_away(&self, stream: &TcpStream, info: &ConnectionInfo) {
        if info.scheme == Scheme::Http {
            refuse_connection(stream);
        }
        self.tell_refused(info, Reason::ConnLimit, Some(503));
    }

    pub(super) fn http1(self: &Rc<Self>, transport: Transport, info: ConnectionInfo, tls: Option<Rc<TlsInfo>>) -> Rc<Conn> {
        let conn = Conn::new(Rc::clone(self), transport, info, tls);
        conn.pace(Whose::Server, self.bandwidth.borrow().as_ref());
        conn
    }

    /// A place among the connections that the server may have, if there is one.
    pub(crate) fn admit(&self, client: IpAddr) -> Option<Permit> {
        self.admission.admit(client)
    }

    pub(crate) fn register_streams(self: &Rc<Self>, connection: &Rc<mux::Connection>) -> Registered {
        self.register(Served::Streams(Rc::clone(connection)))
    }

    pub(super) fn register(self: &Rc<Self>, served: Served) -> Registered {
        let key = self.connections.borrow_mut().insert(served);
        Registered { worker: Rc::clone(self), key, counts: None }
    }
}

/// `connection` stands for it until it is known what the client speaks.
pub(super) async fn serve_tls<H: Handler>(
    stream: TcpStream,
    connection: Rc<mux::Connection>,
    registered: Registered,
    handler: Rc<H>,
) {
    let (worker, info) = (Rc::clone(&registered.worker), connection.info);
    // Boxed: what comes after a handshake need not have room for it.
    let Some((transport, tls, spoken)) = Box::pin(greet(stream, &connection, &worker)).await else { return };
    let tls = Some(tls);
    match spoken {
        Spoken::Http2 => {
            let connection = mux::Connection::new(worker, info, tls);
            registered.becomes(Served::Streams(Rc::clone(&connection)));
            Box::pin(h2::serve(connection, transport, BytesMut::new(), handler)).await;
        }
        Spoken::Http1 => {
            let conn = worker.http1(transport, info, tls);
            registered.becomes(Served::Http1(Rc::clone(&conn)));
            Box::pin(serve_http1(conn, registered, handler)).await;
        }
        Spoken::Challenge => {}
    }
}

/// The handshake, in time. `None`: there is no connection to go on with.
async fn greet(stream: TcpStream, connection: &Rc<mux::Connection>, worker: &Worker) -> Option<(Transport, Rc<TlsInfo>, Spoken)> {
    let info = &connection.info;
    let shaken = shake_hands(stream, info.local, worker.tls());
    let shaken = tokio::select! {
        shaken = within(worker.timeouts().header_wait, shaken) => shaken,
        () = connection.killed() => return None,
    };
    match shaken {
        Some(Ok((stream, tls, spoken))) => Some((Transport::from(stream), Rc::new(tls), spoken)),
        Some(Err(error)) => {
            tracing::debug!(%error, peer = %info.peer, "a TLS handshake failed");
            None
        }
        None => {
            mux::refused(connection, Reason::TimerHeaderWait);
            None
        }
    }
}

/// `None` if it took too long.
pub(super) async fn within<F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, future).await.ok(),
        None => Some(future.await),
    }
}

pub(super) async fn serve_http1<H: Handler>(conn: Rc<Conn>, registered: Registered, handler: Rc<H>) {
    let info = *conn.info();
    match conn.run(Rc::clone(&handler)).await {
        Some(Next::Http2(transport, early)) => {
            let connection = mux::Connection::new(Rc::clone(&registered.worker), info, None);
            registered.becomes(Served::Streams(Rc::clone(&connection)));
            // Boxed: HTTP/1.1 need not have room for it.
            Box::pin(h2::serve(connection, transport, early, handler)).await;
        }
        Some(Next::Upgraded(upgraded, continuation)) => go_on(upgraded, continuation, registered),
        None => {}
    }
}

/// Hands an upgraded connection to what goes on with it.
fn go_on(upgraded: Upgraded, continuation: Continuation, registered: Registered) {
    #[cfg(target_os = "linux")]
    let upgraded = match upgraded.rest_in(&registered.worker) {
        Ok((upgraded, reactor, key)) => {
            registered.becomes(Served::Resting(Rc::clone(&reactor), key));
            return reactor.run(key, continuation(upgraded), registered);
        }
        Err(upgraded) => upgraded,
    };
    let switch = Rc::new(Switch::default());
    registered.becomes(Served::Upgraded(Rc::clone(&switch)));
    let rest = continuation(upgraded);
    // A task of its own: the one before has room for a request.
    spawn_local(async move {
        let _registered = registered;
        switch.run(rest).await;
    });
}

/// A connection's place in the worker's register, given back even if its task panics or is dropped.
pub(crate) struct Registered {
    worker: Rc<Worker>,
    key: usize,
    /// What counts it, for as long as it lives.
    counts: Option<(Permit, Option<Counted>)>,
}

impl Registered {
    pub(super) fn counted(mut self, permit: Permit, counted: Option<Counted>) -> Self {
        self.counts = Some((permit, counted));
        self
    }

    pub(super) fn becomes(&self, served: Served) {
        let mut connections = self.worker.connections.borrow_mut();
        let before = connections.get_mut(self.key).map(|place| std::mem::replace(place, served));
        drop(connections);
        drop(before);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut connections = self.worker.connections.borrow_mut();
        let served = connections.try_remove(self.key);
        if connections.is_empty() {
            self.worker.emptied.notify_waiters();
        }
        drop(connections);
        drop(served);
    }
}

fn info_of(stream: &TcpStream, peer: SocketAddr, scheme: Scheme) -> ConnectionInfo {
    let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let local = stream.local_addr().map_or(unknown, canonical);
    ConnectionInfo { id: next_connection_id(), peer, local, scheme, secure: scheme == Scheme::Https }
}

/// One answer, one attempt: a client over the limit must not cost more.
fn refuse_connection(stream: &TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let _ = stream.try_write(ANSWER);
}

/// An IPv4 client of a dual-stack listener is shown, and routed, as IPv4.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
