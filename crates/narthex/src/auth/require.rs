//! What somebody must be allowed to do.

use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tower_layer::Layer;

use crate::guard::{Answer, Gate, Guarded, status};
use crate::identity::{Identity, Scheme};

/// A layer that lets in whose [`Identity`] has a scope, or satisfies another condition. It belongs inside of [`Auth`](super::Auth): who has
/// no identity, such as an anonymous client, is answered 403 as well.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::routing::{MethodRouter, delete};
/// use narthex::auth::Require;
///
/// let route: MethodRouter = delete(|| async { "gone" }).layer(Require::scope("orders:delete"));
/// # }
/// ```
#[derive(Clone)]
#[must_use = "it guards nothing until it is a layer of an app"]
pub struct Require(Arc<Required>);

/// What [`Require`] looks at.
pub struct Required {
    scope: Option<String>,
    condition: Box<dyn Fn(&Identity) -> bool + Send + Sync>,
}

impl Require {
    /// Whoever has this scope.
    pub fn scope(scope: impl Into<String>) -> Self {
        let scope = scope.into();
        let wanted = scope.clone();
        Self(Arc::new(Required { scope: Some(scope), condition: Box::new(move |identity| identity.has_scope(&wanted)) }))
    }

    /// Whoever satisfies this.
    pub fn that(condition: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(Required { scope: None, condition: Box::new(condition) }))
    }
}

impl<S> Layer<S> for Require {
    type Service = Guarded<Required, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(Arc::clone(&self.0), inner)
    }
}

impl<B: Send> Gate<B> for Required {
    type Pass = ();

    async fn admit(&self, parts: &mut Parts, _: &mut Option<B>) -> Result<(), Answer> {
        let identity = parts.extensions.get::<Identity>();
        if identity.is_some_and(|identity| (self.condition)(identity)) {
            return Ok(());
        }
        let mut answer = status(StatusCode::FORBIDDEN, "you may not do this\n");
        let by_token = identity.is_some_and(|identity| matches!(identity.scheme(), Scheme::Jwt | Scheme::SessionToken));
        // RFC 6750 section 3.1.
        if let Some(scope) = self.scope.as_ref().filter(|_| by_token)
            && let Ok(challenge) = HeaderValue::try_from(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""))
        {
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        Err(answer)
    }
}

impl std::fmt::Debug for Require {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Require").field("scope", &self.0.scope).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Required {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Required").field("scope", &self.scope).finish_non_exhaustive()
    }
}
