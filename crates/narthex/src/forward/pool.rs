//! Connections that wait for the next request.
//!
//! A connection belongs to the runtime on which it was made, and Narthex's workers are threads with a runtime each. So every
//! thread has its own connections, and takes no lock to find one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::runtime::{Handle, Id};

use super::moment::{Moment, millis, now};
use super::outgoing::Outgoing;
use super::server::Server;

thread_local! {
    static POOLS: RefCell<HashMap<u64, Pool>> = RefCell::default();
}

/// This thread's connections to one server.
struct Pool {
    server: Weak<Server>,
    runtime: Id,
    /// The last one used is the next one used: so those that are not needed grow old.
    idle: Vec<(http1::SendRequest<Outgoing>, Arc<Activity>)>,
    shared: Option<(http2::SendRequest<Outgoing>, Arc<Activity>)>,
}

/// The sending end of a connection.
pub(super) enum Sender {
    Http1(http1::SendRequest<Outgoing>),
    Http2(http2::SendRequest<Outgoing>),
}

/// A connection that a request has, of HTTP/2 together with others. Dropped, it is closed, or the others have it for themselves.
pub(super) struct Lease {
    server: Arc<Server>,
    sender: Sender,
    use_: Using,
    /// It has served a request before: the server may have closed it meanwhile.
    pub(super) reused: bool,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("server", &self.server.address).field("reused", &self.reused).finish_non_exhaustive()
    }
}

/// How much a connection is used.
#[derive(Debug)]
pub(super) struct Activity {
    users: AtomicUsize,
    idle_since: Moment,
    limit: Duration,
}

/// Somebody uses a connection while this lives.
struct Using(Arc<Activity>);

impl Using {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.users.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        self.0.idle_since.set(now());
        self.0.users.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Activity {
    pub(super) fn new(limit: Duration) -> Self {
        Self { users: AtomicUsize::new(0), idle_since: Moment::default(), limit }
    }

    /// How long it may be idle yet.
    fn left(&self) -> Duration {
        if self.users.load(Ordering::Relaxed) > 0 {
            return self.limit;
        }
        let idle = Duration::from_millis(now().saturating_sub(self.idle_since.get()));
        self.limit.saturating_sub(idle)
    }
}

/// Runs a connection until it ends, or nobody has used it for too long.
pub(super) async fn drive<E: fmt::Display>(connection: impl Future<Output = Result<(), E>>, activity: Arc<Activity>) {
    let mut connection = pin!(connection);
    loop {
        // A floor, so that a limit of 0 does not spin while the connection is used.
        let left = activity.left().max(Duration::from_millis(1));
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!("a connection to a server has ended: {error}");
                }
                return;
            }
            () = tokio::time::sleep(left) => {
                if millis(activity.left()) == 0 && activity.users.load(Ordering::Relaxed) == 0 {
                    return;
                }
            }
        }
    }
}

impl Lease {
    pub(super) fn new(server: Arc<Server>, sender: Sender, activity: Arc<Activity>) -> Self {
        let use_ = Using::begin(&activity);
        if let Sender::Http2(sender) = &sender {
            with_pool(&server, |pool| pool.shared = Some((sender.clone(), activity)));
        }
        Self { server, sender, use_, reused: false }
    }

    /// A connection of this thread that is idle or, of HTTP/2, can be shared.
    pub(super) fn of_this_thread(server: &Arc<Server>, only_http1: bool) -> Option<Self> {
        with_pool(server, |pool| {
            if !only_http1 && let Some((sender, activity)) = &pool.shared {
                if !sender.is_closed() {
                    let (sender, use_) = (Sender::Http2(sender.clone()), Using::begin(activity));
                    return Some(Self { server: Arc::clone(server), sender, use_, reused: true });
                }
                pool.shared = None;
            }
            pool.idle.retain(|(sender, _)| !sender.is_closed());
            let last = pool.idle.iter().rposition(|(sender, _)| sender.is_ready())?;
            let (sender, activity) = pool.idle.remove(last);
            let use_ = Using::begin(&activity);
            Some(Self { server: Arc::clone(server), sender: Sender::Http1(sender), use_, reused: true })
        })
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Sends a request. Dropping the future gives the request up, and closes a connection of HTTP/1.1.
    pub(super) async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outgoing>>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    /// The response was read to its end: the connection is there for the next one.
    pub(super) fn done(self, most_idle: usize) {
        let Self { server, sender, use_, .. } = self;
        if let Sender::Http1(sender) = sender
            && !sender.is_closed()
        {
            let activity = Arc::clone(&use_.0);
            drop(use_);
            with_pool(&server, |pool| {
                if pool.idle.len() < most_idle {
                    pool.idle.push((sender, activity));
                }
            });
        }
    }
}

/// This thread's connections to `server`.
fn with_pool<T>(server: &Arc<Server>, then: impl FnOnce(&mut Pool) -> T) -> T {
    let runtime = Handle::current().id();
    let new = || Pool { server: Arc::downgrade(server), runtime, idle: Vec::new(), shared: None };
    POOLS.with_borrow_mut(|pools| {
        if !pools.contains_key(&server.id) {
            // The connections of servers that are gone go when new ones come. Until then they are closed for being idle.
            pools.retain(|_, pool| pool.server.strong_count() > 0);
        }
        let pool = pools.entry(server.id).or_insert_with(new);
        if pool.runtime != runtime {
            *pool = new();
        }
        then(pool)
    })
}
