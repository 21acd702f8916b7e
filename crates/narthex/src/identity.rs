//! Who has sent a request, as [`auth`](crate::auth) or [`api_keys`](crate::api_keys) has found out.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// How somebody has shown who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// Name and password (RFC 7617).
    Basic,
    /// A token that was given for them.
    SessionToken,
    /// A JSON Web Token (RFC 7519).
    Jwt,
    /// A certificate, in the TLS handshake.
    ClientCertificate,
    /// An API key.
    ApiKey,
    /// Something that the app has judged.
    Custom,
}

/// Who has sent a request. Requests that a guard has let through have it in their extensions, unless they are anonymous.
///
/// With the feature `axum` it is an extractor: `Identity` answers 401 where there is none, `Option<Identity>` takes both. A hub's
/// `on_connect` finds it in `connect.request().extensions`.
///
/// ```
/// # use narthex::Identity;
/// # #[cfg(feature = "axum")]
/// async fn hello(identity: Identity) -> String {
///     format!("hello {}", identity.name())
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Identity(Arc<Known>);

#[derive(Clone, PartialEq, Eq)]
struct Known {
    name: String,
    scheme: Scheme,
    scopes: BTreeSet<String>,
    claims: Map<String, Value>,
    key: Option<String>,
}

impl Identity {
    /// Somebody with this name, without scopes and claims.
    #[must_use]
    pub fn new(name: impl Into<String>, scheme: Scheme) -> Self {
        let name = name.into();
        Self(Arc::new(Known { name, scheme, scopes: BTreeSet::new(), claims: Map::new(), key: None }))
    }

    /// Adds what they may do.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl IntoIterator<Item: Into<String>>) -> Self {
        Arc::make_mut(&mut self.0).scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Adds what else is known of them.
    #[must_use]
    pub fn with_claims(mut self, claims: Map<String, Value>) -> Self {
        Arc::make_mut(&mut self.0).claims = claims;
        self
    }

    pub(crate) fn with_key(mut self, id: String) -> Self {
        Arc::make_mut(&mut self.0).key = Some(id);
        self
    }

    /// Their name: of the user, a JWT's subject, a certificate's name, an API key's owner.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How they have shown it.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// What they may do, in order.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(String::as_str)
    }

    /// Whether they may do something.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.contains(scope)
    }

    /// A claim of a JWT, or what a hook has added.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.claims.get(name)
    }

    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.0.claims
    }

    /// The id of the API key.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.0.key.as_deref()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Claims may say more of people than belongs into logs.
        f.debug_struct("Identity").field("name", &self.name()).field("scheme", &self.scheme()).finish_non_exhaustive()
    }
}

#[cfg(feature = "axum")]
impl<S: Sync> axum::extract::FromRequestParts<S> for Identity {
    type Rejection = (http::StatusCode, &'static str);

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get().cloned().ok_or((http::StatusCode::UNAUTHORIZED, "say who you are\n"))
    }
}

#[cfg(feature = "axum")]
impl<S: Sync> axum::extract::OptionalFromRequestParts<S> for Identity {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get().cloned())
    }
}
