//! Who may look, and who may act.
//!
//! Only what a request shows by itself counts: no cookie, which browsers would show to every other port of the machine and send along
//! with whatever another page of the origin asks for.

use std::fmt;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use narthex::ConnectionInfo;
use sha2::{Digest, Sha256};

use super::Inner;

/// What the page's WebSocket speaks.
pub(super) const PROTOCOL: &str = "narthex.dashboard";
/// A sub-protocol that begins so is the token: a page cannot give a WebSocket header fields.
const TOKEN_PROTOCOL: &str = "narthex.token.";

/// What lets its owner do everything that the dashboard can.
#[derive(Clone)]
pub(crate) struct Token {
    text: String,
    hash: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// One that somebody has chosen.
    pub(crate) fn new(text: String) -> Self {
        let hash = Sha256::digest(&text).into();
        Self { text, hash }
    }

    /// A new one, of 128 random bits.
    pub(crate) fn random() -> std::io::Result<Self> {
        narthex_host::random_token().map(Self::new)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Hashes are compared, so that the time it takes says nothing about the token.
    fn is(&self, said: &str) -> bool {
        let said: [u8; 32] = Sha256::digest(said).into();
        said == self.hash
    }
}

/// What a request may do. In the extensions of those that were let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    Look,
    Act,
}

/// Lets in who is on this machine, and who has the token.
pub(super) async fn admit(State(inner): State<Arc<Inner>>, mut request: Request, next: Next) -> Response {
    let may = if said(request.headers()).any(|said| inner.token.is(said)) {
        May::Act
    } else if is_local(&request) {
        May::Look
    } else {
        return refuse();
    };
    forget(request.headers_mut());
    request.extensions_mut().insert(may);
    next.run(request).await
}

fn refuse() -> Response {
    let text =
        "This dashboard is for who is on its machine, or has its token: open the link that the host printed when it started.\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

/// What may be the token: in `Authorization`, or offered by a WebSocket.
fn said(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let text = |name| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION).filter_map(|value| value.strip_prefix("Bearer "));
    let offered = text(SEC_WEBSOCKET_PROTOCOL).flat_map(|value| value.split(','));
    bearer.chain(offered.filter_map(|offer| offer.trim().strip_prefix(TOKEN_PROTOCOL)))
}

/// A hub keeps the head of a handshake for as long as the connection lasts: without the token.
fn forget(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    if headers.remove(SEC_WEBSOCKET_PROTOCOL).is_some() {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
}

/// From this machine, and addressed as such: a page elsewhere whose name is made to mean this machine says its own name.
fn is_local(request: &Request) -> bool {
    let from = request.extensions().get::<ConnectionInfo>().is_some_and(|known| known.peer.ip().to_canonical().is_loopback());
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(name, _)| name);
    from && ["localhost", "127.0.0.1", "[::1]"].contains(&name)
}

/// What who may only look is told, if that is who asks.
pub(super) fn unless_may_act(may: Option<Extension<May>>) -> Option<Response> {
    let refusal = || (StatusCode::FORBIDDEN, "This needs the token: open the link that the host printed when it started.\n");
    (!matches!(may, Some(Extension(May::Act)))).then(|| refusal().into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::header::COOKIE;

    use super::*;

    #[test]
    fn a_token_is_itself_only_and_no_log_shows_it() {
        let token = Token::random().unwrap();
        assert_eq!(token.as_str().len(), 32);
        assert!(token.is(token.as_str()) && !token.is("") && !token.is(&token.as_str()[1..]));
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert_ne!(token.as_str(), Token::random().unwrap().as_str());
    }

    #[test]
    fn a_token_is_looked_for_in_authorization_and_sub_protocols_and_then_forgotten() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, "Basic abc".parse().unwrap());
        headers.append(AUTHORIZATION, "Bearer one".parse().unwrap());
        headers.append(SEC_WEBSOCKET_PROTOCOL, "narthex.dashboard, narthex.token.two".parse().unwrap());
        headers.append(COOKIE, "narthex-dashboard=three".parse().unwrap());
        assert_eq!(said(&headers).collect::<Vec<_>>(), ["one", "two"]);
        forget(&mut headers);
        assert_eq!(said(&headers).count(), 0);
        assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], PROTOCOL);
    }
}
