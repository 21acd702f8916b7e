//! Sockets that were opened before the host: systemd's socket units, and all who pass sockets as it does (`sd_listen_fds(3)`).
//!
//! The crate `listenfd` takes them, and looks that they are sockets of the right kind; what they are for, their addresses say.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use listenfd::ListenFd;

/// Sockets that were passed to this process.
#[derive(Clone, Debug, Default)]
pub struct PassedSockets(Arc<Mutex<Passed>>);

#[derive(Debug, Default)]
struct Passed {
    /// By the paths that they are bound to.
    control: Vec<(PathBuf, UnixListener)>,
    ports: Vec<(SocketAddr, TcpListener)>,
}

impl PassedSockets {
    /// Takes those that the environment tells of (`LISTEN_FDS`, `LISTEN_PID`), once in a process. What a host has no use for is
    /// told in the log and left alone.
    #[must_use]
    pub fn from_environment() -> Self {
        let mut passed = Passed::default();
        let mut all = ListenFd::from_env();
        for index in 0..all.len() {
            if let Ok(Some(socket)) = all.take_unix_listener(index) {
                passed.take_unix(socket);
            } else if let Ok(Some(socket)) = all.take_tcp_listener(index) {
                passed.take_tcp(socket);
            } else {
                tracing::warn!(
                    "socket {index} of those that were passed is of no use to a host: pass Unix and TCP stream sockets"
                );
            }
        }
        Self(Arc::new(Mutex::new(passed)))
    }

    /// The socket for apps and operators, if it was passed.
    pub(crate) fn take_control(&self, path: &Path) -> Option<UnixListener> {
        let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (other, _) in passed.control.iter().filter(|(other, _)| other != path) {
            tracing::warn!("the socket {} was passed, but this host's is {} (NARTHEX_HOST)", other.display(), path.display());
        }
        let at = passed.control.iter().position(|(bound, _)| bound == path)?;
        Some(passed.control.swap_remove(at).1)
    }

    /// The ports, which are open already for whoever registers there.
    pub(crate) fn take_ports(&self) -> Vec<(SocketAddr, TcpListener)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).ports)
    }
}

impl Passed {
    fn take_unix(&mut self, socket: UnixListener) {
        let path = socket.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned));
        match path.filter(|_| socket.set_nonblocking(true).is_ok()) {
            Some(path) => self.control.push((path, socket)),
            None => tracing::warn!("a Unix socket without a path was passed: nobody would find it"),
        }
    }

    fn take_tcp(&mut self, socket: TcpListener) {
        let Ok(address) = socket.local_addr() else { return };
        // The host has a socket of its own for IPv4, which could not be opened beside this one.
        if address.is_ipv6() && rustix::net::sockopt::ipv6_v6only(&socket) == Ok(false) {
            tracing::warn!(
                "{address} was passed for IPv4 too: set BindIPv6Only=ipv6-only in its socket unit, and 0.0.0.0 beside it"
            );
            return;
        }
        match socket.set_nonblocking(true) {
            Ok(()) => self.ports.push((address, socket)),
            Err(error) => tracing::warn!(%error, "{address} was passed and cannot be used"),
        }
    }
}
