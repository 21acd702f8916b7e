//! Requests that are held until somebody takes them back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;

use super::drain;

/// How many futures of its handler are alive.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<AtomicUsize>);

impl Held {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// The handler: it has no answer. If the query is `read`, it reads the request's body, and returns if that breaks off.
    pub(super) async fn hold(self, request: Request) {
        let _alive = Alive::new(self);
        if request.uri().query() == Some("read") && drain(request.into_body()).await.is_err() {
            return;
        }
        std::future::pending::<()>().await;
    }
}

struct Alive(Held);

impl Alive {
    fn new(held: Held) -> Self {
        held.0.fetch_add(1, Ordering::SeqCst);
        Self(held)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
