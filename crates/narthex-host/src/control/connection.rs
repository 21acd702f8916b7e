//! One connection to the host's socket: a greeting that says what it is for, and then its messages.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use narthex_http::descriptor::{self, Foreign};
use narthex_proto::prefix::UrlPrefix;
use narthex_proto::wire::{
    ControlConnection, Hello, Message, MessageTooLarge, ProtocolError, RefusalCode, RegisteredUrl, Role, Welcome,
};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;

use super::reservations::Caller;
use super::restart::Saying;
use super::state::Refusal;
use super::{SPARE_CONNECTIONS, Shared, report, succession};
use crate::admin::{Answer, Question};
use crate::snapshot::AppId;
use crate::token::random_token;
use crate::worker::{Attach, Command};

/// For the greeting. What connects and says nothing is not an app.
const GREETING: Duration = Duration::from_secs(10);

/// The longest message of a user who is no operator, and of whoever only asks questions, in bytes. Some thousand URLs at a
/// time; more would cost the host's memory and the control thread's time, which are everybody's.
const LONGEST_MESSAGE: usize = 512 * 1024;

/// Who is at the other end, by the kernel's word.
#[derive(Clone)]
struct Peer {
    caller: Caller,
    pid: u32,
}

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// Nothing was sent: something shorter may be said instead.
    #[error("{0}")]
    TooLarge(#[from] MessageTooLarge),
}

pub(super) struct Connection {
    pub(super) stream: UnixStream,
    pub(super) control: ControlConnection,
    /// The last descriptor that came with the messages: the peer's end of the stream.
    descriptor: Option<Foreign>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        descriptor::end(&self.stream);
    }
}

impl Connection {
    /// The next message, or `None` at the end of the stream.
    async fn receive(&mut self) -> Result<Option<Message>, Ended> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let received = self.control.receive();
            // An answer to a ping, or our version for a peer of another one.
            self.flush().await?;
            if let Some(message) = received? {
                return Ok(Some(message));
            }
            match descriptor::receive(&self.stream, &mut buffer, &mut self.descriptor).await? {
                0 => return Ok(None),
                read => self.control.push(buffer.get(..read).unwrap_or_default()),
            }
        }
    }

    async fn send(&mut self, message: &Message) -> Result<(), Ended> {
        self.control.send(message)?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        // Cancel safe: what is not written stays.
        while !self.control.output().is_empty() {
            let written = self.stream.write(self.control.output()).await?;
            self.control.output().drain(..written);
        }
        Ok(())
    }
}

pub(super) async fn serve(shared: Rc<Shared>, stream: UnixStream, permit: OwnedSemaphorePermit) {
    let mut connection = Connection { stream, control: ControlConnection::new(), descriptor: None };
    if let Err(error) = greet(&shared, &mut connection, permit).await {
        tracing::debug!(%error, "a connection to the host's socket has ended");
    }
}

/// Reads the greeting and serves the connection as what it says.
async fn greet(shared: &Rc<Shared>, connection: &mut Connection, permit: OwnedSemaphorePermit) -> Result<(), Ended> {
    let credentials = connection.stream.peer_cred()?;
    let peer = Peer {
        caller: Caller::new(credentials.uid(), credentials.gid(), &mut shared.groups.borrow_mut()),
        pid: credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
    };
    let Some(of_user) = shared.admit(&peer.caller) else {
        tracing::warn!(uid = peer.caller.uid, "a user has too many connections to the host's socket: one was closed");
        return Ok(());
    };
    let Ok(first) = timeout(GREETING, connection.receive()).await else { return Ok(()) };
    let Some(Message::Hello(hello)) = first? else { return Ok(()) };
    // An operator who wants to know why it is full gets in.
    if hello.role != Role::Admin && shared.connections.available_permits() < SPARE_CONNECTIONS {
        let message = "this host has all the connections that it takes: stop some apps";
        return refuse(shared, connection, RefusalCode::LimitReached, message).await;
    }
    if hello.role != Role::App || !peer.caller.is_operator() {
        connection.control.limit_received(LONGEST_MESSAGE);
    }
    match hello.role {
        Role::App => app(shared, connection, peer, hello).await,
        Role::Data => data(shared, connection, peer, &hello, [permit, of_user]).await,
        Role::Admin => admin(shared, connection, &peer).await,
        _ => {
            let message = "this host does not know what the connection is for: it may be of an older version";
            refuse(shared, connection, RefusalCode::Unsupported, message).await
        }
    }
}

/// Says why a connection is not served. A greeting comes first, as on every connection.
async fn refuse(shared: &Shared, connection: &mut Connection, code: RefusalCode, message: &str) -> Result<(), Ended> {
    connection.send(&welcome(shared, 0, "")).await?;
    connection.send(&Message::Refused { id: 0, code, message: message.to_owned() }).await
}

fn welcome(shared: &Shared, app: AppId, token: &str) -> Message {
    Message::Welcome(Welcome {
        host_version: env!("CARGO_PKG_VERSION").to_owned(),
        workers: u32::try_from(shared.workers.len()).unwrap_or(u32::MAX),
        app,
        token: token.to_owned(),
    })
}

/// An app's control connection: everything the app has ends with it.
async fn app(shared: &Rc<Shared>, connection: &mut Connection, peer: Peer, hello: Hello) -> Result<(), Ended> {
    // What a data connection shows must not be guessable by another process of the same user.
    let token = random_token()?;
    let pid = if peer.pid == 0 { hello.pid } else { peer.pid };
    if shared.is_kicked(pid) {
        let message = format!("an operator has sent process {pid} away: start the program anew if it may come back");
        return refuse(shared, connection, RefusalCode::AccessDenied, &message).await;
    }
    let (says, sayings) = mpsc::unbounded_channel();
    let app = shared.state.borrow_mut().add_app(&hello.name, hello.workers, pid, peer.caller, token.clone());
    if let Some(app) = shared.state.borrow_mut().apps.get_mut(&app) {
        app.says = Some(says);
    }
    let served = app_messages(shared, connection, app, &token, sayings).await;
    shared.app_gone(app).await;
    tracing::info!(app, pid, "an app has left");
    served
}

async fn app_messages(
    shared: &Rc<Shared>,
    connection: &mut Connection,
    app: AppId,
    token: &str,
    mut sayings: mpsc::UnboundedReceiver<Saying>,
) -> Result<(), Ended> {
    connection.send(&welcome(shared, app, token)).await?;
    let mut replaced = shared.replaced.subscribe();
    let mut told = false;
    let mut awaited: Option<oneshot::Sender<Message>> = None;
    loop {
        let received = tokio::select! {
            received = connection.receive() => received?,
            Ok(_) = replaced.wait_for(|replaced| *replaced), if !told => {
                told = true;
                // It registers with the other host now, and has both until this one is done.
                connection.send(&Message::Drain).await?;
                continue;
            }
            Some(saying) = sayings.recv() => {
                match saying {
                    Saying::Restart { id, answer } => {
                        awaited = Some(answer);
                        connection.send(&Message::Restart { id }).await?;
                    }
                    Saying::Leave => connection.send(&Message::Leave).await?,
                    Saying::End => return Ok(()),
                }
                continue;
            }
        };
        let Some(message) = received else { return Ok(()) };
        let answer = match message {
            Message::Register { id, group, urls, into } => {
                let registered = shared.register(app, &group, &urls, into).await;
                match registered {
                    Ok((group, prefixes)) => {
                        tracing::info!(app, urls = prefixes.len(), first = ?prefixes.first(), "registered");
                        let registered = registered_message(id, group, &prefixes);
                        match connection.send(&registered).await {
                            Err(Ended::TooLarge(error)) => {
                                let prefixes: Vec<_> = prefixes.into_iter().map(|(prefix, _)| prefix).collect();
                                shared.unregister(app, &prefixes).await;
                                too_large(id, error)
                            }
                            sent => {
                                sent?;
                                continue;
                            }
                        }
                    }
                    Err(Refusal { code, message }) => Message::Refused { id, code, message },
                }
            }
            Message::Unregister { id, urls } => {
                let urls: Vec<UrlPrefix> = urls.iter().filter_map(|url| url.parse().ok()).collect();
                shared.unregister(app, &urls).await;
                Message::Unregistered { id }
            }
            Message::Set { id, of, properties, queue } => match shared.set(app, of, &properties, &queue).await {
                Ok(()) => Message::Done { id },
                Err(Refusal { code, message }) => Message::Refused { id, code, message },
            },
            Message::StoreFragment { id, url, time_to_live, bytes } => {
                match shared.store_fragment(app, &url, time_to_live, bytes).await {
                    Ok(()) => Message::Done { id },
                    Err(Refusal { code, message }) => Message::Refused { id, code, message },
                }
            }
            Message::DeleteFragment { id, url } => match shared.delete_fragment(app, &url).await {
                Ok(()) => Message::Done { id },
                Err(Refusal { code, message }) => Message::Refused { id, code, message },
            },
            answer @ (Message::Restarting { .. } | Message::Refused { .. }) => {
                if let Some(awaited) = awaited.take() {
                    let _ = awaited.send(answer);
                }
                continue;
            }
            Message::Drain => continue,
            other => unsupported(&other),
        };
        connection.send(&answer).await?;
    }
}

/// A data connection: after the greeting, its stream belongs to a worker.
async fn data(
    shared: &Rc<Shared>,
    connection: &mut Connection,
    peer: Peer,
    hello: &Hello,
    [of_host, of_user]: [OwnedSemaphorePermit; 2],
) -> Result<(), Ended> {
    let found = {
        let state = shared.state.borrow();
        let token = hello.token.as_deref().unwrap_or_default();
        let found = state.apps.iter().find(|(_, app)| !app.has_left && app.caller.uid == peer.caller.uid && app.token == token);
        found.map(|(id, app)| (*id, Arc::clone(&app.sessions)))
    };
    let worker = hello.host_worker.and_then(|index| shared.workers.get(usize::try_from(index).ok()?));
    let (Some((app, sessions)), Some(worker)) = (found, worker) else {
        let message = "the data connection belongs to no app that this host knows, or asks for a worker that is not there";
        return refuse(shared, connection, RefusalCode::NotFound, message).await;
    };
    let Ok(of_app) = sessions.try_acquire_owned() else {
        let message = "the app has all the data connections that its workers need: it has to close some first";
        return refuse(shared, connection, RefusalCode::LimitReached, message).await;
    };
    connection.send(&welcome(shared, app, "")).await?;
    let (begun, _) = std::mem::take(&mut connection.control).into_parts();
    // The stream leaves this thread's event queue for the worker's.
    let (closed, _) = UnixStream::pair()?;
    let stream = std::mem::replace(&mut connection.stream, closed).into_std()?;
    // The app may have left meanwhile, and its Detach may be on its way: nothing may follow that.
    if shared.state.borrow().apps.get(&app).is_some_and(|app| !app.has_left) {
        let app_end = connection.descriptor.take();
        let _ = worker.send(Command::Attach(Attach { app, stream, app_end, begun, permits: [of_host, of_user, of_app] }));
    }
    Ok(())
}

async fn admin(shared: &Rc<Shared>, connection: &mut Connection, peer: &Peer) -> Result<(), Ended> {
    connection.send(&welcome(shared, 0, "")).await?;
    while let Some(message) = connection.receive().await? {
        let id = id_of(&message);
        let answer = match message {
            Message::ShowServiceState { .. } => {
                let state = report::service_state(shared).await;
                Message::ServiceState { id, state: serde_json::to_value(state).unwrap_or_default() }
            }
            Message::Ask { question, .. } if succession::is_asked_for(&question) => {
                match succession::hand_over(shared, connection, &peer.caller, id).await {
                    Ok(()) => return Ok(()),
                    Err(Refusal { code, message }) => Message::Refused { id, code, message },
                }
            }
            Message::Ask { question, .. } => match ask(shared, peer, question).await {
                Ok(answer) => Message::Answer { id, answer: serde_json::to_value(answer).unwrap_or_default() },
                Err(Refusal { code, message }) => Message::Refused { id, code, message },
            },
            other => unsupported(&other),
        };
        match connection.send(&answer).await {
            Err(Ended::TooLarge(error)) => connection.send(&too_large(id, error)).await?,
            sent => sent?,
        }
    }
    Ok(())
}

async fn ask(shared: &Shared, peer: &Peer, question: serde_json::Value) -> Result<Answer, Refusal> {
    let question: Question = serde_json::from_value(question).map_err(|error| {
        let message = format!("this host does not understand the question ({error}): it may be of another version");
        Refusal::new(RefusalCode::Unsupported, message)
    })?;
    shared.answer(&peer.caller, &question).await
}

fn registered_message(id: u64, group: u64, prefixes: &[(UrlPrefix, u32)]) -> Message {
    let url = |(prefix, registration): &(UrlPrefix, u32)| RegisteredUrl { url: prefix.to_string(), registration: *registration };
    Message::Registered { id, group, urls: prefixes.iter().map(url).collect() }
}

fn too_large(id: u64, error: MessageTooLarge) -> Message {
    Message::Refused { id, code: RefusalCode::LimitReached, message: format!("the answer cannot be sent: {error}") }
}

fn unsupported(message: &Message) -> Message {
    tracing::debug!("a message that does not belong on this connection");
    let text = "this host does not do that on this kind of connection: it may be of another version".to_owned();
    Message::Refused { id: id_of(message), code: RefusalCode::Unsupported, message: text }
}

/// What the one who asks finds the answer by.
fn id_of(message: &Message) -> u64 {
    match message {
        Message::Register { id, .. }
        | Message::Unregister { id, .. }
        | Message::Set { id, .. }
        | Message::StoreFragment { id, .. }
        | Message::DeleteFragment { id, .. }
        | Message::Ask { id, .. }
        | Message::ShowServiceState { id } => *id,
        _ => 0,
    }
}
