//! Both ends of a succession on the control thread: handing over, and waiting for the apps to come.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use narthex_proto::wire::{ControlConnection, Message, RefusalCode};
use tokio::net::UnixStream;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::Shared;
use super::connection::Connection;
use super::ports::{Opened, PortChange};
use super::reservations::Caller;
use super::state::{App, Refusal};
use crate::admin::Question;
use crate::succession::{Estate, send};
use crate::worker::Command;

/// For the other host to say that it has everything.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(10);
/// For the apps of the host before this one to register.
const ARRIVAL: Duration = Duration::from_secs(10);

/// What a host waits for that has taken over: connections wait in the sockets meanwhile.
pub(super) struct Awaited {
    /// The processes that have not registered yet.
    apps: Vec<u32>,
    opened: Vec<Opened>,
}

impl Awaited {
    pub(super) fn new(apps: Vec<u32>) -> Self {
        Self { apps, opened: Vec::new() }
    }
}

pub(super) fn is_asked_for(question: &serde_json::Value) -> bool {
    serde_json::from_value(question.clone()).is_ok_and(|question: Question| question == Question::TakeOver)
}

/// Hands everything over to the host at the other end of `connection`. On a refusal this host goes on as before.
pub(super) async fn hand_over(shared: &Rc<Shared>, connection: &mut Connection, caller: &Caller, id: u64) -> Result<(), Refusal> {
    caller.check_operator("taking over from a host")?;
    // No port is opened or closed meanwhile.
    let _one_at_a_time = shared.changing.lock().await;
    if shared.stopping.get() {
        return Err(Refusal::new(RefusalCode::ShuttingDown, "the host is stopping: start the new one without --take-over"));
    }
    if shared.means.acceptor.is_some() {
        let message = "a host with single_acceptor cannot hand its sockets over: stop it, and start the new one";
        return Err(Refusal::new(RefusalCode::Unsupported, message));
    }
    let failed =
        |error: std::io::Error| Refusal::new(RefusalCode::Unsupported, format!("the sockets cannot be handed over: {error}"));
    let copies = shared.socket.borrow().as_ref().map(|socket| socket.copies());
    let Some(copies) = copies.transpose().map_err(failed)? else { return Err(failed(std::io::ErrorKind::NotConnected.into())) };
    let (mut listeners, mut descriptors): (Vec<SocketAddr>, Vec<OwnedFd>) = (Vec::new(), copies.into());
    for (address, listener) in super::all(shared.ask(|reply| Command::Listeners { reply })).await.into_iter().flatten() {
        listeners.push(address);
        descriptors.push(listener.into());
    }
    let own = std::process::id();
    let comes = |app: &&App| !app.has_left && !app.groups.is_empty() && app.pid != own;
    let apps = shared.state.borrow().apps.values().filter(comes).map(|app| app.pid).collect();
    let estate = Estate { listeners, apps };
    let answer = Message::Answer { id, answer: serde_json::to_value(estate).unwrap_or_default() };
    connection.control.send(&answer).map_err(|error| Refusal::new(RefusalCode::LimitReached, error.to_string()))?;
    let (closed, _) = UnixStream::pair().map_err(failed)?;
    let stream = std::mem::replace(&mut connection.stream, closed);
    let output = std::mem::take(connection.control.output());
    let heard = async {
        let mut link = send(stream, &output, descriptors).await?;
        let mut control = std::mem::replace(&mut connection.control, ControlConnection::new());
        loop {
            if matches!(control.receive(), Ok(Some(Message::Drain))) {
                return Ok(());
            }
            match std::future::poll_fn(|cx| link.poll_read(cx)).await? {
                0 => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
                read => {
                    control.push(link.input());
                    link.consume(read, 0);
                }
            }
        }
    };
    match timeout(ACKNOWLEDGEMENT, heard).await {
        Ok(Ok(())) => {}
        // Nobody hears the refusal.
        Ok(Err(error)) => {
            tracing::warn!(%error, "a host that wanted to take over is gone; this one goes on");
            return Err(failed(error));
        }
        Err(_) => {
            tracing::warn!("a host that wanted to take over does not say that it has; this one goes on");
            return Err(failed(std::io::ErrorKind::TimedOut.into()));
        }
    }
    tracing::info!("another host has taken over: this one serves the connections that it has to their end");
    shared.stopping.set(true);
    if let Some(accepting) = shared.accepting.take() {
        accepting.abort();
    }
    if let Some(socket) = shared.socket.take() {
        socket.hand_over();
    }
    shared.acme.stop();
    shared.tell(|| Command::Retire);
    shared.replaced.send_replace(true);
    Ok(())
}

impl Shared {
    /// Whether what was opened must wait for the apps that are on their way; it does, then.
    pub(super) fn hold_back(&self, change: &mut PortChange) {
        if let Some(awaited) = &mut *self.awaited.borrow_mut() {
            awaited.opened.retain(|opened| !change.closed.contains(&opened.address));
            awaited.opened.append(&mut change.opened);
        }
    }

    /// An app has registered: if it was the last that was waited for, clients are served.
    pub(super) fn has_come(&self, pid: u32) {
        let mut awaited = self.awaited.borrow_mut();
        let Some(waiting) = &mut *awaited else { return };
        if let Some(at) = waiting.apps.iter().position(|other| *other == pid) {
            waiting.apps.swap_remove(at);
        }
        let all_are_there = waiting.apps.is_empty();
        drop(awaited);
        if all_are_there {
            self.open_held_back();
        }
    }

    fn open_held_back(&self) {
        let Some(awaited) = self.awaited.take() else { return };
        for opened in awaited.opened {
            self.listen(opened);
        }
    }

    /// Serves clients even if not all apps come, and closes what nobody has asked for.
    pub(super) fn expect_apps(self: &Rc<Self>) {
        let shared = Rc::clone(self);
        if shared.awaited.borrow().as_ref().is_some_and(|awaited| awaited.apps.is_empty()) {
            shared.open_held_back();
        }
        spawn_local(async move {
            tokio::time::sleep(ARRIVAL).await;
            if let Some(awaited) = &*shared.awaited.borrow() {
                tracing::warn!(pids = ?awaited.apps, "some apps of the host before this one have not come");
            }
            shared.open_held_back();
            let closed = shared.state.borrow().ports.disinherit();
            if !closed.is_empty() {
                tracing::info!(?closed, "no app has come for these addresses: they are closed");
            }
        });
    }
}
