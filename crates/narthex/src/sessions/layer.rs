//! From the cookie to the session, and back.

use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;
use tokio::sync::OwnedSemaphorePermit;
use tower_layer::Layer;

use super::session::{Session, Told};
use super::store::SessionId;
use super::{Sessions, Shared};
use crate::cookies::Jar;
use crate::guard::{Answer, Gate, Guarded, busy, foreign, is_web_socket};
use crate::secret::Secret;

/// What comes of a request.
pub(crate) struct Passed<T: Send + 'static> {
    session: Session<T>,
    is_finished: bool,
    jar: Jar,
    /// Others of the session wait for it.
    turn: Option<OwnedSemaphorePermit>,
}

impl<T: Send + 'static> Drop for Passed<T> {
    fn drop(&mut self) {
        // The client has left, or the app has failed: what was done is done all the same.
        if !self.is_finished {
            self.session.save_in_a_task(self.turn.take());
        }
    }
}

impl<T: Send + 'static, S> Layer<S> for Sessions<T> {
    type Service = Guarded<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(Arc::new(self.clone()), inner)
    }
}

impl<T: Send + 'static, B: Send> Gate<B> for Sessions<T> {
    type Pass = Passed<T>;

    async fn admit(&self, parts: &mut Parts, _: &mut Option<B>) -> Result<Passed<T>, Answer> {
        let Shared { store, cookie, times, origins, .. } = &*self.shared;
        let shown = cookie.read(&parts.headers, &parts.extensions).map(Secret::from);
        let mut current = None;
        if let Some(token) = shown {
            let loaded = store.load(SessionId::of(token.expose()), *times).await;
            let slot = loaded.map_err(|error| {
                tracing::error!("{error}");
                busy("sessions cannot be found just now\n")
            })?;
            // An id that nobody has given is never taken over: the next one is the server's own.
            if let Some(slot) = slot
                && slot.found_by(token).await
            {
                current = Some(slot);
            }
        }
        if current.is_some() && !origins.trust(parts) {
            return Err(foreign());
        }
        let turn = match &current {
            Some(slot) if self.shared.exclusive => slot.turn().await,
            _ => None,
        };
        let jar = cookie.jar(&parts.extensions);
        let is_web_socket = is_web_socket(parts);
        cookie.hide(&mut parts.headers, is_web_socket);
        let session = Session::new(Arc::clone(&self.shared), current);
        parts.extensions.insert(session.clone());
        Ok(Passed { session, is_finished: false, jar, turn })
    }

    async fn finish(&self, mut passed: Passed<T>, headers: &mut HeaderMap) {
        let told = passed.session.0.lock().await.finish().await;
        passed.is_finished = true;
        match told {
            Told::Nothing => {}
            // A cookie for as long as the browser is open: how long the session lasts is the server's to say.
            Told::Keep(token) => passed.jar.set(headers, token.expose(), None),
            Told::Forget => passed.jar.forget(headers),
        }
    }
}
