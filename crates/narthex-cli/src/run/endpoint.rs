//! Where one process listens: a port or a Unix socket that it has for itself, and how it is told.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use narthex::forward::Upstream;

use crate::args::Listen;

/// Every socket has a name of its own: one that is about to go must not be taken for the one that comes.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Where a process listens.
#[derive(Debug)]
pub(super) enum Endpoint {
    Port(u16),
    /// Removed when this goes.
    Socket(SocketFile),
    /// The same, already listening. It stays open here, too: what the process has not accepted when it dies, the next one does.
    Passed(SocketFile, OwnedFd),
}

/// The file of a socket.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl SocketFile {
    fn new(directory: &Path) -> Self {
        Self(directory.join(format!("{}.sock", NEXT.fetch_add(1, Ordering::Relaxed))))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The program may have removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Endpoint {
    /// A new one. `directory` is where sockets are.
    pub(super) fn new(listen: Listen, directory: &Path) -> anyhow::Result<Self> {
        match listen {
            Listen::Port => {
                // Free a moment ago. Who takes it meanwhile makes this start fail, and the next one gets another.
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
                Ok(Self::Port(free.context("there is no free port")?.port()))
            }
            Listen::Socket => Ok(Self::Socket(SocketFile::new(directory))),
            Listen::Fd => {
                let file = SocketFile::new(directory);
                let listener = UnixListener::bind(&file.0).with_context(|| format!("cannot listen on {}", file.0.display()))?;
                Ok(Self::Passed(file, listener.into()))
            }
        }
    }

    /// The address to forward to.
    pub(super) fn upstream(&self) -> anyhow::Result<Upstream> {
        let address = match self {
            Self::Port(port) => format!("http://127.0.0.1:{port}"),
            Self::Socket(file) | Self::Passed(file, _) => format!("unix:{}", file.0.display()),
        };
        Ok(Upstream::new(address)?)
    }

    /// What the process finds in its environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, OsString)> {
        match self {
            Self::Port(port) => vec![("PORT", port.to_string().into()), ("HOST", "127.0.0.1".into())],
            Self::Socket(file) => vec![("NARTHEX_SOCKET", file.0.clone().into())],
            // LISTEN_PID is set by the process itself, which alone knows it.
            Self::Passed(..) => vec![("LISTEN_FDS", "1".into()), ("LISTEN_FDNAMES", "http".into())],
        }
    }

    /// The socket to pass on.
    pub(super) fn listener(&self) -> std::io::Result<Option<OwnedFd>> {
        match self {
            Self::Passed(_, listener) => listener.try_clone().map(Some),
            _ => Ok(None),
        }
    }

    /// Whether the next process can have it when this one has died.
    pub(super) fn survives(&self) -> bool {
        matches!(self, Self::Passed(..))
    }

    /// Whether somebody accepts connections there.
    pub(super) async fn accepts(&self) -> bool {
        match self {
            Self::Port(port) => tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await.is_ok(),
            Self::Socket(file) | Self::Passed(file, _) => tokio::net::UnixStream::connect(&file.0).await.is_ok(),
        }
    }

    /// What to look at if nobody does.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Port(port) => {
                format!("nothing accepts connections at 127.0.0.1:{port}: the program has to listen at the port in PORT")
            }
            Self::Socket(_) => {
                "nothing accepts connections at its socket: the program has to listen at the path in NARTHEX_SOCKET".to_owned()
            }
            Self::Passed(..) => "its socket does not accept connections".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_accepts_when_somebody_listens_and_its_file_goes_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::new(Listen::Socket, directory.path()).unwrap();
        let path = PathBuf::from(&endpoint.environment()[0].1);
        assert!(!endpoint.accepts().await);
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(endpoint.accepts().await);
        drop(endpoint);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_port_is_free_and_a_passed_socket_listens_already() {
        let directory = tempfile::tempdir().unwrap();
        let port = Endpoint::new(Listen::Port, directory.path()).unwrap();
        assert!(!port.accepts().await && port.hint().contains("PORT"));
        let passed = Endpoint::new(Listen::Fd, directory.path()).unwrap();
        assert!(passed.accepts().await && passed.survives());
        drop(passed.listener().unwrap().unwrap());
        assert!(passed.accepts().await, "it listens on without the process that had it");
    }
}
