//! An app that speaks the wire protocol by itself, so that it can also break it.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::subject::Host;
use narthex_proto::wire::{
    AppEnd, AppEvent, BodyLength, CancelCode, ControlConnection, GroupSettings, Hello, Message, Owner, Properties, QueueSettings,
    Received, Response, ResponseHead, Role, StreamId, Welcome,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// How long the host may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the host before it is a session.
struct Greeting {
    stream: UnixStream,
    control: ControlConnection,
}

impl Greeting {
    fn connect(socket: &Path, hello: Hello) -> (Self, Welcome) {
        let stream = UnixStream::connect(socket).expect("the host accepts apps");
        Self::over(stream, hello, None)
    }

    /// Greets, and shows the host a descriptor with it.
    fn over(stream: UnixStream, hello: Hello, shown: Option<BorrowedFd<'_>>) -> (Self, Welcome) {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has time-outs");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket has time-outs");
        let mut greeting = Self { stream, control: ControlConnection::new() };
        if let Some(shown) = shown {
            greeting.control.send(&Message::Hello(hello.clone())).expect("the message is small");
            let bytes = std::mem::take(greeting.control.output());
            let (first, rest) = bytes.split_at(1);
            show(&greeting.stream, first, shown);
            greeting.stream.write_all(rest).expect("the host reads");
            return match greeting.answer(&"the greeting") {
                Message::Welcome(welcome) => (greeting, welcome),
                other => panic!("the host greets with {other:?}"),
            };
        }
        match greeting.ask(&Message::Hello(hello)) {
            Message::Welcome(welcome) => (greeting, welcome),
            other => panic!("the host greets with {other:?}"),
        }
    }

    fn ask(&mut self, message: &Message) -> Message {
        self.control.send(message).expect("the message is small");
        let bytes = std::mem::take(self.control.output());
        self.stream.write_all(&bytes).expect("the host reads");
        self.answer(message)
    }

    fn answer(&mut self, to: &dyn std::fmt::Debug) -> Message {
        loop {
            if let Some(message) = self.control.receive().expect("the host keeps to the protocol") {
                return message;
            }
            let mut chunk = [0; 4096];
            let read = self.stream.read(&mut chunk).expect("the host answers");
            assert_ne!(read, 0, "the host ends the connection instead of an answer to {to:?}");
            self.control.push(&chunk[..read]);
        }
    }
}

/// Sends bytes with a descriptor.
fn show(stream: &UnixStream, bytes: &[u8], shown: BorrowedFd<'_>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [shown];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)), "there is room for one");
    sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::empty()).expect("the host reads");
}

/// What a session shows the host as its own end.
pub enum Shown<'f> {
    /// Its own end.
    Own,
    /// Something else.
    Other(BorrowedFd<'f>),
}

/// An app with one worker; its registrations end with it.
pub struct WireApp {
    control: Greeting,
    socket: PathBuf,
    token: String,
    /// The group of what was registered last.
    group: u64,
}

impl WireApp {
    /// An app that has not registered anything.
    pub fn new(host: &Host) -> Self {
        let hello = Hello { name: "wire".to_owned(), workers: 1, ..Hello::new(Role::App) };
        let (control, welcome) = Greeting::connect(host.socket(), hello);
        Self { control, socket: host.socket().to_owned(), token: welcome.token, group: 0 }
    }

    /// An app that has registered this prefix; also where its clients connect to.
    pub fn at(host: &Host, prefix: &str, group: GroupSettings) -> (Self, SocketAddr) {
        let mut app = Self::new(host);
        let address = app.register(prefix, group).unwrap_or_else(|refusal| panic!("{refusal}"));
        (app, address)
    }

    /// Registers a prefix and returns where its clients connect to, or why not.
    pub fn register(&mut self, prefix: &str, group: GroupSettings) -> Result<SocketAddr, String> {
        match self.control.ask(&Message::Register { id: 1, group, urls: vec![prefix.to_owned()], into: None }) {
            Message::Registered { urls, group, .. } => {
                self.group = group;
                let authority = urls.first().and_then(|url| url.url.strip_prefix("http://")?.split('/').next());
                let port = authority.and_then(|authority| authority.rsplit(':').next()?.parse().ok());
                Ok(SocketAddr::from(([127, 0, 0, 1], port.expect("the URL has a port"))))
            }
            Message::Refused { message, .. } => Err(message),
            other => panic!("the host answers a registration with {other:?}"),
        }
    }

    /// Gives a prefix back.
    pub fn unregister(&mut self, prefix: &str) {
        let answer = self.control.ask(&Message::Unregister { id: 2, urls: vec![prefix.to_owned()] });
        assert!(matches!(answer, Message::Unregistered { .. }), "{prefix} cannot be given back: {answer:?}");
    }

    /// Changes properties of the group that was registered last. Panics if the host refuses.
    pub fn set(&mut self, properties: Properties) {
        let set = Message::Set { id: 3, of: Owner::Group(self.group), properties, queue: QueueSettings::default() };
        let answer = self.control.ask(&set);
        assert!(matches!(answer, Message::Done { .. }), "the properties cannot be changed: {answer:?}");
    }

    /// The group of the last registration.
    pub fn group(&self) -> u64 {
        self.group
    }

    /// Changes settings, or says why not.
    ///
    /// # Errors
    /// What the host says when it refuses.
    ///
    /// # Panics
    /// When the host answers with something else.
    pub fn try_set(&mut self, of: Owner, properties: Properties, queue: QueueSettings) -> Result<(), String> {
        match self.control.ask(&Message::Set { id: 3, of, properties, queue }) {
            Message::Done { .. } => Ok(()),
            Message::Refused { message, .. } => Err(message),
            other => panic!("the host answers a change with {other:?}"),
        }
    }

    /// As `try_set`, of the last registration's group and its queue.
    ///
    /// # Panics
    /// When the host refuses.
    pub fn change(&mut self, properties: Properties, queue: QueueSettings) {
        self.try_set(Owner::Group(self.group), properties, queue).unwrap_or_else(|refusal| panic!("{refusal}"));
    }

    /// Begins to take requests from the host's first worker.
    pub fn session(&self) -> Session {
        let (greeting, _) = Greeting::connect(&self.socket, self.hello());
        Session::begin(greeting, 1024)
    }

    /// As `session`, with so much credit, and with a descriptor where the host is to look for what is unread.
    pub fn session_showing(&self, shown: Shown<'_>, credit: u32) -> Session {
        let stream = UnixStream::connect(&self.socket).expect("the host accepts apps");
        let own = stream.try_clone().expect("there are descriptors left");
        let shown = match shown {
            Shown::Own => own.as_fd(),
            Shown::Other(other) => other,
        };
        let (greeting, _) = Greeting::over(stream, self.hello(), Some(shown));
        Session::begin(greeting, credit)
    }

    fn hello(&self) -> Hello {
        Hello { token: Some(self.token.clone()), app_worker: Some(0), host_worker: Some(0), ..Hello::new(Role::Data) }
    }
}

/// What a test waits for.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A request has come.
    Request(StreamId),
    /// Its client has left.
    Cancelled(StreamId),
    /// The host has broken the session off.
    Ended,
}

/// A session with the host's worker. Bodies are left unread, so that their window is never returned.
pub struct Session {
    stream: UnixStream,
    end: AppEnd<()>,
    input: Vec<u8>,
    /// What came of bodies.
    pub body: Vec<u8>,
}

impl Session {
    fn begin(greeting: Greeting, credit: u32) -> Self {
        let (input, _) = greeting.control.into_parts();
        let mut session = Self { stream: greeting.stream, end: AppEnd::new(), input, body: Vec::new() };
        session.end.grant(credit);
        session.flush();
        session
    }

    /// The next event, if one comes within `wait`.
    pub fn event(&mut self, wait: Duration) -> Option<Event> {
        let deadline = Instant::now() + wait;
        loop {
            let (used, event) = match self.end.receive(&self.input).expect("the host keeps to the protocol") {
                Received::NeedMore { used, .. } => (used, None),
                Received::Event { used, event: AppEvent::Request { id, .. } } => (used, Some(Event::Request(id))),
                Received::Event { used, event: AppEvent::Cancelled { id, .. } } => (used, Some(Event::Cancelled(id))),
                Received::Event { used, event } => {
                    if let AppEvent::Data { bytes, .. } = event {
                        self.body.extend_from_slice(bytes);
                    }
                    self.input.drain(..used);
                    continue;
                }
            };
            self.input.drain(..used);
            self.flush();
            if event.is_some() {
                return event;
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.stream.set_read_timeout(Some(left)).expect("a socket has time-outs");
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Some(Event::Ended),
                Ok(read) => self.input.extend_from_slice(&chunk[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
                Err(_) => return Some(Event::Ended),
            }
        }
    }

    /// The next request.
    pub fn request(&mut self) -> StreamId {
        match self.event(PATIENCE) {
            Some(Event::Request(id)) => id,
            other => panic!("instead of a request comes {other:?}"),
        }
    }

    /// Answers with a small body.
    pub fn answer(&mut self, id: StreamId, body: &str) {
        let head = ResponseHead::new(200, BodyLength::Exact(body.len() as u64));
        self.answer_with(id, head, "", body);
    }

    /// Answers with this head, these header lines and this body.
    pub fn answer_with(&mut self, id: StreamId, head: ResponseHead, headers: &str, body: &str) {
        let response = Response { head, headers: headers.as_bytes(), body: body.as_bytes() };
        self.end.respond(id, &response, true).expect("the stream is open");
        self.flush();
    }

    /// Begins an answer whose length only its end shows.
    pub fn begin_answer(&mut self, id: StreamId) {
        let response = Response { head: ResponseHead::new(200, BodyLength::Unknown), headers: b"", body: b"" };
        self.end.respond(id, &response, false).expect("the stream is open");
        self.flush();
    }

    /// Sends more of an answer.
    pub fn send_data(&mut self, id: StreamId, bytes: &[u8], end: bool) {
        self.end.send_data(id, bytes, end).expect("the stream is open");
        self.flush();
    }

    /// Ends an answer with these lines, whatever they are.
    pub fn send_trailers(&mut self, id: StreamId, lines: &[u8]) {
        self.end.send_trailers(id, lines).expect("the stream is open");
        self.flush();
    }

    /// Answers every request with as many bytes as its client takes, until `deadline` or until the last client is gone.
    pub fn pour(&mut self, deadline: Instant) {
        let bytes = vec![b'p'; 64 * 1024];
        let mut open = Vec::new();
        while Instant::now() < deadline {
            for id in &open {
                let window = self.end.send_window(*id).min(bytes.len());
                if window > 0 {
                    self.send_data(*id, &bytes[..window], false);
                }
            }
            match self.event(Duration::from_millis(2)) {
                Some(Event::Request(id)) => {
                    self.begin_answer(id);
                    open.push(id);
                }
                Some(Event::Cancelled(id)) => {
                    open.retain(|other| *other != id);
                    if open.is_empty() {
                        return;
                    }
                }
                Some(Event::Ended) => return,
                None => {}
            }
        }
    }

    /// Lets this many more requests come.
    pub fn grant(&mut self, credit: u32) {
        self.end.grant(credit);
        self.flush();
    }

    /// Hands a request to another queue.
    pub fn delegate(&mut self, id: StreamId, queue: &str) {
        self.end.delegate(id, queue, "").expect("the stream is open");
        self.end.grant(1);
        self.flush();
    }

    /// Gives an answer up.
    pub fn cancel(&mut self, id: StreamId) {
        self.cancel_with(id, CancelCode::HANDLER_GONE);
    }

    /// As `cancel`, with this reason.
    pub fn cancel_with(&mut self, id: StreamId, code: CancelCode) {
        self.end.cancel(id, code);
        self.flush();
    }

    /// Writes bytes that need not be frames of the protocol.
    pub fn write(&mut self, bytes: &[u8]) {
        // The host may have had enough of it, and ended the session.
        let _ = self.stream.write_all(bytes);
    }

    /// Writes bytes with a descriptor.
    pub fn write_showing(&mut self, bytes: &[u8], shown: BorrowedFd<'_>) {
        show(&self.stream, bytes, shown);
    }

    fn flush(&mut self) {
        let bytes = std::mem::take(self.end.output());
        self.write(&bytes);
    }
}
