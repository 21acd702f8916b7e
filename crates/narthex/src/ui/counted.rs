//! What the page says of requests: they are counted on their way to the app.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Request, Response};
use pin_project_lite::pin_project;
use serde::Serialize;
use tower_service::Service;

use crate::BoxError;
use crate::body::Body;
use crate::request::REQUEST_ID;

/// Failures that are kept.
const MOST: usize = 50;

/// The numbers of an app.
#[derive(Debug, Default)]
pub(super) struct Counts {
    in_progress: AtomicU64,
    /// By the first digit of the status; what failed without one is counted at 0.
    by_class: [AtomicU64; 6],
    failures: Mutex<VecDeque<Failed>>,
}

/// A request that the app did not answer, or answered that it has failed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failed {
    /// Milliseconds since 1970.
    time: u64,
    method: String,
    path: String,
    request_id: Option<String>,
    /// 0: it failed without one.
    status: u16,
    why: Option<String>,
}

/// As the page gets it.
#[derive(Debug, Serialize)]
pub(super) struct Numbers {
    requests: u64,
    in_progress: u64,
    informational: u64,
    successful: u64,
    redirected: u64,
    client_errors: u64,
    server_errors: u64,
    no_answer: u64,
}

impl Counts {
    pub(super) fn numbers(&self) -> Numbers {
        let [no_answer, informational, successful, redirected, client_errors, server_errors] =
            self.by_class.each_ref().map(|count| count.load(Ordering::Relaxed));
        Numbers {
            requests: no_answer + informational + successful + redirected + client_errors + server_errors,
            in_progress: self.in_progress.load(Ordering::Relaxed),
            informational,
            successful,
            redirected,
            client_errors,
            server_errors,
            no_answer,
        }
    }

    /// The last first.
    pub(super) fn failures(&self) -> Vec<Failed> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    fn count(&self, status: u16) {
        if let Some(count) = self.by_class.get(usize::from(status / 100)).or(self.by_class.first()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn failed(&self, failed: Failed) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() == MOST {
            failures.pop_front();
        }
        failures.push_back(failed);
    }
}

/// An app whose requests are counted.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    app: S,
    counts: Arc<Counts>,
}

impl<S> Counted<S> {
    pub(super) fn new(app: S, counts: Arc<Counts>) -> Self {
        Self { app, counts }
    }
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Counting<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.app.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
        let asked = Failed {
            time: 0,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            request_id: request.headers().get(REQUEST_ID).and_then(text),
            status: 0,
            why: None,
        };
        self.counts.in_progress.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay { counts: Arc::clone(&self.counts), asked: Some(asked) };
        Counting { future: self.app.call(request), under_way }
    }
}

pin_project! {
    /// An answer that is on its way.
    pub(crate) struct Counting<F> {
        #[pin]
        future: F,
        under_way: UnderWay,
    }
}

impl<F, B, E> Future for Counting<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = ready!(this.future.poll(cx)).map_err(Into::into);
        match &answered {
            Ok(response) => this.under_way.ended(response.status().as_u16(), None),
            Err(error) => this.under_way.ended(0, Some(error.to_string())),
        }
        Poll::Ready(answered)
    }
}

/// A request that has no answer yet.
struct UnderWay {
    counts: Arc<Counts>,
    asked: Option<Failed>,
}

impl UnderWay {
    fn ended(&mut self, status: u16, why: Option<String>) {
        let Some(asked) = self.asked.take() else { return };
        self.counts.in_progress.fetch_sub(1, Ordering::Relaxed);
        self.counts.count(status);
        if status == 0 || status >= 500 {
            self.counts.failed(Failed { time: now(), status, why, ..asked });
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let why = if std::thread::panicking() { "the handler panicked" } else { "the client left, or the server stopped" };
        self.ended(0, Some(why.to_owned()));
    }
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "what people read has the time of day, which decides nothing")]
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn requests_are_counted_by_their_answers_and_failures_are_kept() {
        let counts = Arc::new(Counts::default());
        let app = service_fn(|request: Request<Body>| async move {
            let mut response = Response::new(());
            *response.status_mut() = match request.uri().path() {
                "/fails" => return Err::<Response<()>, BoxError>("why".into()),
                "/waits" => std::future::pending().await,
                path => path[1..].parse().unwrap_or(StatusCode::OK),
            };
            Ok(response)
        });
        let counted = Counted::new(app, Arc::clone(&counts));
        let ask = |path: &str| {
            let request = Request::get(path).header(REQUEST_ID, "id").body(Body::empty()).unwrap();
            counted.clone().oneshot(request)
        };
        for path in ["/", "/404", "/503"] {
            ask(path).await.unwrap();
        }
        ask("/fails").await.unwrap_err();
        let waits = tokio::time::timeout(std::time::Duration::from_millis(1), ask("/waits")).await;
        assert!(waits.is_err());
        let numbers = counts.numbers();
        let answers = (numbers.successful, numbers.client_errors, numbers.server_errors, numbers.no_answer);
        assert_eq!((numbers.requests, numbers.in_progress, answers), (5, 0, (1, 1, 1, 2)));
        let paths: Vec<_> = counts.failures().iter().map(|failed| (failed.path.clone(), failed.status)).collect();
        assert_eq!(paths, [("/waits".to_owned(), 0), ("/fails".to_owned(), 0), ("/503".to_owned(), 503)]);
        assert_eq!(counts.failures()[1].why.as_deref(), Some("why"));
    }
}
