//! Where a collector takes spans.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::PathAndQuery;

/// The path of the signal (OTLP 1.5, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";

/// The URL of a collector: `http://127.0.0.1:4318`, whose spans go to `/v1/traces`, or one with a path of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

/// The text is no URL of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// There is no TLS here.
    #[error(
        "spans are sent without TLS: name a collector on this machine or its network, as in http://127.0.0.1:4318, which can pass \
         them on by TLS"
    )]
    Tls,
    /// Anything else.
    #[error("write the collector's URL, as in http://127.0.0.1:4318")]
    NotAUrl,
}

/// Where a collector on this machine listens (OTLP 1.5): `http://127.0.0.1:4318`.
impl Default for Endpoint {
    fn default() -> Self {
        Self(Uri::from_static("http://127.0.0.1:4318/v1/traces"))
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let mut parts = text.parse::<Uri>().map_err(|_| EndpointError::NotAUrl)?.into_parts();
        match parts.scheme.as_ref().map(http::uri::Scheme::as_str) {
            Some("http") => {}
            Some("https") => return Err(EndpointError::Tls),
            _ => return Err(EndpointError::NotAUrl),
        }
        if parts.path_and_query.as_ref().is_none_or(|path| path == "/") {
            parts.path_and_query = Some(PathAndQuery::from_static(PATH));
        }
        Uri::from_parts(parts).map(Self).map_err(|_| EndpointError::NotAUrl)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_to_the_path_of_the_protocol_unless_there_is_another() {
        let url = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
        assert_eq!(url("http://127.0.0.1:4318"), Ok("http://127.0.0.1:4318/v1/traces".to_owned()));
        assert_eq!(url("http://[::1]:4318/"), Ok("http://[::1]:4318/v1/traces".to_owned()));
        assert_eq!(url("http://collector/in?a=b"), Ok("http://collector/in?a=b".to_owned()));
        assert_eq!(url("https://collector"), Err(EndpointError::Tls));
        for bad in ["", "127.0.0.1:4318", "/v1/traces", "grpc://x:1", "http://"] {
            assert_eq!(url(bad), Err(EndpointError::NotAUrl), "{bad}");
        }
    }
}
