//! A function that may block, as a service and as an axum handler.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::body::collected;
use super::pool::BlockingPool;
use crate::BoxError;
use crate::json_error::json_error;

/// A handler made by [`blocking`](crate::blocking()) or [`BlockingPool::handler`]. Clones share the function and the pool.
pub struct Blocking<F> {
    function: Arc<F>,
    pool: BlockingPool,
}

impl BlockingPool {
    /// A handler whose function runs in this pool: see [`blocking`](crate::blocking()).
    pub fn handler<F>(&self, function: F) -> Blocking<F> {
        Blocking { function: Arc::new(function), pool: self.clone() }
    }
}

impl<F> Clone for Blocking<F> {
    fn clone(&self) -> Self {
        Self { function: Arc::clone(&self.function), pool: self.pool.clone() }
    }
}

impl<F> fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl<F: Send + Sync + 'static> Blocking<F> {
    /// Calls the function in the pool, with the whole request.
    async fn whole<B, R>(
        self,
        request: Request<B>,
        call: impl FnOnce(&F, Request<Bytes>) -> Response<R> + Send + 'static,
    ) -> Response<R>
    where
        B: HttpBody<Error: Into<BoxError>>,
        R: From<String> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        match collected(body, self.pool.longest_body()).await {
            Ok(body) => self.run(move |function| call(function, Request::from_parts(parts, body))).await,
            Err(status) => json_error(status),
        }
    }

    async fn run<R>(self, call: impl FnOnce(&F) -> Response<R> + Send + 'static) -> Response<R>
    where
        R: From<String> + Send + 'static,
    {
        let Self { function, pool } = self;
        match pool.run(move || call(&function)).await {
            Ok(response) => response,
            Err(overloaded) => {
                tracing::warn!("a request was refused: {overloaded}");
                json_error(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }
}

impl<F, B, R> Service<Request<B>> for Blocking<F>
where
    F: Fn(Request<Bytes>) -> Response<R> + Send + Sync + 'static,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
    R: From<String> + Send + 'static,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let handler = self.clone();
        Box::pin(async move { Ok(handler.whole(request, |function, request| function(request)).await) })
    }
}

#[cfg(feature = "axum")]
mod for_axum {
    use axum::extract::FromRequest;
    use axum::handler::Handler;
    use axum::response::IntoResponse;
    use bytes::Bytes;

    use super::{Blocking, Pin, Request};

    type Answering = Pin<Box<dyn Future<Output = axum::response::Response> + Send>>;

    /// Marks functions that take nothing.
    #[derive(Clone, Copy, Debug)]
    pub struct Nothing;

    /// Marks functions that take the whole request.
    #[derive(Clone, Copy, Debug)]
    pub struct Whole;

    impl<F, R, S> Handler<Nothing, S> for Blocking<F>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: IntoResponse + 'static,
    {
        type Future = Answering;

        fn call(self, _: axum::extract::Request, _: S) -> Self::Future {
            Box::pin(self.run(|function| function().into_response()))
        }
    }

    impl<F, R, S> Handler<Whole, S> for Blocking<F>
    where
        F: Fn(Request<Bytes>) -> R + Send + Sync + 'static,
        R: IntoResponse + 'static,
    {
        type Future = Answering;

        fn call(self, request: axum::extract::Request, _: S) -> Self::Future {
            Box::pin(self.whole(request, |function, request| function(request).into_response()))
        }
    }

    impl<F, E, M, R, S> Handler<(M, E), S> for Blocking<F>
    where
        F: Fn(E) -> R + Send + Sync + 'static,
        E: FromRequest<S, M> + Send + 'static,
        M: 'static,
        R: IntoResponse + 'static,
        S: Send + Sync + 'static,
    {
        type Future = Answering;

        fn call(self, request: axum::extract::Request, state: S) -> Self::Future {
            Box::pin(async move {
                let extracted = match E::from_request(request, &state).await {
                    Ok(extracted) => extracted,
                    Err(rejection) => return rejection.into_response(),
                };
                self.run(|function| function(extracted).into_response()).await
            })
        }
    }
}
