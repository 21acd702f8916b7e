//! The login: name and password for a session token. The request is the layer's to answer, whatever the app has at its path.
//!
//! There is no login by a URL: a password in a target is in logs, histories and `Referer` before anybody can prevent it.

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;

use super::credentials::Credentials;
use super::tokens::SessionTokens;
use super::users::{Checked, Unchecked};
use crate::BoxError;
use crate::guard::{Answer, busy, client_ip, status};
use crate::identity::{Identity, Scheme};
use crate::secret::Secret;

/// A name and a password are not longer.
const BODY: usize = 8 * 1024;

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

impl SessionTokens {
    pub(super) fn is_at(&self, parts: &Parts) -> bool {
        parts.uri.path() == self.path
    }

    /// `challenge` is what a 401 says.
    pub(super) async fn answer<B>(&self, parts: &Parts, body: Option<B>, challenge: &HeaderValue) -> Answer
    where
        B: http_body::Body<Data: Send, Error: Into<BoxError>> + Send,
    {
        match parts.method {
            Method::POST => self.log_in(parts, body, challenge).await,
            Method::DELETE => self.log_out(parts),
            _ => {
                let mut answer = status(StatusCode::METHOD_NOT_ALLOWED, "POST begins a session, DELETE ends it\n");
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, DELETE"));
                answer
            }
        }
    }

    async fn log_in<B>(&self, parts: &Parts, body: Option<B>, challenge: &HeaderValue) -> Answer
    where
        B: http_body::Body<Data: Send, Error: Into<BoxError>> + Send,
    {
        let shown = match Credentials::of(&parts.headers) {
            Ok(Credentials::Basic { name, password }) => Ok((name, password)),
            _ => read(&parts.headers, body).await,
        };
        let (name, password) = match shown {
            Ok(shown) => shown,
            Err(answer) => return answer,
        };
        match self.users.check(&name, &password, client_ip(&parts.extensions)).await {
            Ok(Checked::Right) => self.welcome(parts, &Identity::new(name, Scheme::Basic)),
            Ok(Checked::Wrong | Checked::Unknown) => {
                let mut answer = status(StatusCode::UNAUTHORIZED, "name or password is wrong\n");
                answer.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge.clone());
                answer
            }
            Err(error) => unchecked(error),
        }
    }

    fn welcome(&self, parts: &Parts, identity: &Identity) -> Answer {
        let token = self.issue(identity);
        let text = serde_json::json!({"token": token.expose(), "expires_in": self.lifetime.as_secs()}).to_string();
        let mut answer = Response::new(Bytes::from(text));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(cookie) = &self.cookie {
            cookie.jar(&parts.extensions).set(answer.headers_mut(), token.expose(), Some(self.lifetime));
        }
        Box::new(answer)
    }

    fn log_out(&self, parts: &Parts) -> Answer {
        let cookie = self.cookie.as_ref().and_then(|cookie| cookie.read(&parts.headers, &parts.extensions));
        let shown = match Credentials::of(&parts.headers) {
            Ok(Credentials::Bearer(token)) => Some(token),
            _ => cookie.map(Secret::from),
        };
        // Whether there was one is nobody's business who does not have it.
        shown.map(|token| self.revoke(token.expose()));
        let mut answer = status(StatusCode::NO_CONTENT, "");
        answer.headers_mut().remove(CONTENT_TYPE);
        if let Some(cookie) = &self.cookie {
            cookie.jar(&parts.extensions).forget(answer.headers_mut());
        }
        answer
    }
}

/// Name and password from a body. It has to be JSON, which a form of another site cannot send: nobody is logged in unasked.
async fn read<B>(headers: &HeaderMap, body: Option<B>) -> Result<(String, Secret), Answer>
where
    B: http_body::Body<Data: Send, Error: Into<BoxError>> + Send,
{
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let text = "send {\"user\": \"...\", \"password\": \"...\"} with Content-Type: application/json, or use Basic\n";
        return Err(status(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let Some(body) = body else { return Err(status(StatusCode::BAD_REQUEST, "there is no body\n")) };
    let text = match Limited::new(body, BODY).collect().await {
        Ok(collected) => zeroize::Zeroizing::new(Vec::from(collected.to_bytes())),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(status(StatusCode::PAYLOAD_TOO_LARGE, "name and password are too long\n"));
        }
        Err(_) => return Err(status(StatusCode::BAD_REQUEST, "the body broke off\n")),
    };
    match serde_json::from_slice(&text) {
        Ok(Login { user, password }) => Ok((user, password.into())),
        Err(_) => Err(status(StatusCode::BAD_REQUEST, "this is not {\"user\": \"...\", \"password\": \"...\"}\n")),
    }
}

/// The answer when a password could not be checked.
pub(super) fn unchecked(error: Unchecked) -> Answer {
    match error {
        Unchecked::Overloaded => tracing::warn!("too many passwords are to be checked at once: some clients are answered 503"),
        Unchecked::Lookup(error) => tracing::error!("cannot look a user up: {error}"),
        #[cfg(feature = "rate-limit")]
        Unchecked::TooMany(refused) => return refused.answer("too many passwords were tried from here: try again later\n"),
    }
    busy("nobody can be let in just now\n")
}

/// Keeps what somebody has shown out of logs, and out of hubs, which keep heads for as long as a connection lasts.
pub(super) fn hide(headers: &mut HeaderMap, is_web_socket: bool) {
    if is_web_socket {
        headers.remove(AUTHORIZATION);
    } else if let Some(value) = headers.get_mut(AUTHORIZATION) {
        value.set_sensitive(true);
    }
}
