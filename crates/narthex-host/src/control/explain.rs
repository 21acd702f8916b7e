//! Where a request for a URL would go and why, and what registering it would meet. Nothing is changed by asking.

mod registering;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use narthex_http::{ListenError, Reason};
use narthex_proto::cooked::Cooking;
use narthex_proto::explain::{AskedUrl, ExplainError, Explanation, Match, Outcome};
use narthex_proto::prefix::{Scheme, UrlPrefix};
use narthex_proto::wire::{Activity, Principal, RefusalCode, Verbosity};

use super::Shared;
use super::names::{self, MOST_OF_URL};
use super::reservations::Caller;
use super::settings;
use super::state::{App, Refusal, State};
use crate::admin::{
    Answer, Answered, CookingRules, Explained, ExplainedGroup, ExplainedQueue, Grant, Holder, NamedGrant, Process, Reading,
    ShadowedEntry, User,
};
use crate::config::accounts;
use crate::snapshot::{Group, QueueEntry};

/// Longer URLs are no requests that any configuration allows.
const MOST_BYTES: usize = 64 * 1024;

const NOT_OURS: &str = "this machine does not have that address";

/// What opening an address would meet; [`narthex_http::look`], except in tests.
type Look<'a> = &'a dyn Fn(SocketAddr) -> Result<(), ListenError>;

/// What is asked.
struct Asked<'a> {
    url: &'a str,
    local: Option<SocketAddr>,
    /// Who would register it.
    user: &'a Caller,
    /// Tell about registering even if the URL has not the form of a prefix.
    as_prefix: bool,
}

pub(super) fn answer(
    shared: &Shared,
    caller: &Caller,
    url: &str,
    local: Option<SocketAddr>,
    user: Option<u32>,
) -> Result<Answer, Refusal> {
    let other = match user {
        Some(u32::MAX) => return Err(Refusal::new(RefusalCode::Invalid, format!("{} is no user's number", u32::MAX))),
        user => user.map(|uid| Caller::of_user(uid, &mut shared.groups.borrow_mut())),
    };
    let asked = Asked { url, local, user: other.as_ref().unwrap_or(caller), as_prefix: user.is_some() };
    let explained = explain(&shared.state.borrow(), &asked, &narthex_http::look)?;
    let detail = serde_json::to_value(&explained)
        .map_err(|error| Refusal::new(RefusalCode::Invalid, format!("the answer cannot be written: {error}")))?;
    Ok(Answer::Explanation { text: text::of(&explained), detail })
}

fn explain(state: &State, asked: &Asked<'_>, look: Look<'_>) -> Result<Explained, Refusal> {
    if asked.url.len() > MOST_BYTES {
        let message = format!("the URL has {} bytes, and at most {MOST_BYTES} are explained", asked.url.len());
        return Err(Refusal::new(RefusalCode::LimitReached, message));
    }
    let (routes, mode) = (&state.snapshot.routes, state.config.settings.cooking);
    let prefix = asked.url.parse::<UrlPrefix>().ok();
    let as_url = AskedUrl::parse(asked.url, mode);
    let other_reading = |routed: &Explanation| reading(state, asked.url, other(mode), routed);
    let (url, is_url) = match (as_url, &prefix) {
        (Ok(url), _) => (url, true),
        (Err(_), Some(prefix)) => (AskedUrl::of_prefix(prefix), false),
        (Err(error), None) => return Err(malformed(asked.url, &error, mode)),
    };
    let (local, local_assumed) = arrival(state, &url, asked.local);
    let routed = route(state, &url, local);
    let tls = (url.scheme == Scheme::Https).then(|| tls::handshake(state, &url, local));
    let handshake_fails = tls.as_ref().is_some_and(|tls| tls.failure.is_some());
    let (answered, reason, unheard) = fate(state, &url, &routed, handshake_fails, look);
    let found = routed.decided_by.as_ref().and_then(|decided| bound(state, decided));
    let verbosity = found.map(|(_, queue)| queue.rules.verbosity);
    let resets = verbosity == Some(Verbosity::Basic) && reason.and_then(Reason::status) == Some(503);
    let differs_on = if local_assumed {
        let elsewhere = |ip: &IpAddr| route(state, &url, SocketAddr::new(*ip, local.port())).decided_by != routed.decided_by;
        routes.bound_addresses(local.port()).into_iter().filter(elsewhere).collect()
    } else {
        Vec::new()
    };
    let registering = (prefix.is_some() || asked.as_prefix).then(|| registering::registering(state, asked, look));
    let shadowed = routed.shadowed.iter();
    Ok(Explained {
        url: names::shown(asked.url, MOST_OF_URL),
        answered,
        status: if resets { None } else { reason.and_then(Reason::status) },
        reason: reason.map(|reason| reason.token().to_owned()),
        scheme: url.scheme,
        local,
        local_assumed,
        unheard,
        port: url.port,
        decided_by: routed.decided_by.as_ref().map(|entry| holder(state, entry)),
        shadowed: shadowed.map(|lost| ShadowedEntry { holder: holder(state, &lost.entry), why: lost.reason }).collect(),
        would_go_to: routed.would_go_to.as_ref().map(|entry| holder(state, entry)),
        tls,
        group: found.map(|(group, _)| ExplainedGroup { id: group.id, state: activity(group.active) }),
        queue: found.map(|(_, entry)| queue(state, entry)),
        other_reading: if is_url { other_reading(&routed) } else { None },
        host: url.host,
        typed_path: url.typed_path,
        path: url.path,
        differs_on,
        registering,
    })
}

fn malformed(url: &str, error: &ExplainError, mode: Cooking) -> Refusal {
    let shown = names::shown(url, MOST_OF_URL);
    let other = other(mode);
    let otherwise = match (error, AskedUrl::parse(url, other)) {
        (ExplainError::Target { .. }, Ok(read)) => {
            let path = names::shown(&read.path, MOST_OF_URL);
            format!("; with cooking = {} it is read as {path}", text::rules(rules(other)))
        }
        _ => String::new(),
    };
    Refusal::new(RefusalCode::Invalid, format!("cannot explain {shown}: {error}{otherwise}"))
}

fn route(state: &State, url: &AskedUrl, local: SocketAddr) -> Explanation {
    state.snapshot.routes.explain(url.scheme, local, url.request_host().as_ref(), &url.path)
}

/// The address that a request arrives on, and whether that is only assumed.
fn arrival(state: &State, url: &AskedUrl, local: Option<SocketAddr>) -> (SocketAddr, bool) {
    if let Some(local) = local {
        let port = if local.port() == 0 { url.port } else { local.port() };
        return (SocketAddr::new(local.ip().to_canonical(), port), false);
    }
    if let Some(ip) = url.request_host().and_then(|host| host.ip()).filter(|ip| !ip.is_unspecified()) {
        return (SocketAddr::new(ip, url.port), false);
    }
    let on = |ip: IpAddr| SocketAddr::new(ip, url.port);
    let usual = [on(Ipv4Addr::LOCALHOST.into()), on(Ipv6Addr::LOCALHOST.into())];
    let is_localhost = url.host.as_ref().is_some_and(|host| host.eq_ignore_ascii_case("localhost"));
    let mut others: Vec<SocketAddr> =
        state.ports.open().filter(|open| open.port() == url.port && !open.ip().is_unspecified() && !is_localhost).collect();
    others.sort_unstable();
    let heard = usual.iter().chain(&others).find(|address| listens(state, **address));
    (*heard.unwrap_or(&usual[0]), true)
}

/// Whether this host gets connections to `address`.
fn listens(state: &State, address: SocketAddr) -> bool {
    let (ip, port) = (address.ip(), address.port());
    let reaches = |open: IpAddr| open == ip || open.is_unspecified() && open.is_ipv4() == ip.is_ipv4();
    state.ports.open().any(|open| open.port() == port && reaches(open.ip()))
}

/// What a request meets: the reason token of a refusal, and more about an address that this host does not listen on.
fn fate(
    state: &State,
    url: &AskedUrl,
    routed: &Explanation,
    handshake_fails: bool,
    look: Look<'_>,
) -> (Answered, Option<Reason>, Option<String>) {
    if !listens(state, routed.local) {
        return match look(routed.local) {
            Err(ListenError::InUse(_, holder)) => (Answered::OtherProgram, None, Some(holder.to_string())),
            Err(ListenError::NoSuchAddress(_)) => (Answered::NotListening, None, Some(NOT_OURS.to_owned())),
            _ => (Answered::NotListening, None, None),
        };
    }
    let limits = settings::limits(&state.config);
    let (answered, reason) = match routed.outcome {
        Outcome::WrongScheme => (Answered::WrongScheme, None),
        _ if handshake_fails => (Answered::NoHandshake, None),
        _ if url.target_length > limits.max_target => (Answered::TooLong, Some(Reason::UrlLength)),
        _ if !limits.allow_segments_of(&url.path) => (Answered::TooLong, Some(Reason::Url)),
        Outcome::Reserved => (Answered::Reserved, Some(Reason::NotAvailable)),
        Outcome::NoPath => (Answered::NoPath, Some(Reason::NotFound)),
        Outcome::NoHost => (Answered::NoHost, Some(Reason::UnknownHost)),
        Outcome::Registered => match routed.decided_by.as_ref().and_then(|decided| bound(state, decided)) {
            None => (Answered::Reserved, Some(Reason::NotAvailable)),
            Some((group, queue)) if !group.active || !queue.in_force().active => (Answered::Disabled, Some(Reason::Disabled)),
            Some((_, queue)) if queue.queue.waiting() > 0 && queue.queue.waiting() >= queue.rules.length => {
                (Answered::QueueFull, Some(Reason::QueueFull))
            }
            Some(_) => (Answered::Served, None),
        },
    };
    // A port of 0 finds out about the address alone.
    let is_ours = !matches!(look(SocketAddr::new(routed.local.ip(), 0)), Err(ListenError::NoSuchAddress(_)));
    (answered, reason, (!is_ours).then(|| NOT_OURS.to_owned()))
}

/// The group and the queue of a registration.
fn bound<'a>(state: &'a State, entry: &Match) -> Option<(&'a Group, &'a QueueEntry)> {
    if !entry.is_live() {
        return None;
    }
    let (_, registration) = state.snapshot.routes.registration(&entry.prefix)?;
    let group = state.snapshot.group(registration.group)?;
    Some((group, state.snapshot.queue(group.queue)?))
}

/// The app of a registration.
fn app_of<'a>(state: &'a State, prefix: &UrlPrefix) -> Option<&'a App> {
    let (_, registration) = state.snapshot.routes.registration(prefix)?;
    state.app_of(registration.group)
}

fn holder(state: &State, entry: &Match) -> Holder {
    if entry.is_live() {
        return Holder { entry: entry.clone(), app: app_of(state, &entry.prefix).map(process), grants: Vec::new() };
    }
    let reserved = state.snapshot.routes.reservation(&entry.prefix);
    let grants = reserved.map_or_else(Vec::new, |(_, reserved)| named(&reserved.grants));
    Holder { entry: entry.clone(), app: None, grants }
}

fn named(grants: &[Grant]) -> Vec<NamedGrant> {
    grants.iter().map(|grant| NamedGrant { grant: *grant, name: accounts::name_or_number(grant.principal) }).collect()
}

fn process(app: &App) -> Process {
    Process { name: app.name.clone(), pid: app.pid, user: user(app.caller.uid) }
}

fn user(uid: u32) -> User {
    User { uid, name: accounts::name_or_number(Principal::User(uid)) }
}

fn queue(state: &State, entry: &QueueEntry) -> ExplainedQueue {
    ExplainedQueue {
        id: entry.queue.id,
        name: entry.queue.name.clone(),
        state: activity(entry.in_force().active),
        waiting: entry.queue.waiting() as u64,
        length_limit: entry.rules.length as u64,
        processes: entry.apps.iter().filter_map(|app| state.apps.get(app)).map(process).collect(),
    }
}

fn activity(active: bool) -> Activity {
    if active { Activity::Active } else { Activity::Inactive }
}

/// How `mode` reads the URL, if not as it was read for `routed`.
fn reading(state: &State, url: &str, mode: Cooking, routed: &Explanation) -> Option<Reading> {
    let cooking = rules(mode);
    let read = match AskedUrl::parse(url, mode) {
        Ok(read) if read.path == routed.path => return None,
        Ok(read) => read,
        Err(error) => {
            let refused = Some(error.to_string());
            return Some(Reading { cooking, path: None, refused, decided_by: None, routes_differently: true });
        }
    };
    let otherwise = route(state, &read, routed.local);
    let routes_differently = (otherwise.outcome, &otherwise.decided_by) != (routed.outcome, &routed.decided_by);
    Some(Reading { cooking, path: Some(read.path), refused: None, decided_by: otherwise.decided_by, routes_differently })
}

fn other(mode: Cooking) -> Cooking {
    match mode {
        Cooking::Strict => Cooking::HttpSys,
        Cooking::HttpSys => Cooking::Strict,
    }
}

fn rules(mode: Cooking) -> CookingRules {
    match mode {
        Cooking::Strict => CookingRules::Strict,
        Cooking::HttpSys => CookingRules::HttpSys,
    }
}
