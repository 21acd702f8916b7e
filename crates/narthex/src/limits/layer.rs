//! The layer that counts requests, and the header fields that tell clients of it (draft-ietf-httpapi-ratelimit-headers-11).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use tower_layer::Layer;

use super::addresses::IpList;
use super::limiter::{Limit, Limiter, Taken, TooMany, key, of_address};
use super::store::Key;
use crate::guard::{Answer, Gate, Guarded, client_ip, status};
use crate::identity::Identity;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A layer that answers 429 to clients that send too much. Several can be around an app, each with a limit of its own.
///
/// Responses say in `RateLimit` and `RateLimit-Policy` how much is left, those with 429 in `Retry-After` when there is more. What is
/// refused does not count.
#[derive(Clone)]
#[must_use = "it guards nothing until it is a layer of an app"]
pub struct RateLimit {
    limiter: Limiter,
    by: By,
    name: &'static str,
    exempt: Option<IpList>,
    only: Option<Condition>,
    policy: HeaderValue,
}

type Condition = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;
type Naming = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;

#[derive(Clone)]
enum By {
    Ip,
    Identity,
    ApiKey,
    Route,
    Custom(Naming),
}

impl RateLimit {
    /// For each address; for IPv6, each network of 64 bits, since that is what one client has. It belongs outermost.
    pub fn per_ip(limit: Limit) -> Self {
        Self::new(limit, By::Ip, "ip")
    }

    /// For each [`Identity`], and each address without one. It belongs inside of the layer that finds out who it is. Who has the same
    /// name is the same, whichever way they have shown it; where names of different sources mean different people, [`by`](Self::by)
    /// tells them apart.
    pub fn per_identity(limit: Limit) -> Self {
        Self::new(limit, By::Identity, "identity")
    }

    /// For each API key, and each address without one. It belongs inside of the layer that checks keys.
    pub fn per_api_key(limit: Limit) -> Self {
        Self::new(limit, By::ApiKey, "api-key")
    }

    /// For each route, whoever sends: with the feature `axum` the pattern of a `route_layer`, else the path.
    pub fn per_route(limit: Limit) -> Self {
        Self::new(limit, By::Route, "route")
    }

    /// For each text that `name` gives; for requests to which it gives none there is no limit.
    pub fn by(limit: Limit, name: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::new(limit, By::Custom(Arc::new(name)), "custom")
    }

    fn new(limit: Limit, by: By, name: &'static str) -> Self {
        let policy = HeaderValue::from_static("");
        Self { limiter: Limiter::new(limit), by, name, exempt: None, only: None, policy }.named(name)
    }

    /// What the header fields call the limit. Default: `ip`, `identity`, `api-key`, `route` or `custom`.
    ///
    /// # Panics
    /// If it has other characters than letters, digits and `-`.
    #[track_caller]
    pub fn named(mut self, name: &'static str) -> Self {
        let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        assert!(is_plain, "{name:?} cannot name a limit: use letters, digits and -");
        let (quota, period) = self.limiter.limit.policy();
        self.name = name;
        if let Ok(policy) = HeaderValue::try_from(format!("\"{name}\";q={quota};w={}", seconds(period))) {
            self.policy = policy;
        }
        self
    }

    /// Addresses for which there is no limit.
    pub fn exempt(mut self, list: IpList) -> Self {
        self.exempt = Some(list);
        self
    }

    /// Counts only the requests for which this is true, and lets all others pass. For passwords that are tried out this is not enough where
    /// Basic is taken, since every path tries one: `Users::attempts` (feature `auth`) counts those.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use narthex::limits::{Limit, RateLimit};
    ///
    /// let reports = RateLimit::per_ip(Limit::window(10, Duration::from_secs(300)));
    /// let reports = reports.only(|request| request.uri.path() == "/reports").named("reports");
    /// ```
    pub fn only(mut self, condition: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.only = Some(Arc::new(condition));
        self
    }

    /// Who a request counts for; `None`: nobody.
    fn key(&self, parts: &Parts) -> Option<Key> {
        if self.only.as_ref().is_some_and(|counts| !counts(parts)) {
            return None;
        }
        let address = client_ip(&parts.extensions);
        if self.exempt.as_ref().zip(address).is_some_and(|(list, address)| list.contains(address)) {
            return None;
        }
        let identity = parts.extensions.get::<Identity>();
        let of = match &self.by {
            By::Ip => None,
            By::Identity => identity.map(|identity| key(b"user", identity.name().as_bytes())),
            By::ApiKey => identity.and_then(Identity::key_id).map(|id| key(b"akey", id.as_bytes())),
            By::Route => Some(key(b"path", route(parts).as_bytes())),
            By::Custom(name) => return name(parts).map(|name| key(b"name", name.as_bytes())),
        };
        // Those who are not known at all share one limit.
        Some(of.unwrap_or_else(|| of_address(address)))
    }

    fn tell(&self, headers: &mut HeaderMap, remaining: u32, after: Duration) {
        headers.append(RATE_LIMIT_POLICY, self.policy.clone());
        if let Ok(value) = HeaderValue::try_from(format!("\"{}\";r={remaining};t={}", self.name, seconds(after))) {
            headers.append(RATE_LIMIT, value);
        }
    }
}

impl TooMany {
    /// 429, with the time when there is room.
    pub(crate) fn answer(&self, text: &'static str) -> Answer {
        let mut answer = status(StatusCode::TOO_MANY_REQUESTS, text);
        answer.headers_mut().insert(RETRY_AFTER, seconds(self.wait).max(1).into());
        answer
    }
}

/// Whole seconds, rather too many than too few.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(feature = "axum")]
fn route(parts: &Parts) -> &str {
    parts.extensions.get::<axum::extract::MatchedPath>().map_or(parts.uri.path(), axum::extract::MatchedPath::as_str)
}

#[cfg(not(feature = "axum"))]
fn route(parts: &Parts) -> &str {
    parts.uri.path()
}

impl<S> Layer<S> for RateLimit {
    type Service = Guarded<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(Arc::new(self.clone()), inner)
    }
}

impl<B: Send> Gate<B> for RateLimit {
    type Pass = Option<Taken>;

    async fn admit(&self, parts: &mut Parts, _: &mut Option<B>) -> Result<Option<Taken>, Answer> {
        let Some(key) = self.key(parts) else { return Ok(None) };
        let refused = match self.limiter.take_for(key, 1) {
            Ok(taken) => return Ok(Some(taken)),
            Err(refused) => refused,
        };
        let mut answer = refused.answer("too many requests: try again later\n");
        self.tell(answer.headers_mut(), 0, refused.wait);
        Err(answer)
    }

    async fn finish(&self, taken: Option<Taken>, headers: &mut HeaderMap) {
        if let Some(taken) = taken {
            self.tell(headers, taken.remaining, taken.reset);
        }
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("name", &self.name).field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConnectionInfo;
    use crate::identity::Scheme;
    use http::{Request, Version};

    fn from(address: &str) -> Parts {
        let mut parts = Request::new(()).into_parts().0;
        let peer = std::net::SocketAddr::new(address.parse().unwrap(), 1);
        parts.extensions.insert(ConnectionInfo { peer, local: peer, tls: false, version: Version::HTTP_11 });
        parts
    }

    fn limit() -> Limit {
        Limit::bucket(1, Duration::from_secs(1))
    }

    #[test]
    fn a_client_of_ipv6_is_its_network_of_64_bits() {
        let limit = RateLimit::per_ip(limit());
        assert_eq!(limit.key(&from("2001:db8::1")), limit.key(&from("2001:db8::ffff:1")));
        assert_ne!(limit.key(&from("2001:db8::1")), limit.key(&from("2001:db8:0:1::1")));
        assert_ne!(limit.key(&from("192.0.2.1")), limit.key(&from("192.0.2.2")));
        assert_eq!(limit.key(&from("192.0.2.1")), limit.key(&from("::ffff:192.0.2.1")));
    }

    #[test]
    fn who_is_known_is_counted_by_name_and_others_by_address() {
        let limit = RateLimit::per_identity(limit());
        let (mut here, mut there) = (from("192.0.2.1"), from("192.0.2.2"));
        assert_ne!(limit.key(&here), limit.key(&there));
        here.extensions.insert(Identity::new("ann", Scheme::Basic));
        there.extensions.insert(Identity::new("ann", Scheme::SessionToken));
        assert_eq!(limit.key(&here), limit.key(&there));
        there.extensions.insert(Identity::new("192.0.2.1", Scheme::Basic));
        assert_ne!(limit.key(&there), limit.key(&from("192.0.2.1")), "a name cannot be taken for an address");
    }

    #[test]
    fn who_is_exempt_or_has_no_name_is_not_counted() {
        let exempt = RateLimit::per_ip(limit()).exempt(IpList::new(["192.0.2.0/24"]).unwrap());
        assert_eq!(exempt.key(&from("192.0.2.1")), None);
        assert!(exempt.key(&from("198.51.100.1")).is_some());
        assert_eq!(RateLimit::by(limit(), |_| None).key(&from("192.0.2.1")), None);
        let only = RateLimit::per_ip(limit()).only(|request| request.uri.path() == "/login");
        assert_eq!(only.key(&from("192.0.2.1")), None);
        let mut login = from("192.0.2.1");
        login.uri = "/login".parse().unwrap();
        assert!(only.key(&login).is_some());
    }
}
