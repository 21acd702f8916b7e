//! What every peer has in common: its command line, its listener and the one answer it gives.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The body of every answer.
pub const BODY: &str = "Hello, World!";

/// The media type of every answer.
pub const MEDIA_TYPE: &str = "text/plain";

/// Where a peer was told to listen.
#[derive(Debug)]
pub enum Listen {
    /// `--port N`: on this port of 127.0.0.1.
    Port(u16),
    /// `--unix PATH`: on a Unix socket, which must not exist yet.
    Unix(PathBuf),
}

/// A bound listener, still in blocking mode.
#[derive(Debug)]
pub enum Listener {
    /// Bound to 127.0.0.1.
    Tcp(TcpListener),
    /// Bound to a path.
    Unix(UnixListener),
}

impl Listen {
    /// Reads the command line of this process.
    pub fn from_command_line() -> Result<Self> {
        let usage = "usage: --port N | --unix PATH";
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        match arguments.as_slice() {
            [flag, port] if flag == "--port" => {
                let port = port.parse().with_context(|| format!("{port}: {usage}"))?;
                Ok(Self::Port(port))
            }
            [flag, path] if flag == "--unix" => Ok(Self::Unix(path.into())),
            _ => bail!(usage),
        }
    }

    /// The port; an error for a peer that speaks TCP only.
    pub fn port(&self) -> Result<u16> {
        match self {
            Self::Port(port) => Ok(*port),
            Self::Unix(_) => bail!("this peer cannot listen on a Unix socket"),
        }
    }

    /// Binds.
    pub fn bind(&self) -> Result<Listener> {
        match self {
            Self::Port(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, *port))
                .map(Listener::Tcp)
                .with_context(|| format!("cannot listen on 127.0.0.1:{port}")),
            Self::Unix(path) => {
                UnixListener::bind(path).map(Listener::Unix).with_context(|| format!("cannot listen on {}", path.display()))
            }
        }
    }
}

impl Listener {
    /// Tokio wants its listeners non-blocking.
    pub fn into_nonblocking(self) -> std::io::Result<Self> {
        match &self {
            Self::Tcp(listener) => listener.set_nonblocking(true)?,
            Self::Unix(listener) => listener.set_nonblocking(true)?,
        }
        Ok(self)
    }
}

/// Says that connections are accepted from now on. SIGTERM keeps its default action, so it ends every peer at once.
pub fn ready() {
    println!("ready");
    // Nobody reads it when the peer is started by hand into a closed pipe: not a reason to stop.
    let _ = std::io::stdout().flush();
}
