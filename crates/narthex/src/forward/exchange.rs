//! One request on its way through: judged, changed, sent, and its answer changed and passed on.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, MAX_FORWARDS, UPGRADE};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::Settings;
use super::attempt::{self, Answer, Outbound};
use super::error::ForwardError;
use super::fields::{self, Client};
use super::hooks::{Before, Forwarded};
use super::outgoing::Outgoing;
use super::response_body::{ResponseBody, Streamed};
use super::route::{has_dot_segment, plainly_spelled};
use super::server::InFlight;
use super::tunnel;
use super::upstream::{Inner, Upstream};
use crate::BoxError;
use crate::request::PathBase;

/// Forwards a request. There is always a response.
pub(super) async fn forward<B>(settings: Arc<Settings>, mut request: Request<B>) -> Response<ResponseBody>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let upgrade = tunnel::Asked::take(&mut request);
    let (parts, body) = request.into_parts();
    let about = Forwarded { method: parts.method.clone(), uri: parts.uri.clone() };
    let sent = match prepared(&settings, parts, Outgoing::new(body), upgrade.as_ref()).await {
        Ok(Prepared::Refused(response)) => return response,
        Ok(Prepared::Ready(upstream, outbound)) => sent(&upstream, outbound).await,
        Err(error) => Err(error),
    };
    let (outcome, switched) = match sent {
        Ok((response, switched)) => (Ok(response), switched),
        Err(error) => {
            if error.is_for_operators() {
                tracing::warn!(method = %about.method, "a request was not forwarded: {error}");
            }
            (Err(error), None)
        }
    };
    let response = match (&settings.after, outcome) {
        (Some(after), outcome) => after(about, outcome).await,
        (None, Ok(response)) => response,
        (None, Err(error)) => error.response(),
    };
    match (switched, upgrade) {
        // A hook may have made something else of it.
        (Some(switched), Some(upgrade)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            upgrade.connect(switched.server, switched.idle, switched.in_flight);
            response
        }
        _ if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            tracing::error!("a hook of Forward::after made a 101 of a response that was none");
            let mut response = Response::new(ResponseBody::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
        _ => response,
    }
}

/// What became of a request before it was sent.
enum Prepared {
    Refused(Response<ResponseBody>),
    Ready(Arc<Inner>, Outbound),
}

/// Everything that is done to a request before it is sent.
async fn prepared(
    settings: &Settings,
    mut parts: Parts,
    body: Outgoing,
    upgrade: Option<&tunnel::Asked>,
) -> Result<Prepared, ForwardError> {
    if parts.method == Method::CONNECT {
        return Err(ForwardError::Connect);
    }
    if fields::was_here(&parts.headers, &settings.pseudonym) {
        return Err(ForwardError::Loop);
    }
    count_down(&parts.method, &mut parts.headers)?;
    if has_dot_segment(parts.uri.path()) {
        return Err(ForwardError::DotSegments { path: parts.uri.path().to_owned() });
    }
    let wants_trailers = fields::wants_trailers(&parts.headers);
    let expects = fields::elements(&parts.headers, &EXPECT).any(|expectation| expectation.eq_ignore_ascii_case("100-continue"));
    parts.headers.remove(EXPECT);
    fields::strip_hop_by_hop(&mut parts.headers);
    let host = host(&parts.headers, &parts.uri);
    if let Some(host) = &host {
        parts.headers.insert(HOST, host.clone());
    }
    Client::of(&parts.extensions).write(&mut parts.headers, host.as_ref(), &settings.trusted_proxies, settings.forwarded);
    fields::write_prefix(&mut parts.headers, &outer_prefix(&parts.extensions, &parts.uri));
    fields::write_via(&mut parts.headers, parts.version, &settings.pseudonym);
    if let Some(path) = plainly_spelled(parts.uri.path()) {
        parts.uri = with_path(parts.uri, &path).ok_or(ForwardError::BadTarget)?;
    }

    if let Some(before) = &settings.before {
        parts = match before(parts).await {
            Before::Go(parts) => *parts,
            Before::Refuse(response) => return Ok(Prepared::Refused(*response)),
        };
        // A hook does not decide how messages are framed.
        fields::strip_hop_by_hop(&mut parts.headers);
    }
    let host_override = parts.headers.remove(HOST).filter(|now| Some(now) != host.as_ref());
    let asked_host = host_override.as_ref().or(host.as_ref());
    let path = parts.uri.path();
    let (upstream, path, stripped) = match parts.extensions.get::<Upstream>() {
        Some(chosen) => (chosen, path.to_owned(), String::new()),
        None => {
            let found = settings.routes.find(asked_host, path);
            let found = found.ok_or_else(|| ForwardError::NoRoute { path: path.to_owned() })?;
            (found.upstream, found.path, found.stripped)
        }
    };
    fields::write_prefix(&mut parts.headers, &stripped);
    let outbound = Outbound {
        control: parts.extensions.get().cloned(),
        path,
        query: parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default(),
        method: parts.method,
        headers: parts.headers,
        host,
        host_override,
        wants_trailers,
        expects,
        upgrade: upgrade.map(|asked| asked.protocol.clone()),
        body,
    };
    Ok(Prepared::Ready(Arc::clone(&upstream.0), outbound))
}

fn with_path(uri: Uri, path: &str) -> Option<Uri> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(format!("{path}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// RFC 9110 section 7.6.2: of OPTIONS and TRACE, clients say how far they may go.
fn count_down(method: &Method, headers: &mut HeaderMap) -> Result<(), ForwardError> {
    if *method != Method::OPTIONS && *method != Method::TRACE {
        return Ok(());
    }
    let left = headers.get(MAX_FORWARDS).and_then(|left| left.to_str().ok()).and_then(|left| left.parse::<u32>().ok());
    match left {
        None => Ok(()),
        Some(0) if *method == Method::OPTIONS => Err(ForwardError::MaxForwards { status: StatusCode::NO_CONTENT }),
        Some(0) => Err(ForwardError::MaxForwards { status: StatusCode::METHOD_NOT_ALLOWED }),
        Some(left) => {
            headers.insert(MAX_FORWARDS, (left - 1).into());
            Ok(())
        }
    }
}

/// What the client has asked for. What is in the URI goes before the field (RFC 9112 section 3.2.2, RFC 9113 section 8.3.1).
fn host(headers: &HeaderMap, uri: &Uri) -> Option<HeaderValue> {
    let in_uri = uri.authority().map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default());
    let in_uri = in_uri.and_then(|host| HeaderValue::from_str(host).ok());
    in_uri.or_else(|| headers.get(HOST).filter(|host| !host.is_empty()).cloned())
}

/// What prefixes of the server and routers of the app have taken of the path.
fn outer_prefix(extensions: &Extensions, uri: &Uri) -> String {
    #[cfg(feature = "axum")]
    if let Some(original) = extensions.get::<axum::extract::OriginalUri>() {
        let (original, seen) = (original.0.path(), uri.path());
        let prefix = original.strip_suffix(seen).or_else(|| original.strip_suffix(seen.trim_end_matches('/')));
        if let Some(prefix) = prefix {
            return prefix.to_owned();
        }
    }
    let _ = uri;
    PathBase::of(extensions).as_str().to_owned()
}

/// A connection that a server has given up to another protocol.
struct Switched {
    server: OnUpgrade,
    idle: std::time::Duration,
    in_flight: InFlight,
}

/// Sends a request, and makes of the answer what goes to the client.
async fn sent(upstream: &Arc<Inner>, outbound: Outbound) -> Result<(Response<ResponseBody>, Option<Switched>), ForwardError> {
    let (asked, is_head) = (outbound.upgrade.clone(), outbound.method == Method::HEAD);
    let mut answer = attempt::send(upstream, outbound).await?;
    let settings = &upstream.settings;
    if answer.response.status() != StatusCode::SWITCHING_PROTOCOLS {
        fields::strip_hop_by_hop(answer.response.headers_mut());
        let Answer { response, server, lease, in_flight, progress } = answer;
        let (mut parts, incoming) = cleaned(response).into_parts();
        if incoming.size_hint().exact().is_none() {
            // The server has sent `Transfer-Encoding` too, which goes before it (RFC 9112 section 6.3).
            parts.headers.remove(CONTENT_LENGTH);
        }
        let of_unknown_length = is_head && !parts.headers.contains_key(CONTENT_LENGTH);
        let streamed = Streamed {
            incoming,
            of_unknown_length,
            lease: Some(lease),
            server,
            in_flight: Some(in_flight),
            progress,
            limit: settings.body_timeout,
            most_idle: settings.idle_connections,
            timer: None,
            waiting: false,
        };
        return Ok((Response::from_parts(parts, ResponseBody::streamed(streamed)), None));
    }
    let response = &mut answer.response;
    let Some(protocol) = asked.filter(|asked| tunnel::Asked::is_answered_by(asked, response.headers())) else {
        answer.server.failed();
        return Err(ForwardError::UnaskedUpgrade { server: answer.server.address.to_string() });
    };
    let switched_to = response.headers().get(UPGRADE).cloned().unwrap_or(protocol);
    fields::strip_hop_by_hop(response.headers_mut());
    response.headers_mut().insert(UPGRADE, switched_to);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    let server = hyper::upgrade::on(&mut *response);
    let switched = Switched { server, idle: settings.tunnel_timeout, in_flight: answer.in_flight };
    Ok((cleaned(answer.response).map(|_| ResponseBody::empty()), Some(switched)))
}

/// What hyper knows of the connection is not the client's.
fn cleaned(mut response: Response<Incoming>) -> Response<Incoming> {
    response.extensions_mut().clear();
    response
}
