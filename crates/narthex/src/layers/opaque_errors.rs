//! A layer behind which no panic and no error is seen by clients.

use std::convert::Infallible;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use narthex_http::RequestId;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::BoxError;
use crate::json_error::json_error;
use crate::panic_text::panic_text;
use crate::request::REQUEST_ID;

/// A layer that answers in the place of handlers that panic, and of services that fail: 500 with `{"error":"Internal Server Error"}`
/// and nothing of what has happened. Without it, such a request gets the server's own error page, with as little in it.
///
/// What has happened is logged once (`tracing`, level error), with method, path and a request id, which is in the answer's
/// `X-Request-Id` too, so that who has seen the one finds the other. The id is the one that the server has given the request
/// ([`Server::request_ids`](crate::Server::request_ids)), else a new one. Requests that succeed pay for a copy of method, path and id, and
/// no id is made for them. Worker and connection go on.
///
/// ```
/// # fn app() -> axum::Router {
/// axum::Router::new().route("/", axum::routing::get(handler)).layer(narthex::OpaqueErrors)
/// # }
/// # async fn handler() -> &'static str { "" }
/// ```
///
/// A response that has begun cannot be replaced: a body that fails breaks its connection off, with this layer as without.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpaqueErrors;

impl<S> Layer<S> for OpaqueErrors {
    type Service = OpaqueErrorsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OpaqueErrorsService { inner, unready: None }
    }
}

/// The service that [`OpaqueErrors`] makes.
#[derive(Clone, Debug)]
pub struct OpaqueErrorsService<S> {
    inner: S,
    /// Why the inner service cannot be called: whoever asked is answered that way.
    unready: Option<String>,
}

impl<S, A, B> Service<Request<A>> for OpaqueErrorsService<S>
where
    S: Service<Request<A>, Response = Response<B>, Error: Into<BoxError>>,
    B: From<String>,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let ready = match catch_unwind(AssertUnwindSafe(|| self.inner.poll_ready(cx))) {
            Ok(ready) => ready!(ready).map_err(|error| error.into().to_string()),
            Err(panic) => Err(panicked(&*panic)),
        };
        self.unready = ready.err();
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let asked = Asked::of(&request);
        let called = match self.unready.take() {
            Some(why) => Err(why),
            None => catch_unwind(AssertUnwindSafe(|| self.inner.call(request))).map_err(|panic| panicked(&*panic)),
        };
        let (future, failed) = match called {
            Ok(future) => (Some(future), None),
            Err(why) => (None, Some(why)),
        };
        Answering { future, failed, asked }
    }
}

pin_project! {
    /// An answer that is on its way.
    #[derive(Debug)]
    pub struct Answering<F> {
        #[pin]
        future: Option<F>,
        // Why there is no future.
        failed: Option<String>,
        asked: Asked,
    }
}

/// What is told of a request that fails.
#[derive(Debug)]
struct Asked {
    method: Method,
    uri: Uri,
    id: Option<HeaderValue>,
}

impl Asked {
    fn of<A>(request: &Request<A>) -> Self {
        let id = request.headers().get(REQUEST_ID).filter(|id| RequestId::parse(id.as_bytes()).is_some()).cloned();
        Self { method: request.method().clone(), uri: request.uri().clone(), id }
    }

    #[cold]
    fn failed<B: From<String>>(&mut self, why: &dyn Display) -> Response<B> {
        let id = self.id.take().or_else(|| HeaderValue::from_str(RequestId::new().as_str()).ok());
        let shown = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default();
        tracing::error!(request_id = shown, method = %self.method, path = self.uri.path(), "the app failed to answer a request: {why}");
        let mut response = json_error(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: From<String>,
    E: Into<BoxError>,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            let why = this.failed.take().unwrap_or_default();
            return Poll::Ready(Ok(this.asked.failed(&why)));
        };
        let response = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(polled) => ready!(polled).unwrap_or_else(|error| this.asked.failed(&error.into())),
            Err(panic) => this.asked.failed(&panicked(&*panic)),
        };
        Poll::Ready(Ok(response))
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    format!("it panicked: {}", panic_text(panic))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::{Arc, Mutex};

    use tower::{ServiceExt, service_fn};
    use tracing::field::{Field, Visit};
    use tracing::{Event, Metadata, span};

    use super::*;

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            let _ = write!(self.0, "{field}={value:?} ");
        }
    }

    impl tracing::Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    /// The answer to a request with this id, and what was logged.
    async fn answer<S>(service: S, id: &str) -> (Response<String>, Vec<String>)
    where
        S: Service<Request<()>, Response = Response<String>, Error: Into<BoxError>>,
    {
        let log = Log::default();
        let _guard = tracing::subscriber::set_default(log.clone());
        let request = Request::post("/secret?token=x").header(REQUEST_ID, id).body(()).unwrap();
        let response = OpaqueErrors.layer(service).oneshot(request).await.unwrap();
        let lines = std::mem::take(&mut *log.0.lock().unwrap());
        (response, lines)
    }

    type Outcome = Result<Response<String>, BoxError>;

    struct Unready;

    impl Service<Request<()>> for Unready {
        type Response = Response<String>;
        type Error = BoxError;
        type Future = std::future::Ready<Outcome>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Err("no connection to the database".into()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            unreachable!("it is not ready")
        }
    }

    #[tokio::test]
    async fn whatever_fails_is_an_opaque_500_and_one_line_in_the_log() {
        let panics = service_fn(async |_: Request<()>| -> Outcome { panic!("password {}", 1) });
        let fails = service_fn(async |_: Request<()>| -> Outcome { Err("password 2".into()) });
        let panics_at_once = service_fn(|_: Request<()>| -> std::future::Ready<Outcome> { panic!("password 3") });
        for (number, (response, lines)) in
            [answer(panics, "id-1").await, answer(fails, "id-1").await, answer(panics_at_once, "id-1").await]
                .into_iter()
                .enumerate()
        {
            assert_eq!(
                (response.status(), response.body().as_str()),
                (StatusCode::INTERNAL_SERVER_ERROR, "{\"error\":\"Internal Server Error\"}")
            );
            assert_eq!(response.headers()[REQUEST_ID], "id-1");
            let [line] = lines.as_slice() else { panic!("one line: {lines:?}") };
            assert!(line.contains(&format!("password {}", number + 1)) && line.contains("path=\"/secret\""), "{line}");
            assert!(line.contains("request_id=\"id-1\"") && !line.contains("token"), "{line}");
        }
    }

    #[tokio::test]
    async fn a_service_that_is_not_ready_is_an_opaque_500_too() {
        let (response, lines) = answer(Unready, "id").await;
        assert_eq!((response.status(), lines.len()), (StatusCode::INTERNAL_SERVER_ERROR, 1));
    }

    #[tokio::test]
    async fn an_id_that_could_be_something_else_is_replaced() {
        for bad in ["", "a b", "<script>", &"x".repeat(129)] {
            let panics = service_fn(async |_: Request<()>| -> Outcome { panic!("as the test wants") });
            let (response, _) = answer(panics, bad).await;
            assert_eq!(response.headers()[REQUEST_ID].len(), 32);
        }
    }

    #[tokio::test]
    async fn what_succeeds_passes_as_it_is() {
        let works = service_fn(async |_: Request<()>| -> Outcome { Ok(Response::new("fine".to_owned())) });
        let (response, lines) = answer(works, "id").await;
        assert_eq!((response.body().as_str(), response.headers().len(), lines.len()), ("fine", 0, 0));
    }
}
