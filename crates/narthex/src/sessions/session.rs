//! The session of one request, as its handler has it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Shared;
use super::store::{SessionId, Slot, StoreError};
use crate::secret::{Secret, token};

/// The session of a request. With the feature `axum` it is an extractor, which needs the layer [`Sessions`](super::Sessions) around the
/// route; elsewhere it is in the request's extensions. Clones are the same session, and can outlive the request, as with a WebSocket.
pub struct Session<T>(pub(super) Arc<Mutex<State<T>>>);

pub(super) struct State<T> {
    shared: Arc<Shared<T>>,
    /// What the browser has, or will get.
    current: Option<(Secret, Slot<T>)>,
    /// What the browser is to be told.
    told: Told,
}

#[derive(Clone, Debug)]
pub(super) enum Told {
    Nothing,
    Keep(Secret),
    Forget,
}

/// There is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store has none.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A session's state, which nobody else has meanwhile.
pub struct Guard<T>(OwnedMutexGuard<T>);

impl<T: Send + 'static> Session<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, current: Option<(Secret, Slot<T>)>) -> Self {
        Self(Arc::new(Mutex::new(State { shared, current, told: Told::Nothing })))
    }

    /// The state, which begins with the first call: with `T::default()`, and a cookie in the response. Waits until no other request of the
    /// session has it; who keeps it across a long wait keeps the others waiting.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// If there are as many sessions as may be and none is ended for a new one, or the store failed. With axum, the error is a response, 503.
    pub async fn lock(&self) -> Result<Guard<T>, SessionError> {
        let slot = self.0.lock().await.slot().await?;
        Ok(Guard(slot.state.lock_owned().await))
    }

    /// Whether there is a session already.
    pub async fn exists(&self) -> bool {
        self.0.lock().await.current.is_some()
    }

    /// Gives the session a new id, as has to be done when somebody logs in or gets more rights: who has planted or seen the old one
    /// has nothing then. The state stays. Does nothing where there is no session.
    ///
    /// # Errors
    /// If the store failed.
    pub async fn renew(&self) -> Result<(), SessionError> {
        self.0.lock().await.renew().await
    }

    /// Ends the session, as when somebody logs out. The next [`lock`](Self::lock) begins another.
    ///
    /// # Errors
    /// If the store failed.
    pub async fn end(&self) -> Result<(), SessionError> {
        self.0.lock().await.end().await
    }
}

impl<T: Send + 'static> State<T> {
    async fn slot(&mut self) -> Result<Slot<T>, SessionError> {
        if let Some((_, slot)) = &self.current {
            return Ok(Slot::clone(slot));
        }
        let new = token();
        let slot = self.shared.store.create(SessionId::of(new.expose()), self.shared.times).await?;
        self.told = Told::Keep(new.clone());
        self.current = Some((new, Slot::clone(&slot)));
        Ok(slot)
    }

    async fn renew(&mut self) -> Result<(), SessionError> {
        let Some((old, slot)) = self.current.take() else { return Ok(()) };
        let new = token();
        let renamed = self.shared.store.rename(SessionId::of(old.expose()), SessionId::of(new.expose())).await?;
        if renamed {
            self.told = Told::Keep(new.clone());
            self.current = Some((new, slot));
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), SessionError> {
        if let Some((token, _)) = self.current.take() {
            self.shared.store.remove(SessionId::of(token.expose())).await?;
            self.told = Told::Forget;
        }
        Ok(())
    }

    /// The request is answered: what is to be saved, and what the browser is told.
    pub(super) async fn finish(&mut self) -> Told {
        if let Some((token, slot)) = &self.current
            && let Err(error) = self.shared.store.save(SessionId::of(token.expose()), Slot::clone(slot)).await
        {
            tracing::error!("a session is not saved: {error}");
        }
        std::mem::replace(&mut self.told, Told::Nothing)
    }
}

impl<T> Clone for Session<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Guard<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Guard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for SessionError {
    fn into_response(self) -> axum::response::Response {
        tracing::error!("{self}");
        let headers = [(http::header::RETRY_AFTER, "10")];
        (http::StatusCode::SERVICE_UNAVAILABLE, headers, "there is no room for a session just now\n").into_response()
    }
}

#[cfg(feature = "axum")]
impl<T: Send + 'static, S: Sync> axum::extract::FromRequestParts<S> for Session<T> {
    type Rejection = (http::StatusCode, &'static str);

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        let missing = "this route has no sessions of this type: put the layer Sessions around it\n";
        parts.extensions.get().cloned().ok_or((http::StatusCode::INTERNAL_SERVER_ERROR, missing))
    }
}
