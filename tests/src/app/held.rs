//! Requests that are held until somebody takes them back, and WebSockets.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use tokio_stream::StreamExt;

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

    /// The handler: it has no answer. If the query is `read`, it reads the request's body, and returns if that breaks off; if it is
    /// `pour`, its answer has no end.
    pub(super) async fn hold(self, request: Request) -> Response {
        let alive = self.one();
        let query = request.uri().query().map(str::to_owned);
        match query.as_deref() {
            Some("pour") => {
                let pieces = tokio_stream::iter(std::iter::repeat(Bytes::from_static(&[b'p'; 10_000])));
                Response::new(Body::from_stream(pieces.map(move |piece| {
                    let _kept = &alive;
                    Ok::<_, Infallible>(piece)
                })))
            }
            Some("read") if drain(request.into_body()).await.is_err() => Response::default(),
            _ => std::future::pending().await,
        }
    }
}

pub(super) struct Alive(Held);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
