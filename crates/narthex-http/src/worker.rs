//! One worker: a thread with its own runtime, listeners and connections, which shares nothing with the others on the
//! request path.

mod live;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use narthex_proto::cooked::Cooking;
use narthex_proto::prefix::Scheme;
use slab::Slab;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use crate::acceptor::{Counted, Dealt, Inbox, next_connection};
use crate::admission::Admission;
use crate::bandwidth::{Bandwidth, Whose};
use crate::clock::Clock;
use crate::h1::conn::Conn;
use crate::h1::report::{self, Noted};
use crate::journal::Journal;
use crate::limits::{Limits, Timeouts};
use crate::reason::Reason;
use crate::request::{ConnectionInfo, Handler};
use crate::transport::Transport;

/// One read takes at most this much. The buffer is the worker's: an idle connection holds none.
const READ_BUFFER: usize = 64 * 1024;

static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

/// What the connections of a worker start with.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// Sizes.
    pub limits: Limits,
    /// Timers, until a handler sets its own with [`Exchange::set_timeouts`](crate::Exchange::set_timeouts).
    pub timeouts: Timeouts,
    /// How targets are made canonical.
    pub cooking: Cooking,
}

/// What a worker did since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are open now.
    pub connections: usize,
    /// Requests that a handler was given.
    pub requests: u64,
    /// Requests and connections that the server itself refused or ended.
    pub refusals: u64,
}

/// A worker. Not `Send`: it is made on the thread that runs it, inside a [`tokio::task::LocalSet`].
pub struct Worker {
    limits: RefCell<Rc<Limits>>,
    timeouts: RefCell<Rc<Timeouts>>,
    cooking: Cell<Cooking>,
    admission: Arc<Admission>,
    clock: Clock,
    read_buffer: Cell<Vec<u8>>,
    scratch: Cell<Vec<u8>>,
    connections: RefCell<Slab<Rc<Conn>>>,
    draining: Cell<bool>,
    emptied: Notify,
    requests: Cell<u64>,
    refusals: Cell<u64>,
    journal: RefCell<Option<Rc<Journal>>>,
    journaled: Cell<bool>,
    bandwidth: RefCell<Option<Arc<Bandwidth>>>,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    spare: RefCell<Vec<Box<Noted>>>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("counts", &self.counts()).field("draining", &self.draining).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker that admits connections as `admission`, shared by all workers of a server, allows.
    #[must_use]
    pub fn new(settings: Settings, admission: Arc<Admission>) -> Rc<Self> {
        Rc::new(Self {
            limits: RefCell::new(Rc::new(settings.limits)),
            timeouts: RefCell::new(Rc::new(settings.timeouts)),
            cooking: Cell::new(settings.cooking),
            admission,
            clock: Clock::new(),
            read_buffer: Cell::new(Vec::new()),
            scratch: Cell::new(Vec::new()),
            connections: RefCell::new(Slab::new()),
            draining: Cell::new(false),
            emptied: Notify::new(),
            requests: Cell::new(0),
            refusals: Cell::new(0),
            journal: RefCell::default(),
            journaled: Cell::new(false),
            bandwidth: RefCell::default(),
            spare: RefCell::default(),
        })
    }

    /// Accepts connections until the returned future is dropped; what was accepted goes on. Ends by itself only if the
    /// listener breaks.
    ///
    /// # Errors
    /// What `accept` returned, if it was not about the one connection or about a shortage.
    pub async fn accept<H: Handler>(self: &Rc<Self>, listener: TcpListener, scheme: Scheme, handler: Rc<H>) -> io::Result<()> {
        loop {
            let (stream, peer) = next_connection(&listener).await;
            self.adopt(stream, peer, scheme, None, &handler);
        }
    }

    /// Takes the connections that an [`Acceptor`](crate::Acceptor) deals to this worker, until the acceptor is gone or the
    /// returned future is dropped; what was taken goes on.
    pub async fn accept_dealt<H: Handler>(self: &Rc<Self>, mut inbox: Inbox, handler: Rc<H>) {
        while let Some(Dealt { stream, peer, scheme, counted }) = inbox.next().await {
            match TcpStream::from_std(stream) {
                Ok(stream) => self.adopt(stream, peer, scheme, Some(counted), &handler),
                Err(error) => tracing::warn!(%error, "cannot take a connection"),
            }
        }
    }

    /// `counted`: for the acceptor that dealt it, if one did.
    fn adopt<H: Handler>(
        self: &Rc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        scheme: Scheme,
        counted: Option<Counted>,
        handler: &Rc<H>,
    ) {
        let peer = canonical(peer);
        let Some(permit) = self.admission.admit(peer.ip()) else {
            refuse_connection(&stream);
            report::refused_connection(self, &info_of(&stream, peer, scheme), Reason::ConnLimit, Some(503));
            return;
        };
        let info = info_of(&stream, peer, scheme);
        let conn = Conn::new(Rc::clone(self), Transport::new(stream), info);
        conn.pace(Whose::Server, self.bandwidth.borrow().as_ref());
        let key = self.connections.borrow_mut().insert(Rc::clone(&conn));
        let (worker, handler) = (Rc::clone(self), Rc::clone(handler));
        spawn_local(async move {
            let _registered = Registered { worker, key };
            let _counts = (permit, counted);
            conn.run(handler).await;
        });
    }

    /// From now on connections end with the response in progress, and idle ones at once.
    pub fn drain(&self) {
        self.draining.set(true);
        for (_, conn) in &*self.connections.borrow() {
            conn.nudge();
        }
    }

    /// Waits until no connection is left.
    ///
    /// Cancel safe.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.connections.borrow().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Breaks all connections off.
    pub fn kill_connections(&self) {
        // The journal is told of each, so nothing may be borrowed.
        let connections: Vec<_> = self.connections.borrow().iter().map(|(_, conn)| Rc::clone(conn)).collect();
        connections.iter().for_each(|conn| conn.kill());
    }

    /// Connections, requests and refusals.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { connections: self.connections.borrow().len(), requests: self.requests.get(), refusals: self.refusals.get() }
    }

    /// The timers in force.
    #[must_use]
    pub fn timeouts(&self) -> Rc<Timeouts> {
        Rc::clone(&self.timeouts.borrow())
    }

    pub(crate) fn limits(&self) -> Rc<Limits> {
        Rc::clone(&self.limits.borrow())
    }

    pub(crate) fn cooking(&self) -> Cooking {
        self.cooking.get()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub(crate) fn count_request(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    pub(crate) fn count_refusal(&self, reason: Reason) {
        // Those are the client's doing.
        if matches!(reason, Reason::ClientReset | Reason::ConnectionDropped) {
            return;
        }
        self.refusals.set(self.refusals.get() + 1);
    }

    /// The buffer that reads go to. A nested taker gets a fresh one.
    pub(crate) fn take_read_buffer(&self) -> Vec<u8> {
        let mut buffer = self.read_buffer.take();
        if buffer.is_empty() {
            buffer.resize(READ_BUFFER, 0);
        }
        buffer
    }

    pub(crate) fn return_read_buffer(&self, buffer: Vec<u8>) {
        self.read_buffer.set(buffer);
    }

    /// An empty buffer for a response head.
    pub(crate) fn take_scratch(&self) -> Vec<u8> {
        self.scratch.take()
    }

    pub(crate) fn return_scratch(&self, mut scratch: Vec<u8>) {
        scratch.clear();
        self.scratch.set(scratch);
    }
}

/// A connection's place in the worker's register, given back even if its task panics or is dropped.
struct Registered {
    worker: Rc<Worker>,
    key: usize,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut connections = self.worker.connections.borrow_mut();
        let conn = connections.try_remove(self.key);
        if connections.is_empty() {
            self.worker.emptied.notify_waiters();
        }
        drop(connections);
        drop(conn);
    }
}

fn info_of(stream: &TcpStream, peer: SocketAddr, scheme: Scheme) -> ConnectionInfo {
    let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let local = stream.local_addr().map_or(unknown, canonical);
    ConnectionInfo { id: NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed), peer, local, scheme }
}

/// One answer, one attempt: a client over the limit must not cost more.
fn refuse_connection(stream: &TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let _ = stream.try_write(ANSWER);
}

/// An IPv4 client of a dual-stack listener is shown, and routed, as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
