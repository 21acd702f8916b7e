//! What a server is to be, and one life of it by the provider that there is.

use std::time::Duration;

use narthex_http::{Limits, TrustedProxies, default_workers};
use narthex_proto::prefix::{PrefixSpec, UrlPrefix};

use crate::bindings::{self, Bindings};
use crate::call::App;
use crate::change::GroupSettings;
use crate::embedded::Embedded;
use crate::error::{Error, Result, listed};
use crate::lifetime::{Course, StopSignal};
use crate::provider::{Kind, Provider};
use crate::request::Told;
use crate::successor::StartsSuccessor;
use crate::tls::TlsSettings;
use crate::tuning::FineTune;
use crate::watchdog::Watchdog;

const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) type OnBind = Box<dyn FnMut(&mut Bindings) + Send>;
type OnReady = Box<dyn FnMut(&[UrlPrefix]) + Send>;
type OnRestart = Box<dyn FnMut(&Error) + Send>;

/// What is called.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) on_bind: Option<OnBind>,
    pub(crate) on_ready: Option<OnReady>,
    pub(crate) on_shutdown: Option<Box<dyn FnMut() + Send>>,
    pub(crate) on_restart: Option<OnRestart>,
    pub(crate) stop: Option<StopSignal>,
}

/// A server's app and settings.
#[derive(Clone)]
pub(crate) struct Plan<S> {
    pub(crate) app: S,
    pub(crate) name: Option<String>,
    pub(crate) prefixes: Vec<String>,
    /// Its queue's settings included.
    pub(crate) group: GroupSettings,
    pub(crate) fine_tune: FineTune,
    pub(crate) limits: Limits,
    pub(crate) tls: TlsSettings,
    pub(crate) trusted_proxies: Vec<String>,
    pub(crate) proxy_protocol: bool,
    pub(crate) workers: usize,
    pub(crate) told: Told,
    pub(crate) successor: StartsSuccessor,
    pub(crate) provider: Provider,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) watchdog: Option<Watchdog>,
}

impl<S> Plan<S> {
    pub(crate) fn new(app: S) -> Self {
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
            successor: StartsSuccessor::default(),
            provider: Provider::default(),
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            watchdog: None,
        }
    }
}

impl<S: App> Plan<S> {
    /// Serves until `course` says to end. `ready` is called with the real ports, and whether there is a host, when clients can
    /// connect.
    pub(crate) async fn live(
        &mut self,
        on_bind: Option<&mut OnBind>,
        course: &mut Course<'_>,
        ready: impl FnOnce(&[UrlPrefix], bool) + Send,
    ) -> Result<()> {
        self.fine_tune.check()?;
        self.group.check()?;
        let trusted_proxies = TrustedProxies::parse(&self.trusted_proxies)?;
        let prefixes = self.prefixes.iter().map(|prefix| bindings::parse(prefix)).collect::<Result<Vec<_>>>()?;
        let name = self.name.clone().unwrap_or_else(program_name);
        let found = tokio::select! {
            () = course.ending.wait() => return Ok(()),
            found = find(&self.provider, &name, self.workers) => found?,
        };

        let mut group = self.group.clone();
        let mut bindings = Bindings::new(prefixes, std::mem::take(&mut group.queue), !matches!(found, Found::Nobody(_)));
        if let Some(on_bind) = on_bind {
            on_bind(&mut bindings);
        }
        let typed;
        (typed, group.queue) = bindings.into_parts();
        group.queue.check()?;
        group.merge(&course.lasting.changes);
        let (prefixes, typed): (Vec<PrefixSpec>, Vec<_>) = course.lasting.wanted(typed).into_iter().unzip();
        if prefixes.is_empty() {
            return Err(Error::NoPrefix);
        }
        let mut served = Vec::new();
        let lived = match found {
            #[cfg(unix)]
            Found::Host(host) => {
                let place = host.path().display().to_string();
                let ready = |prefixes: &[UrlPrefix]| {
                    prefixes.clone_into(&mut served);
                    announce(&format!("serving {} through the host at {place}", listed(prefixes)));
                    ready(prefixes, true);
                };
                let shared = crate::shared::Shared {
                    name,
                    prefixes,
                    group,
                    fine_tune: self.fine_tune.clone(),
                    workers: self.workers,
                    told: self.told,
                    successor: self.successor.clone(),
                    shutdown_timeout: self.shutdown_timeout,
                };
                shared.run(self.app.clone(), *host, course, ready).await
            }
            #[cfg(any(windows, test))]
            Found::HttpSys(api) => {
                let server = course.server.clone();
                let ready = |prefixes: &[UrlPrefix]| {
                    prefixes.clone_into(&mut served);
                    server.desk().open_embedded();
                    announce(&format!("serving {} through HTTP.sys", listed(prefixes)));
                    ready(prefixes, true);
                };
                let httpsys = crate::httpsys::HttpSys {
                    api,
                    prefixes,
                    group,
                    limits: self.limits.clone(),
                    fine_tune: self.fine_tune.clone(),
                    workers: self.workers,
                    told: self.told,
                    shutdown_timeout: self.shutdown_timeout,
                    left_to_httpsys: self.left_to_httpsys(),
                };
                httpsys.run(self.app.clone(), course, ready).await
            }
            Found::Nobody(why) => {
                let embedded = Embedded {
                    prefixes,
                    group,
                    limits: self.limits.clone(),
                    tls: self.tls.clone(),
                    trusted_proxies,
                    proxy_protocol: self.proxy_protocol,
                    fine_tune: self.fine_tune.clone(),
                    workers: self.workers,
                    told: self.told,
                    shutdown_timeout: self.shutdown_timeout,
                };
                let server = course.server.clone();
                let ready = |prefixes: &[UrlPrefix]| {
                    prefixes.clone_into(&mut served);
                    server.desk().open_embedded();
                    announce(&format!("serving {} on a listener of its own: {why}", listed(prefixes)));
                    ready(prefixes, false);
                };
                embedded.run(self.app.clone(), course, ready).await
            }
        };
        for (typed, prefix) in typed.into_iter().zip(&served) {
            if let Some(typed) = typed {
                course.lasting.became(typed, prefix);
            }
        }
        lived
    }

    /// What was set that HTTP.sys does by its own configuration, or not at all.
    #[cfg(any(windows, test))]
    fn left_to_httpsys(&self) -> Vec<&'static str> {
        let present = [
            ("tls (narthex add sslcert)", !self.tls.is_empty()),
            ("trusted_proxies", !self.trusted_proxies.is_empty()),
            ("proxy_protocol", self.proxy_protocol),
        ];
        present.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
    }
}

/// Where requests are to come from.
enum Found {
    #[cfg(unix)]
    Host(Box<crate::shared::Host>),
    #[cfg(any(windows, test))]
    HttpSys(std::sync::Arc<dyn narthex_httpsys::Api>),
    /// And why the server needs a listener of its own.
    Nobody(String),
}

#[cfg(unix)]
async fn find(provider: &Provider, name: &str, workers: usize) -> Result<Found> {
    use crate::shared::find;
    match &provider.0 {
        Kind::Embedded => Ok(Found::Nobody("as asked".to_owned())),
        Kind::Shared(path) => find(path.as_deref(), name, workers).await.map(|host| Found::Host(Box::new(host))),
        Kind::Auto => Ok(match find(None, name, workers).await {
            Ok(host) => Found::Host(Box::new(host)),
            Err(Error::NoHost { tried, .. }) => Found::Nobody(format!("no host answers at {}", crate::error::places(&tried))),
            Err(error) => Found::Nobody(error.to_string()),
        }),
        Kind::HttpSys => Err(Error::NoHttpSys("it is a part of Windows".to_owned())),
        #[cfg(test)]
        Kind::HttpSysAt(fake) => Ok(Found::HttpSys(std::sync::Arc::new(fake.0.clone()))),
    }
}

#[cfg(windows)]
async fn find(provider: &Provider, _name: &str, _workers: usize) -> Result<Found> {
    let open = || narthex_httpsys::HttpSys::open();
    match &provider.0 {
        Kind::Embedded => Ok(Found::Nobody("as asked".to_owned())),
        Kind::Shared(_) => Err(Error::SharedUnavailable),
        Kind::HttpSys => match open() {
            Ok(api) => Ok(Found::HttpSys(api)),
            Err(code) => Err(Error::NoHttpSys(code.to_string())),
        },
        Kind::Auto => Ok(match open() {
            Ok(api) => Found::HttpSys(api),
            Err(code) => Found::Nobody(format!("there is no HTTP.sys ({code})")),
        }),
        #[cfg(test)]
        Kind::HttpSysAt(fake) => Ok(Found::HttpSys(std::sync::Arc::new(fake.0.clone()))),
    }
}

#[cfg(not(any(unix, windows)))]
async fn find(provider: &Provider, _name: &str, _workers: usize) -> Result<Found> {
    match &provider.0 {
        Kind::Embedded => Ok(Found::Nobody("as asked".to_owned())),
        Kind::Shared(_) => Err(Error::SharedUnavailable),
        Kind::HttpSys => Err(Error::NoHttpSys("it is a part of Windows".to_owned())),
        Kind::Auto => Ok(Found::Nobody("hosts exist only on Unix".to_owned())),
    }
}

#[cfg(unix)]
use crate::shared::program_name;

#[cfg(not(unix))]
fn program_name() -> String {
    String::new()
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
