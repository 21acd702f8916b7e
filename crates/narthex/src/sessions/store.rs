//! Where sessions are kept: the trait, and what it speaks of.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

use super::Times;
use crate::BoxError;
use crate::secret::{Secret, sha256};

/// What a session is known by in a store: the SHA-256 of what the browser has, so that a store that is read gives no sessions away.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub(super) [u8; 32]);

impl SessionId {
    pub(super) fn of(token: &str) -> Self {
        Self(sha256(token.as_bytes()))
    }

    /// The bytes, as a key in a database.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// The state of one session, which one request at a time has. Clones are the same.
pub struct Slot<T> {
    pub(super) state: Arc<Mutex<T>>,
    turn: Arc<Semaphore>,
    /// It is here so that whoever has the session, since before a login, say, ends or renews the one that there is.
    token: Arc<Mutex<Token>>,
}

/// What the browser of a session has.
#[derive(Default)]
pub(super) enum Token {
    #[default]
    NotKnownYet,
    Is(Secret),
    /// The session has ended.
    Ended,
}

impl Token {
    pub(super) fn secret(&self) -> Option<&Secret> {
        if let Self::Is(secret) = self { Some(secret) } else { None }
    }
}

impl<T> Slot<T> {
    /// Puts a state into a slot.
    #[must_use]
    pub fn new(state: T) -> Self {
        Self { state: Arc::new(Mutex::new(state)), turn: Arc::new(Semaphore::new(1)), token: Arc::default() }
    }

    /// Waits until nobody else has the state.
    pub async fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().await
    }

    pub(super) async fn token(&self) -> MutexGuard<'_, Token> {
        self.token.lock().await
    }

    /// Says by which token it was found, unless that is known, and another by now. `false`: the session has ended meanwhile.
    pub(super) async fn found_by(&self, secret: Secret) -> bool {
        let mut token = self.token().await;
        if matches!(*token, Token::NotKnownYet) {
            *token = Token::Is(secret);
        }
        token.secret().is_some()
    }

    /// Waits until it is a request's turn.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turn).acquire_owned().await.ok()
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), turn: Arc::clone(&self.turn), token: Arc::clone(&self.token) }
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot(..)")
    }
}

/// There are as many sessions as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are as many sessions as may be: let Sessions::with_max have more, or end the oldest")]
pub struct Full;

/// Why a store has no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There are as many as may be.
    #[error(transparent)]
    Full(#[from] Full),
    /// It failed.
    #[error("the store of sessions failed: {0}")]
    Failed(BoxError),
}

/// What a store's methods give.
pub type Stored<'s, R> = Pin<Box<dyn Future<Output = Result<R, StoreError>> + Send + 's>>;

/// Keeps sessions. [`MemoryStore`](super::MemoryStore) is the one that there is; one on a database loads a state into a [`Slot`] that all
/// requests of the session share while they run, under whichever id, and writes it in [`save`](Self::save).
pub trait SessionStore<T>: Send + Sync {
    /// The state of a session that is not over, which is used by that. Also called when a WebSocket, whose request is over, locks the state.
    fn load(&self, id: SessionId, times: Times) -> Stored<'_, Option<Slot<T>>>;

    /// A new session, with a new state.
    fn create(&self, id: SessionId, times: Times) -> Stored<'_, Slot<T>>;

    /// A request that has, or could have had, the state is over, or a WebSocket has released it. A session that is not there any more must
    /// not come back by it.
    fn save(&self, id: SessionId, slot: Slot<T>) -> Stored<'_, ()>;

    /// Gives a session another id; its state and its age stay. `false`: there is no such session.
    fn rename(&self, from: SessionId, to: SessionId) -> Stored<'_, bool>;

    /// Ends a session.
    fn remove(&self, id: SessionId) -> Stored<'_, ()>;
}
