//! The JSON messages of a control connection. Fields and types a later version adds are passed over.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// A message on a control connection. `id` is chosen by the one who asks and comes back with the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Message {
    /// The first message of the one who connects.
    Hello(Hello),
    /// The host's first message.
    Welcome(Welcome),
    /// App: register these URLs as one group, all or none.
    Register {
        /// Comes back in `Registered` or `Refused`.
        id: u64,
        /// The group's settings.
        #[serde(default)]
        group: GroupSettings,
        /// UrlPrefixes as typed.
        urls: Vec<String>,
        /// A group of this app to which the URLs are added; `group` says nothing then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        into: Option<u64>,
    },
    /// Host: all URLs are registered, in the order of the request.
    Registered {
        /// The request's.
        id: u64,
        /// The group that has them.
        #[serde(default)]
        group: u64,
        /// One for each URL asked for.
        urls: Vec<RegisteredUrl>,
    },
    /// App: give these URLs back.
    Unregister {
        /// Comes back in `Unregistered` or `Refused`.
        id: u64,
        /// The URLs as `Registered` named them.
        urls: Vec<String>,
    },
    /// Host: the URLs are free again.
    Unregistered {
        /// The request's.
        id: u64,
    },
    /// App: change settings while they are in use. What is absent stays as it is.
    Set {
        /// Comes back in `Done` or `Refused`.
        id: u64,
        /// What has the settings.
        of: Owner,
        /// The settings of a session or a group.
        #[serde(default, skip_serializing_if = "Properties::is_empty")]
        properties: Properties,
        /// The settings of a group's queue. Its name cannot change.
        #[serde(default, skip_serializing_if = "QueueSettings::is_empty")]
        queue: QueueSettings,
    },
    /// App: keep these bytes under this name, in the place of what is there under it. Responses to requests of the same
    /// queue may name them instead of sending them (FRAGMENT).
    StoreFragment {
        /// Comes back in `Done` or `Refused`.
        id: u64,
        /// Its name: a URL below a prefix of this app, with a single host.
        url: String,
        /// The seconds for which it is kept; until it is flushed if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time_to_live: Option<NonZeroU32>,
        /// The bytes. They are not in the JSON, but travel before it in BYTES frames.
        #[serde(skip)]
        bytes: Vec<u8>,
    },
    /// App: this fragment is not needed any more.
    DeleteFragment {
        /// Comes back in `Done`, also if there is none, or `Refused`.
        id: u64,
        /// Its name.
        url: String,
    },
    /// Host: what was asked for is done.
    Done {
        /// The request's.
        id: u64,
    },
    /// Operator: a question or a command; the host defines them.
    Ask {
        /// Comes back in `Answer` or `Refused`.
        id: u64,
        /// The question.
        question: serde_json::Value,
    },
    /// Host: the answer to `Ask`.
    Answer {
        /// The request's.
        id: u64,
        /// The answer.
        answer: serde_json::Value,
    },
    /// Host: the request was not fulfilled, and changed nothing.
    Refused {
        /// The request's.
        id: u64,
        /// Why, for programs.
        code: RefusalCode,
        /// Why and what to do about it, for people.
        message: String,
    },
    /// Either: no new requests; what runs may end.
    Drain,
    /// Host: start who takes this app's place in its request queue.
    Restart {
        /// Comes back in `Restarting` or `Refused`.
        id: u64,
    },
    /// App: its successor is on its way.
    Restarting {
        /// The request's.
        id: u64,
        /// The process that will register with the same queue. `None`: the app goes on itself, and what is behind it was restarted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
    },
    /// Host: the successor is there; stop.
    Leave,
    /// Admin: what does the host know and hold?
    ShowServiceState {
        /// Comes back in `ServiceState`.
        id: u64,
    },
    /// Host: its state.
    ServiceState {
        /// The request's.
        id: u64,
        /// The state; the host defines the fields.
        state: serde_json::Value,
    },
    /// A message that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Who connects, and as what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What the connection is for.
    pub role: Role,
    /// The program's name, for people.
    #[serde(default)]
    pub name: String,
    /// The process id, for people.
    #[serde(default)]
    pub pid: u32,
    /// How many workers the app has.
    #[serde(default)]
    pub workers: u32,
    /// The token of [`Welcome`]; a data connection shows with it whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// On a data connection, the app's worker at its one end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_worker: Option<u32>,
    /// On a data connection, the host's worker that shall be at the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_worker: Option<u32>,
}

impl Hello {
    /// A greeting with only a role.
    pub fn new(role: Role) -> Self {
        Self { role, name: String::new(), pid: 0, workers: 0, token: None, app_worker: None, host_worker: None }
    }
}

/// What a connection to the host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Role {
    /// An app's control connection; its registrations end with it.
    App,
    /// A session that carries an app's requests.
    Data,
    /// The command line or a dashboard.
    Admin,
    /// A role that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The host's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The host's release, for people.
    pub host_version: String,
    /// How many workers the host has: an app opens a data connection from each of its workers to each of them.
    pub workers: u32,
    /// The host's number for this app.
    pub app: u64,
    /// To be shown by the app's data connections.
    pub token: String,
}

/// The settings of a URL group and of its request queue. What is absent is inherited: a group's from the app's session, a
/// session's from the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupSettings {
    /// The queue where the group's requests wait.
    #[serde(skip_serializing_if = "QueueSettings::is_empty")]
    pub queue: QueueSettings,
    /// The group's own.
    #[serde(flatten)]
    pub properties: Properties,
}

/// What a session or a URL group has of its own. What is absent is inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Properties {
    /// Whether requests are taken; while it is inactive they are answered 503 (`Disabled`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Activity>,
    /// Client connections at a time; one more gets 503 (`ConnLimit`). Of groups only. [`u32::MAX`] is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Bytes per second to all clients together. [`u64::MAX`] is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bandwidth: Option<u64>,
    /// The longest request body in bytes. [`u64::MAX`] is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<u64>,
    /// Whether the host may answer from its response cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_cache: Option<bool>,
    /// Whether requests may be delegated to other queues. The host keeps the head of each until its body is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegates: Option<bool>,
    /// Where and how requests are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// The timers.
    #[serde(skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts: Timeouts,
}

impl Properties {
    /// Whether everything is inherited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether something takes requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// It does.
    #[default]
    Active,
    /// It does not.
    Inactive,
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Active { "active" } else { "inactive" })
    }
}

/// The settings of a request queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueSettings {
    /// Processes that name the same queue share it. Without a name it is this group's alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many requests may wait: 1 to 65 535.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// Whether the queue gives out requests; while it is inactive they are answered 503 (`Disabled`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Activity>,
    /// What clients get where the host answers 503.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<Verbosity>,
    /// Who may open the queue besides its owner; and, if the queue is there already and another user's, whose it may be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub openers: Vec<Principal>,
    /// Whether other queues may delegate requests to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepts_delegation: Option<bool>,
    /// Seconds that the queue of that name, its URLs and its requests wait for the next process once the last has left. 0: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_grace: Option<u32>,
}

impl QueueSettings {
    /// Whether everything is as the host has it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a client gets where the host itself would answer 503 (`Http503Verbosity`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verbosity {
    /// Nothing: the connection is reset.
    Basic,
    /// 503 Service Unavailable.
    #[default]
    Limited,
    /// 503 with the reason token as its reason phrase.
    Full,
}

/// A user or a group of the machine, or everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Principal {
    /// By user id.
    User(u32),
    /// By group id.
    Group(u32),
    /// Every user.
    Everyone,
}

/// Where and how the requests of a group are logged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// The folder's name below the host's log directory: letters, digits, `-`, `_` and `.`. Default: the app's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// How a line looks.
    pub format: LogFormat,
    /// The fields of a line by their W3C names, for formats that have a choice. Empty: HTTP.sys's default ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// When a new file is begun.
    pub rollover: Rollover,
    /// The size for [`Rollover::Size`] in bytes. Default 1 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// Periods begin by local time, not UTC.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub local_time: bool,
    /// Only some of the responses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<LoggedResponses>,
}

/// How a line of an access log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Not at all: switches inherited logging off.
    Off,
    /// W3C extended.
    #[default]
    W3c,
    /// NCSA combined.
    Ncsa,
    /// One JSON object a line.
    Json,
}

/// When a log goes on in a new file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Rollover {
    Size,
    Hourly,
    #[default]
    Daily,
    Weekly,
    Monthly,
}

/// Which responses a log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoggedResponses {
    /// Those with status 400 and above.
    Errors,
    /// Those below 400.
    Successes,
}

/// What of an app has settings that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The app itself: what its groups inherit.
    Session,
    /// One of its groups, and that group's queue.
    Group(u64),
}

/// Timers in seconds. What is absent or 0 is inherited; [`Timeouts::DISABLED`] switches a timer off, as in HTTP.sys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeouts {
    /// For the whole head of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_wait: Option<u32>,
    /// Between two requests of a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_connection: Option<u32>,
    /// Between two parts of a request body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_body: Option<u32>,
    /// For the rest of a request body after an early response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_entity_body: Option<u32>,
    /// In the request queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_queue: Option<u32>,
    /// Not a time: the bytes per second that a client must take of a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_send_rate: Option<u32>,
}

impl Timeouts {
    /// The number of seconds that means "never".
    pub const DISABLED: u32 = 0xffff;
    /// The minimum send rate that means "any".
    pub const NO_MIN_SEND_RATE: u32 = u32::MAX;

    /// Whether all are inherited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A URL that has been registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredUrl {
    /// The UrlPrefix in its normal form, with the real port where 0 was asked for.
    pub url: String,
    /// What REQUEST frames for it will name.
    pub registration: u32,
}

/// Why the host refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// The URL or a setting cannot be understood.
    Invalid,
    /// Another app has registered the same URL.
    AlreadyRegistered,
    /// The URL is reserved for somebody else, or the verb is the operator's.
    AccessDenied,
    /// The host cannot listen on the port.
    PortUnavailable,
    /// No such URL or queue.
    NotFound,
    /// A limit of the host is reached.
    LimitReached,
    /// The host is going away.
    ShuttingDown,
    /// The host does not know the request.
    Unsupported,
    /// A code that this version does not know.
    #[serde(other)]
    Other,
}
