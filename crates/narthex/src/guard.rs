//! What the layers that guard an app have in common: each looks at a request, and lets it through or answers it itself.
//!
//! They are tower layers, and so guard WebSocket handshakes too: a hub's response passes through them as it is.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
#[cfg(any(feature = "api-keys", feature = "auth"))]
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, UPGRADE};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use tower_service::Service;

use crate::request::{ConnectionInfo, client_address};

/// A response instead of the app's.
// Boxed, since it is the rare side of a result.
pub(crate) type Answer = Box<Response<Bytes>>;

/// Decides about requests.
pub(crate) trait Gate<B>: Send + Sync + 'static {
    /// What is remembered until the app has answered.
    type Pass: Send + 'static;

    /// Lets a request through or answers it. Only who answers takes the body.
    fn admit(&self, parts: &mut Parts, body: &mut Option<B>) -> impl Future<Output = Result<Self::Pass, Answer>> + Send;

    /// Adds what is to be added to the app's answer.
    fn finish(&self, pass: Self::Pass, headers: &mut HeaderMap) -> impl Future<Output = ()> + Send {
        let _ = (pass, headers);
        async {}
    }
}

/// A service behind a guard: what the layers of [`auth`](crate::auth), [`limits`](crate::limits), [`api_keys`](crate::api_keys) and
/// [`sessions`](crate::sessions) make of an app. Errors and bodies are the app's.
#[derive(Debug)]
pub struct Guarded<G, S> {
    gate: Arc<G>,
    inner: S,
}

impl<G, S> Guarded<G, S> {
    pub(crate) fn new(gate: Arc<G>, inner: S) -> Self {
        Self { gate, inner }
    }
}

impl<G, S: Clone> Clone for Guarded<G, S> {
    fn clone(&self) -> Self {
        Self { gate: Arc::clone(&self.gate), inner: self.inner.clone() }
    }
}

impl<G, S, B, R> Service<Request<B>> for Guarded<G, S>
where
    G: Gate<B>,
    S: Service<Request<B>, Response = Response<R>, Future: Send> + Clone + Send + 'static,
    B: Send + 'static,
    R: Send,
{
    type Response = Response<Either<R, Full<Bytes>>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gate = Arc::clone(&self.gate);
        // The one that is ready is the one that is called.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let mut body = Some(body);
            let answer = match (gate.admit(&mut parts, &mut body).await, body) {
                (Ok(pass), Some(body)) => {
                    let mut response = inner.call(Request::from_parts(parts, body)).await?;
                    gate.finish(pass, response.headers_mut()).await;
                    return Ok(response.map(Either::Left));
                }
                (Err(answer), _) => answer,
                (Ok(_), None) => status(StatusCode::INTERNAL_SERVER_ERROR, "a guard has taken the body and not answered\n"),
            };
            Ok(answer.map(|text| Either::Right(Full::new(text))))
        })
    }
}

/// A response with a text that people see who look at it.
pub(crate) fn status(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(text.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // Whom it was for and when is all that it depends on.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Box::new(answer)
}

/// The server has too much to do just now.
pub(crate) fn busy(text: &'static str) -> Answer {
    let mut answer = status(StatusCode::SERVICE_UNAVAILABLE, text);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// Where the client is. One of IPv4 on a socket of IPv6 is a client of IPv4.
pub(crate) fn client_ip(extensions: &Extensions) -> Option<IpAddr> {
    client_address(extensions).map(|peer| peer.ip().to_canonical())
}

/// What one client has of addresses: for IPv6, a network of 64 bits.
#[cfg(any(feature = "auth", feature = "rate-limit"))]
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(whole) => std::net::Ipv6Addr::from_bits(whole.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// A network as addresses are compared with it: one of IPv4 that is written as one of IPv6 is one of IPv4.
#[cfg(any(feature = "api-keys", feature = "rate-limit"))]
pub(crate) fn canonical_network(network: ipnet::IpNet) -> ipnet::IpNet {
    let network = network.trunc();
    let ipnet::IpNet::V6(wide) = network else { return network };
    // All of IPv4 in IPv6 is ::ffff:0:0/96.
    let narrow = wide.addr().to_ipv4_mapped().zip(wide.prefix_len().checked_sub(96));
    let narrow = narrow.and_then(|(address, length)| ipnet::Ipv4Net::new(address, length).ok());
    narrow.map_or(network, ipnet::IpNet::V4)
}

/// Whether the client's connection is encrypted, as far as the server tells it.
pub(crate) fn is_encrypted(extensions: &Extensions) -> Option<bool> {
    extensions.get::<ConnectionInfo>().map(|connection| connection.tls)
}

/// Whether a request is the handshake of a WebSocket. Those of HTTP/2 and HTTP/3 look the same.
pub(crate) fn is_web_socket(parts: &Parts) -> bool {
    let mut upgrades = parts.headers.get_all(UPGRADE).iter().filter_map(|value| value.to_str().ok());
    parts.method == Method::GET
        && upgrades.any(|value| value.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket")))
}

/// Whether a browser asks what it may send (CORS). It does so without credentials and without a body, and is not told anything else.
#[cfg(any(feature = "api-keys", feature = "auth"))]
pub(crate) fn is_preflight<B: http_body::Body>(parts: &Parts, body: Option<&B>) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && body.is_none_or(http_body::Body::is_end_stream)
}

/// The answer to a page that has no right to what the browser has added for its visitor.
#[cfg(any(feature = "auth", feature = "sessions"))]
pub(crate) fn foreign() -> Answer {
    let text =
        "pages of other origins may change nothing with what a browser knows of its visitor: the app can list their origins\n";
    status(StatusCode::FORBIDDEN, text)
}

/// The value of a field that is there once and is text.
pub(crate) fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Takes a parameter out of the query, so that nobody behind sees or logs it.
pub(crate) fn take_parameter(parts: &mut Parts, name: &str) -> Option<String> {
    let (uri, token) = without_parameter(&parts.uri, name)?;
    parts.uri = uri;
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(original)) = parts.extensions.get_mut()
        && let Some((uri, _)) = without_parameter(original, name)
    {
        *original = uri;
    }
    token
}

/// A URI without a parameter of its query, and the parameter's value as it was sent.
fn without_parameter(uri: &Uri, name: &str) -> Option<(Uri, Option<String>)> {
    let is_it = |pair: &&str| pair.split_once('=').map_or(*pair, |(known, _)| known) == name;
    let (found, rest): (Vec<_>, Vec<_>) = uri.query()?.split('&').partition(is_it);
    let token = found.first()?.split_once('=').map(|(_, value)| value.to_owned());
    let target = if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), rest.join("&")) };
    let mut split = uri.clone().into_parts();
    split.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Some((Uri::from_parts(split).ok()?, token))
}
