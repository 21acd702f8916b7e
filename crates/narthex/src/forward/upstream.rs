//! An upstream: servers that do the same, how one is chosen, and how they are talked to.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::address::{Address, AddressError};
use super::checks::{Checks, HealthCheck};
use super::circuit::{Circuit, CircuitBreaker};
use super::server::{Ejection, Server};
use super::status::{ServerStatus, UpstreamStatus};
use super::trust::{Trust, TrustError};

/// What `Duration::MAX` stands for: a time that can be added to any other.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How a server is chosen among several, for [`Upstream::balance`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one that works on the fewest requests.
    LeastRequests,
    /// Of two at random, the one that works on fewer requests: nearly as even as the former, and not all workers choose the same.
    TwoChoices,
}

/// What `Host` is in forwarded requests, for [`Upstream::host`]. Either way `X-Forwarded-Host` is the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostPolicy {
    /// As the client sent it. So links that the server writes are right, and a page's WebSockets are its own host's.
    Client,
    /// That of the server's address, as servers on the Internet want it, who have many names.
    Server,
}

/// Servers that do the same, one of which gets each request.
///
/// ```
/// use narthex::forward::{Balance, Upstream};
///
/// # fn main() -> Result<(), narthex::forward::AddressError> {
/// let upstream = Upstream::new("http://127.0.0.1:3001")?.server("http://127.0.0.1:3002")?.balance(Balance::TwoChoices);
/// # Ok(())
/// # }
/// ```
///
/// Clones share what is known of the servers. A method that changes a setting begins anew.
#[derive(Clone)]
pub struct Upstream(pub(super) Arc<Inner>);

/// Everything about an upstream.
pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) servers: Vec<Arc<Server>>,
    pub(super) circuit: Option<Arc<Circuit>>,
    pub(super) checks: Checks,
    pub(super) tls: OnceLock<Result<Trust, TrustError>>,
    next: AtomicUsize,
}

/// What is shown to servers that want to know who asks, PEM.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) certificate: Arc<[u8]>,
    pub(super) key: Arc<[u8]>,
}

#[derive(Clone)]
pub(super) struct Settings {
    addresses: Vec<Address>,
    balance: Balance,
    host: Option<HostPolicy>,
    /// HTTP/2 is spoken without asking.
    pub(super) http2_only: bool,
    pub(super) http1_only: bool,
    pub(super) connect_timeout: Duration,
    pub(super) head_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) tunnel_timeout: Duration,
    pub(super) keep_alive: Duration,
    pub(super) idle_connections: usize,
    pub(super) retries: u32,
    ejection: Ejection,
    pub(super) health: Option<HealthCheck>,
    circuit_breaker: Option<CircuitBreaker>,
    pub(super) authorities: Option<Arc<[u8]>>,
    pub(super) identity: Option<Identity>,
    pub(super) server_name: Option<String>,
}

impl Upstream {
    /// One server: `http://127.0.0.1:3000`, `https://api.example.com/base`, or `unix:/run/app.sock`, with a path behind a second
    /// colon (`unix:/run/app.sock:/base`). Paths are appended to the address's own. Names are resolved for each connection.
    ///
    /// # Errors
    /// If the text is no such address.
    pub fn new(address: impl AsRef<str>) -> Result<Self, AddressError> {
        let settings = Settings {
            addresses: vec![Address::parse(address.as_ref())?],
            balance: Balance::default(),
            host: None,
            http2_only: false,
            http1_only: false,
            connect_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            tunnel_timeout: Duration::from_secs(3600),
            keep_alive: Duration::from_secs(30),
            idle_connections: 64,
            retries: 2,
            ejection: Ejection::default(),
            health: None,
            circuit_breaker: None,
            authorities: None,
            identity: None,
            server_name: None,
        };
        Ok(Self(Arc::new(Inner::new(settings))))
    }

    /// Adds a server that does the same.
    ///
    /// # Errors
    /// If the text is no address.
    pub fn server(self, address: impl AsRef<str>) -> Result<Self, AddressError> {
        let address = Address::parse(address.as_ref())?;
        Ok(self.with(|settings| settings.addresses.push(address)))
    }

    /// How one of several servers is chosen. Default: [`Balance::RoundRobin`].
    #[must_use]
    pub fn balance(self, balance: Balance) -> Self {
        self.with(|settings| settings.balance = balance)
    }

    /// What `Host` is. Default: the server's own over TLS, the client's else.
    #[must_use]
    pub fn host(self, policy: HostPolicy) -> Self {
        self.with(|settings| settings.host = Some(policy))
    }

    /// Speaks HTTP/2 without asking: over TCP and Unix sockets by prior knowledge. Upgrades such as WebSockets cannot be forwarded
    /// then. Default: HTTP/2 over TLS if the server offers it (ALPN), HTTP/1.1 else.
    #[must_use]
    pub fn http2(self) -> Self {
        self.with(|settings| (settings.http2_only, settings.http1_only) = (true, false))
    }

    /// Speaks HTTP/1.1 only.
    #[must_use]
    pub fn http1(self) -> Self {
        self.with(|settings| (settings.http1_only, settings.http2_only) = (true, false))
    }

    /// How long it may take to connect, with TLS: longer ones are 504. Default: 5 s.
    #[must_use]
    pub fn connect_timeout(self, limit: Duration) -> Self {
        self.with(|settings| settings.connect_timeout = limit)
    }

    /// How long the head of the response may take from when the last of the request's body was taken: longer ones are 504. A
    /// client that stops for so long in the middle of the body is answered 408, and the server is not to blame. Default: 60 s.
    #[must_use]
    pub fn head_timeout(self, limit: Duration) -> Self {
        self.with(|settings| settings.head_timeout = limit.min(FOREVER))
    }

    /// How long a response's body may stop, while the client waits for it. Then the client's response is broken off.
    /// Default: 60 s.
    #[must_use]
    pub fn body_timeout(self, limit: Duration) -> Self {
        self.with(|settings| settings.body_timeout = limit.min(FOREVER))
    }

    /// How long nothing may go through an upgraded connection (a WebSocket) in either direction. Default: 1 h.
    #[must_use]
    pub fn tunnel_timeout(self, limit: Duration) -> Self {
        self.with(|settings| settings.tunnel_timeout = limit.min(FOREVER))
    }

    /// How long a connection is kept that is not used, and how many are kept per server and worker thread. Default: 30 s, 64.
    #[must_use]
    pub fn keep_alive(self, idle: Duration, connections: usize) -> Self {
        self.with(|settings| (settings.keep_alive, settings.idle_connections) = (idle, connections))
    }

    /// How often a request is sent again, on another server if there is one. Default: 2.
    ///
    /// What never went out (there was no connection) is sent again whatever it is. What may have arrived is sent again only if it
    /// is idempotent (RFC 9110 section 9.2.2) and has no body. Answers, timeouts among them, are never a reason.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        self.with(|settings| settings.retries = retries)
    }

    /// When a server that fails is left alone for a while.
    #[must_use]
    pub fn ejection(self, ejection: Ejection) -> Self {
        self.with(|settings| settings.ejection = ejection)
    }

    /// Asks each server for `path` every so often, from the first request on. A server that twice in a row does not answer with
    /// 2xx or 3xx within `timeout` gets no requests until it does. The path does not have the address's own before it.
    ///
    /// # Panics
    /// If `path` does not begin with a slash.
    #[must_use]
    pub fn health(self, path: &str, every: Duration, timeout: Duration) -> Self {
        let check = HealthCheck::new(path, every, timeout);
        self.with(|settings| settings.health = Some(check))
    }

    /// Refuses requests at once while the servers together are broken. Default: none.
    #[must_use]
    pub fn circuit_breaker(self, breaker: CircuitBreaker) -> Self {
        self.with(|settings| settings.circuit_breaker = Some(breaker))
    }

    /// The authorities (PEM) that sign the servers' certificates. Default: those that the machine trusts.
    #[must_use]
    pub fn authorities(self, pem: impl AsRef<[u8]>) -> Self {
        self.with(|settings| settings.authorities = Some(pem.as_ref().into()))
    }

    /// The certificate, with its chain, and the private key (PEM) that are shown to servers that ask for them.
    #[must_use]
    pub fn identity(self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        let identity = Identity { certificate: certificate.as_ref().into(), key: key.as_ref().into() };
        self.with(|settings| settings.identity = Some(identity))
    }

    /// The name that servers' certificates have to be for. Default: the address's host.
    #[must_use]
    pub fn server_name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.with(|settings| settings.server_name = Some(name))
    }

    /// How the servers are.
    #[must_use]
    pub fn status(&self) -> UpstreamStatus {
        UpstreamStatus {
            servers: self.0.servers.iter().map(|server| ServerStatus::of(server)).collect(),
            circuit: self.0.circuit.as_ref().map(|circuit| circuit.state()),
        }
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.0.settings.clone();
        change(&mut settings);
        // New servers, too: connections made under other settings (authorities, for one) must not be found again.
        Self(Arc::new(Inner::new(settings)))
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.servers.iter().map(|server| format_args!("{}", server.address).to_string())).finish()
    }
}

impl Inner {
    fn new(settings: Settings) -> Self {
        let server = |address: &Address| Arc::new(Server::new(address.clone(), settings.ejection));
        Self {
            servers: settings.addresses.iter().map(server).collect(),
            circuit: settings.circuit_breaker.map(|breaker| Arc::new(Circuit::new(breaker))),
            checks: Checks::default(),
            tls: OnceLock::new(),
            next: AtomicUsize::new(0),
            settings,
        }
    }

    /// What is shown to servers that have TLS, and trusted of them. Made once.
    pub(super) fn trust(&self) -> Result<&Trust, TrustError> {
        self.tls.get_or_init(|| Trust::new(&self.settings)).as_ref().map_err(Clone::clone)
    }

    pub(super) fn host_policy(&self, server: &Server) -> HostPolicy {
        let usual = if server.address.tls { HostPolicy::Server } else { HostPolicy::Client };
        self.settings.host.unwrap_or(usual)
    }

    /// A server that is well and was not `tried`, or one that was. `Err`: none is well, and when one may be again.
    pub(super) fn choose(&self, tried: &[u64]) -> Result<&Arc<Server>, Duration> {
        if let Some(server) = self.among(|server| server.is_available() && !tried.contains(&server.id)) {
            return Ok(server);
        }
        self.among(|server| server.is_available()).ok_or_else(|| {
            let ejected = self.servers.iter().filter(|server| server.passes_checks()).filter_map(|server| server.ejected_for());
            let every = self.settings.health.as_ref().map_or(Duration::from_secs(1), |health| health.every);
            ejected.min().unwrap_or(every)
        })
    }

    fn among(&self, may: impl Fn(&Server) -> bool) -> Option<&Arc<Server>> {
        let servers = &self.servers;
        let fit = || servers.iter().filter(|server| may(server));
        let count = fit().count();
        match self.settings.balance {
            _ if count < 2 => fit().next(),
            Balance::RoundRobin => fit().nth(self.next.fetch_add(1, Ordering::Relaxed) % count),
            Balance::LeastRequests => {
                // From a place that moves on: else the first would get everything while nothing is to do.
                let start = self.next.fetch_add(1, Ordering::Relaxed) % count;
                fit().skip(start).chain(fit().take(start)).min_by_key(|server| server.in_flight())
            }
            Balance::TwoChoices => {
                let first = fastrand::usize(..count);
                let second = (first + fastrand::usize(1..count)) % count;
                let (first, second) = (fit().nth(first), fit().nth(second));
                first.into_iter().chain(second).min_by_key(|server| server.in_flight())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(balance: Balance) -> Upstream {
        let upstream = Upstream::new("http://a").unwrap().server("http://b").unwrap().server("http://c").unwrap();
        upstream.ejection(Ejection::new().failures(1)).balance(balance)
    }

    fn chosen(upstream: &Upstream, tried: &[u64]) -> String {
        upstream.0.choose(tried).unwrap().address.to_string()
    }

    #[test]
    fn servers_take_turns() {
        let upstream = upstream(Balance::RoundRobin);
        let turns: Vec<String> = (0..4).map(|_| chosen(&upstream, &[])).collect();
        assert_eq!(turns, ["http://a", "http://b", "http://c", "http://a"]);
    }

    #[test]
    fn the_one_that_works_on_the_fewest_requests_is_chosen() {
        for balance in [Balance::LeastRequests, Balance::TwoChoices] {
            let upstream = upstream(balance);
            let [a, b, _] = upstream.0.servers.as_slice() else { panic!("there are three") };
            let _busy = (a.begin(), b.begin(), a.begin());
            let times = |name: &str| (0..300).filter(|_| chosen(&upstream, &[]) == name).count();
            assert!(times("http://c") > 150, "{balance:?}");
            assert_eq!(times("http://a"), 0, "{balance:?}");
        }
    }

    #[test]
    fn one_that_is_not_well_is_left_out_and_one_that_was_tried_is_the_last_resort() {
        for balance in [Balance::RoundRobin, Balance::LeastRequests, Balance::TwoChoices] {
            let upstream = upstream(balance);
            let [a, b, c] = upstream.0.servers.as_slice() else { panic!("there are three") };
            a.failed();
            assert!((0..20).all(|_| chosen(&upstream, &[]) != "http://a"));
            assert!((0..20).all(|_| chosen(&upstream, &[b.id]) == "http://c"));
            c.failed();
            assert!((0..20).all(|_| chosen(&upstream, &[b.id]) == "http://b"));
            b.failed();
            assert!(upstream.0.choose(&[]).is_err_and(|wait| wait <= Duration::from_secs(1)));
        }
    }
}
