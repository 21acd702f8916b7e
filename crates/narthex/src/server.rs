//! The server's builder.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body as HttpBody;
use narthex_http::{Limits, RequestIds};
use narthex_proto::prefix::UrlPrefix;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::bindings::Bindings;
use crate::body::Body;
use crate::error::{BoxError, Error, Result};
use crate::lifetime::ServerHandle;
use crate::logging::Logging;
use crate::plan::{Hooks, Plan};
use crate::provider::Provider;
use crate::settings::{RequestQueue, Timeouts};
use crate::successor::{StartsSuccessor, Successor};
use crate::supervisor::Supervisor;
use crate::tls::Tls;
use crate::tuning::FineTune;
use crate::watchdog::Watchdog;

/// A server for one app, with its settings.
///
/// The app is an axum `Router`, or any other `tower::Service<http::Request<narthex::Body>>` that can be cloned. Each worker
/// thread gets one clone and calls it on a current-thread runtime, so futures and bodies need not be `Send`. A handler that
/// blocks its thread stops that worker: make it with [`blocking`](crate::blocking()) (`block_in_place` does not work there).
///
/// ```no_run
/// use std::time::Duration;
/// use narthex::{Provider, RequestQueue, Server, Timeouts};
///
/// # #[tokio::main]
/// # async fn main() -> narthex::Result<()> {
/// let app = axum::Router::new().route("/ping", axum::routing::get(|| async { "pong" }));
/// Server::new(app)
///     .prefixes(["http://+:8888/MyApp/", "http://shop.example.com:8080/MyApp/"])
///     .queue(RequestQueue::new().named("my-app").length(10_000))
///     .timeouts(Timeouts::default().header_wait(Duration::from_secs(10)))
///     .provider(Provider::auto())
///     .on_bind(|bindings| println!("about to register {:?}", bindings.prefixes()))
///     .on_ready(|prefixes| println!("serving {prefixes:?}"))
///     .run()
///     .await
/// # }
/// ```
///
/// Clones share one [`ServerHandle`], and one server: the second [`run`](Self::run) or [`start`](Self::start) of them is
/// [`Error::AlreadyRunning`]. To start it anew is the handle's to do.
#[derive(Clone)]
#[must_use = "a server does nothing until it is run"]
pub struct Server<S> {
    plan: Plan<S>,
    handle: ServerHandle,
    hooks: Arc<Mutex<Hooks>>,
}

impl<S: fmt::Debug> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { app, prefixes, provider, .. } = &self.plan;
        f.debug_struct("Server").field("app", app).field("prefixes", prefixes).field("provider", provider).finish_non_exhaustive()
    }
}

impl<S> Server<S> {
    /// A server for `app`, without prefixes.
    pub fn new(app: S) -> Self {
        Self { plan: Plan::new(app), handle: ServerHandle::default(), hooks: Arc::default() }
    }

    /// Adds a prefix to serve, such as `http://+:8888/MyApp/`. The host is `+` (any host), a name, an IP address, or `*`
    /// (any host that nobody else took). Without a port it means 80; port 0 is any free port, which
    /// [`on_ready`](Self::on_ready) tells. The last slash may be left out.
    ///
    /// A text that is no prefix is an error of [`run`](Self::run).
    pub fn prefix(mut self, prefix: impl AsRef<str>) -> Self {
        self.plan.prefixes.push(prefix.as_ref().to_owned());
        self
    }

    /// Adds several prefixes.
    pub fn prefixes(mut self, prefixes: impl IntoIterator<Item: AsRef<str>>) -> Self {
        self.plan.prefixes.extend(prefixes.into_iter().map(|prefix| prefix.as_ref().to_owned()));
        self
    }

    /// The request queue. It is the host's: an embedded listener has none.
    pub fn queue(mut self, queue: RequestQueue) -> Self {
        self.plan.group.queue = queue;
        self
    }

    /// What the app is called where the host tells who is there (`narthex show servicestate`). Default: the program's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.plan.name = Some(name.into());
        self
    }

    /// The connections' timers.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.plan.group.timeouts = timeouts;
        self
    }

    /// The knobs for those who have measured. A value out of range is an error of [`run`](Self::run).
    pub fn fine_tune(mut self, knobs: FineTune) -> Self {
        self.plan.fine_tune = knobs;
        self
    }

    /// Sizes of requests. Those of heads are the operator's behind a host, and are used on an embedded listener only.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.plan.limits = limits;
        self
    }

    /// The longest request body in bytes, `None` for any; longer ones are answered 413. Default: 30 000 000, or what the
    /// host has.
    pub fn max_body(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.plan.group.max_body = Some(bytes.into());
        self
    }

    /// Client connections at a time, at least 1, `None` for no limit; one more is answered 503 (`ConnLimit`). Default: no limit
    /// but the operator's, or on an embedded listener what the process's file descriptors allow.
    pub fn max_connections(mut self, connections: impl Into<Option<u32>>) -> Self {
        self.plan.group.max_connections = Some(connections.into());
        self
    }

    /// Bytes per second to all clients together, at least 1024, `None` for no limit, the default. Heads count too.
    pub fn max_bandwidth(mut self, bytes_per_second: impl Into<Option<u64>>) -> Self {
        self.plan.group.max_bandwidth = Some(bytes_per_second.into());
        self
    }

    /// Whether the host may answer from its response cache, where a [`CachePolicy`](crate::CachePolicy) or the response's
    /// `Cache-Control` lets it. Default: `true`. An embedded listener has no cache.
    pub fn response_cache(mut self, allowed: bool) -> Self {
        self.plan.group.response_cache = Some(allowed);
        self
    }

    /// Where and how the host logs the requests. Default: as the operator has set for all apps. An embedded listener has no
    /// access log.
    pub fn logging(mut self, logging: Logging) -> Self {
        self.plan.group.logging = Some(logging);
        self
    }

    /// Whether handlers may hand requests over to other queues, with [`Delegation`](crate::Delegation). It costs a copy of
    /// each request's head in the host. Default: `false`. An embedded listener cannot delegate.
    pub fn delegates(mut self, delegates: bool) -> Self {
        self.plan.group.delegates = Some(delegates);
        self
    }

    /// How many worker threads. Default: one per core. At least one.
    pub fn workers(mut self, workers: usize) -> Self {
        self.plan.workers = workers.max(1);
        self
    }

    /// Whether requests have a [`ConnectionInfo`](crate::ConnectionInfo) in their extensions. Default: `false`.
    pub fn connection_info(mut self, wanted: bool) -> Self {
        self.plan.told.connection_info = wanted;
        self
    }

    /// Whether requests have a [`RequestControl`](crate::RequestControl) in their extensions, which tells when the client has
    /// gone, can break its connection off, and sends early hints. It costs each request an allocation and a lock. Default: `false`.
    pub fn request_control(mut self, wanted: bool) -> Self {
        self.plan.told.request_control = wanted;
        self
    }

    /// The certificate and the rules of the `https://` prefixes, if the server has a listener of its own. Behind a host they are
    /// the operator's.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.plan.tls.fallback = Some(tls);
        self
    }

    /// As [`tls`](Self::tls), for clients that ask for this server name (SNI): a name, or `*.` and a name.
    pub fn tls_for(mut self, server_name: impl Into<String>, tls: Tls) -> Self {
        self.plan.tls.by_name.push((server_name.into(), tls));
        self
    }

    /// The proxies in front of the server's own listener: addresses, and networks such as `10.0.0.0/8`. A text that is neither
    /// is an error of [`run`](Self::run). Default: none. Behind a host they are the operator's.
    ///
    /// What they write into requests is believed: [`ConnectionInfo`](crate::ConnectionInfo) and axum's `ConnectInfo` have the
    /// client's address, with port 0 if they do not tell the port, and `ConnectionInfo::tls` says how the client has come. Who
    /// is no proxy can write there what it likes. `X-Forwarded-For` and `X-Forwarded-Proto` count if there is one of the former,
    /// else `Forwarded` (RFC 7239): a proxy that writes the latter has to take the former out of what clients send.
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item: AsRef<str>>) -> Self {
        self.plan.trusted_proxies = networks.into_iter().map(|network| network.as_ref().to_owned()).collect();
        self
    }

    /// Whether every connection to the server's own listener begins with a header of the PROXY protocol, version 1 or 2, from
    /// which its client's address is taken. Others are closed, and so are those that do not come from
    /// [`trusted_proxies`](Self::trusted_proxies), if there are any. HTTP/3 is not served then. Default: `false`. Behind a host
    /// it is the operator's to say.
    pub fn proxy_protocol(mut self, expected: bool) -> Self {
        self.plan.proxy_protocol = expected;
        self
    }

    /// Whether each request has an id, in its `X-Request-Id`: the one that a [trusted proxy](Self::trusted_proxies) has given it, else a
    /// new one, whatever else the client sends there. Default: [`RequestIds::On`]. Behind a host it is the operator's to say
    /// (`request_ids`).
    pub fn request_ids(mut self, ids: RequestIds) -> Self {
        self.plan.request_ids = ids;
        self
    }

    /// Opens the app's own small [page](crate::ui) at this loopback address (port 0 is any free one) when the server [runs](Self::run):
    /// how it goes, what has failed, buttons to stop and start it. The link is printed on standard error. Default: none, unless the
    /// app was started with `run --ui` (feature `service`).
    ///
    /// The server then stays startable: only a signal, or a stop that the page has not asked for, ends [`run`](Self::run).
    #[cfg(feature = "ui")]
    pub fn ui(mut self, address: std::net::SocketAddr) -> Self {
        self.plan.ui = Some(address);
        self
    }

    /// Where requests come from. Default: [`Provider::auto`].
    pub fn provider(mut self, provider: Provider) -> Self {
        self.plan.provider = provider;
        self
    }

    /// How long requests that run may take when the server stops. Default 5 s.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.plan.shutdown_timeout = limit;
        self
    }

    /// Called before anything is registered, to inspect or change what is: at the start, and again whenever the server starts
    /// again. Each time the bindings are those of this builder; what [`ServerHandle::add_prefix`] and
    /// [`remove_prefix`](ServerHandle::remove_prefix) did comes after it.
    pub fn on_bind(self, hook: impl FnMut(&mut Bindings) + Send + 'static) -> Self {
        self.hooks().on_bind = Some(Box::new(hook));
        self
    }

    /// Called when clients can connect, with the prefixes in their complete form: at the start, and again whenever the server has
    /// started again.
    pub fn on_ready(self, hook: impl FnMut(&[UrlPrefix]) + Send + 'static) -> Self {
        self.hooks().on_ready = Some(Box::new(hook));
        self
    }

    /// Called when the server has ended that [`on_ready`](Self::on_ready) was called for, also if it failed, and also if it is
    /// about to start again: its last request is finished or broken off, and its ports are free. Not called when the future of
    /// [`run`](Self::run) is dropped.
    pub fn on_shutdown(self, hook: impl FnMut() + Send + 'static) -> Self {
        self.hooks().on_shutdown = Some(Box::new(hook));
        self
    }

    /// Called when the [`watchdog`](Self::watchdog) is about to start the server again, with why that is. Not called for restarts
    /// that were asked for.
    pub fn on_restart(self, hook: impl FnMut(&Error) + Send + 'static) -> Self {
        self.hooks().on_restart = Some(Box::new(hook));
        self
    }

    /// How the successor comes when an operator restarts the server's named request queue (`narthex restart`). Default: the program is
    /// started again as it was: the file that is there now, with the same arguments, environment and working directory. An error is
    /// told to the operator, and the server goes on.
    ///
    /// ```
    /// # use narthex::{Server, Successor};
    /// # fn server(app: axum::Router) -> Server<axum::Router> {
    /// Server::new(app).successor(async || {
    ///     let child = std::process::Command::new("./my-app").arg("--new").spawn()?;
    ///     Ok(Successor::Process(child.id()))
    /// })
    /// # }
    /// ```
    pub fn successor<F>(mut self, start: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = std::io::Result<Successor>> + Send + 'static,
    {
        self.plan.successor = StartsSuccessor::by(start);
        self
    }

    /// Brings the server back if it fails. Default: none, and a server that fails ends with the error.
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.plan.watchdog = Some(watchdog);
        self
    }

    /// Stops the server in order when `signal` ends; [`run`](Self::run) does not listen for SIGTERM and SIGINT then (Ctrl-C on
    /// Windows). It ends once: a server that is started again after it stops by its handle only.
    pub fn with_graceful_shutdown(self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.hooks().stop = Some(Box::pin(signal));
        self
    }

    /// A handle with which to stop, restart and change the server, and to see how it goes.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    fn hooks(&self) -> std::sync::MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Server<S> {
    /// Serves until told to stop: by SIGTERM or SIGINT, by [`with_graceful_shutdown`](Self::with_graceful_shutdown), or by
    /// [`ServerHandle::stop`]. Then nothing new is accepted, and requests that run are finished within the
    /// [`shutdown_timeout`](Self::shutdown_timeout). A second signal ends the process, also after this has returned, as long as its
    /// runtime runs. (If it returns for another reason, these signals are the program's to catch: what has caught them once, tokio, does so
    /// for the life of the process, and nobody listens any more.)
    ///
    /// Dropping the future stops the server at once.
    ///
    /// # Errors
    /// If the server cannot start, or fails later and has no [`watchdog`](Self::watchdog): see [`Error`]. A host that goes away
    /// later is no error, but waited for.
    pub async fn run<B>(self) -> Result<()>
    where
        S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>> + Clone + Send + 'static,
        B: HttpBody<Error: Into<BoxError>> + 'static,
    {
        #[cfg(feature = "ui")]
        if let Some(address) = self.plan.ui.or_else(crate::ui::asked_for) {
            // Boxed: it is much larger than what a server without a page needs.
            return Box::pin(crate::ui::run(self, address)).await;
        }
        let hooks = std::mem::take(&mut *self.hooks());
        Supervisor::new(self.plan, hooks, &self.handle)?.run(self.handle).await
    }

    /// Starts the server in the background, and returns when clients can connect. It goes on until [`ServerHandle::stop`] or
    /// [`with_graceful_shutdown`](Self::with_graceful_shutdown) ends it; [`ServerHandle::stopped`] waits for that, and
    /// [`ServerHandle::start`] starts it again. For that, the app is kept as long as there are handles.
    ///
    /// It does not listen for SIGTERM and SIGINT, as [`run`](Self::run) does: those are the program's, which does more than serve.
    /// It lives on the runtime on which this is called, and ends at once with it.
    ///
    /// Dropping the future stops the server at once.
    ///
    /// ```no_run
    /// # #[tokio::main]
    /// # async fn main() -> narthex::Result<()> {
    /// # let app = axum::Router::new();
    /// let server = narthex::Server::new(app).prefix("http://+:8888/MyApp/").start().await?;
    /// println!("serving {:?}", server.prefixes());
    /// // Another certificate directory is mounted, say:
    /// server.restart().await?;
    /// server.stop();
    /// server.stopped().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// Why the server cannot start: see [`Error`].
    pub async fn start<B>(self) -> Result<ServerHandle>
    where
        S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>> + Clone + Send + 'static,
        B: HttpBody<Error: Into<BoxError>> + 'static,
    {
        let hooks = std::mem::take(&mut *self.hooks());
        let supervisor = Supervisor::new(self.plan, hooks, &self.handle)?;
        let (first, is_started) = oneshot::channel();
        let begun = self.handle.begin();
        let mut starting = Starting(Some(tokio::spawn(supervisor.stay(self.handle.clone(), begun, first))));
        is_started.await.map_err(|_| Error::NotRunning)?.map_err(Error::shared)?;
        starting.0.take();
        Ok(self.handle)
    }
}

#[cfg(feature = "ui")]
impl<S> Server<S> {
    /// The same server for another app.
    pub(crate) fn map_app<T>(self, map: impl FnOnce(S) -> T) -> Server<T> {
        Server { plan: self.plan.map_app(map), handle: self.handle, hooks: self.hooks }
    }

    pub(crate) fn shown_name(&self) -> String {
        self.plan.shown_name()
    }

    /// Whether it is stopped by a signal of the program's own.
    pub(crate) fn has_signal(&self) -> bool {
        self.hooks().stop.is_some()
    }
}

/// A server that is stopped again if nobody waits for its start any more.
struct Starting(Option<JoinHandle<()>>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            server.abort();
        }
    }
}
