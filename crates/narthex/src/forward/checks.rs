//! Active health checks: a task for each upstream that asks its servers how they are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::header::{HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri, Version};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::connect::connect;
use super::outgoing::Outgoing;
use super::server::Server;
use super::upstream::Inner;
use crate::BoxError;

/// What servers are asked, and how often.
#[derive(Clone, Debug)]
pub(super) struct HealthCheck {
    path: PathAndQuery,
    pub(super) every: Duration,
    timeout: Duration,
}

impl HealthCheck {
    /// # Panics
    /// If `path` is none.
    pub(super) fn new(path: &str, every: Duration, timeout: Duration) -> Self {
        let parsed = path.parse().ok().filter(|_| path.starts_with('/'));
        let Some(path) = parsed else {
            panic!("Upstream::health({path:?}): write a path that begins with a slash, as in \"/healthz\"");
        };
        Self { path, every: every.max(Duration::from_millis(1)), timeout }
    }
}

/// The task of an upstream, if it has one. It ends with this, or with the runtime that it runs on.
#[derive(Debug, Default)]
pub(super) struct Checks {
    runs: Arc<AtomicBool>,
    task: Mutex<Option<AbortHandle>>,
}

impl Drop for Checks {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// Lets another request start the checks, when the worker ends on which they ran.
struct Runs(Arc<AtomicBool>);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Inner {
    /// Starts the checks, if there are any that do not run.
    pub(super) fn start_checks(self: &Arc<Self>) {
        let Some(health) = &self.settings.health else { return };
        let checks = &self.checks;
        if checks.runs.load(Ordering::Acquire) || checks.runs.swap(true, Ordering::AcqRel) {
            return;
        }
        let runs = Runs(Arc::clone(&checks.runs));
        let task = tokio::spawn(check(Arc::downgrade(self), health.clone(), runs));
        *checks.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
    }
}

async fn check(upstream: Weak<Inner>, health: HealthCheck, _runs: Runs) {
    let mut ticks = interval(health.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(servers) = upstream.upgrade().map(|upstream| upstream.servers.clone()) else { return };
        let asked: Vec<_> = servers
            .into_iter()
            .map(|server| {
                let (upstream, health) = (Weak::clone(&upstream), health.clone());
                // Side by side, so that one that hangs does not keep the others' news back.
                AbortOnDrop(tokio::spawn(async move {
                    let passed = timeout(health.timeout, ask(upstream, &server, &health.path)).await;
                    let said = match &passed {
                        Ok(Ok(())) => None,
                        Ok(Err(error)) => Some(error.to_string()),
                        Err(_) => Some("it does not answer in time".to_owned()),
                    };
                    if let Some(said) = &said {
                        tracing::debug!(server = %server.address, "a health check has failed: {said}");
                    }
                    server.checked(said.is_none());
                }))
            })
            .collect();
        for mut asked in asked {
            let _ = (&mut asked.0).await;
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks a server over a connection of its own: that one can be had is half of the answer.
async fn ask(upstream: Weak<Inner>, server: &Arc<Server>, path: &PathAndQuery) -> Result<(), BoxError> {
    // Not held while the answer is waited for: the upstream may go meanwhile, and this with it.
    let Some(strong) = upstream.upgrade() else { return Ok(()) };
    let mut lease = connect(&strong, server, false).await?;
    drop(strong);
    let mut request = Request::new(Outgoing::empty());
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("narthex-health"));
    if lease.is_http2() {
        let scheme = if server.address.tls { "https" } else { "http" };
        let authority = server.address.authority.to_str()?;
        *request.uri_mut() = Uri::builder().scheme(scheme).authority(authority).path_and_query(path.clone()).build()?;
        *request.version_mut() = Version::HTTP_2;
    } else {
        *request.uri_mut() = path.clone().into();
        request.headers_mut().insert(HOST, server.address.authority.clone());
    }
    let response = lease.send(request).await.map_err(|error| error.into_error())?;
    let status = response.status();
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(format!("it answers {status}").into()) }
}
