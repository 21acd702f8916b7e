//! `narthex demo`: this process is the host, and two more processes share its port.

mod announce;
pub(crate) mod app;
pub(crate) mod apps;
mod lobby;
mod page;
mod supervisor;

use std::fs::Permissions;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use narthex_host::{Host, HostOptions};
use narthex_http::ListenError;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::args::DemoArguments;
use crate::dashboard::{Dashboard, Token};
use crate::stop::StopSignals;
use apps::AppName;
use lobby::Lobby;
use supervisor::Running;

/// How long the host waits for responses after the apps have ended: there is nothing left to answer them.
const HOST_DRAIN: Duration = Duration::from_secs(1);

/// Runs the demo until it is told to stop.
pub(crate) fn run(arguments: &DemoArguments) -> anyhow::Result<()> {
    crate::log::start("error");
    let (port, listen) = free_port(arguments)?;
    let directory = private_directory().context("cannot make a directory for the host's socket")?;
    let socket = directory.path().join("host.sock");
    let mut options = HostOptions::default();
    options.socket.clone_from(&socket);
    options.listen = if arguments.expose { Vec::new() } else { listen };
    let host = Host::start(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let result = runtime.block_on(serve(arguments, port, &socket));
    host.stop(HOST_DRAIN);
    result
}

/// The port, once it is known to be free, and the loopback addresses that this machine has.
///
/// The host would find a taken port too, but only when the first app registers, and it knows nothing of `--port`.
fn free_port(arguments: &DemoArguments) -> anyhow::Result<(u16, Vec<IpAddr>)> {
    let (v4, v6): (IpAddr, IpAddr) = match arguments.expose {
        true => (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()),
        false => (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
    };
    let first = narthex_http::listen(v4, arguments.port, 1).map_err(|error| taken(error, arguments.port))?;
    let port = match first.first().and_then(|listener| listener.local_addr().ok()) {
        Some(address) => address.port(),
        None => arguments.port,
    };
    match narthex_http::listen(v6, port, 1) {
        Ok(_) => Ok((port, vec![v4, v6])),
        Err(error @ (ListenError::InUse(..) | ListenError::Denied(..))) => Err(taken(error, port)),
        // No IPv6 here.
        Err(_) => Ok((port, vec![v4])),
    }
}

fn taken(error: ListenError, port: u16) -> anyhow::Error {
    match error {
        ListenError::InUse(_, holder) => anyhow::anyhow!(
            "port {port} is taken by {holder}. Stop what has it, \
             or choose another port, as in `narthex demo --port {}`; `--port 0` takes a free one.",
            if port == u16::MAX { port - 1 } else { port + 1 }
        ),
        other => anyhow::Error::new(other).context("choose another port with --port"),
    }
}

/// A directory that only this user can enter, removed with everything in it when the demo ends.
fn private_directory() -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("narthex-demo-").permissions(Permissions::from_mode(0o700)).tempdir()
}

async fn serve(arguments: &DemoArguments, port: u16, socket: &Path) -> anyhow::Result<()> {
    let mut signals = StopSignals::catch().context("cannot catch signals")?;
    let mut apps = Vec::new();
    for name in AppName::ALL {
        let launch = supervisor::Launch { name, port, socket: socket.to_owned() };
        let running = tokio::select! {
            started = Running::start(launch) => started.with_context(|| format!("cannot start {name}"))?,
            () = signals.received() => return Ok(()),
        };
        apps.push(running);
    }
    let (stop, stopping) = watch::channel(false);
    let mut supervisors = JoinSet::new();
    let mut boards = Vec::new();
    for running in apps {
        boards.push(running.board());
        supervisors.spawn(running.keep_running(stopping.clone()));
    }
    let pids: Vec<_> = boards.iter().map(|board| (board.name, board.status.borrow().pid.unwrap_or_default())).collect();
    let lobby = Lobby::new(port, socket, boards);
    let token = Token::random().context("cannot make the dashboard's token")?;
    let dashboard = Dashboard::new(socket, token);
    let link = dashboard.link(&format!("http://localhost:{port}/dashboard/"));
    // On the port of the apps, which are this program too. A dashboard beside apps of other people has a port of its own.
    let dashboard_prefix = format!("http://+:{port}/dashboard/");
    let ready = Arc::new(Notify::new());
    let announce = async {
        ready.notified().await;
        announce::started(arguments.expose, port, socket, &pids, &link);
        signals.received().await;
    };
    let served = tokio::select! {
        ended = lobby.serve(Arc::clone(&ready)) => ended,
        ended = dashboard.serve(&dashboard_prefix, || {}) => ended.map_err(Into::into),
        () = announce => Ok(()),
    };
    announce::stopping();
    // Fails only if no supervisor is left.
    let _ = stop.send(true);
    let ended = async { while supervisors.join_next().await.is_some() {} };
    tokio::select! {
        () = ended => {}
        // Whoever asks twice does not want to wait: dropped, the supervisors kill what still runs.
        () = signals.received() => {}
    }
    if let Err(error) = served {
        bail!(error.context("the start page cannot be served"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_what_to_do() {
        let other = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let error = free_port(&DemoArguments { port, expose: false }).unwrap_err().to_string();
        assert!(error.contains(&format!("port {port} is taken")) && error.contains("--port"), "{error}");
    }

    #[test]
    fn port_0_is_a_free_port_on_loopback_only() {
        let (port, listen) = free_port(&DemoArguments { port: 0, expose: false }).unwrap();
        assert_ne!(port, 0);
        assert!(listen.iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn nobody_else_can_enter_the_directory_of_the_socket() {
        let directory = private_directory().unwrap();
        let mode = std::fs::metadata(directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
