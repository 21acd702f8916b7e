//! What a request shows of who sends it, and where (RFC 9110 section 11.6.2, RFC 7617, RFC 6750).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::guard::{is_web_socket, single, take_parameter};
use crate::secret::Secret;

/// A sub-protocol that begins so is none, but a token: what a page can send that opens a WebSocket.
pub const TOKEN_PROTOCOL: &str = "narthex.token.";

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a client shows of itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// Nothing.
    None,
    /// Name and password.
    Basic {
        /// The name.
        name: String,
        /// The password.
        password: Secret,
    },
    /// A token: of the field `Authorization`, or where else the app looks for tokens.
    Bearer(Secret),
    /// Another scheme.
    Other {
        /// Its name, in lower case.
        scheme: String,
        /// What follows it.
        value: Secret,
    },
}

/// The field `Authorization` is there and cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Credentials {
    /// What the field `Authorization` says.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Malformed> {
        let Some(text) = single(headers, AUTHORIZATION).map_err(|()| Malformed)? else { return Ok(Self::None) };
        // The scheme is all that comes before the first blank, not a word that is in there somewhere.
        let (scheme, value) = text.split_once(' ').unwrap_or((text, ""));
        let value = value.trim_matches(' ');
        if scheme.eq_ignore_ascii_case("basic") {
            return basic(value);
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            return if is_token(value) { Ok(Self::Bearer(value.into())) } else { Err(Malformed) };
        }
        Ok(Self::Other { scheme: scheme.to_ascii_lowercase(), value: value.into() })
    }
}

fn basic(value: &str) -> Result<Credentials, Malformed> {
    let bytes = zeroize::Zeroizing::new(LENIENT.decode(value).map_err(|_| Malformed)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| Malformed)?;
    // RFC 7617 section 2: only the first colon separates, and there are no control characters.
    let (name, password) = text.split_once(':').filter(|_| !text.contains(char::is_control)).ok_or(Malformed)?;
    Ok(Credentials::Basic { name: name.to_owned(), password: password.into() })
}

/// `b64token` of RFC 6750 section 2.1.
pub(super) fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// Where a page may put a token that opens a WebSocket: it cannot set header fields.
#[derive(Clone, Debug, Default)]
pub(super) struct WebSocketPlaces {
    pub(super) protocol: bool,
    pub(super) query: Option<String>,
}

impl WebSocketPlaces {
    /// Takes a token out of a handshake, so that nobody behind sees or logs it.
    pub(super) fn take(&self, parts: &mut Parts) -> Option<Secret> {
        if !(self.protocol || self.query.is_some()) || !is_web_socket(parts) {
            return None;
        }
        let of_protocol = self.protocol.then(|| take_protocol(&mut parts.headers)).flatten();
        let of_query = self.query.as_deref().and_then(|name| take_parameter(parts, name));
        let of_query = of_query.filter(|token| is_token(token)).map(Secret::from);
        of_protocol.or(of_query)
    }
}

fn take_protocol(headers: &mut HeaderMap) -> Option<Secret> {
    let offered: Vec<_> = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok()).collect();
    let offered = offered.join(",");
    let (tokens, rest): (Vec<_>, Vec<_>) =
        offered.split(',').map(str::trim).filter(|offer| !offer.is_empty()).partition(|offer| offer.starts_with(TOKEN_PROTOCOL));
    let token = tokens.first()?.strip_prefix(TOKEN_PROTOCOL).filter(|token| is_token(token)).map(Secret::from);
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Some(rest) = HeaderValue::try_from(rest.join(", ")).ok().filter(|rest| !rest.is_empty()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, rest);
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use http::Request;

    fn read(field: &str) -> Result<Credentials, Malformed> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, field.parse().unwrap());
        Credentials::of(&headers)
    }

    fn basic_of(text: &str) -> Result<(String, String), Malformed> {
        match read(&format!("basic  {}", STANDARD.encode(text)))? {
            Credentials::Basic { name, password } => Ok((name, password.expose().to_owned())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_first_colon_ends_the_name() {
        assert_eq!(basic_of("ann:a:b:").unwrap(), ("ann".to_owned(), "a:b:".to_owned()));
        assert_eq!(basic_of(":").unwrap(), (String::new(), String::new()));
        assert_eq!(basic_of("änn:pässword").unwrap(), ("änn".to_owned(), "pässword".to_owned()));
        assert_eq!(basic_of("ann"), Err(Malformed));
        assert_eq!(basic_of("ann:\r\n"), Err(Malformed));
        for wrong in ["Basic ???", "Basic", "Basic /w=="] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_scheme_is_the_first_word_and_nothing_else() {
        assert!(matches!(read("BEARER abc.def-_~+/=="), Ok(Credentials::Bearer(token)) if token.expose() == "abc.def-_~+/=="));
        assert!(matches!(read("Digest bearer abc"), Ok(Credentials::Other { scheme, .. }) if scheme == "digest"));
        assert!(matches!(read("abc bearer"), Ok(Credentials::Other { .. })));
        for wrong in ["Bearer", "Bearer a b", "Bearer a,b", "Bearer ="] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_fields_are_one_too_many() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, "Bearer abc".parse().unwrap());
        headers.append(AUTHORIZATION, "Bearer def".parse().unwrap());
        assert_eq!(Credentials::of(&headers).unwrap_err(), Malformed);
    }

    #[test]
    fn nothing_that_is_secret_is_in_debug() {
        let shown = format!("{:?} {:?}", read("Basic YW5uOnNlY3JldA==").unwrap(), read("Bearer secret").unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }

    fn handshake(target: &str, protocols: &str) -> Parts {
        let request = Request::get(target).header("upgrade", "WebSocket").header("sec-websocket-protocol", protocols);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_token_in_a_handshake_is_taken_out_of_it() {
        let places = WebSocketPlaces { protocol: true, query: Some("token".into()) };
        let mut parts = handshake("/ws?a=b&token=abc&c", "chat, narthex.token.def, other");
        assert_eq!(places.take(&mut parts).unwrap().expose(), "def");
        assert_eq!(
            (parts.uri.to_string().as_str(), &parts.headers["sec-websocket-protocol"]),
            ("/ws?a=b&c", &"chat, other".parse::<HeaderValue>().unwrap())
        );
        let mut parts = handshake("/ws?token=abc", "chat");
        assert_eq!(places.take(&mut parts).unwrap().expose(), "abc");
        assert_eq!(parts.uri, "/ws");
    }

    #[test]
    fn other_requests_and_other_settings_leave_tokens_alone() {
        let places = WebSocketPlaces { protocol: true, query: Some("token".into()) };
        let mut parts = Request::get("/ws?token=abc").body(()).unwrap().into_parts().0;
        assert!(places.take(&mut parts).is_none(), "it is no handshake");
        assert_eq!(parts.uri, "/ws?token=abc");
        assert!(WebSocketPlaces::default().take(&mut handshake("/ws?token=abc", "narthex.token.def")).is_none());
    }
}
