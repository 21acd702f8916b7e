//! An event loop within a worker's, for upgraded connections: they rest for hours, and a socket and a task of the runtime's would take
//! more memory than they do, and most of the instructions of a short message.
//!
//! It is one epoll instance, which the runtime watches, and one task, which polls each connection that something has happened to.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use slab::Slab;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::task::coop::{has_budget_remaining, unconstrained};
use tokio::task::spawn_local;

use crate::clock::Moment;
use crate::transport::Transport;
use crate::worker::Registered;

/// So many connections are looked at before other tasks of the worker have their turn.
const BATCH: usize = 256;

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
/// The client sends nothing more, or the connection is broken: there is always something to read, if only the end.
const ENDED: u8 = 4;

/// A connection's number in its worker's reactor. A later one may have the same.
pub(crate) type Key = u32;

pub(crate) struct Reactor {
    epoll: AsyncFd<OwnedFd>,
    entries: RefCell<Slab<Entry>>,
    rung: Arc<Rung>,
    /// The task has ended: nothing is polled any more.
    is_over: Cell<bool>,
}

struct Entry {
    /// What goes on with the connection. It is elsewhere while it is polled.
    rest: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// It is where `rest` is.
    waker: Option<Waker>,
    bell: Arc<Bell>,
    /// What the system has told and the [`Stream`] has not heard.
    ready: Cell<u8>,
    killed: bool,
    /// Its place among the worker's connections.
    registered: Option<Registered>,
}

/// The waker of one connection.
struct Bell {
    key: Key,
    /// It will be polled.
    is_rung: AtomicBool,
    rung: Arc<Rung>,
}

/// Who is to be polled, and the task that does it.
struct Rung(Mutex<Called>);

struct Called {
    keys: Vec<Key>,
    task: Waker,
}

impl Rung {
    fn lock(&self) -> MutexGuard<'_, Called> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, key: Key) {
        let mut called = self.lock();
        // Who was first has woken it.
        let task = called.keys.is_empty().then(|| called.task.clone());
        called.keys.push(key);
        drop(called);
        task.into_iter().for_each(Waker::wake);
    }

    /// Moves the keys out. Who rings from here on wakes `task`.
    fn take(&self, into: &mut VecDeque<Key>, task: &Waker) {
        let mut called = self.lock();
        called.task.clone_from(task);
        into.extend(called.keys.drain(..));
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            self.rung.push(self.key);
        }
    }
}

impl Reactor {
    /// Runs on this thread until its runtime ends.
    pub(crate) fn start() -> io::Result<Rc<Self>> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for owners of descriptors that may give them away: this one does not"
        )]
        let epoll = AsyncFd::with_interest(epoll::create(CreateFlags::CLOEXEC)?, Interest::READABLE)?;
        let rung = Arc::new(Rung(Mutex::new(Called { keys: Vec::new(), task: Waker::noop().clone() })));
        let reactor = Rc::new(Self { epoll, entries: RefCell::default(), rung, is_over: Cell::new(false) });
        spawn_local(run(Tenancy(Rc::clone(&reactor))));
        Ok(reactor)
    }

    /// Watches the socket of a connection from here on, in the runtime's place.
    ///
    /// # Errors
    /// What the system says: the connection is lost then.
    pub(crate) fn watch(self: &Rc<Self>, transport: &mut Transport) -> io::Result<Key> {
        let socket = transport.leave_runtime()?;
        let mut entries = self.entries.borrow_mut();
        let place = entries.vacant_entry();
        let key = Key::try_from(place.key()).map_err(|_| io::ErrorKind::QuotaExceeded)?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &socket, EventData::new_u64(key.into()), flags)?;
        let bell = Arc::new(Bell { key, is_rung: AtomicBool::new(false), rung: Arc::clone(&self.rung) });
        let waker = Some(Waker::from(Arc::clone(&bell)));
        place.insert(Entry { rest: None, waker, bell, ready: Cell::new(0), killed: false, registered: None });
        *transport = Transport::from(Stream { socket, key, ready: Cell::new(WRITABLE), reactor: Rc::clone(self) });
        Ok(key)
    }

    /// Polls `rest`, which has the connection of this number, until it is ready.
    pub(crate) fn run(&self, key: Key, rest: Pin<Box<dyn Future<Output = ()>>>, registered: Registered) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(key as usize) {
            (entry.rest, entry.registered) = (Some(rest), Some(registered));
            entry.bell.wake_by_ref();
        }
    }

    /// Ends a connection as soon as it is not being polled.
    pub(crate) fn kill(&self, key: Key) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(key as usize) {
            entry.killed = true;
            entry.bell.wake_by_ref();
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Looks at who was woken, then at what the system tells. Never ready.
    ///
    /// All connections share the budget that tokio gives a task: when that is used up, this task lets others have their turn.
    fn poll(&self, cx: &mut Context<'_>, rung: &mut VecDeque<Key>, events: &mut Vec<epoll::Event>) -> Poll<()> {
        let _moment = Moment::hold();
        self.rung.take(rung, cx.waker());
        for _ in 0..BATCH {
            let Some(key) = rung.pop_front() else { break };
            self.poll_entry(key, 0);
            if !has_budget_remaining() {
                break;
            }
        }
        let mut is_all = rung.is_empty();
        while let Poll::Ready(Ok(mut guard)) = self.poll_epoll(cx) {
            match epoll::wait(&self.epoll, spare_capacity(events), Some(&Timespec::default())) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => tracing::error!(%error, "upgraded connections cannot be watched"),
            }
            let are_all = events.len() < BATCH;
            if are_all {
                guard.clear_ready();
            }
            for event in events.drain(..) {
                // What was given is a key.
                let (key, ready) = (event.data.u64() as Key, readiness(event.flags));
                if has_budget_remaining() { self.poll_entry(key, ready) } else { self.put_off(key, ready) }
            }
            if !are_all {
                is_all = false;
                break;
            }
        }
        if !is_all {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Whoever was woken may have used up the task's budget: sockets are looked at in any case.
    fn poll_epoll(&self, cx: &mut Context<'_>) -> Poll<io::Result<AsyncFdReadyGuard<'_, OwnedFd>>> {
        pin!(unconstrained(poll_fn(|cx| self.epoll.poll_read_ready(cx)))).poll(cx)
    }

    /// Has it polled later.
    fn put_off(&self, key: Key, ready: u8) {
        if let Some(entry) = self.entries.borrow().get(key as usize) {
            entry.ready.set(entry.ready.get() | ready);
            entry.bell.wake_by_ref();
        }
    }

    /// What is polled may do anything, also to other connections: nothing is borrowed meanwhile.
    fn poll_entry(&self, key: Key, ready: u8) {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(key as usize) else { return };
        *entry.ready.get_mut() |= ready;
        // What was written before the bell rang is read after this, and who rings later is heard.
        entry.bell.is_rung.swap(false, Ordering::AcqRel);
        let killed = entry.killed;
        let Some(mut rest) = entry.rest.take() else { return };
        let Some(waker) = entry.waker.take() else { return };
        drop(entries);
        // The hook of panics has told of it.
        let poll = || rest.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let has_ended = killed || catch_unwind(AssertUnwindSafe(poll)).unwrap_or(true);
        if has_ended {
            // What an app's destructors do is not to end other connections.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(rest)));
            let entry = self.entries.borrow_mut().try_remove(key as usize);
            drop(entry);
        } else if let Some(entry) = self.entries.borrow_mut().get_mut(key as usize) {
            (entry.rest, entry.waker) = (Some(rest), Some(waker));
        }
    }
}

fn readiness(flags: EventFlags) -> u8 {
    let mut ready = 0;
    if flags.intersects(EventFlags::IN) {
        ready |= READABLE;
    }
    if flags.intersects(EventFlags::OUT) {
        ready |= WRITABLE;
    }
    if flags.intersects(EventFlags::RDHUP) {
        ready |= READABLE | ENDED;
    }
    if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
        ready |= READABLE | WRITABLE | ENDED;
    }
    ready
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").finish_non_exhaustive()
    }
}

/// Connections have the reactor, and the reactor has them: with its task, they end.
struct Tenancy(Rc<Reactor>);

impl Drop for Tenancy {
    fn drop(&mut self) {
        self.0.is_over.set(true);
        let mut entries = std::mem::take(&mut *self.0.entries.borrow_mut());
        for entry in entries.drain() {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(entry)));
        }
    }
}

async fn run(tenancy: Tenancy) {
    let (mut rung, mut events) = (VecDeque::new(), Vec::with_capacity(BATCH));
    poll_fn(|cx| tenancy.0.poll(cx, &mut rung, &mut events)).await;
}

/// A socket that a reactor watches. Only what the reactor polls may use it: that is polled again whenever the socket gets ready.
pub(crate) struct Stream {
    socket: TcpStream,
    key: Key,
    ready: Cell<u8>,
    reactor: Rc<Reactor>,
}

impl Stream {
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether the next read finds something. If not, what has the connection is polled when there is.
    #[inline]
    pub(crate) fn is_readable(&self) -> bool {
        self.is(READABLE)
    }

    #[inline]
    fn is(&self, ready: u8) -> bool {
        self.ready.get() & ready != 0 || self.hear() & ready != 0
    }

    fn hear(&self) -> u8 {
        let entries = self.reactor.entries.borrow();
        let news = entries.get(self.key as usize).map_or(0, |entry| entry.ready.take());
        self.ready.set(self.ready.get() | news);
        self.ready.get()
    }

    /// Nothing more is to be had until the system says so again.
    #[inline]
    fn unready(&self, what: u8) {
        self.ready.set(self.ready.get() & !what);
    }

    fn poll<T>(&self, ready: u8, mut call: impl FnMut() -> rustix::io::Result<T>) -> Poll<io::Result<T>> {
        while self.is(ready) {
            match call() {
                Err(Errno::AGAIN) => self.unready(ready),
                Err(Errno::INTR) => {}
                done => return Poll::Ready(done.map_err(Into::into)),
            }
        }
        Poll::Pending
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let unfilled = buffer.initialize_unfilled();
        let most = unfilled.len();
        let polled = self.poll(READABLE, || rustix::net::recv(&self.socket, &mut *unfilled, RecvFlags::empty()));
        polled.map_ok(|(_, length)| {
            // A short read has emptied the socket, and what comes later is told. An end that was told is not told again.
            if length < most && self.ready.get() & ENDED == 0 {
                self.unready(READABLE);
            }
            buffer.advance(length);
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = self.poll(WRITABLE, || rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL));
        polled.map_ok(|length| {
            if length < bytes.len() {
                self.unready(WRITABLE);
            }
            length
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(&self.socket, Shutdown::Write).map_err(Into::into))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A descriptor that a child process has as well would keep its events coming.
        let _ = epoll::delete(&self.reactor.epoll, &self.socket);
    }
}
