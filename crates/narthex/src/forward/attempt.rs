//! Sending one request to an upstream: which server, over which connection, and what happens if that goes wrong.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::connect::{ConnectError, connect};
use super::error::ForwardError;
use super::fields;
use super::moment::now;
use super::outgoing::{Outgoing, Progress};
use super::pool::Lease;
use super::server::{InFlight, Server};
use super::upstream::{HostPolicy, Inner};
use crate::{BoxError, RequestControl};

/// A request, ready but for what depends on the server and the connection.
pub(super) struct Outbound {
    pub(super) method: Method,
    /// Behind the base of the server's address. Begins with a slash, or is empty.
    pub(super) path: String,
    /// With its question mark, or empty.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// What the client has sent.
    pub(super) host: Option<HeaderValue>,
    /// What a hook wants, whatever the upstream's policy is.
    pub(super) host_override: Option<HeaderValue>,
    pub(super) wants_trailers: bool,
    /// The client waits to be told that its body is wanted.
    pub(super) expects: bool,
    pub(super) upgrade: Option<HeaderValue>,
    /// Who is told of the server's interim responses.
    pub(super) control: Option<RequestControl>,
    pub(super) body: Outgoing,
}

/// A server's answer, and what is bound to it.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) server: Arc<Server>,
    pub(super) lease: Lease,
    pub(super) in_flight: InFlight,
    pub(super) progress: Arc<Progress>,
}

/// Statuses that say that a server is not well.
pub(super) fn is_failure(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// Sends a request, and again where that is harmless and may help.
pub(super) async fn send(upstream: &Arc<Inner>, mut outbound: Outbound) -> Result<Answer, ForwardError> {
    upstream.start_checks();
    let passage = match &upstream.circuit {
        Some(circuit) => Some(circuit.enter().map_err(|retry_after| ForwardError::Unavailable { retry_after })?),
        None => None,
    };
    let outcome = attempts(upstream, &mut outbound).await;
    if let Some(passage) = passage {
        match &outcome {
            Ok(answer) => passage.ended(is_failure(answer.response.status())),
            Err(error) if error.is_not_the_servers() => {}
            Err(_) => passage.ended(true),
        }
    }
    outcome
}

/// Why an attempt has come to nothing.
struct Failed {
    error: ForwardError,
    /// Another attempt is harmless.
    again: bool,
    /// The connection was an old one, and nobody knows how the server is.
    stale: bool,
}

async fn attempts(upstream: &Arc<Inner>, outbound: &mut Outbound) -> Result<Answer, ForwardError> {
    if outbound.upgrade.is_some() && upstream.settings.http2_only {
        return Err(ForwardError::UpgradeOverHttp2);
    }
    let mut tried = Vec::new();
    let mut retries = upstream.settings.retries;
    let mut last = None;
    loop {
        let server = match (upstream.choose(&tried), last.take()) {
            (Ok(server), None) => server,
            // The only server, and it cannot be connected to: it would say the same again.
            (Ok(server), Some(error @ (ForwardError::Unreachable { .. } | ForwardError::ConnectTimeout { .. })))
                if tried.contains(&server.id) =>
            {
                return Err(error);
            }
            (Ok(server), Some(_)) => server,
            (Err(_), Some(error)) => return Err(error),
            (Err(retry_after), None) => return Err(ForwardError::Unavailable { retry_after }),
        };
        let mut fresh = false;
        let failed = loop {
            match attempt(upstream, server, outbound, fresh).await {
                Ok(answer) => return Ok(answer),
                // What is learned of an old connection is that it is old.
                Err(failed) if failed.stale && failed.again && !fresh => fresh = true,
                Err(failed) => break failed,
            }
        };
        if !failed.again || retries == 0 {
            return Err(failed.error);
        }
        tracing::debug!("sending a request again: {}", failed.error);
        retries -= 1;
        tried.push(server.id);
        last = Some(failed.error);
    }
}

/// One attempt. The body is taken out of `outbound`, and put back if nothing was sent.
async fn attempt(upstream: &Arc<Inner>, server: &Arc<Server>, outbound: &mut Outbound, fresh: bool) -> Result<Answer, Failed> {
    let in_flight = server.begin();
    let name = || server.address.to_string();
    let only_http1 = outbound.upgrade.is_some();
    let open = if fresh { None } else { Lease::of_this_thread(server, only_http1) };
    let mut lease = match open {
        Some(lease) => lease,
        None => connect(upstream, server, only_http1).await.map_err(|error| {
            server.failed();
            let error = match error {
                ConnectError::TimedOut => ForwardError::ConnectTimeout { server: name() },
                ConnectError::Failed(source) => ForwardError::Unreachable { server: name(), source },
            };
            Failed { error, again: true, stale: false }
        })?,
    };
    let reused = lease.reused;
    let bodiless = outbound.body.is_empty();
    let request = request(upstream, server, outbound, lease.is_http2());
    let request = request.ok_or(Failed { error: ForwardError::BadTarget, again: false, stale: false })?;
    let progress = request.body().progress();
    let limit = upstream.settings.head_timeout;
    let sent = {
        let mut sending = pin!(lease.send(request));
        let begun = now();
        let mut deadline = Instant::now() + limit;
        loop {
            tokio::select! {
                sent = &mut sending => break Some(sent),
                () = sleep_until(deadline) => {
                    // While the body goes on, the server is not to blame for answering last.
                    let quiet = Duration::from_millis(now().saturating_sub(progress.last().max(begun)));
                    match limit.checked_sub(quiet).filter(|left| !left.is_zero()) {
                        Some(left) => deadline = Instant::now() + left,
                        None => break None,
                    }
                }
            }
        }
    };
    match sent {
        Some(Ok(response)) => {
            if is_failure(response.status()) {
                server.failed()
            } else {
                server.succeeded()
            }
            Ok(Answer { response, server: Arc::clone(server), lease, in_flight, progress })
        }
        Some(Err(mut failed)) => {
            let unsent = failed.take_message();
            // One that cannot be read is an answer.
            let lost = bodiless && outbound.method.is_idempotent() && !failed.error().is_parse();
            let again = unsent.is_some() || lost;
            if let Some(request) = unsent {
                outbound.body = request.into_body();
            }
            let source: BoxError = failed.into_error().into();
            if progress.has_failed() {
                let error = ForwardError::of_request_body(progress.failure(), source);
                return Err(Failed { error, again: false, stale: false });
            }
            if !reused {
                server.failed();
            }
            Err(Failed { error: ForwardError::BadResponse { server: name(), source }, again, stale: reused })
        }
        // The server has nothing to answer yet.
        None if progress.awaits_client() => Err(Failed { error: ForwardError::RequestTimeout, again: false, stale: false }),
        None => {
            server.failed();
            Err(Failed { error: ForwardError::HeadTimeout { server: name() }, again: false, stale: false })
        }
    }
}

/// The request as it goes to this server over a connection of this kind. `None`: there is no such URL.
fn request(upstream: &Inner, server: &Server, outbound: &mut Outbound, http2: bool) -> Option<Request<Outgoing>> {
    let address = &server.address;
    let mut headers = outbound.headers.clone();
    let host = match upstream.host_policy(server) {
        _ if outbound.host_override.is_some() => outbound.host_override.as_ref(),
        HostPolicy::Client => outbound.host.as_ref(),
        HostPolicy::Server => None,
    };
    let host = host.unwrap_or(&address.authority);
    let path = match (address.base.as_str(), outbound.path.as_str()) {
        ("", "") => "/",
        (_, path) => path,
    };
    let target = format!("{}{path}{}", address.base, outbound.query);
    let mut body = std::mem::take(&mut outbound.body);
    if body.is_empty() {
        body = Outgoing::empty();
    }
    // Framing is the connection's, but for what hyper does not write itself. Servers may insist on a POST that says that it has no
    // body (RFC 9110 section 8.6). A body of unknown length is chunked whatever the method is.
    if headers.remove(CONTENT_LENGTH).is_some() && body.is_empty() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if body.size_hint().exact().is_none() && !http2 {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut options = Vec::new();
    if outbound.wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        options.push("te");
    }
    let mut wanted = None;
    if outbound.expects && !body.is_empty() && !http2 {
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        let notify = Arc::new(Notify::new());
        body.hold_until(Arc::clone(&notify));
        wanted = Some(notify);
    }
    if let Some(protocol) = &outbound.upgrade {
        headers.insert(UPGRADE, protocol.clone());
        options.push("upgrade");
    }
    let uri = if http2 {
        let scheme = if address.tls { "https" } else { "http" };
        Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(target).build().ok()?
    } else {
        if !options.is_empty() {
            headers.insert(CONNECTION, HeaderValue::from_str(&options.join(", ")).ok()?);
        }
        fields::join_cookies(&mut headers);
        headers.insert(HOST, host.clone());
        target.parse().ok()?
    };
    let mut request = Request::new(body);
    *request.method_mut() = outbound.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    *request.headers_mut() = headers;
    let control = outbound.control.clone();
    if wanted.is_some() || control.is_some() {
        hyper::ext::on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                wanted.iter().for_each(|wanted| wanted.notify_one());
            } else if let Some(control) = &control {
                let mut headers = response.headers().clone();
                fields::strip_hop_by_hop(&mut headers);
                // What the client's server does not send is not needed for the response.
                let _ = control.inform(response.status(), headers);
            }
        });
    }
    Some(request)
}
