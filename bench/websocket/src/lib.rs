//! What every WebSocket peer has in common: its command line, its listener, and what its paths do.
//!
//! A binary message on [`ECHO`] is sent back, and so is a text message on [`TEXT`]. One on [`BROADCAST`] is sent to everybody who is connected there, the sender included.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::sync::mpsc;

/// Where messages are echoed.
pub const ECHO: &str = "/echo";

/// Where text is echoed.
pub const TEXT: &str = "/text";

/// Where messages go to all.
pub const BROADCAST: &str = "/broadcast";

/// Binds to the `--port N` of the command line, on 127.0.0.1 and in tokio's mode.
pub fn listen() -> Result<TcpListener> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flag, port] = arguments.as_slice() else { bail!("usage: --port N") };
    if flag != "--port" {
        bail!("usage: --port N");
    }
    let port: u16 = port.parse().with_context(|| format!("{port} is no port"))?;
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Says that connections are accepted from now on. SIGTERM keeps its default action, so it ends every peer at once.
pub fn ready() {
    println!("ready");
    // Nobody reads it when the peer is started by hand into a closed pipe: not a reason to stop.
    let _ = std::io::stdout().flush();
}

/// Everybody who is connected to [`BROADCAST`]: what a peer without rooms of its own would write.
#[derive(Debug, Clone, Default)]
pub struct Everybody(Arc<Mutex<Vec<mpsc::UnboundedSender<Bytes>>>>);

impl Everybody {
    /// One more, for as long as it has its place; what is to be sent to it.
    pub fn enter(&self) -> (Member, mpsc::UnboundedReceiver<Bytes>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender.clone());
        (Member { everybody: self.clone(), sender }, receiver)
    }

    /// A message to all. Those who have left are forgotten.
    pub fn send(&self, message: &Bytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|member| member.send(message.clone()).is_ok());
    }
}

/// A place among [`Everybody`]. Without it, nothing more is to be sent, so that the connection's sending half ends, too.
#[derive(Debug)]
pub struct Member {
    everybody: Everybody,
    sender: mpsc::UnboundedSender<Bytes>,
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = self.everybody.0.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| !member.same_channel(&self.sender));
    }
}
