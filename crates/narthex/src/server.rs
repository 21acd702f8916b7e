//! The server's builder, and the order in which it starts.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body as HttpBody;
use narthex_http::{Limits, TrustedProxies, default_workers};
use narthex_proto::prefix::UrlPrefix;
use tower_service::Service;

use crate::bindings::{self, Bindings};
use crate::body::Body;
use crate::change::GroupSettings;
use crate::embedded::Embedded;
use crate::error::{BoxError, Error, Result};
use crate::lifetime::{ServerHandle, Stop, StopSignal};
use crate::logging::Logging;
use crate::provider::{Kind, Provider};
use crate::request::Told;
use crate::settings::{RequestQueue, Timeouts};
use crate::tls::{Tls, TlsSettings};
use crate::tuning::FineTune;

const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

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
/// A `Server` runs once: clones share one [`ServerHandle`], and the second [`run`](Self::run) of them is
/// [`Error::AlreadyRunning`].
#[derive(Clone)]
#[must_use = "a server does nothing until it is run"]
pub struct Server<S> {
    app: S,
    name: Option<String>,
    prefixes: Vec<String>,
    /// Its queue's settings included.
    group: GroupSettings,
    fine_tune: FineTune,
    limits: Limits,
    tls: TlsSettings,
    trusted_proxies: Vec<String>,
    proxy_protocol: bool,
    workers: usize,
    told: Told,
    provider: Provider,
    shutdown_timeout: Duration,
    handle: ServerHandle,
    hooks: Arc<Mutex<Hooks>>,
}

type OnBind = Box<dyn FnOnce(&mut Bindings) + Send>;
type OnReady = Box<dyn FnOnce(&[UrlPrefix]) + Send>;

/// What is called once.
#[derive(Default)]
struct Hooks {
    on_bind: Option<OnBind>,
    on_ready: Option<OnReady>,
    stop: Option<StopSignal>,
}

impl<S: fmt::Debug> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, prefixes, provider, .. } = self;
        f.debug_struct("Server").field("app", app).field("prefixes", prefixes).field("provider", provider).finish_non_exhaustive()
    }
}

impl<S> Server<S> {
    /// A server for `app`, without prefixes.
    pub fn new(app: S) -> Self {
        Self {
            app,
            name: None,
            prefixes: Vec::new(),
            group: GroupSettings::default(),
            fine_tune: FineTune::default(),
            limits: Limits::default(),
            tls: TlsSettings::default(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            workers: default_workers(),
            told: Told::default(),
            provider: Provider::default(),
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            handle: ServerHandle::default(),
            hooks: Arc::default(),
        }
    }

    /// Adds a prefix to serve, such as `http://+:8888/MyApp/`. The host is `+` (any host), a name, an IP address, or `*`
    /// (any host that nobody else took). Without a port it means 80; port 0 is any free port, which
    /// [`on_ready`](Self::on_ready) tells. The last slash may be left out.
    ///
    /// A text that is no prefix is an error of [`run`](Self::run).
    pub fn prefix(mut self, prefix: impl AsRef<str>) -> Self {
        self.prefixes.push(prefix.as_ref().to_owned());
        self
    }

    /// Adds several prefixes.
    pub fn prefixes(mut self, prefixes: impl IntoIterator<Item: AsRef<str>>) -> Self {
        self.prefixes.extend(prefixes.into_iter().map(|prefix| prefix.as_ref().to_owned()));
        self
    }

    /// The request queue. It is the host's: an embedded listener has none.
    pub fn queue(mut self, queue: RequestQueue) -> Self {
        self.group.queue = queue;
        self
    }

    /// What the app is called where the host tells who is there (`narthex show servicestate`). Default: the program's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The connections' timers.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.group.timeouts = timeouts;
        self
    }

    /// The knobs for those who have measured. A value out of range is an error of [`run`](Self::run).
    pub fn fine_tune(mut self, knobs: FineTune) -> Self {
        self.fine_tune = knobs;
        self
    }

    /// Sizes of requests. Those of heads are the operator's behind a host, and are used on an embedded listener only.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The longest request body in bytes, `None` for any; longer ones are answered 413. Default: 30 000 000, or what the
    /// host has.
    pub fn max_body(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.group.max_body = Some(bytes.into());
        self
    }

    /// Client connections at a time, at least 1, `None` for no limit; one more is answered 503 (`ConnLimit`). Default: no limit
    /// but the operator's, or on an embedded listener what the process's file descriptors allow.
    pub fn max_connections(mut self, connections: impl Into<Option<u32>>) -> Self {
        self.group.max_connections = Some(connections.into());
        self
    }

    /// Bytes per second to all clients together, at least 1024, `None` for no limit, the default. Heads count too.
    pub fn max_bandwidth(mut self, bytes_per_second: impl Into<Option<u64>>) -> Self {
        self.group.max_bandwidth = Some(bytes_per_second.into());
        self
    }

    /// Whether the host may answer from its response cache, where a [`CachePolicy`](crate::CachePolicy) or the response's
    /// `Cache-Control` lets it. Default: `true`. An embedded listener has no cache.
    pub fn response_cache(mut self, allowed: bool) -> Self {
        self.group.response_cache = Some(allowed);
        self
    }

    /// Where and how the host logs the requests. Default: as the operator has set for all apps. An embedded listener has no
    /// access log.
    pub fn logging(mut self, logging: Logging) -> Self {
        self.group.logging = Some(logging);
        self
    }

    /// Whether handlers may hand requests over to other queues, with [`Delegation`](crate::Delegation). It costs a copy of
    /// each request's head in the host. Default: `false`. An embedded listener cannot delegate.
    pub fn delegates(mut self, delegates: bool) -> Self {
        self.group.delegates = Some(delegates);
        self
    }

    /// How many worker threads. Default: one per core. At least one.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Whether requests have a [`ConnectionInfo`](crate::ConnectionInfo) in their extensions. Default: `false`.
    pub fn connection_info(mut self, wanted: bool) -> Self {
        self.told.connection_info = wanted;
        self
    }

    /// Whether requests have a [`RequestControl`](crate::RequestControl) in their extensions, which tells when the client has
    /// gone and can break its connection off. It costs each request an allocation and a lock. Default: `false`.
    pub fn request_control(mut self, wanted: bool) -> Self {
        self.told.request_control = wanted;
        self
    }

    /// The certificate and the rules of the `https://` prefixes, if the server has a listener of its own. Behind a host they are
    /// the operator's.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls.fallback = Some(tls);
        self
    }

    /// As [`tls`](Self::tls), for clients that ask for this server name (SNI): a name, or `*.` and a name.
    pub fn tls_for(mut self, server_name: impl Into<String>, tls: Tls) -> Self {
        self.tls.by_name.push((server_name.into(), tls));
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
        self.trusted_proxies = networks.into_iter().map(|network| network.as_ref().to_owned()).collect();
        self
    }

    /// Whether every connection to the server's own listener begins with a header of the PROXY protocol, version 1 or 2, from
    /// which its client's address is taken. Others are closed, and so are those that do not come from
    /// [`trusted_proxies`](Self::trusted_proxies), if there are any. HTTP/3 is not served then. Default: `false`. Behind a host
    /// it is the operator's to say.
    pub fn proxy_protocol(mut self, expected: bool) -> Self {
        self.proxy_protocol = expected;
        self
    }

    /// Where requests come from. Default: [`Provider::auto`].
    pub fn provider(mut self, provider: Provider) -> Self {
        self.provider = provider;
        self
    }

    /// How long requests that run may take when the server stops. Default 5 s.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.shutdown_timeout = limit;
        self
    }

    /// Called before anything is registered, to inspect or change what is.
    pub fn on_bind(self, hook: impl FnOnce(&mut Bindings) + Send + 'static) -> Self {
        self.hooks().on_bind = Some(Box::new(hook));
        self
    }

    /// Called when clients can connect, with the prefixes in their complete form.
    pub fn on_ready(self, hook: impl FnOnce(&[UrlPrefix]) + Send + 'static) -> Self {
        self.hooks().on_ready = Some(Box::new(hook));
        self
    }

    /// Stops the server in order when `signal` ends, instead of at SIGTERM and SIGINT (Ctrl-C on Windows).
    pub fn with_graceful_shutdown(self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.hooks().stop = Some(Box::pin(signal));
        self
    }

    /// A handle with which to stop the server, and to change its settings while it runs.
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
    /// [`shutdown_timeout`](Self::shutdown_timeout). A second signal ends the process.
    ///
    /// Dropping the future stops the server at once.
    ///
    /// # Errors
    /// If the server cannot start: see [`Error`]. A host that goes away later is no error, but waited for.
    pub async fn run<B>(self) -> Result<()>
    where
        S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>> + Clone + Send + 'static,
        B: HttpBody<Error: Into<BoxError>> + 'static,
    {
        let (_active, changes) = self.handle.start()?;
        self.fine_tune.check()?;
        self.group.check()?;
        let trusted_proxies = TrustedProxies::parse(&self.trusted_proxies)?;
        let hooks = std::mem::take(&mut *self.hooks());
        let stop = Stop::new(hooks.stop, self.handle.clone())?;
        let prefixes = self.prefixes.iter().map(|prefix| bindings::parse(prefix)).collect::<Result<Vec<_>>>()?;

        #[cfg(unix)]
        let name = self.name.clone().unwrap_or_else(crate::shared::program_name);
        let (host, why) = match &self.provider.0 {
            Kind::Embedded => (None, "as asked".to_owned()),
            #[cfg(unix)]
            Kind::Shared(path) => (Some(crate::shared::find(path.as_deref(), &name, self.workers).await?), String::new()),
            #[cfg(unix)]
            Kind::Auto => match crate::shared::find(None, &name, self.workers).await {
                Ok(host) => (Some(host), String::new()),
                Err(Error::NoHost { tried, .. }) => (None, format!("no host answers at {}", crate::error::places(&tried))),
                Err(error) => (None, error.to_string()),
            },
            #[cfg(not(unix))]
            Kind::Shared(_) => return Err(Error::SharedUnavailable),
            #[cfg(not(unix))]
            Kind::Auto => (None, "hosts exist only on Unix".to_owned()),
        };

        let mut group = self.group;
        let mut bindings = Bindings::new(prefixes, std::mem::take(&mut group.queue), host.is_some());
        if let Some(on_bind) = hooks.on_bind {
            on_bind(&mut bindings);
        }
        if bindings.prefixes().is_empty() {
            return Err(Error::NoPrefix);
        }
        let prefixes;
        (prefixes, group.queue) = bindings.into_parts();
        group.queue.check()?;
        let on_ready = hooks.on_ready.unwrap_or_else(|| Box::new(|_| {}));
        match host {
            #[cfg(unix)]
            Some(host) => {
                let place = host.path().display().to_string();
                let ready = move |prefixes: &[UrlPrefix]| {
                    announce(&format!("serving {} through the host at {place}", listed(prefixes)));
                    on_ready(prefixes);
                };
                let shared = crate::shared::Shared {
                    name,
                    prefixes,
                    group,
                    fine_tune: self.fine_tune,
                    workers: self.workers,
                    told: self.told,
                    shutdown_timeout: self.shutdown_timeout,
                    handle: self.handle.clone(),
                };
                shared.run(self.app, host, stop, changes, ready).await
            }
            #[cfg(not(unix))]
            Some(()) => Err(Error::SharedUnavailable),
            None => {
                let embedded = Embedded {
                    prefixes,
                    group,
                    limits: self.limits,
                    tls: self.tls,
                    trusted_proxies,
                    proxy_protocol: self.proxy_protocol,
                    fine_tune: self.fine_tune,
                    workers: self.workers,
                    told: self.told,
                    shutdown_timeout: self.shutdown_timeout,
                };
                let handle = self.handle.clone();
                let ready = move |prefixes: &[UrlPrefix]| {
                    handle.desk().open_embedded();
                    announce(&format!("serving {} on a listener of its own: {why}", listed(prefixes)));
                    on_ready(prefixes);
                };
                embedded.run(self.app, stop, changes, ready).await
            }
        }
    }
}

/// The one line that says where requests come from. A program that has set up no logging gets it on standard error: it is
/// the first thing to look at when requests do not come.
fn announce(line: &str) {
    if tracing::dispatcher::has_been_set() {
        tracing::info!("{line}");
    } else {
        eprintln!("narthex: {line}");
    }
}

fn listed(prefixes: &[UrlPrefix]) -> String {
    let texts: Vec<&str> = prefixes.iter().map(UrlPrefix::as_str).collect();
    texts.join(" ")
}
