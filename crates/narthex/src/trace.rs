//! Spans: what a request leaves in the app's log and, with the feature `otel`, at an OpenTelemetry collector.
//!
//! [`TraceLayer`] makes a `tracing` span for each request, in which everything is logged that the app does for it, WebSocket
//! handshakes included. The span says the request's id, and the trace that it belongs to: of the host's span if there is a host that
//! traces (setting `trace`), else of the client's, if it has sent a `traceparent` (W3C Trace Context).
//!
//! ```
//! # fn app() -> axum::Router {
//! axum::Router::new().route("/", axum::routing::get(handler)).layer(narthex::trace::TraceLayer)
//! # }
//! # async fn handler() -> &'static str { "" }
//! ```
//!
//! The span is of level info and target `narthex::trace`; a subscriber that does not want it makes it cost one look. Its fields:
//!
//! | field | |
//! |---|---|
//! | `http.request.method`, `url.path` | of the request as the app sees it, without its query |
//! | `http.response.status_code` | from the response on |
//! | `request_id` | its `X-Request-Id` |
//! | `trace_id`, `parent_span_id` | of its `traceparent` |
//! | `otel.*` | name, kind and status, for the `tracing-opentelemetry` crate |
//!
//! # To a collector
//!
//! With the feature `otel`, [`Collector`] sends spans by OTLP over HTTP, as the host does: in batches, from a thread of its own, never
//! making anybody wait. The request's span is a child of the host's and is recorded if that is. Its id is in the `traceparent` of the request
//! from the layer on: what the app forwards (feature `forward`) is a child of it.
//!
#![cfg_attr(feature = "otel", doc = "```no_run")]
#![cfg_attr(not(feature = "otel"), doc = "```ignore")]
//! use tracing_subscriber::layer::SubscriberExt;
//! use tracing_subscriber::util::SubscriberInitExt;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let collector = narthex::trace::Collector::open("http://127.0.0.1:4318", "shop")?;
//! tracing_subscriber::registry().with(tracing_subscriber::fmt::layer()).with(collector.layer()).init();
//! // ... serve, and at the end:
//! collector.flush(std::time::Duration::from_secs(1));
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "otel")]
mod collector;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderName, HeaderValue, Request, Response};
use narthex_proto::trace::{self, TRACEPARENT, TraceContext};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;
use tracing::field::Empty;

use crate::request::REQUEST_ID;

#[cfg(feature = "otel")]
pub use collector::{Collector, CollectorError};

const PARENT: HeaderName = HeaderName::from_static(TRACEPARENT);

/// Makes a span for each request. See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceLayer;

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> TraceService<S> {
        TraceService { inner }
    }
}

/// The service that [`TraceLayer`] makes.
#[derive(Clone, Debug)]
pub struct TraceService<S> {
    inner: S,
}

impl<S, A, B> Service<Request<A>> for TraceService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Traced<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let span = span(&mut request);
        let future = span.in_scope(|| self.inner.call(request));
        Traced { future, span }
    }
}

pin_project! {
    /// An answer that is on its way.
    #[derive(Debug)]
    pub struct Traced<F> {
        #[pin]
        future: F,
        span: Span,
    }
}

impl<F, B, E> Future for Traced<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = ready!(this.span.in_scope(|| this.future.poll(cx)));
        let failed = match &answered {
            Ok(response) => {
                this.span.record("http.response.status_code", response.status().as_u16());
                response.status().is_server_error()
            }
            Err(_) => true,
        };
        if failed {
            this.span.record("otel.status_code", "ERROR");
        }
        Poll::Ready(answered)
    }
}

fn span<A>(request: &mut Request<A>) -> Span {
    let span = tracing::info_span!(
        "request",
        "otel.name" = Empty,
        "otel.kind" = "server",
        "otel.status_code" = Empty,
        "http.request.method" = %request.method(),
        "url.path" = request.uri().path(),
        "http.response.status_code" = Empty,
        request_id = Empty,
        trace_id = Empty,
        parent_span_id = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    // A path would make as many names as there are paths; axum knows its route only behind this layer.
    span.record("otel.name", request.method().as_str());
    if let Some(id) = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()) {
        span.record("request_id", id);
    }
    let parent = TraceContext::only(request.headers().get_all(PARENT).into_iter().map(HeaderValue::as_bytes));
    if let Some(parent) = &parent {
        let text = parent.to_string();
        span.record("trace_id", text.get(trace::TRACE)).record("parent_span_id", text.get(trace::SPAN));
    }
    #[cfg(feature = "otel")]
    collector::take_part(&span, parent, request.headers_mut());
    span
}
