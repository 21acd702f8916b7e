//! `narthex.js`, for pages that use the channel protocol.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::LazyLock;
use std::task::{Context, Poll};

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tower_service::Service;

use super::Hub;

const MODULE: &str = include_str!("../../assets/narthex.js");

/// Names this content: the same on every server that has it.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    // FNV-1a. It is told apart from other versions, not protected against anybody.
    let hash =
        MODULE.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    HeaderValue::try_from(format!("\"{hash:016x}\"")).expect("digits may stand in a header field")
});

/// Gives browsers `narthex.js`.
#[derive(Clone, Copy, Debug)]
pub struct ClientModule(());

impl Hub {
    /// A tower service that gives browsers `narthex.js`, the module for channels, for axum's `Router::route_service`. Nothing
    /// serves it unless it is mounted.
    #[must_use]
    pub fn client_module(&self) -> ClientModule {
        ClientModule(())
    }
}

impl<B> Service<Request<B>> for ClientModule {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(answer(request.method(), request.headers())))
    }
}

fn answer(method: &Method, headers: &HeaderMap) -> Response<String> {
    let mut response = Response::new(String::new());
    if method != Method::GET && method != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    response.headers_mut().insert(ETAG, TAG.clone());
    // It may be kept, and is asked for again: a page and its module change together.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    let is_known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok()).flat_map(|tags| tags.split(','));
    if is_known.map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/").as_bytes() == TAG.as_bytes()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    for (name, value) in
        [(CONTENT_TYPE, "text/javascript; charset=utf-8"), (HeaderName::from_static("x-content-type-options"), "nosniff")]
    {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if method == Method::HEAD {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(MODULE.len()));
    } else {
        response.body_mut().push_str(MODULE);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_given_once_and_asked_for_again() {
        let given = answer(&Method::GET, &HeaderMap::new());
        assert_eq!(
            (given.status(), given.headers()[CONTENT_TYPE].to_str().unwrap()),
            (StatusCode::OK, "text/javascript; charset=utf-8")
        );
        assert!(given.body().contains("export class Client"));
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::try_from(format!("\"x\", W/{}", TAG.to_str().unwrap())).unwrap());
        let again = answer(&Method::GET, &headers);
        assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(again.headers()[ETAG], given.headers()[ETAG]);
        assert_eq!(answer(&Method::POST, &HeaderMap::new()).status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer(&Method::HEAD, &HeaderMap::new()).body(), "");
    }
}
