//! One worker: a thread with its own runtime, listeners and connections, which shares nothing with the others on the
//! request path.

mod connect;
mod handshake;
mod identified;
mod live;
mod proxied;

#[cfg(target_os = "linux")]
pub(crate) use connect::Registered;
pub(crate) use connect::next_connection_id;
pub(crate) use handshake::nobody;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use narthex_proto::cooked::Cooking;
use narthex_proto::prefix::Scheme;
use slab::Slab;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::acceptor::{Dealt, Inbox, next_connection};
use crate::admission::Admission;
use crate::bandwidth::Bandwidth;
use crate::clock::Clock;
use crate::journal::Journal;
use crate::limits::{Limits, Timeouts};
use crate::proxy::{ProxyProtocol, TrustedProxies};
#[cfg(target_os = "linux")]
use crate::reactor::Reactor;
use crate::reason::Reason;
use crate::request::Handler;
use crate::request_id::RequestIds;
use crate::telling::Noted;
use crate::tls::Bindings;
use crate::worker::connect::Served;

/// One read takes at most this much. The buffer is the worker's: an idle connection holds none.
const READ_BUFFER: usize = 64 * 1024;

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
    /// Whose word is taken for who a client is.
    pub trusted_proxies: Arc<TrustedProxies>,
    /// Where connections begin with a PROXY header.
    pub proxy_protocol: Arc<ProxyProtocol>,
    /// Whether requests have ids.
    pub request_ids: RequestIds,
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
    /// `None` if nobody is trusted.
    trusted_proxies: RefCell<Option<Arc<TrustedProxies>>>,
    proxy_protocol: RefCell<Arc<ProxyProtocol>>,
    request_ids: Cell<RequestIds>,
    admission: Arc<Admission>,
    clock: Clock,
    read_buffer: Cell<Vec<u8>>,
    scratch: Cell<Vec<u8>>,
    connections: RefCell<Slab<Served>>,
    /// Where upgraded connections rest, once there is one.
    #[cfg(target_os = "linux")]
    reactor: RefCell<Option<Rc<Reactor>>>,
    retiring: Cell<bool>,
    draining: Cell<bool>,
    emptied: Notify,
    requests: Cell<u64>,
    refusals: Cell<u64>,
    journal: RefCell<Option<Rc<Journal>>>,
    journaled: Cell<bool>,
    bandwidth: RefCell<Option<Arc<Bandwidth>>>,
    tls: RefCell<Option<Arc<Bindings>>>,
    alt_svc: RefCell<Vec<u16>>,
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
            trusted_proxies: RefCell::new(Some(settings.trusted_proxies).filter(|proxies| !proxies.is_empty())),
            proxy_protocol: RefCell::new(settings.proxy_protocol),
            request_ids: Cell::new(settings.request_ids),
            admission,
            clock: Clock::new(),
            read_buffer: Cell::new(Vec::new()),
            scratch: Cell::new(Vec::new()),
            connections: RefCell::new(Slab::new()),
            #[cfg(target_os = "linux")]
            reactor: RefCell::default(),
            retiring: Cell::new(false),
            draining: Cell::new(false),
            emptied: Notify::new(),
            requests: Cell::new(0),
            refusals: Cell::new(0),
            journal: RefCell::default(),
            journaled: Cell::new(false),
            bandwidth: RefCell::default(),
            tls: RefCell::default(),
            alt_svc: RefCell::default(),
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
            let (stream, peer) = next_connection(&listener).await?;
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

    /// From now on connections end with their next response: clients that are told so open new ones, elsewhere. One that is idle stays
    /// until then or until [`drain`](Self::drain): its client may be sending its next request right now.
    pub fn retire(&self) {
        self.retiring.set(true);
        for (_, served) in &*self.connections.borrow() {
            served.nudge();
        }
    }

    /// From now on connections end with the response in progress, and idle ones at once.
    pub fn drain(&self) {
        self.retiring.set(true);
        self.draining.set(true);
        for (_, served) in &*self.connections.borrow() {
            served.nudge();
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
        let connections: Vec<_> = self.connections.borrow().iter().map(|(_, served)| served.clone()).collect();
        connections.iter().for_each(Served::kill);
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

    /// Whether connections end with their next response.
    pub(crate) fn is_retiring(&self) -> bool {
        self.retiring.get()
    }

    /// Whether idle connections end, too.
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

    /// Where upgraded connections rest. `None`: the system has no room for it.
    #[cfg(target_os = "linux")]
    pub(crate) fn reactor(&self) -> Option<Rc<Reactor>> {
        let mut reactor = self.reactor.borrow_mut();
        if reactor.as_ref().is_none_or(|reactor| reactor.is_over()) {
            match Reactor::start() {
                Ok(started) => *reactor = Some(started),
                Err(error) => tracing::warn!(%error, "upgraded connections stay with the runtime"),
            }
        }
        reactor.clone()
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
