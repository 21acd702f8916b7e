//! `narthex host`: the daemon, in the foreground.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use anyhow::Context;
use narthex_host::{Host, HostOptions, PassedSockets};
use sd_notify::NotifyState;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::args::HostArguments;
use crate::dashboard::{Dashboard, Token};
use crate::output::print;
use crate::stop::{Signal, StopSignals};

/// How long requests in progress may take to finish once the host was asked to end.
const DRAIN: Duration = Duration::from_secs(5);
/// Beside that: what is cut off, and the disk that the logs are on.
const CLOSING: Duration = Duration::from_secs(10);
/// How long the clients of a host that was replaced may stay, WebSockets among them.
const DRAIN_OF_REPLACED: Duration = Duration::from_secs(60);
/// How long a client of such a host may be idle: with its next response it is told to connect anew.
const IDLE: Duration = Duration::from_secs(5);

/// Runs a host until it is told to stop.
pub(crate) fn run(arguments: HostArguments) -> anyhow::Result<()> {
    crate::log::start("info");
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    // Caught before the host starts, so that no signal ends it without removing its socket.
    let mut signals = {
        let _in_runtime = runtime.enter();
        StopSignals::catch().context("cannot catch signals")?
    };
    let dashboard = arguments.dashboard.clone().map(|url| (url, arguments.dashboard_token.clone()));
    let mut options = options(arguments);
    options.passed = PassedSockets::from_environment();
    let host = Host::start(options)?;
    let mut dashboard = dashboard.map(|(url, token)| runtime.block_on(serve_dashboard(&host, url, token)));
    // The host serves the apps all the same.
    if let Some(Err(error)) = &dashboard {
        tracing::error!("there is no dashboard: {error:#}");
    }
    print(&format!("ready {}", host.socket().display()));
    tell(&[NotifyState::Ready]);
    // A daemon has no terminal to lose: SIGHUP means that its configuration has changed.
    let replaced = host.replaced();
    let drain = runtime.block_on(async {
        tokio::pin!(replaced);
        let watched = watched(&host);
        tokio::pin!(watched);
        loop {
            let signal = tokio::select! {
                signal = signals.next() => signal,
                () = &mut replaced => break DRAIN_OF_REPLACED,
                never = &mut watched => match never {},
            };
            if signal != Signal::HangUp {
                break DRAIN;
            }
            tracing::info!("SIGHUP: the configuration is read again");
            let begun = std::iter::once(NotifyState::Reloading).chain(NotifyState::monotonic_usec_now().ok());
            tell(&begun.collect::<Vec<_>>());
            host.reload().await;
            tell(&[NotifyState::Ready]);
        }
    });
    let limit = u32::try_from((drain + CLOSING).as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
    if drain == DRAIN_OF_REPLACED {
        // Its successor has its own.
        if let Some(Ok(serving)) = dashboard.take() {
            serving.abort();
        }
        let ended = runtime.block_on(async { tokio::time::timeout(IDLE, signals.received()).await.is_ok() });
        host.stop(if ended { DRAIN } else { DRAIN_OF_REPLACED });
        return Ok(());
    }
    host.stop(drain);
    Ok(())
}

/// Tells the service manager's watchdog that the host's threads turn, if there is one. It is asked for four signs of life in the time
/// that it waits.
async fn watched(host: &Host) -> Infallible {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return pending().await };
    let period = limit / 4;
    loop {
        tokio::time::sleep(period).await;
        if let Ok(true) = tokio::time::timeout(period, host.turns()).await {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("a thread of the host does not turn: the watchdog is not told that all is well");
        }
    }
}

/// Tells systemd, if that has started the host.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told {states:?}");
    }
}

/// Serves the dashboard, and returns when it can be opened.
async fn serve_dashboard(host: &Host, url: String, token: Option<String>) -> anyhow::Result<JoinHandle<narthex::Result<()>>> {
    let chosen = token.is_some();
    let token = match token {
        Some(token) => Token::new(token),
        None => Token::random().context("cannot make a token")?,
    };
    let dashboard = Dashboard::new(host.socket(), token);
    // Who has chosen the token knows it, and may not want it in a log.
    let link = if chosen { url.clone() } else { dashboard.link(&url) };
    let (ready, is_ready) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let ready = move || {
            let _ = ready.send(());
        };
        let served = dashboard.serve(&url, ready).await;
        if let Err(error) = &served {
            tracing::error!("the dashboard has ended: {error}");
        }
        served
    });
    match is_ready.await {
        Ok(()) => tracing::info!("the dashboard is at {link}"),
        Err(_) => {
            serving.await??;
            anyhow::bail!("the dashboard has ended");
        }
    }
    Ok(serving)
}

/// Every client, session and port is a file descriptor. Services are often started with a soft limit of 1024, for the sake of
/// programs that use `select`; one user's connections to the socket would be most of it.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(?current, ?maximum, %error, "the limit of open files stays as it is (ulimit -n)");
    }
}

fn options(arguments: HostArguments) -> HostOptions {
    let mut options = HostOptions::default();
    match arguments.socket.socket {
        // A host beside the machine's own one, for a test or a demonstration: its files are beside its socket.
        Some(socket) => options.socket = socket,
        None => {
            options.config = Some(narthex_host::config::default_path());
            options.logs = Some(narthex_host::config::default_logs());
        }
    }
    if let Some(workers) = arguments.workers {
        options.workers = workers.into();
    }
    options.listen = arguments.listen;
    options.take_over = arguments.take_over;
    options.config = arguments.config.or(options.config);
    // Root's host is the system's.
    options.shared = arguments.shared || rustix::process::geteuid().is_root();
    options
}

#[cfg(test)]
mod tests {
    use crate::args::SocketArgument;

    use super::*;

    #[test]
    fn what_was_not_typed_stays_as_the_host_has_it() {
        let socket = SocketArgument { socket: Some("/s".into()) };
        let listen = vec!["::1".parse().unwrap()];
        let typed = options(HostArguments {
            service: None,
            socket,
            config: Some("/c".into()),
            shared: false,
            workers: None,
            listen,
            take_over: false,
            dashboard: None,
            dashboard_token: None,
        });
        assert_eq!(typed.socket, std::path::Path::new("/s"));
        assert_eq!(typed.workers, HostOptions::default().workers);
        assert_eq!(typed.listen.len(), 1);
        assert_eq!(typed.config, Some("/c".into()));
        assert_eq!(typed.shared, rustix::process::geteuid().is_root());
    }
}
