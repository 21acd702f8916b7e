//! The app runs: in the foreground, or started by a service manager.

use std::ffi::OsString;
use std::process::ExitCode;

use super::Service;
use crate::error::{BoxError, Error};

/// How the app was started.
#[derive(Clone, Debug)]
pub struct Invocation {
    arguments: Vec<OsString>,
}

impl Invocation {
    pub(super) fn new(arguments: Vec<OsString>) -> Self {
        Self { arguments }
    }

    /// The app's own arguments, the program's name first, as an argument parser wants them: without `run`, if that was typed.
    #[must_use]
    pub fn arguments(&self) -> &[OsString] {
        &self.arguments
    }
}

/// Runs the app until it ends.
pub(super) fn run<F, Fut, E>(service: &Service, invocation: Invocation, app: F) -> ExitCode
where
    F: FnOnce(Invocation) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    #[cfg(windows)]
    return super::scm::run(service, invocation, app);
    #[cfg(unix)]
    {
        systemd::tell_of_servers();
        told(service, runtime().and_then(|runtime| runtime.block_on(systemd::watched(served(app(invocation))))))
    }
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, BoxError> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::io("start a runtime"))?)
}

pub(super) async fn served<E: Into<BoxError>>(app: impl Future<Output = Result<(), E>>) -> Result<(), BoxError> {
    app.await.map_err(Into::into)
}

/// The exit code of what the app came to, which is printed if it is an error.
pub(super) fn told(service: &Service, ended: Result<(), BoxError>) -> ExitCode {
    let Err(error) = ended else { return ExitCode::SUCCESS };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Many errors tell their causes themselves.
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    eprintln!("{}: {text}", service.name);
    if is_privilege(error.as_ref()) && is_service() {
        eprintln!(
            "{}: as a service it gets that right with Service::low_ports(true) in its main, and another install",
            service.name
        );
    }
    ExitCode::FAILURE
}

fn is_privilege(error: &(dyn std::error::Error + 'static)) -> bool {
    use narthex_http::{ListenError, Remedy};
    let is = |error: &Error| matches!(error, Error::Listen(ListenError::Denied(_, Remedy::Privilege { .. })));
    error.downcast_ref::<Error>().is_some_and(is)
}

/// systemd gives each run of a unit an identity.
fn is_service() -> bool {
    std::env::var_os("INVOCATION_ID").is_some()
}

#[cfg(unix)]
mod systemd {
    use std::time::Duration;

    use sd_notify::NotifyState;

    use super::BoxError;
    use crate::lifecycle;
    use crate::service::notify::{self, State};

    /// Has systemd told of the app's servers. Elsewhere `NOTIFY_SOCKET` is not set, and nobody is told.
    pub(super) fn tell_of_servers() {
        lifecycle::listen(notify::told(|state| {
            let now = || NotifyState::monotonic_usec_now().ok();
            let states: Vec<NotifyState<'_>> = match state {
                State::Ready => vec![NotifyState::Ready],
                State::Reloading => std::iter::once(NotifyState::Reloading).chain(now()).collect(),
                State::Stopping(within) => {
                    let within = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
                    vec![NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(within)]
                }
            };
            tell(&states);
        }));
    }

    /// Runs `app` beside what tells systemd's watchdog that its runtimes turn, if there is one.
    pub(super) async fn watched(app: impl Future<Output = Result<(), BoxError>>) -> Result<(), BoxError> {
        let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return app.await };
        let period = limit / 4;
        // They beat twice as often as they are looked at, so that one that turns has done so since.
        let pinging = tokio::spawn(ping(lifecycle::watch_hearts(period / 2), period));
        let ended = app.await;
        pinging.abort();
        ended
    }

    /// This task is the main runtime's sign of life; the hearts are those of the servers' workers.
    async fn ping(hearts: &lifecycle::Hearts, period: Duration) {
        loop {
            let look = hearts.look();
            tokio::time::sleep(period).await;
            if lifecycle::all_beat_since(&look) {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::warn!(
                    "a worker's thread has not turned for {period:?}: systemd's watchdog is not told that all is well"
                );
            }
        }
    }

    fn tell(states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!(%error, "systemd cannot be told {states:?}");
        }
    }
}
