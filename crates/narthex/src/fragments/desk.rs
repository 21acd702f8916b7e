//! Where a handle's wishes about fragments wait for whoever can fulfil them: the task that speaks with the host.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::cache::CachePolicy;
use crate::error::{Error, Result};

/// A server's desk. It is closed unless the server runs.
#[derive(Debug, Default)]
pub(crate) struct Desk(Mutex<Clerk>);

#[derive(Debug, Default)]
enum Clerk {
    #[default]
    None,
    /// There is no host, and nothing to do.
    Embedded,
    #[cfg_attr(not(unix), expect(dead_code, reason = "only on Unix are there hosts"))]
    Host(mpsc::Sender<Order>),
}

/// A wish.
#[derive(Debug)]
#[cfg_attr(not(unix), expect(dead_code, reason = "only on Unix are there hosts"))]
pub(crate) struct Order {
    pub(crate) name: String,
    pub(crate) what: What,
    pub(crate) done: oneshot::Sender<Result<()>>,
}

#[derive(Debug)]
#[cfg_attr(not(unix), expect(dead_code, reason = "only on Unix are there hosts"))]
pub(crate) enum What {
    Store(narthex_proto::wire::CachePolicy, Bytes),
    Delete,
}

impl Desk {
    fn clerk(&self) -> MutexGuard<'_, Clerk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the desk of a server that has no host.
    pub(crate) fn open_embedded(&self) {
        *self.clerk() = Clerk::Embedded;
    }

    /// Opens the desk. The orders come out at the returned end; the next one waits until it is taken, so that their bytes do
    /// not pile up.
    #[cfg(unix)]
    pub(crate) fn open(&self) -> mpsc::Receiver<Order> {
        let (sender, orders) = mpsc::channel(1);
        *self.clerk() = Clerk::Host(sender);
        orders
    }

    pub(crate) fn close(&self) {
        *self.clerk() = Clerk::None;
    }

    pub(super) async fn store(&self, name: &str, policy: CachePolicy, bytes: Bytes) -> Result<()> {
        let what = policy.to_wire().map_or(What::Delete, |policy| What::Store(policy, bytes));
        self.order(name, what).await
    }

    pub(super) async fn delete(&self, name: &str) -> Result<()> {
        self.order(name, What::Delete).await
    }

    async fn order(&self, name: &str, what: What) -> Result<()> {
        let sender = match &*self.clerk() {
            Clerk::None => return Err(Error::NotRunning),
            Clerk::Embedded => return Ok(()),
            Clerk::Host(sender) => sender.clone(),
        };
        let (done, is_done) = oneshot::channel();
        sender.send(Order { name: name.to_owned(), what, done }).await.map_err(|_| Error::NotRunning)?;
        is_done.await.map_err(|_| Error::NotRunning)?
    }
}
