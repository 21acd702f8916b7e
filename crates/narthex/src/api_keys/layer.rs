//! The layer that asks for a key.

use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tower_layer::Layer;

use super::{ApiKeys, KeyRefused, PREFIX};
use crate::guard::{Answer, Gate, Guarded, client_ip, is_encrypted, is_preflight, is_web_socket, single, status, take_parameter};
use crate::identity::{Identity, Scheme};
use crate::secret::Secret;

/// A layer that lets in who shows an API key.
///
/// A key is looked for in `X-API-Key`, then in `Authorization: Bearer`, then in the query if that is allowed; the first that there is
/// counts. Handshakes of WebSockets are treated like other requests.
#[derive(Clone, Debug)]
#[must_use = "it guards nothing until it is a layer of an app"]
pub struct KeyGuard {
    keys: ApiKeys,
    header: HeaderName,
    query: Option<String>,
    required: bool,
    https_only: bool,
}

impl KeyGuard {
    /// Every request needs a key, but those of browsers that ask what they may send (preflights of CORS), which have none by definition.
    pub fn new(keys: ApiKeys) -> Self {
        Self { keys, header: HeaderName::from_static("x-api-key"), query: None, required: true, https_only: false }
    }

    /// Requests without a key pass, without an identity: for an [`Auth`](crate::auth) further in, which knows others. A bearer token
    /// that does not begin as keys do is not taken for one.
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// The field that has the key. Default: `X-API-Key`.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }

    /// Takes keys from this parameter of the query, too, such as `api_key`. The app does not see it, but access logs of the host and
    /// of proxies do. Default: no.
    pub fn query(mut self, parameter: impl Into<String>) -> Self {
        self.query = Some(parameter.into());
        self
    }

    /// Refuses keys that come over connections that are not encrypted, or of which that is not known: the server has to tell of
    /// [connections](crate::Server::connection_info). The client should get a new key. Default: no.
    pub fn https_only(mut self) -> Self {
        self.https_only = true;
        self
    }

    /// What the client shows; an error if it cannot be read.
    fn shown(&self, parts: &mut Parts) -> Result<Option<Secret>, KeyRefused> {
        let of_query = self.query.as_deref().and_then(|name| take_parameter(parts, name));
        let field = single(&parts.headers, self.header.clone()).map_err(|()| KeyRefused::Malformed)?;
        if let Some(key) = field {
            return Ok(Some(key.into()));
        }
        let authorization = single(&parts.headers, AUTHORIZATION).map_err(|()| KeyRefused::Malformed)?;
        let bearer =
            authorization.and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let is_key = |token: &str| self.required || token.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('_'));
        let bearer = bearer.map(|(_, token)| token.trim()).filter(|token| is_key(token));
        Ok(bearer.map(Secret::from).or(of_query.map(Secret::from)))
    }
}

impl KeyGuard {
    fn refuse(&self, was_shown: bool) -> Answer {
        let text = format!("an API key is needed, in {} or as a bearer token\n", self.header);
        let mut answer = status(StatusCode::UNAUTHORIZED, text);
        let challenge = if was_shown { "Bearer realm=\"API\", error=\"invalid_token\"" } else { "Bearer realm=\"API\"" };
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        answer
    }
}

impl<S> Layer<S> for KeyGuard {
    type Service = Guarded<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(Arc::new(self.clone()), inner)
    }
}

impl<B: http_body::Body + Send + 'static> Gate<B> for KeyGuard {
    type Pass = ();

    async fn admit(&self, parts: &mut Parts, body: &mut Option<B>) -> Result<(), Answer> {
        if is_preflight(parts, body.as_ref()) {
            return Ok(());
        }
        let key = match self.shown(parts) {
            Ok(Some(key)) => key,
            Ok(None) if !self.required => return Ok(()),
            Ok(None) => return Err(self.refuse(false)),
            Err(_) => return Err(self.refuse(true)),
        };
        if self.https_only && is_encrypted(&parts.extensions) != Some(true) {
            return Err(status(
                StatusCode::FORBIDDEN,
                "keys are taken over https only; this one has been seen on the way: get a new one\n",
            ));
        }
        let known = match self.keys.validate(key.expose(), client_ip(&parts.extensions)) {
            Ok(known) => known,
            Err(error) => {
                tracing::debug!("an API key is refused: {error}");
                return Err(self.refuse(true));
            }
        };
        let is_web_socket = is_web_socket(parts);
        for name in [&self.header, &AUTHORIZATION] {
            if is_web_socket {
                // A hub keeps the head of a handshake for as long as the connection lasts.
                parts.headers.remove(name);
            } else if let Some(value) = parts.headers.get_mut(name) {
                value.set_sensitive(true);
            }
        }
        parts.extensions.insert(Identity::new(known.owner, Scheme::ApiKey).with_scopes(known.scopes).with_key(known.id));
        Ok(())
    }
}
