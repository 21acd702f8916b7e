//! What an app remembers of each of its visitors: a typed state for each session, found by a cookie.
//!
//! ```
//! use narthex::sessions::{Session, SessionError, Sessions};
//!
//! #[derive(Default)]
//! struct Cart {
//!     items: Vec<String>,
//! }
//!
//! # #[cfg(feature = "axum")] {
//! async fn add(session: Session<Cart>) -> Result<String, SessionError> {
//!     let mut cart = session.lock().await?;
//!     cart.items.push("book".to_owned());
//!     Ok(format!("{} items", cart.items.len()))
//! }
//!
//! let app: axum::Router = axum::Router::new().route("/add", axum::routing::post(add)).layer(Sessions::<Cart>::new());
//! # }
//! ```
//!
//! A session begins when a handler first asks for its state: who only looks at pages gets no cookie. The state is there for one request
//! at a time ([`Session::lock`]), and is kept until it was not used for a while, or for long enough in any case.
//!
//! Sessions know a browser, not a person: who it is says [`auth`](crate::auth). When a person logs in, call [`Session::renew`], so that
//! nobody who knew the id before knows it then.

mod layer;
mod memory;
mod session;
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use memory::MemoryStore;
pub use session::{Guard, Session, SessionError};
pub use store::{Full, SessionId, SessionStore, Slot, StoreError, Stored};

use crate::cookies::{CookieRules, CrossSite};
use crate::origins::Origins;

/// A layer that gives requests the session of their browser, with a state `T`.
pub struct Sessions<T> {
    shared: Arc<Shared<T>>,
}

pub(crate) struct Shared<T> {
    store: Arc<dyn SessionStore<T>>,
    cookie: CookieRules,
    times: Times,
    exclusive: bool,
    origins: Origins,
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// A session that was not used for so long is over.
    pub idle: Duration,
    /// A session is over after so long, however much it is used.
    pub absolute: Duration,
}

impl Default for Times {
    /// 30 minutes, and 24 hours.
    fn default() -> Self {
        Self { idle: Duration::from_secs(30 * 60), absolute: Duration::from_secs(24 * 3600) }
    }
}

/// What happens to a new session when there are as many as may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The one that was not used for the longest time ends. The default. A flood of clients without cookies ends them all: a limit on
    /// requests ([`limits`](crate::limits)) is the remedy.
    #[default]
    EndOldest,
    /// There is none: the handler gets an error, which is 503.
    Refuse,
}

impl<T: Default + Send + 'static> Sessions<T> {
    /// In memory: at most 100 000 sessions, which end with the process.
    #[must_use]
    pub fn new() -> Self {
        Self::in_store(MemoryStore::new(100_000, Overflow::default()))
    }

    /// In memory, at most so many.
    #[must_use]
    pub fn with_max(sessions: usize, overflow: Overflow) -> Self {
        Self::in_store(MemoryStore::new(sessions, overflow))
    }
}

impl<T: Send + 'static> Sessions<T> {
    /// Wherever this store keeps them.
    #[must_use]
    pub fn in_store(store: impl SessionStore<T> + 'static) -> Self {
        let cookie = CookieRules::named("session");
        Self {
            shared: Arc::new(Shared {
                store: Arc::new(store),
                cookie,
                times: Times::default(),
                exclusive: false,
                origins: Origins::default(),
            }),
        }
    }

    /// How long they last. Default: 30 minutes without use, 24 hours in any case.
    #[must_use]
    pub fn times(self, times: Times) -> Self {
        self.with(|shared| shared.times = times)
    }

    /// The cookie. Default: `session`, which browsers send along with links from other sites, not with anything else from there. Where the
    /// client has TLS, `__Host-` or `__Secure-` goes before the name; see docs/security.md.
    ///
    /// # Panics
    /// If the name cannot be one.
    #[must_use]
    #[track_caller]
    pub fn cookie(self, name: impl Into<String>, cross_site: CrossSite) -> Self {
        let mut cookie = CookieRules { cross_site, ..CookieRules::named("session") };
        cookie.rename(name);
        self.with(|shared| shared.cookie = cookie)
    }

    /// Pages of these origins, too, may send requests that change something with a session's cookie: `https://shop.example.com`,
    /// `http://127.0.0.1:*` for any port, or `*` for all. Other pages but those of the request's own origin are answered 403, as
    /// `Sec-Fetch-Site` or `Origin` says, unless the method is safe (`GET`, `HEAD`, `OPTIONS`). Default: none.
    ///
    /// # Panics
    /// If a text is none of these.
    #[must_use]
    #[track_caller]
    pub fn origins<I: IntoIterator<Item: AsRef<str>>>(self, origins: I) -> Self {
        let origins = Origins::of(origins);
        self.with(|shared| shared.origins = origins)
    }

    /// Requests of one session are handled one after the other, from the first to the last line of their handlers, not only while they
    /// have the state. WebSockets wait for their turn to open, and let others in then. Default: no.
    #[must_use]
    pub fn one_request_at_a_time(self) -> Self {
        self.with(|shared| shared.exclusive = true)
    }

    fn with(self, change: impl FnOnce(&mut Shared<T>)) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.shared);
        change(&mut shared);
        Self { shared: Arc::new(shared) }
    }
}

impl<T: Default + Send + 'static> Default for Sessions<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            cookie: self.cookie.clone(),
            times: self.times,
            exclusive: self.exclusive,
            origins: self.origins.clone(),
        }
    }
}

impl<T> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { times, exclusive, .. } = &*self.shared;
        f.debug_struct("Sessions").field("times", times).field("one_request_at_a_time", exclusive).finish_non_exhaustive()
    }
}
