//! A span: what is kept of a request, and what OpenTelemetry is told of it (semantic conventions 1.27, "HTTP server span").

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::SystemTime;

use narthex_http::{RequestId, Version};
use narthex_otlp::Batch;
use narthex_otlp::opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use narthex_otlp::opentelemetry::{InstrumentationScope, KeyValue};
use narthex_otlp::opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use narthex_proto::prefix::Scheme;
use narthex_proto::trace::TraceContext;

/// The longest path, in bytes.
pub(super) const LONGEST_PATH: usize = 1024;

/// The name of a method that is none of the usual ones: clients must not be able to make up names of spans.
const OTHER: &str = "_OTHER";
const METHODS: [&str; 10] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"];

/// A request that is recorded.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(super) context: TraceContext,
    /// The client's span.
    pub(super) parent: Option<[u8; 8]>,
    pub(super) method: Box<str>,
    /// Without the query, which may have secrets.
    pub(super) path: Box<str>,
    /// The prefix that it was routed by: its path.
    pub(super) route: Box<str>,
    pub(super) host: Option<Box<str>>,
    pub(super) version: Version,
    pub(super) id: Option<RequestId>,
}

/// One that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(super) begun: Box<Begun>,
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    /// 0 if none was sent.
    pub(super) status: u16,
    /// Why the host ended it, if it did.
    pub(super) reason: Option<&'static str>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) scheme: Scheme,
}

/// Spans that leave a worker together.
#[derive(Debug, Default)]
pub(crate) struct Spans(pub(super) Vec<Finished>);

impl Batch for Spans {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn into_spans(self) -> Vec<SpanData> {
        self.0.into_iter().map(Finished::into_data).collect()
    }
}

impl Finished {
    fn into_data(self) -> SpanData {
        let attributes = self.attributes();
        let context = self.begun.context;
        let method = known(&self.begun.method);
        // The name must have few values: a method that is not known is "HTTP" there.
        let verb = if method == OTHER { "HTTP" } else { method };
        SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(context.trace),
                SpanId::from_bytes(context.span),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: self.begun.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
            parent_span_is_remote: self.begun.parent.is_some(),
            span_kind: SpanKind::Server,
            name: Cow::Owned(format!("{verb} {}", self.begun.route)),
            start_time: self.start,
            end_time: self.end,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if self.failed() { Status::error("") } else { Status::Unset },
            instrumentation_scope: InstrumentationScope::builder("narthex").with_version(env!("CARGO_PKG_VERSION")).build(),
        }
    }

    /// What a client does wrong is no error of the server.
    fn failed(&self) -> bool {
        self.status >= 500 || self.status == 0
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let Begun { method, path, route, host, version, id, .. } = &*self.begun;
        let known = known(method);
        let version = match version {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
            Version::Http3 => "3",
        };
        let text = |key: &'static str, value: &str| KeyValue::new(key, value.to_owned());
        let mut attributes = vec![
            KeyValue::new("http.request.method", known),
            text("url.path", path),
            KeyValue::new("url.scheme", if self.scheme == Scheme::Https { "https" } else { "http" }),
            text("http.route", route),
            KeyValue::new("network.protocol.version", version),
            KeyValue::new("client.address", self.peer.ip().to_string()),
            KeyValue::new("server.port", i64::from(self.local.port())),
        ];
        if known == OTHER {
            attributes.push(text("http.request.method_original", method));
        }
        if let Some(host) = host {
            attributes.push(text("server.address", host));
        }
        if self.status != 0 {
            attributes.push(KeyValue::new("http.response.status_code", i64::from(self.status)));
        }
        if let Some(id) = id {
            attributes.push(text("http.request.header.x-request-id", id.as_str()));
        }
        if let Some(error) = self.error() {
            attributes.push(KeyValue::new("error.type", error));
        }
        attributes
    }

    /// The reason token of the error log, or the status of an app that says itself that it has failed.
    fn error(&self) -> Option<Cow<'static, str>> {
        let status = || self.failed().then(|| Cow::Owned(self.status.to_string()));
        self.reason.map(Cow::Borrowed).or_else(status)
    }
}

fn known(method: &str) -> &'static str {
    METHODS.iter().find(|known| **known == method).copied().unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn finished(method: &str, status: u16, reason: Option<&'static str>) -> Finished {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let begun = Begun {
            context: TraceContext { trace: [1; 16], span: [2; 8], sampled: true },
            parent: Some([3; 8]),
            method: method.into(),
            path: "/shop/x".into(),
            route: "/shop/".into(),
            host: Some("a".into()),
            version: Version::Http11,
            id: RequestId::parse(b"id"),
        };
        let start = SystemTime::UNIX_EPOCH;
        let end = start + Duration::from_millis(5);
        Finished { begun: Box::new(begun), start, end, status, reason, peer: address, local: address, scheme: Scheme::Http }
    }

    fn attribute(span: &SpanData, key: &str) -> Option<String> {
        span.attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|attribute| attribute.value.to_string())
    }

    #[test]
    fn a_span_is_named_by_method_and_route_and_says_what_the_conventions_ask() {
        let span = finished("GET", 200, None).into_data();
        assert_eq!((span.name.as_ref(), span.span_kind.clone(), &span.status), ("GET /shop/", SpanKind::Server, &Status::Unset));
        assert_eq!(span.parent_span_id, SpanId::from_bytes([3; 8]));
        let expected = [
            ("http.request.method", "GET"),
            ("url.path", "/shop/x"),
            ("http.route", "/shop/"),
            ("http.response.status_code", "200"),
            ("server.address", "a"),
            ("network.protocol.version", "1.1"),
            ("http.request.header.x-request-id", "id"),
        ];
        for (key, value) in expected {
            assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
        }
        assert_eq!(attribute(&span, "error.type"), None);
    }

    #[test]
    fn a_method_that_clients_make_up_does_not_become_a_name() {
        let span = finished("X-1", 400, None).into_data();
        assert_eq!(span.name, "HTTP /shop/");
        assert_eq!(attribute(&span, "http.request.method").as_deref(), Some("_OTHER"));
        assert_eq!(attribute(&span, "http.request.method_original").as_deref(), Some("X-1"));
        assert_eq!(span.status, Status::Unset, "what a client does wrong is no error of the server");
    }

    #[test]
    fn errors_have_the_token_of_the_error_log_or_their_status() {
        for (status, reason, error) in
            [(503, Some("QueueFull"), "QueueFull"), (502, None, "502"), (0, Some("Connection_Dropped"), "Connection_Dropped")]
        {
            let span = finished("GET", status, reason).into_data();
            assert_eq!(attribute(&span, "error.type").as_deref(), Some(error));
            assert_eq!(span.status, Status::error(""));
        }
    }
}
