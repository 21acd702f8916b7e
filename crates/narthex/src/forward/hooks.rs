//! What an app does to each request before it is forwarded, and to each answer after.

use std::pin::Pin;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response, Uri};

use super::error::ForwardError;
use super::response_body::ResponseBody;

/// The request whose outcome a hook of [`Forward::after`](super::Forward::after) is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Forwarded {
    /// The client's method.
    pub method: Method,
    /// What the client has asked for, as it came to the service.
    pub uri: Uri,
}

/// What a hook says of a request.
pub(super) enum Before {
    Go(Box<Parts>),
    Refuse(Box<Response<ResponseBody>>),
}

type Said<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Before a request is forwarded.
pub(super) type BeforeHook = Arc<dyn Fn(Parts) -> Said<Before> + Send + Sync>;

/// After its answer, or what there is instead.
pub(super) type AfterHook =
    Arc<dyn Fn(Forwarded, Result<Response<ResponseBody>, ForwardError>) -> Said<Response<ResponseBody>> + Send + Sync>;

pub(super) fn before<F, Fut, B>(hook: F) -> BeforeHook
where
    F: Fn(Parts) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Parts, Response<B>>> + Send + 'static,
    B: Into<ResponseBody>,
{
    Arc::new(move |parts| {
        let said = hook(parts);
        Box::pin(async move {
            match said.await {
                Ok(parts) => Before::Go(Box::new(parts)),
                Err(response) => Before::Refuse(Box::new(response.map(Into::into))),
            }
        })
    })
}

pub(super) fn after<F, Fut>(hook: F) -> AfterHook
where
    F: Fn(Forwarded, Result<Response<ResponseBody>, ForwardError>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    Arc::new(move |about, outcome| Box::pin(hook(about, outcome)))
}
