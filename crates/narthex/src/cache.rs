//! What an app says of caching beside its header fields: HTTP.sys's cache policies.

use std::num::NonZeroU32;
use std::time::Duration;

use http::response::Parts;

/// How long the machine's host may answer with a response again, without asking the app.
///
/// It goes into the response's extensions. The host serves responses from its memory if they have a policy, or if they
/// say `Cache-Control: public` with `max-age` or `s-maxage`; without either they are never cached.
///
/// ```
/// # use std::time::Duration;
/// use narthex::CachePolicy;
///
/// let mut response = http::Response::new("hello");
/// response.extensions_mut().insert(CachePolicy::TimeToLive(Duration::from_secs(60)));
/// ```
///
/// With the default feature `axum` it can also stand in what a handler returns:
///
/// ```
/// # #[cfg(feature = "axum")]
/// async fn hello() -> impl axum::response::IntoResponse {
///     (narthex::CachePolicy::UntilFlushed, "hello")
/// }
/// ```
///
/// It is a wish. The response is sent as ever, and not cached, if the request was not a plain GET (it had a body,
/// `Authorization` or `Range`), if the response has `Set-Cookie`, `Pragma`, `Vary: *` or a `Cache-Control` with `no-store`,
/// `no-cache` or `private`, if it has no known length, or if the cache has no room. A request with `Cookie` neither fills
/// the cache nor is answered from it unless the response says `Cache-Control: public`. What is cached are the bytes that
/// were sent: behind a middleware that changes the body, that is the changed one. If it depends on a request field,
/// say so with `Vary`.
///
/// It is for the host alone and never sent to clients; for their caches there is `Cache-Control`. An
/// [embedded](crate::Provider::embedded) app has no host, and its responses are not cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// Until the app or the operator flushes it, nobody asks for it for some minutes, or the app leaves.
    UntilFlushed,
    /// For this time, counted in whole seconds; less than a second is as good as no policy.
    TimeToLive(Duration),
}

impl CachePolicy {
    /// What the host is told about a response.
    #[cfg_attr(not(any(unix, windows, test)), expect(dead_code, reason = "only a host caches"))]
    pub(crate) fn of(head: &Parts) -> Option<narthex_proto::wire::CachePolicy> {
        head.extensions.get().and_then(|policy: &Self| policy.to_wire())
    }

    /// `None` if it is as good as no policy.
    pub(crate) fn to_wire(self) -> Option<narthex_proto::wire::CachePolicy> {
        match self {
            Self::UntilFlushed => Some(narthex_proto::wire::CachePolicy::UntilFlushed),
            Self::TimeToLive(time) => {
                let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
                NonZeroU32::new(seconds).map(narthex_proto::wire::CachePolicy::TimeToLive)
            }
        }
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponseParts for CachePolicy {
    type Error = std::convert::Infallible;

    fn into_response_parts(
        self,
        mut response: axum::response::ResponseParts,
    ) -> Result<axum::response::ResponseParts, Self::Error> {
        response.extensions_mut().insert(self);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use narthex_proto::wire;

    use super::*;

    fn told(policy: Option<CachePolicy>) -> Option<wire::CachePolicy> {
        let mut response = http::Response::new(());
        if let Some(policy) = policy {
            response.extensions_mut().insert(policy);
        }
        CachePolicy::of(&response.into_parts().0)
    }

    #[test]
    fn the_host_is_told_whole_seconds() {
        let seconds = |seconds| NonZeroU32::new(seconds).map(wire::CachePolicy::TimeToLive);
        assert_eq!(told(None), None);
        assert_eq!(told(Some(CachePolicy::UntilFlushed)), Some(wire::CachePolicy::UntilFlushed));
        assert_eq!(told(Some(CachePolicy::TimeToLive(Duration::from_millis(2_900)))), seconds(2));
        assert_eq!(told(Some(CachePolicy::TimeToLive(Duration::from_millis(900)))), None);
        assert_eq!(told(Some(CachePolicy::TimeToLive(Duration::MAX))), seconds(u32::MAX));
    }

    #[cfg(feature = "axum")]
    #[test]
    fn a_policy_can_stand_in_what_an_axum_handler_returns() {
        use axum::response::IntoResponse as _;
        let response = (CachePolicy::UntilFlushed, "hello").into_response();
        assert_eq!(response.extensions().get(), Some(&CachePolicy::UntilFlushed));
    }
}
