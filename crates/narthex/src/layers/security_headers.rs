//! A layer that tells browsers what they may not do with a response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{CACHE_CONTROL, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::ConnectionInfo;

/// A layer that adds header fields to responses: `X-Content-Type-Options: nosniff`, `X-Frame-Options: DENY` and
/// `Referrer-Policy: strict-origin-when-cross-origin`, and more if asked to.
///
/// A field that the app has set itself is left as it is, and is not there twice. Values are `http::HeaderValue`s, which cannot hold
/// a line end: neither here nor in a handler can a value end its field or the response.
///
/// ```
/// # use std::time::Duration;
/// # use http::HeaderValue;
/// # fn app() -> axum::Router {
/// let headers = narthex::SecurityHeaders::new()
///     .no_store()
///     .strict_transport_security(Duration::from_secs(365 * 24 * 3600), true)
///     .field(http::header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'self'"));
/// axum::Router::new().route("/", axum::routing::get(|| async { "safe" })).layer(headers)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SecurityHeaders(Arc<Fields>);

#[derive(Clone, Debug)]
struct Fields {
    always: Vec<(HeaderName, HeaderValue)>,
    over_tls: Option<HeaderValue>,
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        let always = vec![
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
            (REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin")),
        ];
        Self(Arc::new(Fields { always, over_tls: None }))
    }
}

impl SecurityHeaders {
    /// The three fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `Cache-Control: no-store`: nobody keeps the response.
    #[must_use]
    pub fn no_store(self) -> Self {
        self.field(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// Adds `Strict-Transport-Security` to responses over TLS (RFC 6797): for so long browsers come by TLS only, to all names
    /// under this one too if `subdomains` says so. Whole seconds.
    ///
    /// Whether a client has come by TLS is in the request's [`ConnectionInfo`], so this needs
    /// [`Server::connection_info`](crate::Server::connection_info), and does nothing without. To forget it takes browsers as long as it
    /// says: begin with minutes.
    #[must_use]
    pub fn strict_transport_security(mut self, max_age: Duration, subdomains: bool) -> Self {
        let subdomains = if subdomains { "; includeSubDomains" } else { "" };
        let value = HeaderValue::from_str(&format!("max-age={}{subdomains}", max_age.as_secs()));
        Arc::make_mut(&mut self.0).over_tls = value.ok();
        self
    }

    /// Adds another field, or changes what one is to be.
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        let fields = &mut Arc::make_mut(&mut self.0).always;
        fields.retain(|(known, _)| *known != name);
        fields.push((name, value));
        self
    }

    /// Leaves a field out.
    #[must_use]
    pub fn without(mut self, name: &HeaderName) -> Self {
        Arc::make_mut(&mut self.0).always.retain(|(known, _)| known != name);
        self
    }
}

impl Fields {
    fn add(&self, headers: &mut HeaderMap, tls: bool) {
        for (name, value) in &self.always {
            if !headers.contains_key(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
        if let Some(value) = self.over_tls.as_ref().filter(|_| tls && !headers.contains_key(STRICT_TRANSPORT_SECURITY)) {
            headers.insert(STRICT_TRANSPORT_SECURITY, value.clone());
        }
    }
}

impl<S> Layer<S> for SecurityHeaders {
    type Service = SecurityHeadersService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SecurityHeadersService { inner, fields: Arc::clone(&self.0) }
    }
}

/// The service that [`SecurityHeaders`] makes.
#[derive(Clone, Debug)]
pub struct SecurityHeadersService<S> {
    inner: S,
    fields: Arc<Fields>,
}

impl<S, A, B> Service<Request<A>> for SecurityHeadersService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Adding<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let tls = request.extensions().get::<ConnectionInfo>().is_some_and(|known| known.tls);
        Adding { future: self.inner.call(request), fields: Arc::clone(&self.fields), tls }
    }
}

pin_project! {
    /// A response that will have the fields.
    #[derive(Debug)]
    pub struct Adding<F> {
        #[pin]
        future: F,
        fields: Arc<Fields>,
        tls: bool,
    }
}

impl<F, B, E> Future for Adding<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(cx));
        if let Ok(response) = &mut response {
            this.fields.add(response.headers_mut(), *this.tls);
        }
        Poll::Ready(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(headers: &SecurityHeaders, own: &[(HeaderName, &'static str)], tls: bool) -> Vec<String> {
        let mut map: HeaderMap = own.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        headers.0.add(&mut map, tls);
        let mut lines: Vec<_> = map.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn three_fields_are_added_and_what_the_app_has_set_stays() {
        let own = [(X_FRAME_OPTIONS, "SAMEORIGIN")];
        assert_eq!(
            added(&SecurityHeaders::new(), &own, false),
            [
                "referrer-policy: strict-origin-when-cross-origin",
                "x-content-type-options: nosniff",
                "x-frame-options: SAMEORIGIN"
            ]
        );
    }

    #[test]
    fn others_are_there_if_asked_for_and_hsts_over_tls_only() {
        let headers = SecurityHeaders::new()
            .without(&X_FRAME_OPTIONS)
            .without(&REFERRER_POLICY)
            .no_store()
            .field(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("x"))
            .strict_transport_security(Duration::from_secs(60), true);
        assert_eq!(added(&headers, &[], false), ["cache-control: no-store", "x-content-type-options: x"]);
        assert_eq!(added(&headers, &[], true)[1], "strict-transport-security: max-age=60; includeSubDomains");
        assert_eq!(added(&headers, &[(CACHE_CONTROL, "private")], false)[0], "cache-control: private");
    }

    #[test]
    fn no_value_can_hold_a_line_end() {
        for value in ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b"] {
            assert!(HeaderValue::from_str(value).is_err(), "{value:?}");
        }
    }
}
