//! Forwarding requests to other servers: a reverse proxy as a tower service.
//!
//! ```no_run
//! use narthex::Server;
//! use narthex::forward::{Forward, Route, Upstream};
//!
//! #[tokio::main]
//! async fn main() -> narthex::Result<()> {
//!     let forward = Forward::new()
//!         .route("/", Upstream::new("http://127.0.0.1:3000")?)
//!         .route("/api", Route::to(Upstream::new("unix:/run/api.sock")?).strip_prefix());
//!     Server::new(forward).prefix("http://+:8888/").connection_info(true).run().await
//! }
//! ```
//!
//! A [`Forward`] is a service like any other: give it to a [`Server`](crate::Server), or mount it in an axum router with
//! `nest_service` or `fallback_service`.
//!
//! **Messages.** Bodies are streamed both ways as fast as the slower end takes them, trailers come along (to servers over HTTP/1.1
//! those that `Trailer` names), and so do interim responses such as `103 Early Hints`, if the app's server gives requests a
//! [`RequestControl`](crate::RequestControl). Each connection frames messages anew. Fields that belong to one connection (RFC 9110 section 7.6.1)
//! are taken off in both directions, and so are those that `Connection` names. Redirects are passed on, never followed. If the
//! client leaves, the server's work is given up; if the server breaks off, so does the client's response.
//!
//! **Clients.** Servers are told who asks in `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix`. What clients write there
//! themselves is replaced, unless they are [trusted proxies](Forward::trusted_proxies). The address and whether there was TLS are
//! known if the app's server says so: turn [`Server::connection_info`](crate::Server::connection_info) on (with axum, the address
//! alone is known without).
//!
//! **WebSockets** and other upgrades of HTTP/1.1 go through, over every version of HTTP that the client may speak.
//!
//! **Connections** to servers are kept, for each worker thread of the app its own, so that nothing is locked: they belong to the
//! runtime of the thread on which they were made.
//!
//! **Failures.** A server that fails again and again gets no requests for a while ([`Ejection`]); [`Upstream::health`] asks servers
//! how they are; a [`CircuitBreaker`] refuses requests at once while all is broken; [`Upstream::retries`] says what is sent again.
//! Clients are told no more than a status: see [`ForwardError`].

mod address;
mod attempt;
mod checks;
mod circuit;
mod connect;
mod error;
mod exchange;
mod fields;
mod hooks;
mod moment;
mod outgoing;
mod pool;
mod response_body;
mod route;
mod server;
mod status;
mod trust;
mod tunnel;
mod upstream;

pub use address::AddressError;
pub use circuit::{CircuitBreaker, CircuitState};
pub use error::ForwardError;
pub use hooks::Forwarded;
pub use response_body::ResponseBody;
pub use route::Route;
pub use server::Ejection;
pub use status::{ServerStatus, UpstreamStatus};
pub use upstream::{Balance, HostPolicy, Upstream};

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use narthex_http::{NotANetwork, TrustedProxies};
use tower_service::Service;

use crate::BoxError;
use hooks::{AfterHook, BeforeHook};
use route::Routes;

/// A service that forwards requests to other servers. See the [module](self).
///
/// Clones forward alike, and share what is known of the servers.
#[derive(Clone)]
pub struct Forward(Arc<Settings>);

#[derive(Clone)]
struct Settings {
    routes: Routes,
    before: Option<BeforeHook>,
    after: Option<AfterHook>,
    trusted_proxies: TrustedProxies,
    forwarded: bool,
    /// What this proxy calls itself in `Via`, by which it knows requests again that come back to it.
    pseudonym: String,
}

impl Forward {
    /// A service without routes: everything is 404.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Settings {
            routes: Routes::default(),
            before: None,
            after: None,
            trusted_proxies: TrustedProxies::default(),
            forwarded: false,
            pseudonym: format!("narthex-{:016x}", fastrand::u64(..)),
        }))
    }

    /// Forwards everything to one server, such as `http://127.0.0.1:3000/base` or `unix:/run/app.sock`: see [`Upstream::new`].
    ///
    /// # Errors
    /// If the text is no address.
    pub fn to(address: impl AsRef<str>) -> Result<Self, AddressError> {
        Ok(Self::new().route("/", Upstream::new(address)?))
    }

    /// Forwards what `pattern` has to an [`Upstream`], or by a [`Route`] that changes the path.
    ///
    /// A pattern is a path, which has everything below it: `/api` has `/api`, `/api/` and `/api/users`, but not `/apis`. A segment
    /// `*` is any one: `/users/*/avatar`. With a host before it, it has requests for that host only: `shop.example.com/api`. The
    /// most particular pattern has a request: one with a host, then the longest, then the one without `*`. Letters, digits and
    /// `-._~` are what they are in percent-encoding, too: `/%61pi` is `/api`, for routes, hooks and servers. Paths with segments `.`
    /// or `..`, in whatever spelling, are answered 400.
    ///
    /// # Panics
    /// If `pattern` is none, or there is a route for it already.
    #[must_use]
    pub fn route(self, pattern: &str, route: impl Into<Route>) -> Self {
        self.with(|settings| settings.routes.add(pattern, route.into()))
    }

    /// Called before each request is routed and sent, with its head: to change it, or to refuse it with a response.
    ///
    /// The URI is what the client asked for (behind the prefixes of the app); another path is another route. Another `Host` is
    /// what the server gets, whatever its [`HostPolicy`] is. An [`Upstream`] in the extensions is where the request goes, past all
    /// routes: put a clone of one there that lives on, since its connections do not outlive it. Fields of one connection are gone
    /// already, and are taken off again if the hook puts them there. Nothing of one request is seen by the next.
    ///
    /// ```
    /// # use narthex::forward::{Forward, ResponseBody};
    /// # use http::{Response, StatusCode};
    /// # fn main() -> Result<(), narthex::forward::AddressError> {
    /// let forward = Forward::to("http://127.0.0.1:3000")?.before(|mut request| async move {
    ///     if request.headers.remove("x-api-key").is_none_or(|key| key != "sesame") {
    ///         return Err(Response::builder().status(StatusCode::UNAUTHORIZED).body("who are you?").unwrap());
    ///     }
    ///     Ok(request)
    /// });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn before<F, Fut, B>(self, hook: F) -> Self
    where
        F: Fn(Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Parts, Response<B>>> + Send + 'static,
        B: Into<ResponseBody>,
    {
        self.with(|settings| settings.before = Some(hooks::before(hook)))
    }

    /// Called with what came of each request: the server's response, or why there is none. What it returns goes to the client.
    /// Requests that the other hook has refused do not come here.
    ///
    /// ```
    /// # use narthex::forward::Forward;
    /// # fn main() -> Result<(), narthex::forward::AddressError> {
    /// let forward = Forward::to("http://127.0.0.1:3000")?.after(|request, outcome| async move {
    ///     let mut response = outcome.unwrap_or_else(|error| {
    ///         println!("{} {}: {error}", request.method, request.uri);
    ///         error.response()
    ///     });
    ///     response.headers_mut().remove("x-powered-by");
    ///     response
    /// });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn after<F, Fut>(self, hook: F) -> Self
    where
        F: Fn(Forwarded, Result<Response<ResponseBody>, ForwardError>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        self.with(|settings| settings.after = Some(hooks::after(hook)))
    }

    /// The proxies in front of the app whose `X-Forwarded-*` and `Forwarded` are kept and added to: addresses and networks such as
    /// `10.0.0.0/8`. Default: none.
    ///
    /// Where the server knows them too ([`Server::trusted_proxies`](crate::Server::trusted_proxies)), requests come from the clients
    /// for whom they speak, and `X-Forwarded-For` is the client alone.
    ///
    /// # Errors
    /// If one of them is neither.
    pub fn trusted_proxies(self, networks: impl IntoIterator<Item: AsRef<str>>) -> crate::Result<Self> {
        let trusted: Result<_, NotANetwork> = TrustedProxies::parse(networks);
        let trusted = trusted?;
        Ok(self.with(|settings| settings.trusted_proxies = trusted))
    }

    /// Whether servers get `Forwarded` (RFC 7239) too. Default: `false`.
    #[must_use]
    pub fn forwarded(self, wanted: bool) -> Self {
        self.with(|settings| settings.forwarded = wanted)
    }

    /// How the upstreams are, each with the pattern of its route.
    #[must_use]
    pub fn status(&self) -> Vec<(String, UpstreamStatus)> {
        self.0.routes.upstreams().map(|(pattern, upstream)| (pattern, upstream.status())).collect()
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl Default for Forward {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Forward").field(&self.0.routes).finish()
    }
}

impl<B> Service<Request<B>> for Forward
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let settings = Arc::clone(&self.0);
        Box::pin(async move { Ok(exchange::forward(settings, request).await) })
    }
}
