//! The client's side of the handshake, RFC 6455 section 4.1.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::fields::{has_token, only};
use super::{VERSION, accept};
use crate::deflate::{Agreement, Offer};
use crate::extension::{Extension, Malformed, is_token};

/// What a client asks for, and judges the response by.
#[derive(Clone, Debug)]
pub struct Proposal {
    key: String,
    protocols: Vec<String>,
    deflate: Option<Offer>,
}

/// What the server has agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The subprotocol, one of those proposed.
    pub protocol: Option<String>,
    /// permessage-deflate, if it was offered and accepted.
    pub deflate: Option<Agreement>,
}

/// Why a client must not go on, RFC 6455 section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The server does not want to. A redirection or a 401 may be followed as HTTP has it.
    #[error("the server answered {0}, not 101")]
    Status(StatusCode),
    /// `Upgrade` or `Connection` do not say that this is a WebSocket now.
    #[error("the response is not an upgrade to WebSocket")]
    NotAnUpgrade,
    /// `Sec-WebSocket-Accept` does not belong to the key: whoever answered does not know WebSockets, or is a cache.
    #[error("Sec-WebSocket-Accept does not answer the key")]
    Accept,
    /// A subprotocol that was not proposed, or more than one.
    #[error("the server chose a subprotocol that was not proposed")]
    Protocol,
    /// An extension that was not offered, or an answer that does not fit the offer.
    #[error("the server's extensions do not answer what was offered")]
    Extensions,
}

impl Proposal {
    /// A handshake with `nonce`, 16 random bytes that are used once.
    pub fn new(nonce: [u8; 16]) -> Self {
        Self { key: BASE64_STANDARD.encode(nonce), protocols: Vec::new(), deflate: None }
    }

    /// Proposes one more subprotocol, after those before it.
    ///
    /// # Errors
    ///
    /// It is not a token (RFC 9110 section 5.6.2), or has been proposed already.
    pub fn protocol(mut self, protocol: &str) -> Result<Self, Malformed> {
        if !is_token(protocol) || self.protocols.iter().any(|earlier| earlier == protocol) {
            return Err(Malformed);
        }
        self.protocols.push(protocol.to_owned());
        Ok(self)
    }

    /// Offers permessage-deflate.
    #[must_use]
    pub fn deflate(mut self, offer: Offer) -> Self {
        self.deflate = Some(offer);
        self
    }

    /// The fields of a GET request by HTTP/1.1; `Host`, and for browsers `Origin`, come beside them.
    pub fn headers(&self) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).expect("tokens and base64 may stand in a header field");
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_KEY, value(&self.key));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        if !self.protocols.is_empty() {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value(&self.protocols.join(", ")));
        }
        if let Some(offer) = self.deflate {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, value(&offer.to_string()));
        }
        headers
    }

    /// Judges the response.
    ///
    /// # Errors
    ///
    /// The connection is no WebSocket, and must be closed.
    pub fn agreed<B>(&self, response: &Response<B>) -> Result<Agreed, Rejection> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Rejection::Status(response.status()));
        }
        let headers = response.headers();
        let is_websocket = only(headers, UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if !is_websocket || !has_token(headers, CONNECTION, "upgrade") {
            return Err(Rejection::NotAnUpgrade);
        }
        if only(headers, SEC_WEBSOCKET_ACCEPT) != Some(&accept(self.key.as_bytes())) {
            return Err(Rejection::Accept);
        }
        let deflate = self.agreed_extension(headers).ok_or(Rejection::Extensions)?;
        let protocol = if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
            let chosen = only(headers, SEC_WEBSOCKET_PROTOCOL).ok_or(Rejection::Protocol)?;
            let proposed = self.protocols.iter().find(|protocol| chosen == protocol.as_str());
            Some(proposed.ok_or(Rejection::Protocol)?.clone())
        } else {
            None
        };
        Ok(Agreed { protocol, deflate })
    }

    /// The answer to the one offer; `None` if there is anything else.
    fn agreed_extension(&self, headers: &HeaderMap) -> Option<Option<Agreement>> {
        let mut agreed = None;
        for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
            for extension in Extension::parse_list(value.to_str().ok()?).ok()? {
                if agreed.replace(self.deflate?.agreed(&extension).ok()?).is_some() {
                    return None;
                }
            }
        }
        Some(agreed)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::deflate::Config;
    use crate::handshake::Opening;

    fn proposal() -> Proposal {
        Proposal::new(*b"the sample nonce").protocol("chat").unwrap().deflate(Offer::new(&Config::default()))
    }

    fn response(protocol: Option<&str>, config: Option<Config>) -> Response<()> {
        let mut request = Request::new(());
        *request.headers_mut() = proposal().headers();
        let opening = Opening::of(&request).unwrap();
        let deflate = config.and_then(|config| opening.deflate(&config));
        opening.response(protocol, deflate.as_ref())
    }

    fn rejection(changes: &[(&'static str, &str)]) -> Option<Rejection> {
        let mut response = response(None, None);
        for (name, value) in changes {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        proposal().agreed(&response).err()
    }

    #[test]
    fn what_a_server_answers_is_agreed() {
        let plain = proposal().agreed(&response(None, None));
        assert_eq!(plain, Ok(Agreed { protocol: None, deflate: None }));
        let agreed = proposal().agreed(&response(Some("chat"), Some(Config::default()))).unwrap();
        assert_eq!(agreed.protocol.as_deref(), Some("chat"));
        assert!(agreed.deflate.is_some());
    }

    #[test]
    fn a_response_that_does_not_fit_is_rejected() {
        assert_eq!(rejection(&[("upgrade", "h2c")]), Some(Rejection::NotAnUpgrade));
        assert_eq!(rejection(&[("connection", "close")]), Some(Rejection::NotAnUpgrade));
        assert_eq!(rejection(&[("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xO0=")]), Some(Rejection::Accept));
        assert_eq!(rejection(&[("sec-websocket-protocol", "other")]), Some(Rejection::Protocol));
        assert_eq!(rejection(&[("sec-websocket-protocol", "chat, chat")]), Some(Rejection::Protocol));
        for extensions in ["foo", "permessage-deflate", "permessage-deflate, permessage-deflate", "permessage-deflate; x=1", ";"]
        {
            assert_eq!(rejection(&[("sec-websocket-extensions", extensions)]), Some(Rejection::Extensions), "{extensions}");
        }
        let mut unauthorized = response(None, None);
        *unauthorized.status_mut() = StatusCode::UNAUTHORIZED;
        assert_eq!(proposal().agreed(&unauthorized), Err(Rejection::Status(StatusCode::UNAUTHORIZED)));
    }

    #[test]
    fn only_tokens_can_be_proposed_and_only_once() {
        assert!(proposal().protocol("chat").is_err());
        assert!(proposal().protocol("a b").is_err());
        assert_eq!(proposal().protocol("b").unwrap().headers()["sec-websocket-protocol"], "chat, b");
    }
}
