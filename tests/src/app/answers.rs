//! Answers as the request asks for them, each with its number: one that comes from a cache has the number of an earlier one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use narthex::CachePolicy;

use super::bodies::Dripping;

/// How many answers were given.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(Arc<AtomicU64>);

impl Answers {
    /// The handler. Its query has `status`, `header` (a whole line; may be repeated), `policy` (`flush`, or seconds), `ms` (how
    /// long it takes), and for the body: `size` in bytes, all of them the number again and again, or `drip` pieces of `size` bytes
    /// `x` each, which `breaks` off.
    pub(super) async fn answer(self, Query(query): Query<Vec<(String, String)>>, request: Request) -> Response {
        let values = |name: &'static str| query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str());
        let number = |name| values(name).next().and_then(|value| value.parse::<u64>().ok());
        let method = request.method().clone();
        if method != Method::GET && super::drain(request.into_body()).await.is_err() {
            return Response::default();
        }
        let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(ms) = number("ms") {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        let size = number("size");
        let mut response = Response::new(match number("drip") {
            Some(pieces) => {
                let dripping = Dripping::new(pieces, size.unwrap_or(1), Duration::from_millis(5));
                Body::new(if values("breaks").next().is_some() { dripping.breaking_off() } else { dripping })
            }
            None => Body::from(numbered(count, size.unwrap_or(8))),
        });
        let status = number("status").and_then(|status| u16::try_from(status).ok());
        *response.status_mut() = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert("x-count", HeaderValue::from(count));
        for line in values("header") {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.trim().parse()) {
                headers.append(name, value);
            }
        }
        match values("policy").next() {
            Some("flush") => drop(response.extensions_mut().insert(CachePolicy::UntilFlushed)),
            Some(seconds) => {
                let seconds = Duration::from_secs(seconds.parse().unwrap_or(0));
                response.extensions_mut().insert(CachePolicy::TimeToLive(seconds));
            }
            None => {}
        }
        response
    }
}

fn numbered(count: u64, size: u64) -> Vec<u8> {
    let number = format!("{count:07}\n").into_bytes();
    number.into_iter().cycle().take(usize::try_from(size).unwrap_or(0)).collect()
}
