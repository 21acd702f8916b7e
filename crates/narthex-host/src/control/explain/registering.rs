//! What registering a URL would meet, in the order in which [`State::register`] looks.

use std::net::SocketAddr;

use narthex_http::ListenError;
use narthex_proto::prefix::{PrefixError, PrefixSpec, UrlPrefix};
use narthex_proto::routing::Conflict;

use super::{Asked, Look, app_of, listens, named, process, text, user};
use crate::admin::{ExplainedPort, Obstacle, ObstacleKind, PortState, Registering, ReservedFor, Sharing};
use crate::control::names::{self, MOST_OF_URL};
use crate::control::queues::{self, Opener};
use crate::control::reservations::{self, Caller};
use crate::control::state::State;

/// Of the entries that a prefix has URLs in common with.
const MOST_SHOWN: usize = 100;

pub(super) fn registering(state: &State, asked: &Asked<'_>, look: Look<'_>) -> Registering {
    let mut found = Registering {
        user: user(asked.user.uid),
        prefix: None,
        possible: false,
        obstacles: Vec::new(),
        registered_by: None,
        sharing: None,
        reservation: None,
        loopback_rule: None,
        ports: Vec::new(),
        shadows: Vec::new(),
        shadowed_by: Vec::new(),
        more: 0,
    };
    match prefix(asked.url) {
        Ok(prefix) => judge(state, asked.user, prefix, look, &mut found),
        Err(wrong) => found.meets(ObstacleKind::Invalid, wrong),
    }
    found.possible = found.obstacles.is_empty();
    found
}

impl Registering {
    fn meets(&mut self, kind: ObstacleKind, text: impl Into<String>) {
        self.obstacles.push(Obstacle { kind, text: text.into() });
    }
}

fn prefix(url: &str) -> Result<UrlPrefix, String> {
    let spec: PrefixSpec = url.parse().map_err(|error: PrefixError| names::shown(&error.to_string(), MOST_OF_URL))?;
    spec.resolve().ok_or_else(|| "port 0 takes any free port: name the port that is meant".to_owned())
}

fn judge(state: &State, caller: &Caller, prefix: UrlPrefix, look: Look<'_>, found: &mut Registering) {
    let (routes, settings) = (&state.snapshot.routes, &state.config.settings);
    let denied = reservations::may_register(routes, caller, &prefix, settings).err();
    found.reservation = routes.covering_reservation(&prefix).map(|(reserved, reservation)| ReservedFor {
        prefix: reserved.clone(),
        grants: named(&reservation.grants),
        lets_in: denied.is_none(),
    });
    if found.reservation.is_none() {
        found.loopback_rule = Some(reservations::loopback_rule(routes, &prefix, settings));
    }
    if let Some(refusal) = denied {
        let begin = format!("cannot register {prefix}: ");
        found.meets(ObstacleKind::AccessDenied, refusal.message.strip_prefix(&begin).unwrap_or(&refusal.message));
    }
    if let Err(reason) = state.certificates.check(&PrefixSpec::from(&prefix)) {
        found.meets(ObstacleKind::NoTls, reason);
    }
    look_at_ports(state, &prefix, look, found);
    match routes.clone().register(prefix.clone(), crate::snapshot::Registration { id: 0, group: 0 }) {
        Ok(()) => {}
        Err(Conflict::Registered { .. }) => registered(state, caller, &prefix, found),
        Err(conflict) => found.meets(ObstacleKind::SchemeConflict, conflict.to_string()),
    }
    let overlaps = routes.overlaps(&prefix);
    found.more = overlaps.shadows.len().saturating_sub(MOST_SHOWN) + overlaps.shadowed_by.len().saturating_sub(MOST_SHOWN);
    (found.shadows, found.shadowed_by) = (overlaps.shadows, overlaps.shadowed_by);
    found.shadows.truncate(MOST_SHOWN);
    found.shadowed_by.truncate(MOST_SHOWN);
    found.prefix = Some(prefix);
}

/// As [`Ports::open_for`](crate::control::ports::Ports::open_for) would, but opens nothing.
fn look_at_ports(state: &State, prefix: &UrlPrefix, look: Look<'_>, found: &mut Registering) {
    let mut failed = None;
    for address in state.ports.wanted(prefix.host(), prefix.port().get()) {
        let heard = found.ports.iter().any(|port| matches!(port.state, PortState::Open | PortState::Free));
        let error = match look_unless_open(state, address, look) {
            Err(ListenError::InUse(..)) if is_beside_own(state, address) => None,
            looked => looked.err(),
        };
        let port = |state, detail| ExplainedPort { address, state, detail };
        found.ports.push(match &error {
            None if listens(state, address) => port(PortState::Open, None),
            None => port(PortState::Free, None),
            Some(error) => port(state_of(error), Some(error.to_string())),
        });
        // A machine without IPv6 is not a reason to serve nobody.
        let spared = address.is_ipv6() && heard;
        failed = match error {
            Some(ListenError::NoSuchAddress(_) | ListenError::Other(..)) if spared => failed,
            error => failed.or(error),
        };
    }
    if let Some(error) = failed {
        found.meets(ObstacleKind::PortUnavailable, error.to_string());
    }
}

fn look_unless_open(state: &State, address: SocketAddr, look: Look<'_>) -> Result<(), ListenError> {
    if listens(state, address) { Ok(()) } else { look(address) }
}

/// Whether the address is every interface, and one of them is open: this host is not in its own way.
fn is_beside_own(state: &State, every: SocketAddr) -> bool {
    let is_literal = |open: SocketAddr| open.port() == every.port() && open.is_ipv4() == every.is_ipv4();
    every.ip().is_unspecified() && state.ports.open().any(is_literal)
}

fn state_of(error: &ListenError) -> PortState {
    match error {
        ListenError::InUse(..) => PortState::Taken,
        ListenError::Denied(..) => PortState::Denied,
        ListenError::NoSuchAddress(_) => PortState::NoSuchAddress,
        ListenError::Other(..) => PortState::Failed,
    }
}

fn registered(state: &State, caller: &Caller, prefix: &UrlPrefix, found: &mut Registering) {
    let by = app_of(state, prefix).map(process);
    let registration = state.snapshot.routes.registration(prefix).map(|(_, registration)| *registration);
    let group = registration.and_then(|registration| state.snapshot.group(registration.group));
    let queue = group.and_then(|group| state.snapshot.queue(group.queue));
    let opener = Opener { uid: caller.uid, gids: &caller.groups };
    let sharing = queue.map(|entry| Sharing {
        queue: entry.queue.name.clone(),
        may_open: entry.queue.name.is_some() && queues::may_open(entry, opener),
    });
    let name = by.as_ref().map_or_else(|| "an app".to_owned(), text::process);
    found.meets(ObstacleKind::AlreadyRegistered, format!("it is registered by {name}; {}", share(sharing.as_ref(), found)));
    (found.registered_by, found.sharing) = (by, sharing);
}

fn share(sharing: Option<&Sharing>, found: &Registering) -> String {
    let user = text::user(&found.user);
    match sharing {
        Some(Sharing { queue: Some(name), may_open: true }) => {
            format!("another process can share it that names the request queue {name:?}, which {user} may open")
        }
        Some(Sharing { queue: Some(name), .. }) => {
            format!("only a process with its request queue {name:?} could share it, and {user} may not open that")
        }
        _ => "its request queue has no name, so it cannot be shared: stop that app, or register another path".to_owned(),
    }
}

/// Where a process would be heard, for the text.
pub(super) fn addresses(ports: &[ExplainedPort], state: PortState) -> Vec<SocketAddr> {
    ports.iter().filter(|port| port.state == state).map(|port| port.address).collect()
}
