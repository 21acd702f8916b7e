//! Handlers that are ordinary functions, and may block: they run on threads of their own, never on an I/O worker.

mod body;
mod handler;
mod pool;

pub use handler::Blocking;
pub use pool::{BlockingPool, Overloaded};

/// Makes a handler of a function that may block: it runs in the process's own [`BlockingPool`]. For another pool, use
/// [`BlockingPool::handler`].
///
/// The result is a `tower::Service` if the function takes a whole `http::Request<Bytes>` and gives an `http::Response`; with the
/// feature `axum` it is also an axum handler, and the function may take nothing, an extractor, or a tuple of them, and give anything that is a
/// response.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # fn app() -> axum::Router {
/// use axum::extract::Path;
/// use axum::{Router, routing::get};
/// use bytes::Bytes;
/// use narthex::blocking;
///
/// let report = |Path(id): Path<u32>| std::fs::read(format!("/srv/reports/{id}")).unwrap_or_default();
/// let two = |(Path(id), body): (Path<u32>, Bytes)| format!("{id}: {} bytes", body.len());
/// let whole = |request: http::Request<Bytes>| format!("{} {}", request.method(), request.uri());
/// Router::new()
///     .route("/report/{id}", get(blocking(report)))
///     .route("/two/{id}", get(blocking(two)))
///     .route("/whole", get(blocking(whole)))
/// # }
/// ```
///
/// If all threads are busy and the queue is full, the client gets 503 with `Retry-After` and `{"error":"Service Unavailable"}`. A
/// function that panics is treated as an `async` handler that does: 500. If the client leaves while the request waits, the function
/// is not called.
pub fn blocking<F>(function: F) -> Blocking<F> {
    BlockingPool::shared().handler(function)
}
