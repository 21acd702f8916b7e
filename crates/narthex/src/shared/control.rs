//! The control connection: greeting, questions and answers, and how its end is noticed.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use narthex_http::{descriptor, rendezvous};
use narthex_proto::wire::{Beat, ControlConnection, Hello, Message, PingTimer, ProtocolError, Role, Welcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Error, Result};

/// For the host's greeting.
const GREETING: Duration = Duration::from_secs(5);
/// How often a silent host is thought of.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A host that has answered.
pub(crate) struct Host {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) welcome: Welcome,
}

impl Host {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Greets the host at `path`, or else the first one that answers of those that this user could mean, as the app `name`.
///
/// # Errors
/// [`Error::NoHost`] if none answers; [`Error::Host`] if something else does.
pub(crate) async fn find(path: Option<&Path>, name: &str, workers: usize) -> Result<Host> {
    let tried = path.map_or_else(rendezvous::candidates, |path| vec![path.to_owned()]);
    let mut said = io::Error::from(io::ErrorKind::NotFound);
    for path in &tried {
        let mut hello = Hello::new(Role::App);
        hello.name = name.to_owned();
        hello.pid = std::process::id();
        hello.workers = u32::try_from(workers).unwrap_or(u32::MAX);
        match Connection::greet(path, hello).await {
            Ok((connection, welcome)) => return Ok(Host { path: path.clone(), connection, welcome }),
            Err(Failure::Io(error)) => said = error,
            Err(failure) => return Err(failure.at(path)),
        }
    }
    Err(Error::NoHost { tried, source: said })
}

/// What the running program's file is called.
pub(crate) fn program_name() -> String {
    let program = std::env::current_exe().ok();
    program.and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).unwrap_or_default()
}

/// What a message tells that answers nothing.
fn news(message: &Message) -> Option<News> {
    match message {
        Message::Drain => Some(News::Lost(Lost::Replaced)),
        Message::Restart { id } => Some(News::Restart { id: *id }),
        Message::Leave => Some(News::Leave),
        _ => None,
    }
}

/// The number that joins a question and its answer.
fn number(message: &Message) -> Option<u64> {
    match message {
        Message::Register { id, .. }
        | Message::Registered { id, .. }
        | Message::Unregister { id, .. }
        | Message::Unregistered { id }
        | Message::Set { id, .. }
        | Message::StoreFragment { id, .. }
        | Message::DeleteFragment { id, .. }
        | Message::Done { id }
        | Message::Refused { id, .. } => Some(*id),
        _ => None,
    }
}

/// Why a connection to the host cannot go on.
#[derive(Debug)]
pub(super) enum Failure {
    Io(io::Error),
    Protocol(ProtocolError),
    /// The host has closed the connection, or does not answer.
    Ended,
}

impl Failure {
    pub(super) fn at(self, path: &Path) -> Error {
        let source = match self {
            Self::Protocol(source) => return Error::Host { path: path.to_owned(), source },
            Self::Io(error) => error,
            Self::Ended => io::ErrorKind::UnexpectedEof.into(),
        };
        Error::NoHost { tried: vec![path.to_owned()], source }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ProtocolError> for Failure {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

/// Why a host is no longer the app's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It is not there any more.
    Gone,
    /// Another has its socket. It still has its connections, and their requests for the app.
    Replaced,
}

/// What comes from a host that was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Lost(Lost),
    /// The app's successor is to be started.
    Restart {
        id: u64,
    },
    /// The app's successor is there.
    Leave,
}

/// A connection to the host's socket that speaks in messages.
pub(super) struct Connection {
    stream: UnixStream,
    control: ControlConnection,
    heard: bool,
    /// What the host has said meanwhile.
    news: VecDeque<News>,
}

impl Connection {
    /// Connects, and exchanges greetings.
    pub(super) async fn greet(path: &Path, hello: Hello) -> Result<(Self, Welcome), Failure> {
        let greeting = async {
            let stream = UnixStream::connect(path).await?;
            let mut connection = Self { stream, control: ControlConnection::new(), heard: false, news: VecDeque::new() };
            let shows_its_end = hello.role == Role::Data;
            connection.say(Message::Hello(hello))?;
            if shows_its_end {
                // The host looks there for requests that this process has not read, should it die.
                let output = connection.control.output();
                let sent = descriptor::send_with_own_end(&connection.stream, output).await?;
                output.drain(..sent);
            }
            match connection.answer().await? {
                Message::Welcome(welcome) => Ok((connection, welcome)),
                _ => Err(Failure::Ended),
            }
        };
        timeout(GREETING, greeting).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    /// Sends a message and waits for its answer. Answers to earlier ones, for which nobody waits any more, are passed over.
    pub(super) async fn ask(&mut self, message: Message) -> Result<Message, Failure> {
        let asked = number(&message);
        self.say(message)?;
        loop {
            let answer = self.answer().await?;
            if number(&answer) == asked {
                return Ok(answer);
            }
        }
    }

    fn say(&mut self, message: Message) -> Result<(), Failure> {
        let too_large = |error| Failure::Io(io::Error::new(io::ErrorKind::InvalidInput, error));
        self.control.send(&message).map_err(too_large)
    }

    async fn answer(&mut self) -> Result<Message, Failure> {
        loop {
            match self.receive().await? {
                Message::Unknown => {}
                message => match news(&message) {
                    // The answer still comes.
                    Some(news) => self.news.push_back(news),
                    None => return Ok(message),
                },
            }
        }
    }

    /// Cancel safe: what is not written stays.
    async fn flush(&mut self) -> io::Result<()> {
        while !self.control.output().is_empty() {
            let written = self.stream.write(self.control.output()).await?;
            self.control.output().drain(..written);
        }
        Ok(())
    }

    /// The next message. Cancel safe: what was read and what is to be written stay.
    async fn receive(&mut self) -> Result<Message, Failure> {
        let mut buffer = [0; 4096];
        loop {
            let received = self.control.receive();
            // Our question, the answer to a ping, or our version for a host of another one.
            self.flush().await?;
            if let Some(message) = received? {
                return Ok(message);
            }
            match self.stream.read(&mut buffer).await? {
                0 => return Err(Failure::Ended),
                read => self.control.push(buffer.get(..read).unwrap_or_default()),
            }
            self.heard = true;
        }
    }

    /// Answers the host.
    pub(super) async fn reply(&mut self, message: Message) -> Result<(), Failure> {
        self.say(message)?;
        Ok(self.flush().await?)
    }

    /// Waits for what the host says, for the end of the connection, or for that of our patience with the host. Cancel safe.
    pub(super) async fn news(&mut self) -> News {
        let started = Instant::now();
        let now = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut pings = PingTimer::new(0);
        loop {
            if let Some(news) = self.news.pop_front() {
                return news;
            }
            tokio::select! {
                received = self.receive() => match received {
                    Ok(message) => match news(&message) {
                        Some(news) => return news,
                        None => tracing::debug!(?message, "a message from the host"),
                    },
                    Err(failure) => {
                        tracing::debug!(?failure, "the control connection has ended");
                        return News::Lost(Lost::Gone);
                    }
                },
                () = sleep(HEARTBEAT) => {}
            }
            if std::mem::take(&mut self.heard) {
                pings.heard(now());
            }
            match pings.on_time(now()) {
                Beat::Ping(number) => self.control.ping(number),
                Beat::Wait(_) => {}
                Beat::Dead => {
                    tracing::warn!("the host does not answer pings");
                    return News::Lost(Lost::Gone);
                }
            }
        }
    }

    /// The stream, and the bytes on it that came after the greeting.
    pub(super) fn into_session(self) -> (UnixStream, Vec<u8>) {
        let (begun, _) = self.control.into_parts();
        (self.stream, begun)
    }
}
