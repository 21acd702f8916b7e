//! What becomes of the app's prefix in the paths of requests that are forwarded.

use axum::extract::OriginalUri;
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use narthex::PathBase;
use narthex::forward::ResponseBody;

/// The path as the client has sent it. `Forward` writes X-Forwarded-Prefix of what the two paths differ by: nothing.
pub(crate) fn put_back(parts: &mut Parts) {
    if let Some(OriginalUri(original)) = parts.extensions.get() {
        parts.uri = original.clone();
    }
}

/// `/blog/` for the prefix without its last slash: the program would take it for its root, whose relative links lead out of the prefix
/// there. `None`: the path is another one.
pub(crate) fn inside(parts: &Parts) -> Option<String> {
    let OriginalUri(original) = parts.extensions.get()?;
    let base = PathBase::of(&parts.extensions);
    if !parts.method.is_safe() || base.as_str().is_empty() || original.path() != base.as_str() {
        return None;
    }
    let query = original.query().map(|query| format!("?{query}")).unwrap_or_default();
    // Two slashes at the beginning would name another host.
    Some(format!("/{}/{query}", base.as_str().trim_start_matches('/')))
}

/// Sends the client there.
pub(crate) fn moved(to: &str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    if let Ok(to) = HeaderValue::from_str(to) {
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, to);
    }
    response
}
