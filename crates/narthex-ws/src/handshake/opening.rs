//! The server's side of the handshake, RFC 6455 section 4.2.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    ALLOW, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};

use super::fields::{has_token, only, unique_tokens};
use super::{VERSION, accept};
use crate::deflate::{Agreement, Config, Offer};
use crate::extension::Extension;

/// A request that may become a WebSocket.
#[derive(Clone, Debug)]
pub struct Opening<'r> {
    key: &'r [u8],
    protocols: Vec<&'r str>,
    extensions: Vec<Extension<'r>>,
}

/// Why a request cannot become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// 405: not GET.
    #[error("a WebSocket is opened by GET")]
    Method,
    /// 426: a request for something else, as when somebody types the URL into a browser.
    #[error("this is a WebSocket: it needs HTTP/1.1, `Connection: Upgrade` and `Upgrade: websocket`")]
    NotAnUpgrade,
    /// 426: `Sec-WebSocket-Version` is not 13.
    #[error("the WebSocket version must be 13")]
    Version,
    /// 400: `Sec-WebSocket-Key` is not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    /// 400: `Sec-WebSocket-Protocol` is not a list of different tokens.
    #[error("Sec-WebSocket-Protocol is malformed")]
    Protocols,
    /// 400: `Sec-WebSocket-Extensions` is malformed.
    #[error("Sec-WebSocket-Extensions is malformed")]
    Extensions,
}

impl<'r> Opening<'r> {
    /// Judges `request`, RFC 6455 section 4.2.1.
    ///
    /// # Errors
    ///
    /// It is no handshake, or a malformed one.
    pub fn of<B>(request: &'r Request<B>) -> Result<Self, Refusal> {
        if request.method() != Method::GET {
            return Err(Refusal::Method);
        }
        let headers = request.headers();
        let is_upgrade = request.version() >= Version::HTTP_11
            && has_token(headers, CONNECTION, "upgrade")
            && has_token(headers, UPGRADE, "websocket");
        if !is_upgrade {
            return Err(Refusal::NotAnUpgrade);
        }
        if only(headers, SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
            return Err(Refusal::Version);
        }
        let key = only(headers, SEC_WEBSOCKET_KEY).ok_or(Refusal::Key)?.as_bytes();
        if !BASE64_STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16) {
            return Err(Refusal::Key);
        }
        let protocols = unique_tokens(headers, SEC_WEBSOCKET_PROTOCOL).map_err(|_| Refusal::Protocols)?;
        let extensions = extensions(headers).ok_or(Refusal::Extensions)?;
        Ok(Self { key, protocols, extensions })
    }

    /// The subprotocols that the client can speak, the best first.
    pub fn protocols(&self) -> &[&'r str] {
        &self.protocols
    }

    /// The client's first choice among those that the server can speak. They are compared exactly.
    pub fn choose_protocol<S: AsRef<str>>(&self, spoken: &[S]) -> Option<&'r str> {
        self.protocols.iter().copied().find(|protocol| spoken.iter().any(|spoken| spoken.as_ref() == *protocol))
    }

    /// The extensions that the client offers, the best first.
    pub fn extensions(&self) -> &[Extension<'r>] {
        &self.extensions
    }

    /// What a server with `config` agrees to: the first offer of permessage-deflate that it can accept.
    pub fn deflate(&self, config: &Config) -> Option<Agreement> {
        self.extensions.iter().filter_map(Offer::parse).find_map(|offer| config.accept(&offer))
    }

    /// The response that accepts: 101, with the subprotocol, which must be one of [`Self::protocols`], and what was agreed on.
    ///
    /// # Panics
    ///
    /// The client did not ask for `protocol`: it would fail the connection.
    pub fn response(&self, protocol: Option<&str>, deflate: Option<&Agreement>) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept(self.key));
        if let Some(protocol) = protocol {
            assert!(
                self.protocols.contains(&protocol),
                "the client did not ask for {protocol:?}: use `Opening::choose_protocol`"
            );
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(protocol).expect("a token"));
        }
        if let Some(deflate) = deflate {
            let value = HeaderValue::try_from(deflate.to_string()).expect("tokens and digits");
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
        }
        response
    }
}

fn extensions(headers: &HeaderMap) -> Option<Vec<Extension<'_>>> {
    let mut extensions = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        extensions.extend(Extension::parse_list(value.to_str().ok()?).ok()?);
    }
    Some(extensions)
}

impl Refusal {
    /// The status that tells it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAnUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key | Self::Protocols | Self::Extensions => StatusCode::BAD_REQUEST,
        }
    }

    /// The response that tells it, with the fields that its status wants and a line for people.
    pub fn response(self) -> Response<String> {
        let mut response = Response::new(format!("{self}\n"));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            // RFC 9110 section 15.5.22: says what to upgrade to; RFC 6455 section 4.4: and to which version.
            Self::NotAnUpgrade | Self::Version => {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            }
            Self::Key | Self::Protocols | Self::Extensions => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of RFC 6455 section 1.3, with other or more fields.
    fn request(changes: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::get("/chat").body(()).unwrap();
        for (name, value) in [
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let headers = request.headers_mut();
        for (name, _) in changes {
            headers.remove(*name);
        }
        for (name, value) in changes {
            headers.append(*name, value.parse().unwrap());
        }
        request
    }

    fn refusal(changes: &[(&'static str, &str)]) -> Option<Refusal> {
        Opening::of(&request(changes)).err()
    }

    #[test]
    fn the_request_of_the_rfc_gets_its_response() {
        let request = request(&[
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-protocol", "other"),
            ("sec-websocket-extensions", "foo, permessage-deflate; server_max_window_bits=8"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ]);
        let opening = Opening::of(&request).unwrap();
        assert_eq!(opening.protocols(), ["chat", "superchat", "other"]);
        let protocol = opening.choose_protocol(&["superchat", "chat"]);
        let deflate = opening.deflate(&Config::default());
        let response = opening.response(protocol, deflate.as_ref());
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        let deflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(response.headers()["sec-websocket-extensions"], deflate);
        assert_eq!(opening.choose_protocol(&["CHAT"]), None);
    }

    #[test]
    fn a_version_other_than_13_is_426_and_told() {
        for version in ["12", "013", "13, 8", ""] {
            assert_eq!(refusal(&[("sec-websocket-version", version)]), Some(Refusal::Version));
        }
        let two = [("sec-websocket-version", "13"), ("sec-websocket-version", "13")];
        assert_eq!(refusal(&two), Some(Refusal::Version));
        let response = Refusal::Version.response();
        assert_eq!(response.status(), 426);
        assert_eq!(response.headers()["sec-websocket-version"], "13");
    }

    #[test]
    fn a_key_is_16_bytes_in_base64() {
        for key in [
            "",
            "AAAA",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ= =",
            "dGhlIHNhbXBsZSBub25jZSE=",
            "dGhlIHNhbXBsZSBub25j*Q==",
        ] {
            assert_eq!(refusal(&[("sec-websocket-key", key)]), Some(Refusal::Key), "{key}");
        }
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        assert_eq!(refusal(&[("sec-websocket-key", key), ("sec-websocket-key", key)]), Some(Refusal::Key));
        assert_eq!(Refusal::Key.status(), 400);
    }

    #[test]
    fn what_is_no_upgrade_is_told_that_it_needs_to_be_one() {
        for changes in [("upgrade", "h2c"), ("connection", "keep-alive"), ("upgrade", ""), ("connection", "upgraded")] {
            assert_eq!(refusal(&[changes]), Some(Refusal::NotAnUpgrade));
        }
        assert_eq!(refusal(&[("upgrade", "h2c, WebSocket")]), None);
        let mut post = request(&[]);
        *post.method_mut() = Method::POST;
        assert_eq!(Opening::of(&post).err(), Some(Refusal::Method));
        let mut old = request(&[]);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(Opening::of(&old).err(), Some(Refusal::NotAnUpgrade));
        assert_eq!(Refusal::NotAnUpgrade.response().headers()["upgrade"], "websocket");
    }

    #[test]
    fn malformed_lists_are_400() {
        for protocols in ["a b", "chat, chat", "a/b", "\"chat\""] {
            assert_eq!(refusal(&[("sec-websocket-protocol", protocols)]), Some(Refusal::Protocols));
        }
        assert_eq!(refusal(&[("sec-websocket-extensions", "permessage-deflate; =")]), Some(Refusal::Extensions));
        assert_eq!(refusal(&[("sec-websocket-protocol", ""), ("sec-websocket-extensions", ", ")]), None);
    }
}
