//! Why a request was not forwarded, or has no answer, and what clients are told of it: no more than a status.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Response, StatusCode};

use super::response_body::ResponseBody;
use crate::json_error::json_error;
use crate::{BodyError, BoxError};

/// Why there is no response from a server.
///
/// A hook of [`Forward::after`](super::Forward::after) sees it. Clients get its [`status`](Self::status) and a JSON body that says
/// no more, `{"error":"Bad Gateway"}`: [what all of Narthex's parts answer](crate#errors-that-clients-see). The text of the error is
/// for logs, and names servers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// 404: no route has the path.
    #[error("no route has the path {path}: add one with Forward::route")]
    NoRoute {
        /// The path, after the hook of [`Forward::before`](super::Forward::before).
        path: String,
    },
    /// 400: the path has segments `.` or `..`, which server and proxy might take for different things.
    #[error("the path {path} has dot segments")]
    DotSegments {
        /// The path.
        path: String,
    },
    /// 501: the method is CONNECT, which is not forwarded.
    #[error("CONNECT is not forwarded")]
    Connect,
    /// The request says that it must not be forwarded any further (RFC 9110 section 7.6.2): 204 for OPTIONS, 405 for TRACE.
    #[error("the request's Max-Forwards is 0")]
    MaxForwards {
        /// Of the response.
        status: StatusCode,
    },
    /// 508: the request has been here before.
    #[error("the request has been here before: a server to which it was forwarded has sent it back")]
    Loop,
    /// 503, with `Retry-After`: no server is well, or the circuit breaker is open.
    #[error("no server gets requests at the moment: they failed too often, or fail their health checks")]
    Unavailable {
        /// When one might.
        retry_after: Duration,
    },
    /// 502: no connection to the server can be had.
    #[error("cannot connect to {server}: {source}")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why.
        source: BoxError,
    },
    /// 504: the server does not take the connection in time.
    #[error("cannot connect to {server}: it does not answer in time (Upstream::connect_timeout)")]
    ConnectTimeout {
        /// Its address.
        server: String,
    },
    /// 504: the response has not begun in time.
    #[error("{server} has not answered in time (Upstream::head_timeout)")]
    HeadTimeout {
        /// Its address.
        server: String,
    },
    /// 502: the connection broke before the response began, or what came is no HTTP.
    #[error("{server} gave no valid response: {source}")]
    BadResponse {
        /// Its address.
        server: String,
        /// What was wrong.
        source: BoxError,
    },
    /// 502: the server has switched to a protocol that nobody asked for.
    #[error("{server} has switched protocols without being asked to, or to another one")]
    UnaskedUpgrade {
        /// Its address.
        server: String,
    },
    /// 502: an upgrade, and the upstream is set to HTTP/2.
    #[error("an upgrade cannot be forwarded over HTTP/2: take Upstream::http2 away where WebSockets are")]
    UpgradeOverHttp2,
    /// 400: the client has not sent all of the request's body.
    #[error("the client broke off the request's body")]
    RequestBody {
        /// What was wrong.
        source: BoxError,
    },
    /// 413: the request's body is longer than the app's server, or a layer before this service, allows.
    #[error("the request's body is longer than is allowed: Server::max_body sets that, or a layer of the app")]
    RequestTooLarge,
    /// 408: the client has stopped in the middle of the request's body, while the server was ready for more.
    #[error("the client has stopped sending the request's body")]
    RequestTimeout,
    /// 400: what the request is made of after the hook is no URL.
    #[error("the path and query for the server cannot be in a URL")]
    BadTarget,
}

impl ForwardError {
    /// What clients get.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute { .. } => StatusCode::NOT_FOUND,
            Self::DotSegments { .. } | Self::RequestBody { .. } | Self::BadTarget => StatusCode::BAD_REQUEST,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Connect => StatusCode::NOT_IMPLEMENTED,
            Self::MaxForwards { status } => *status,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectTimeout { .. } | Self::HeadTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable { .. } | Self::BadResponse { .. } | Self::UnaskedUpgrade { .. } | Self::UpgradeOverHttp2 => {
                StatusCode::BAD_GATEWAY
            }
        }
    }

    /// The response that clients get if no hook makes another one.
    #[must_use]
    pub fn response(&self) -> Response<ResponseBody> {
        let status = self.status();
        if status == StatusCode::NO_CONTENT {
            let mut response = Response::new(ResponseBody::empty());
            *response.status_mut() = status;
            return response;
        }
        let mut response = json_error(status);
        if let Self::Unavailable { retry_after } = self {
            // Rounded up: who comes back at the very second is not too early.
            let seconds = retry_after.as_secs().saturating_add(u64::from(retry_after.subsec_nanos() > 0)).max(1);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }

    /// The request's body has failed, on the client's side.
    pub(super) fn of_request_body(why: Option<BodyError>, source: BoxError) -> Self {
        match why {
            Some(BodyError::TooLarge) => Self::RequestTooLarge,
            Some(BodyError::TimedOut) => Self::RequestTimeout,
            _ => Self::RequestBody { source },
        }
    }

    /// Whether it says nothing about the servers: it is the request's own fault, or the settings'.
    pub(super) fn is_not_the_servers(&self) -> bool {
        self.status().is_client_error() || matches!(self, Self::UpgradeOverHttp2)
    }

    /// Whether it is worth a line in the log: not where it is the client's own doing.
    pub(super) fn is_for_operators(&self) -> bool {
        self.status().is_server_error() && !matches!(self, Self::Connect)
    }
}
