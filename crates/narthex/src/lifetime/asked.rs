//! What a handle asks of its server while that runs.

use narthex_proto::prefix::{PrefixSpec, UrlPrefix};
use tokio::sync::{mpsc, oneshot};

use super::ServerHandle;
use crate::bindings;
use crate::change::{Change, GroupSettings};
use crate::error::{Error, Result};

/// Questions that wait. Who asks one more waits too.
const WAITING: usize = 16;

/// What somebody waits for.
pub(crate) struct Asked {
    pub(crate) what: What,
    pub(crate) done: oneshot::Sender<Answer>,
}

pub(crate) enum What {
    Change(Box<GroupSettings>),
    AddPrefix(PrefixSpec),
    RemovePrefix(UrlPrefix),
}

/// With the prefix that was added, if one was.
pub(crate) type Answer = Result<Option<UrlPrefix>>;

/// What a server is asked, one after the other. It outlives restarts: what is asked meanwhile waits.
pub(crate) struct Asks {
    asked: mpsc::Receiver<Asked>,
    /// What was begun when the server had to restart.
    again: Option<Asked>,
}

impl Asks {
    pub(super) fn new() -> (mpsc::Sender<Asked>, Self) {
        let (sender, asked) = mpsc::channel(WAITING);
        (sender, Self { asked, again: None })
    }

    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Asked {
        if let Some(again) = self.again.take() {
            return again;
        }
        match self.asked.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }

    /// Comes next: the server ends before it is done, and may be about to start again.
    pub(crate) fn put_back(&mut self, asked: Asked) {
        self.again = Some(asked);
    }
}

impl ServerHandle {
    /// Changes settings of the running server, all of those that `change` names or none. Once it returns `Ok` they are in
    /// force, and stay so when the server restarts or a host comes back that went away.
    ///
    /// While a host is away, or the server restarts, this waits until it is back. Several changes are made in the order in
    /// which they were asked for. Dropping the future does not take the change back. What can be changed on an embedded
    /// listener: `active`, `timeouts`, `max_body`, `max_connections`, `max_bandwidth` and `verbosity`.
    ///
    /// ```
    /// # use narthex::{Change, ServerHandle};
    /// # async fn busy(handle: ServerHandle) -> narthex::Result<()> {
    /// handle.change(Change::new().max_connections(100).max_body(1_000_000)).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// Nothing was changed then: [`Error::OutOfRange`]; [`Error::ChangeRefused`] by the host; [`Error::NeedsHost`] for
    /// what an embedded listener does not have; [`Error::NotRunning`].
    pub async fn change(&self, change: Change) -> Result<()> {
        change.0.check()?;
        self.ask(What::Change(Box::new(change.0))).await.map(drop)
    }

    /// Serves one more prefix, and returns it with its real port: port 0 is any free one. Once it returns `Ok`, clients can
    /// connect. A port that is not open yet is opened, with the server's certificate if the prefix is `https`.
    ///
    /// To move to another port, add the prefix there and then [remove](Self::remove_prefix) the old one. What was added and
    /// removed stays so when the server restarts. While a host is away, this waits for it. Dropping the future does not take
    /// it back.
    ///
    /// ```
    /// # async fn moved(handle: narthex::ServerHandle) -> narthex::Result<()> {
    /// handle.add_prefix("http://+:8889/MyApp/").await?;
    /// handle.remove_prefix("http://+:8888/MyApp/").await
    /// # }
    /// ```
    ///
    /// # Errors
    /// Nothing was changed then: [`Error::Prefix`] if it is none, [`Error::Conflict`] and [`Error::OtherScheme`] with what the
    /// server has, [`Error::Listen`] if the port cannot be opened, [`Error::NoCertificate`], [`Error::Tls`];
    /// [`Error::Refused`] by the host; [`Error::NotRunning`].
    pub async fn add_prefix(&self, prefix: impl AsRef<str>) -> Result<UrlPrefix> {
        let prefix = bindings::parse(prefix.as_ref())?;
        self.ask(What::AddPrefix(prefix)).await?.ok_or(Error::NotRunning)
    }

    /// Serves a prefix no more. Once it returns `Ok`, requests for it are answered as if it had never been there, and a port
    /// that no other prefix needs is closed. Requests that run are finished, and connections to the port stay until they
    /// end: so a handler may remove the prefix that it is called by.
    ///
    /// # Errors
    /// Nothing was changed then: [`Error::NoSuchPrefix`]; [`Error::LastPrefix`] for the server's only one;
    /// [`Error::NotRunning`].
    pub async fn remove_prefix(&self, prefix: impl AsRef<str>) -> Result<()> {
        let spec = bindings::parse(prefix.as_ref())?;
        let Some(prefix) = spec.resolve() else {
            return Err(Error::NoSuchPrefix { prefix: spec.to_string(), prefixes: self.prefixes() });
        };
        self.ask(What::RemovePrefix(prefix)).await.map(drop)
    }

    async fn ask(&self, what: What) -> Answer {
        let sender = self.asks().clone().ok_or(Error::NotRunning)?;
        let (done, is_done) = oneshot::channel();
        sender.send(Asked { what, done }).await.map_err(|_| Error::NotRunning)?;
        drop(sender);
        is_done.await.map_err(|_| Error::NotRunning)?
    }
}
