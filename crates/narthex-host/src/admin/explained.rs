//! The answer to `narthex explain` for programs. Fields are only ever added.

use std::net::{IpAddr, SocketAddr};

use narthex_proto::explain::{Match, Overlap, Reason};
use narthex_proto::prefix::{Scheme, UrlPrefix};
use narthex_proto::wire::Activity;
use serde::Serialize;

use super::{NamedGrant, SslcertState};

/// Where a request for a URL goes, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The URL as it was asked for.
    pub url: String,
    /// What a request for it meets.
    pub answered: Answered,
    /// The status that the host itself answers. `None` if an app answers, if nobody does, or if the connection is reset, as
    /// the verbosity of a queue may say.
    pub status: Option<u16>,
    /// The reason token of a refusal, as in the error log.
    pub reason: Option<String>,
    /// The scheme of the connection.
    pub scheme: Scheme,
    /// The address that the request arrives on.
    pub local: SocketAddr,
    /// Nothing says that address; it is the usual one.
    pub local_assumed: bool,
    /// Why this host does not hear of that address, for people: who has the port, or that the machine does not have the address.
    pub unheard: Option<String>,
    /// The port of the URL. It routes only where it is that of `local`.
    pub port: u16,
    /// The host that is looked up; `None` for any that no registration names.
    pub host: Option<String>,
    /// The path as it was typed.
    pub typed_path: String,
    /// The canonical path, which is looked up.
    pub path: String,
    /// The registration or reservation that decides.
    pub decided_by: Option<Holder>,
    /// Every other entry that matches, in the order of the search, and why it does not get the URL.
    pub shadowed: Vec<ShadowedEntry>,
    /// Who would get the URL if the reservations that come first and have no app were not there.
    pub would_go_to: Option<Holder>,
    /// How its TLS handshake goes, if it has one.
    pub tls: Option<ExplainedTls>,
    /// The URL group of the registration.
    pub group: Option<ExplainedGroup>,
    /// Its request queue.
    pub queue: Option<ExplainedQueue>,
    /// How the other of the two rules for canonical paths reads the URL, if that differs.
    pub other_reading: Option<Reading>,
    /// Local addresses on which another entry would decide, if the address is only assumed.
    pub differs_on: Vec<IpAddr>,
    /// What registering the URL would meet.
    pub registering: Option<Registering>,
}

/// What a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answered {
    /// An app gets it.
    Served,
    /// Its prefix is reserved and has no app: 503 `N/A`.
    Reserved,
    /// The URL group or the request queue is inactive: 503 `Disabled`.
    Disabled,
    /// The request queue is full just now: 503 `QueueFull`.
    QueueFull,
    /// The host is known and the path is not: 404.
    NoPath,
    /// The host is not known: 400 `Hostname`.
    NoHost,
    /// The URL or a part of it is longer than the configuration allows: 414 or 400.
    TooLong,
    /// The port speaks the other one of http and https.
    WrongScheme,
    /// The TLS handshake fails: no binding answers it, or one that refuses connections.
    NoHandshake,
    /// The connection is refused: nobody listens there.
    NotListening,
    /// Another program has the port.
    OtherProgram,
}

/// A TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedTls {
    /// The binding that answers it.
    pub binding: Option<SslcertState>,
    /// Why it fails, and the command that helps.
    pub failure: Option<String>,
}

/// A user of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// Its name; the number as text if it has none.
    pub name: String,
}

/// A process with registrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// What the program calls itself.
    pub name: String,
    /// Its process id, as the kernel says.
    pub pid: u32,
    /// Its user, as the kernel says.
    pub user: User,
}

/// An entry of the routing table, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its prefix, kind and bucket.
    #[serde(flatten)]
    pub entry: Match,
    /// The app of a registration.
    pub app: Option<Process>,
    /// The users and groups of a reservation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<NamedGrant>,
}

/// An entry that matches and does not get the URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShadowedEntry {
    /// The entry.
    #[serde(flatten)]
    pub holder: Holder,
    /// Why it does not get the URL.
    pub why: Reason,
}

/// A URL group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedGroup {
    /// Its number.
    pub id: u64,
    /// Whether its requests are served.
    pub state: Activity,
}

/// A request queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedQueue {
    /// Its number.
    pub id: u64,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Whether it gives out requests.
    pub state: Activity,
    /// How many requests wait.
    pub waiting: u64,
    /// How many may.
    pub length_limit: u64,
    /// The processes that take requests from it.
    pub processes: Vec<Process>,
}

/// How the other rules for canonical paths read a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// `strict` or `httpsys`, as in the setting `cooking`.
    pub cooking: CookingRules,
    /// The canonical path by these rules.
    pub path: Option<String>,
    /// Why a request is refused by these rules.
    pub refused: Option<String>,
    /// The entry that decides about that path.
    pub decided_by: Option<Match>,
    /// Whether the request ends elsewhere by these rules.
    pub routes_differently: bool,
}

/// A value of the setting `cooking`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CookingRules {
    /// What two readers could understand differently is refused.
    Strict,
    /// As HTTP.sys reads it.
    HttpSys,
}

/// What registering a URL would meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Registering {
    /// Who would register it.
    pub user: User,
    /// The prefix that would be registered; `None` if the URL is none.
    pub prefix: Option<UrlPrefix>,
    /// Whether it would succeed now.
    pub possible: bool,
    /// Everything that is in the way, what is met first first.
    pub obstacles: Vec<Obstacle>,
    /// Who has registered it.
    pub registered_by: Option<Process>,
    /// How it could be shared with that process.
    pub sharing: Option<Sharing>,
    /// The reservation that decides who may register it.
    pub reservation: Option<ReservedFor>,
    /// Whether everybody may register it as a loopback URL, if no reservation decides.
    pub loopback_rule: Option<LoopbackRule>,
    /// The addresses that it would be heard on.
    pub ports: Vec<ExplainedPort>,
    /// Entries that would lose URLs to it, at most 100.
    pub shadows: Vec<Overlap>,
    /// Entries that would keep URLs from it, at most 100.
    pub shadowed_by: Vec<Overlap>,
    /// Such entries that are left out.
    pub more: usize,
}

/// Something that is in the way of a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// What it is.
    pub kind: ObstacleKind,
    /// What it is and what helps, for people.
    pub text: String,
}

/// What can be in the way of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ObstacleKind {
    /// The URL is no UrlPrefix.
    Invalid,
    /// No TLS binding has a certificate for it.
    NoTls,
    /// The user may not.
    AccessDenied,
    /// An address cannot be opened.
    PortUnavailable,
    /// The port speaks the other one of http and https.
    SchemeConflict,
    /// Somebody has it.
    AlreadyRegistered,
}

/// Processes that take requests from the same named queue can have the same URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sharing {
    /// The queue's name; without one, nothing can be shared.
    pub queue: Option<String>,
    /// Whether the user may open the queue.
    pub may_open: bool,
}

/// The reservation that decides about a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReservedFor {
    /// Its prefix.
    pub prefix: UrlPrefix,
    /// Who may what.
    pub grants: Vec<NamedGrant>,
    /// Whether it lets the user register.
    pub lets_in: bool,
}

/// Everybody may register `localhost` and loopback addresses on ports above 1024 that nobody has reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LoopbackRule {
    /// It is such a URL.
    Applies,
    /// The setting `loopback_rule` is off.
    Off,
    /// The host is another.
    OtherHost,
    /// The port is 1024 or below.
    PrivilegedPort,
    /// There are reservations on the port.
    PortReserved,
}

/// An address that a registration would be heard on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedPort {
    /// The address.
    pub address: SocketAddr,
    /// What opening it would meet.
    pub state: PortState,
    /// More about that, for people.
    pub detail: Option<String>,
}

/// What opening an address would meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PortState {
    /// This host listens there.
    Open,
    /// Nobody does.
    Free,
    /// Another program does.
    Taken,
    /// The system forbids it to this host.
    Denied,
    /// This machine does not have the address.
    NoSuchAddress,
    /// Something else is wrong.
    Failed,
}
