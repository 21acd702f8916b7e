//! What operators ask and command: `netsh http`'s verbs as types. The command line makes them, the control thread answers
//! them, and JSON carries them.

use std::net::{IpAddr, SocketAddr};

use narthex_proto::wire::{Activity, Principal};
use serde::{Deserialize, Serialize};

use super::sslcert::{BindingKey, BindingSpec, SslcertState};
use crate::config::{CacheParam, MachineTimer};

/// A question or a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are the verbs' parameters, which docs/operators.md explains")]
pub enum Question {
    /// Reserve a URL. It is an error if it is reserved already.
    AddUrlacl { url: String, grants: Vec<Grant> },
    /// End a reservation.
    DeleteUrlacl { url: String },
    /// The reservations, or the one of this URL.
    ShowUrlacl { url: Option<String> },
    /// Listen on this address, and only on those that were added.
    AddIplisten { address: IpAddr },
    /// Take an address off the list. An empty list means every address.
    DeleteIplisten { address: IpAddr },
    /// The list.
    ShowIplisten,
    /// Set a machine-wide timer, in seconds; 65535 disables it.
    AddTimeout { timer: MachineTimer, seconds: u16 },
    /// Set it back to its default.
    DeleteTimeout { timer: MachineTimer },
    /// Both.
    ShowTimeout,
    /// Set a parameter of the response cache.
    AddCacheparam { param: CacheParam, value: u64 },
    /// Set it back to its default.
    DeleteCacheparam { param: CacheParam },
    /// All of them.
    ShowCacheparam,
    /// Set one of the settings in [`config::SETTINGS`](crate::config::SETTINGS).
    AddSetting { name: String, value: String },
    /// Set it back to its default.
    DeleteSetting { name: String },
    /// All of them, or one.
    ShowSetting { name: Option<String> },
    /// Make a TLS binding. It is an error if there is one with this key already.
    AddSslcert { binding: BindingKey, options: BindingSpec },
    /// Change what is said of a binding, and leave the rest of it.
    UpdateSslcert { binding: BindingKey, options: BindingSpec },
    /// End a binding.
    DeleteSslcert { binding: BindingKey },
    /// The bindings, or this one.
    ShowSslcert { binding: Option<BindingKey> },
    /// What the response cache holds: everything, or below this URL.
    ShowCachestate { url: Option<String> },
    /// Remove responses from the cache: all, that of this URL, or all below it.
    DeleteCache { url: Option<String>, recursive: bool },
    /// Write what the logs have buffered.
    FlushLogbuffer,
    /// Have every process of the request queue of this name start its successor and leave once that is there, one after the other.
    RestartQueue { name: String },
    /// Hand the listening sockets over to the host that asks: see [`HostOptions::take_over`](crate::HostOptions::take_over).
    TakeOver,
    /// Let a request queue, by its number, give out requests or not, whatever its app says. Lasts as long as the queue.
    UpdateQueue { id: u64, state: Activity },
    /// The configuration as commands that make it again.
    Dump,
    /// Read the configuration file again.
    Reload,
    /// Where a URL goes and why; with a user also what registering it would meet.
    Explain { url: String, local: Option<SocketAddr>, user: Option<u32> },
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// It is done; a sentence for people.
    Done(String),
    /// Reservations.
    Urlacls(Vec<UrlaclState>),
    /// The iplisten list.
    Addresses(Vec<IpAddr>),
    /// The machine-wide timers.
    Timeouts(Vec<TimerState>),
    /// The cache's parameters.
    Cacheparams(Vec<CacheparamState>),
    /// Settings.
    Settings(Vec<SettingState>),
    /// TLS bindings.
    Sslcerts(Vec<SslcertState>),
    /// What the cache holds.
    Cachestate(Vec<CachedState>),
    /// Commands, one a line.
    Script(String),
    /// Where a URL goes: for people, and for programs.
    Explanation {
        /// For people.
        text: String,
        /// For programs.
        detail: serde_json::Value,
    },
}

/// What a reservation gives to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who.
    pub principal: Principal,
    /// May register URLs below the reservation.
    pub listen: bool,
    /// May reserve URLs below it for others.
    pub delegate: bool,
}

/// A reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlaclState {
    /// The UrlPrefix.
    pub url: String,
    /// Who may what, with the name of the user or group.
    pub grants: Vec<NamedGrant>,
}

/// A [`Grant`] with the name that the host's machine has for its user or group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedGrant {
    /// The grant.
    #[serde(flatten)]
    pub grant: Grant,
    /// The name; the number as text if it has none.
    pub name: String,
}

/// A machine-wide timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerState {
    /// Which.
    pub timer: MachineTimer,
    /// Its limit in seconds; 65535 is "never".
    pub seconds: u16,
    /// Whether that is the default.
    pub default: bool,
}

/// A parameter of the response cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheparamState {
    /// Which.
    pub param: CacheParam,
    /// Its value, in the parameter's unit.
    pub value: u64,
    /// Whether that is the default.
    pub default: bool,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingState {
    /// Its name.
    pub name: String,
    /// Its value as text.
    pub value: String,
    /// Whether that is the default.
    pub default: bool,
    /// One sentence about it.
    pub help: String,
}

/// A response in the cache, as `show cachestate` lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CachedState {
    /// The whole URL.
    pub url: String,
    /// Its status.
    pub status: u16,
    /// The request's method.
    pub method: String,
    /// `until flushed` or `time to live`.
    pub policy: String,
    /// For a time to live: what is left of it, in seconds.
    pub time_to_live: Option<u64>,
    /// When it was stored, RFC 3339.
    pub created: String,
    /// The request queue of the app that it came from; `None` if that has no name.
    pub queue_name: Option<String>,
    /// Content-Type.
    pub content_type: Option<String>,
    /// Content-Encoding.
    pub content_encoding: Option<String>,
    /// The request header fields that it was chosen by.
    pub vary: Vec<String>,
    /// Bytes of its header lines.
    pub headers_length: u64,
    /// Bytes of its body.
    pub content_length: u64,
    /// How often it was served.
    pub hits: u64,
    /// Whether it is a fragment, which no client is served by itself.
    pub fragment: bool,
}
