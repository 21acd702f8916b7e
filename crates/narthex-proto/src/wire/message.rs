//! The JSON messages of a control connection. Fields and types a later version adds are passed over.

use std::net::SocketAddr;

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
    },
    /// Host: all URLs are registered, in the order of the request.
    Registered {
        /// The request's.
        id: u64,
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
    /// Admin: where would a request for this URL go, and why?
    Explain {
        /// Comes back in `Explained` or `Refused`.
        id: u64,
        /// The URL.
        url: String,
        /// The local address of the imagined connection, if that matters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        local: Option<SocketAddr>,
    },
    /// Host: the answer to `Explain`.
    Explained {
        /// The request's.
        id: u64,
        /// For people.
        text: String,
        /// For programs; the host defines the fields.
        detail: serde_json::Value,
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

/// The settings that the URLs of one registration share. What is absent is inherited from the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupSettings {
    /// The request queue's name; processes that name the same queue share it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_name: Option<String>,
    /// How many requests may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_length: Option<u32>,
    /// The longest request body in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<u64>,
    /// The group's timers.
    pub timeouts: Timeouts,
}

/// Timers in seconds. What is absent is inherited from the host.
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
