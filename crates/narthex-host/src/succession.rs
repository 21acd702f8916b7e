//! A host that takes over from a running one: the control socket, its lock, and every listening socket change hands, so that
//! no client is refused meanwhile.
//!
//! The new host asks on the old one's socket, and is sent the descriptors. Only when it says that it has them all does the old one let
//! go: whichever of the two dies before that, the old one goes on. Then the old one tells its apps, which register with the new one,
//! and serves the connections that it has to their end.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use narthex_http::Link;
use narthex_http::descriptor::Foreign;
use narthex_proto::wire::{ControlConnection, Hello, Message, Role};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::admin::{AdminError, Question};
use crate::socket::HostSocket;

/// A host answers at once or is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is handed over. The descriptors come beside it, in this order: the lock, the control socket, the listeners.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Estate {
    pub(crate) listeners: Vec<SocketAddr>,
    /// The processes of the apps that will register again; one for each of their servers.
    pub(crate) apps: Vec<u32>,
}

/// What a host has taken over.
pub(crate) struct Inheritance {
    pub(crate) socket: HostSocket,
    pub(crate) listeners: Vec<(SocketAddr, TcpListener)>,
    pub(crate) apps: Vec<u32>,
}

/// Asks the host at `path` to hand everything over.
///
/// # Errors
/// If there is no host, or it refuses. It goes on then.
pub(crate) fn take_over(path: &Path) -> Result<Inheritance, AdminError> {
    let asking = path.to_owned();
    // The caller may be within a runtime.
    let asked = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| AdminError::Io(asking.clone(), error))?;
        let answered = runtime.block_on(async { timeout(PATIENCE, ask(&asking)).await });
        answered.unwrap_or_else(|_| Err(AdminError::Io(asking, io::ErrorKind::TimedOut.into())))
    });
    asked.join().unwrap_or_else(|_| Err(AdminError::Io(path.to_owned(), io::Error::other("the thread that asked has panicked"))))
}

async fn ask(path: &Path) -> Result<Inheritance, AdminError> {
    let failed = |error| AdminError::Io(path.to_owned(), error);
    let stream = UnixStream::connect(path).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AdminError::NoHost(path.to_owned()),
        _ => failed(error),
    })?;
    let mut line = Line { link: Link::new(stream, Vec::new()).with_descriptors(), control: ControlConnection::new() };
    let mut arrived = Vec::new();
    let hello = Hello { name: "narthex".to_owned(), pid: std::process::id(), ..Hello::new(Role::Admin) };
    line.say(&Message::Hello(hello)).await.map_err(failed)?;
    match line.hear(&mut arrived).await? {
        Message::Welcome(_) => {}
        Message::Refused { message, .. } => return Err(AdminError::Refused(message)),
        _ => return Err(AdminError::Unexpected),
    }
    let question = serde_json::to_value(Question::TakeOver).map_err(|_| AdminError::Unexpected)?;
    line.say(&Message::Ask { id: 1, question }).await.map_err(failed)?;
    let estate: Estate = match line.hear(&mut arrived).await? {
        Message::Answer { answer, .. } => serde_json::from_value(answer).map_err(|_| AdminError::Unexpected)?,
        Message::Refused { message, .. } => return Err(AdminError::Refused(message)),
        _ => return Err(AdminError::Unexpected),
    };
    let mut descriptors = arrived.into_iter().map(OwnedFd::from);
    let (Some(lock), Some(control)) = (descriptors.next(), descriptors.next()) else { return Err(AdminError::Unexpected) };
    let listeners: Vec<_> = estate.listeners.into_iter().zip(descriptors.map(TcpListener::from)).collect();
    let socket = HostSocket::inherited(path, UnixListener::from(control), lock.into());
    // From here on they are this host's.
    line.say(&Message::Drain).await.map_err(failed)?;
    Ok(Inheritance { socket, listeners, apps: estate.apps })
}

/// A control connection that descriptors come on.
struct Line {
    link: Link,
    control: ControlConnection,
}

impl Line {
    async fn say(&mut self, message: &Message) -> io::Result<()> {
        self.control.send(message).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        poll_fn(|cx| self.link.poll_write(cx, self.control.output())).await
    }

    async fn hear(&mut self, arrived: &mut Vec<Foreign>) -> Result<Message, AdminError> {
        loop {
            if let Some(message) = self.control.receive()? {
                return Ok(message);
            }
            let read = poll_fn(|cx| self.link.poll_read(cx)).await;
            let read = read.map_err(|error| AdminError::Io("the host's socket".into(), error))?;
            if read == 0 {
                return Err(AdminError::Unexpected);
            }
            self.control.push(self.link.input());
            self.link.consume(read, 0);
            arrived.extend(self.link.arrived());
        }
    }
}

/// Writes an answer with descriptors beside it.
pub(crate) async fn send(stream: UnixStream, output: &[u8], descriptors: Vec<OwnedFd>) -> io::Result<Link> {
    let mut link = Link::new(stream, Vec::new());
    let (mut output, mut files) = (output.to_vec(), descriptors.into_iter().map(|one| std::sync::Arc::new(one.into())).collect());
    poll_fn(|cx| link.poll_write_with(cx, &mut output, &mut files)).await?;
    let _: VecDeque<_> = files;
    Ok(link)
}
