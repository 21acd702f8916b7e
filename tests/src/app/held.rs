//! Requests that are held until somebody takes them back, and WebSockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;

use super::drain;

/// How many futures of its handler, and WebSockets, are alive.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<AtomicUsize>);

impl Held {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// One more, until what is returned is dropped.
    pub(super) fn one(&self) -> Alive {
        self.0.fetch_add(1, Ordering::SeqCst);
        Alive(self.clone())
    }

    /// The handler: it has no answer. If the query is `read`, it reads the request's body, and returns if that breaks off.
    pub(super) async fn hold(self, request: Request) {
        let _alive = self.one();
        if request.uri().query() == Some("read") && drain(request.into_body()).await.is_err() {
            return;
        }
        std::future::pending::<()>().await;
    }
}

pub(super) struct Alive(Held);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
