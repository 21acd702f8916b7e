//! Asking a running host: what `narthex show` and `narthex explain` use.

mod explained;
pub mod sddl;
mod sslcert;
mod verbs;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use narthex_proto::wire::{Activity, ControlConnection, Hello, Message, Properties, ProtocolError, Role, Verbosity};
use serde::{Deserialize, Serialize};

pub use crate::control::names::is_invisible;
pub use explained::{
    Answered, CookingRules, Explained, ExplainedGroup, ExplainedPort, ExplainedQueue, ExplainedTls, Holder, LoopbackRule,
    Obstacle, ObstacleKind, PortState, Process, Reading, Registering, ReservedFor, ShadowedEntry, Sharing, User,
};
pub use sslcert::{
    AcmeState, BindingKey, BindingOption, BindingSpec, CertificateState, HostnamePort, OptionKind, OrderState, SslcertState,
};
pub use verbs::{Answer, CachedState, CacheparamState, Grant, NamedGrant, Question, SettingState, TimerState, UrlaclState};

/// A host answers at once or is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a host knows and holds, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// The host's release.
    pub version: String,
    /// The host's process.
    pub pid: u32,
    /// Since it started.
    pub uptime_seconds: u64,
    /// Its workers.
    pub workers: u32,
    /// Where it accepts connections.
    pub listeners: Vec<ListenerState>,
    /// Client connections that are open.
    pub connections: u64,
    /// Requests passed to apps or refused since the start.
    pub requests: u64,
    /// Requests and connections that the host refused or ended itself since the start.
    pub refusals: u64,
    /// The apps.
    pub sessions: Vec<SessionState>,
    /// The request queues.
    pub queues: Vec<QueueState>,
    /// The open logs.
    #[serde(default)]
    pub logs: Vec<LogState>,
    /// Where the logs' folders are.
    #[serde(default)]
    pub log_directory: String,
    /// Lines that no log has because the disk was too slow or refused them, since the start.
    #[serde(default)]
    pub log_lines_lost: u64,
    /// What the response cache takes.
    #[serde(default)]
    pub cache_bytes: u64,
    /// What went through the host to its apps, and from its cache, since it started.
    #[serde(default)]
    pub traffic: TrafficState,
    /// How often the host refused or ended something itself, by the reason token of the error log; the most frequent first.
    #[serde(default)]
    pub refused: Vec<(String, u64)>,
}

/// Numbers of requests that reached a URL group, and of their responses. A request counts when it is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrafficState {
    /// Requests, those that became tunnels included.
    pub requests: u64,
    /// Of these, those that got no answer.
    pub no_answer: u64,
    /// Status 1xx: WebSockets and other tunnels.
    pub informational: u64,
    /// Status 2xx.
    pub successful: u64,
    /// Status 3xx.
    pub redirected: u64,
    /// Status 4xx.
    pub client_errors: u64,
    /// Status 5xx.
    pub server_errors: u64,
    /// Bytes to clients, with heads and framing.
    pub bytes_sent: u64,
    /// Bytes from clients: heads and bodies.
    pub bytes_received: u64,
    /// WebSockets and other tunnels that were opened.
    pub tunnels: u64,
    /// Of these, those that are open now.
    pub tunnels_open: u64,
    /// From a request's first byte to its response's last one, in microseconds.
    pub latency_us: Quantiles,
    /// The same as counts: an upper bound in microseconds, and how many took at most that long and longer than the bound before.
    pub latency_buckets: Vec<(u64, u64)>,
}

impl TrafficState {
    /// Adds what went through another group. Quantiles cannot be added, only their sum and the buckets.
    pub fn add(&mut self, more: &Self) {
        let pairs = [
            (&mut self.requests, more.requests),
            (&mut self.no_answer, more.no_answer),
            (&mut self.informational, more.informational),
            (&mut self.successful, more.successful),
            (&mut self.redirected, more.redirected),
            (&mut self.client_errors, more.client_errors),
            (&mut self.server_errors, more.server_errors),
            (&mut self.bytes_sent, more.bytes_sent),
            (&mut self.bytes_received, more.bytes_received),
            (&mut self.tunnels, more.tunnels),
            (&mut self.tunnels_open, more.tunnels_open),
            (&mut self.latency_us.sum, more.latency_us.sum),
        ];
        pairs.into_iter().for_each(|(sum, more)| *sum += more);
        for (bound, count) in &more.latency_buckets {
            match self.latency_buckets.binary_search_by_key(bound, |(known, _)| *known) {
                Ok(at) => self.latency_buckets[at].1 += count,
                Err(at) => self.latency_buckets.insert(at, (*bound, *count)),
            }
        }
    }
}

/// Microseconds that a share of all requests took at most, an eighth more at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are named by what they are")]
pub struct Quantiles {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    /// Of all of them.
    pub sum: u64,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerState {
    /// Where.
    pub address: SocketAddr,
    /// `http` or `https`.
    pub scheme: String,
}

/// An app: what HTTP.sys calls a server session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// The host's number for it.
    pub id: u64,
    /// The program's name.
    pub name: String,
    /// Its process, as the kernel says.
    pub pid: u32,
    /// Its user, as the kernel says.
    pub uid: u32,
    /// `active` or `inactive`; an inactive session stops all of its groups.
    #[serde(default)]
    pub state: Activity,
    /// What its groups inherit; what is absent is the host's.
    #[serde(default)]
    pub properties: Properties,
    /// What it has registered.
    pub groups: Vec<GroupState>,
}

/// A URL group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// The host's number for it.
    pub id: u64,
    /// Whether its requests are served.
    pub state: Activity,
    /// What it has of its own; what is absent is inherited.
    #[serde(default)]
    pub properties: Properties,
    /// Client connections that count against its limit, while it has one.
    #[serde(default)]
    pub connections: u64,
    /// The number of the queue where its requests wait.
    pub queue: u64,
    /// Its timers, if they differ from the host's.
    pub timeouts: Option<TimeoutState>,
    /// The registered URLs.
    pub urls: Vec<String>,
    /// What went through it.
    #[serde(default)]
    pub traffic: TrafficState,
}

/// Timers in seconds; 0 is "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of narthex_http::Timeouts, which explains them")]
pub struct TimeoutState {
    pub idle_connection: u64,
    pub header_wait: u64,
    pub entity_body: u64,
    pub drain_entity_body: u64,
    pub request_queue: u64,
    pub min_send_rate: u32,
}

/// A request queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// The host's number for it.
    pub id: u64,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Whether it gives out requests.
    pub state: Activity,
    /// What clients get where the host answers 503.
    #[serde(default)]
    pub verbosity: Verbosity,
    /// How many requests may wait.
    pub length_limit: u32,
    /// How many wait.
    pub waiting: u64,
    /// How many the apps work on.
    pub in_progress: u64,
    /// How many found it full.
    pub rejected: u64,
    /// The processes that take requests from it.
    pub processes: Vec<u32>,
}

/// How it goes with a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogState {
    /// Its folder's name.
    pub site: String,
    /// `w3c`, `ncsa`, `json` or `error`.
    pub format: String,
    /// The name of the file that it is at; `None` before the first line.
    pub file: Option<String>,
    /// Lines written.
    pub lines: u64,
    /// Bytes written, with header blocks.
    pub bytes: u64,
    /// Lines dropped because the disk was too slow or refused them.
    pub lost: u64,
    /// How often a file was opened.
    pub files: u64,
    /// What went wrong last, if it still does.
    pub last_error: Option<String>,
}

/// Why a host could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens on the socket.
    #[error("no Narthex host answers at {0}: start one with `narthex host`, or name its socket with --socket or NARTHEX_HOST")]
    NoHost(PathBuf),
    /// The socket belongs to somebody else.
    #[error("the host at {0} belongs to another user: run this as that user, or as root")]
    AccessDenied(PathBuf),
    /// The connection failed.
    #[error("the host at {0} does not answer as it should: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// The host speaks otherwise.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// The host refused.
    #[error("{0}")]
    Refused(String),
    /// The host answered something else.
    #[error("the host gave an answer that does not fit the question: it may be of another version")]
    Unexpected,
}

/// A connection to a host, for questions. Calls block.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: UnixStream,
    control: ControlConnection,
    next_id: u64,
}

impl Client {
    /// Connects to the host whose socket is at `path`.
    ///
    /// # Errors
    /// If no host answers there, or it is not this user's.
    pub fn connect(path: &Path) -> Result<Self, AdminError> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AdminError::NoHost(path.to_owned()),
            io::ErrorKind::PermissionDenied => AdminError::AccessDenied(path.to_owned()),
            _ => AdminError::Io(path.to_owned(), error),
        })?;
        let failed = |error| AdminError::Io(path.to_owned(), error);
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        let mut client = Self { path: path.to_owned(), stream, control: ControlConnection::new(), next_id: 1 };
        let hello = Hello { name: "narthex".to_owned(), pid: std::process::id(), ..Hello::new(Role::Admin) };
        match client.ask(&Message::Hello(hello))? {
            Message::Welcome(_) => Ok(client),
            Message::Refused { message, .. } => Err(AdminError::Refused(message)),
            _ => Err(AdminError::Unexpected),
        }
    }

    /// Everything the host knows.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn service_state(&mut self) -> Result<ServiceState, AdminError> {
        let id = self.id();
        match self.ask(&Message::ShowServiceState { id })? {
            Message::ServiceState { state, .. } => serde_json::from_value(state).map_err(|_| AdminError::Unexpected),
            Message::Refused { message, .. } => Err(AdminError::Refused(message)),
            _ => Err(AdminError::Unexpected),
        }
    }

    /// Asks one of netsh's verbs.
    ///
    /// # Errors
    /// If the host refuses, or the connection fails.
    pub fn question(&mut self, question: &Question) -> Result<Answer, AdminError> {
        let id = self.id();
        if matches!(question, Question::RestartQueue { .. }) {
            // As long as the processes take, one after the other.
            self.stream.set_read_timeout(None).map_err(|error| AdminError::Io(self.path.clone(), error))?;
        }
        let question = serde_json::to_value(question).map_err(|_| AdminError::Unexpected)?;
        match self.ask(&Message::Ask { id, question })? {
            Message::Answer { answer, .. } => serde_json::from_value(answer).map_err(|_| AdminError::Unexpected),
            Message::Refused { message, .. } => Err(AdminError::Refused(message)),
            _ => Err(AdminError::Unexpected),
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn ask(&mut self, question: &Message) -> Result<Message, AdminError> {
        let failed = |error| AdminError::Io(self.path.clone(), error);
        self.control.send(question).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let output = std::mem::take(self.control.output());
        self.stream.write_all(&output).map_err(failed)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(message) = self.control.receive()? {
                return Ok(message);
            }
            match self.stream.read(&mut buffer).map_err(failed)? {
                0 => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
                read => self.control.push(&buffer[..read]),
            }
        }
    }
}
