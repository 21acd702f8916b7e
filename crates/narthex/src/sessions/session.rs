//! The session of one request, as its handler has it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit};

use super::Shared;
use super::store::{SessionId, Slot, StoreError, Token};
use crate::secret::{Secret, token};

/// The session of a request. With the feature `axum` it is an extractor, which needs the layer [`Sessions`](super::Sessions) around the
/// route; elsewhere it is in the request's extensions. Clones are the same session, and can outlive the request, as with a WebSocket.
pub struct Session<T>(pub(super) Arc<Mutex<State<T>>>);

pub(super) struct State<T> {
    shared: Arc<Shared<T>>,
    slot: Option<Slot<T>>,
    /// What the browser is to be told.
    told: Told,
    /// The request is answered: nobody else saves what is done from now on, or notices that the session is used.
    is_over: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Told {
    Nothing,
    /// What the session's token is.
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
pub struct Guard<T> {
    state: OwnedMutexGuard<T>,
    /// After the state, which has to be free to be saved.
    _save: Option<Save>,
}

/// Saves a session when it is dropped.
struct Save(Box<dyn Fn() + Send + Sync>);

impl Drop for Save {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<T: Send + 'static> Session<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, slot: Option<Slot<T>>) -> Self {
        Self(Arc::new(Mutex::new(State { shared, slot, told: Told::Nothing, is_over: false })))
    }

    /// The state, which begins with the first call: with `T::default()`, and a cookie in the response. Waits until no other request of the
    /// session has it; who keeps it across a long wait keeps the others waiting.
    ///
    /// From a WebSocket it counts as use of the session, and what was done is saved when the guard is dropped. If the session has ended
    /// meanwhile, by a logout or by time, another begins, of which the browser is not told.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// If there are as many sessions as may be and none is ended for a new one, or the store failed. With axum, the error is a response, 503.
    pub async fn lock(&self) -> Result<Guard<T>, SessionError> {
        let mut state = self.0.lock().await;
        let slot = state.slot().await?;
        let save = state.is_over.then(|| self.save_later());
        drop(state);
        Ok(Guard { state: slot.state.lock_owned().await, _save: save })
    }

    /// Whether there is a session already.
    pub async fn exists(&self) -> bool {
        match &self.0.lock().await.slot {
            Some(slot) => slot.token().await.secret().is_some(),
            None => false,
        }
    }

    /// Gives the session a new id, as has to be done when somebody logs in or gets more rights: who has planted or seen the old one
    /// has nothing then. The state stays. Does nothing where there is no session. Not for WebSockets: their browser cannot be told any
    /// more, and loses the session.
    ///
    /// Not cancel safe: with a store that has to wait, who drops the future may have renewed it, which ends it.
    ///
    /// # Errors
    /// If the store failed. It can be tried again.
    pub async fn renew(&self) -> Result<(), SessionError> {
        self.0.lock().await.renew().await
    }

    /// Ends the session, as when somebody logs out, under whatever id it has by now. The next [`lock`](Self::lock) begins another.
    ///
    /// Cancel safe: who drops the future can call it again.
    ///
    /// # Errors
    /// If the store failed. It can be tried again.
    pub async fn end(&self) -> Result<(), SessionError> {
        self.0.lock().await.end().await
    }

    fn save_later(&self) -> Save {
        let session = self.clone();
        Save(Box::new(move || session.save_in_a_task(None)))
    }

    /// Saves it from where nobody can wait: a request that is given up, whose turn ends with that, or a guard that is dropped.
    pub(super) fn save_in_a_task(&self, turn: Option<OwnedSemaphorePermit>) {
        let session = self.clone();
        // Without a runtime there are no requests.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let mut state = session.0.lock().await;
            state.is_over = true;
            let (shared, slot) = (Arc::clone(&state.shared), state.slot.clone());
            // The store waits for the state, and who has that may use the session.
            drop(state);
            if let Some(slot) = slot {
                shared.save(&slot).await;
            }
            drop(turn);
        });
    }
}

impl<T: Send + 'static> Shared<T> {
    /// What its token is, if it has not ended.
    async fn save(&self, slot: &Slot<T>) -> Option<Secret> {
        let token = slot.token().await.secret().cloned()?;
        if let Err(error) = self.store.save(SessionId::of(token.expose()), Slot::clone(slot)).await {
            tracing::error!("a session is not saved: {error}");
        }
        Some(token)
    }
}

impl<T: Send + 'static> State<T> {
    async fn slot(&mut self) -> Result<Slot<T>, SessionError> {
        if let Some(slot) = self.known().await? {
            return Ok(slot);
        }
        let new = token();
        let slot = self.shared.store.create(SessionId::of(new.expose()), self.shared.times).await?;
        slot.found_by(new.clone()).await;
        self.told = Told::Keep(new);
        self.slot = Some(Slot::clone(&slot));
        Ok(slot)
    }

    /// The session that there is, if it has not ended.
    async fn known(&mut self) -> Result<Option<Slot<T>>, SessionError> {
        let Some(slot) = &self.slot else { return Ok(None) };
        let Some(token) = slot.token().await.secret().cloned() else {
            self.slot = None;
            return Ok(None);
        };
        if self.is_over {
            self.slot = self.shared.store.load(SessionId::of(token.expose()), self.shared.times).await?;
            if let Some(slot) = &self.slot
                && !slot.found_by(token).await
            {
                self.slot = None;
            }
        }
        Ok(self.slot.clone())
    }

    async fn renew(&mut self) -> Result<(), SessionError> {
        let Some(slot) = self.slot.clone() else { return Ok(()) };
        // Held until it is done: two who renew at once would lose the session.
        let mut current = slot.token().await;
        let Some(old) = current.secret() else { return Ok(()) };
        let new = token();
        if self.shared.store.rename(SessionId::of(old.expose()), SessionId::of(new.expose())).await? {
            *current = Token::Is(new.clone());
            self.told = Told::Keep(new);
        } else {
            *current = Token::Ended;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), SessionError> {
        let Some(slot) = self.slot.clone() else { return Ok(()) };
        let mut current = slot.token().await;
        if let Some(token) = current.secret() {
            self.shared.store.remove(SessionId::of(token.expose())).await?;
        }
        *current = Token::Ended;
        self.told = Told::Forget;
        self.slot = None;
        Ok(())
    }

    /// The request is over: what is to be saved, and what the browser is told.
    pub(super) async fn finish(&mut self) -> Told {
        self.is_over = true;
        let told = std::mem::replace(&mut self.told, Told::Nothing);
        let Some(slot) = &self.slot else { return told };
        let token = self.shared.save(slot).await;
        match told {
            // Another request may have renewed or ended it meanwhile.
            Told::Keep(_) => token.map_or(Told::Forget, Told::Keep),
            other => other,
        }
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
        &self.state
    }
}

impl<T> DerefMut for Guard<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.state
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::sessions::{MemoryStore, Overflow, SessionStore, Sessions, Stored, Times};
    use tokio::time::advance;
    use tower::{Layer, ServiceExt};

    /// Memory that fails when told to, and tells what it was told to save.
    struct Flaky(MemoryStore<u32>, Arc<Told>);

    #[derive(Default)]
    struct Told {
        fails: AtomicBool,
        saved: AtomicU32,
    }

    impl Flaky {
        fn check(&self) -> Result<(), StoreError> {
            if self.1.fails.load(Ordering::SeqCst) { Err(StoreError::Failed("the database is gone".into())) } else { Ok(()) }
        }
    }

    impl SessionStore<u32> for Flaky {
        fn load(&self, id: SessionId, times: Times) -> Stored<'_, Option<Slot<u32>>> {
            self.0.load(id, times)
        }
        fn create(&self, id: SessionId, times: Times) -> Stored<'_, Slot<u32>> {
            self.0.create(id, times)
        }
        fn save(&self, _: SessionId, slot: Slot<u32>) -> Stored<'_, ()> {
            Box::pin(async move {
                self.1.saved.store(*slot.lock().await, Ordering::SeqCst);
                Ok(())
            })
        }
        fn rename(&self, from: SessionId, to: SessionId) -> Stored<'_, bool> {
            match self.check() {
                Ok(()) => self.0.rename(from, to),
                Err(error) => Box::pin(async { Err(error) }),
            }
        }
        fn remove(&self, id: SessionId) -> Stored<'_, ()> {
            match self.check() {
                Ok(()) => self.0.remove(id),
                Err(error) => Box::pin(async { Err(error) }),
            }
        }
    }

    fn shared() -> (Arc<Shared<u32>>, Arc<Told>) {
        let told = Arc::new(Told::default());
        let store = Flaky(MemoryStore::new(10, Overflow::default()), Arc::clone(&told));
        (Arc::clone(&Sessions::in_store(store).shared), told)
    }

    /// A request of the browser that has this token.
    async fn request(shared: &Arc<Shared<u32>>, token: &Secret) -> Session<u32> {
        let slot = shared.store.load(SessionId::of(token.expose()), shared.times).await.unwrap();
        if let Some(slot) = &slot {
            assert!(slot.found_by(token.clone()).await);
        }
        Session::new(Arc::clone(shared), slot)
    }

    async fn finish(session: &Session<u32>) -> Option<Secret> {
        match session.0.lock().await.finish().await {
            super::Told::Keep(token) => Some(token),
            _ => None,
        }
    }

    async fn begun(shared: &Arc<Shared<u32>>) -> Secret {
        let first = Session::new(Arc::clone(shared), None);
        *first.lock().await.unwrap() = 7;
        finish(&first).await.unwrap()
    }

    #[tokio::test]
    async fn who_has_a_session_since_before_a_login_ends_the_one_that_there_is() {
        let (shared, _) = shared();
        let before = begun(&shared).await;
        let socket = request(&shared, &before).await;
        finish(&socket).await;
        let login = request(&shared, &before).await;
        login.renew().await.unwrap();
        let after = finish(&login).await.unwrap();
        assert_eq!(*socket.lock().await.unwrap(), 7, "it is the same session");
        socket.end().await.unwrap();
        assert!(!request(&shared, &after).await.exists().await && !login.exists().await);
        assert_eq!(*login.lock().await.unwrap(), 0, "another begins");
    }

    #[tokio::test]
    async fn what_fails_can_be_tried_again() {
        let (shared, told) = shared();
        let token = begun(&shared).await;
        let session = request(&shared, &token).await;
        told.fails.store(true, Ordering::SeqCst);
        assert!(session.renew().await.is_err() && session.end().await.is_err());
        assert!(session.exists().await, "and nothing is lost");
        told.fails.store(false, Ordering::SeqCst);
        session.renew().await.unwrap();
        let token = finish(&session).await.unwrap();
        let session = request(&shared, &token).await;
        session.end().await.unwrap();
        assert!(!request(&shared, &token).await.exists().await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_web_socket_does_is_saved_and_keeps_the_session() {
        let (shared, told) = shared();
        let token = begun(&shared).await;
        let socket = request(&shared, &token).await;
        finish(&socket).await;
        for count in 8..12 {
            advance(shared.times.idle - Duration::from_secs(1)).await;
            *socket.lock().await.unwrap() += 1;
            while told.saved.load(Ordering::SeqCst) != count {
                tokio::task::yield_now().await;
            }
        }
        assert!(request(&shared, &token).await.exists().await, "it was used all the time");
        advance(shared.times.idle).await;
        assert_eq!(*socket.lock().await.unwrap(), 0, "it is over, and another begins");
    }

    #[tokio::test]
    async fn what_a_request_has_done_is_saved_though_it_fails() {
        let (shared, told) = shared();
        let app = tower::service_fn(async |request: http::Request<()>| {
            let session = request.extensions().get::<Session<u32>>().unwrap().clone();
            *session.lock().await.unwrap() = 9;
            Err::<http::Response<()>, _>("it fails")
        });
        assert!(Sessions { shared }.layer(app).oneshot(http::Request::new(())).await.is_err());
        while told.saved.load(Ordering::SeqCst) != 9 {
            tokio::task::yield_now().await;
        }
    }
}
