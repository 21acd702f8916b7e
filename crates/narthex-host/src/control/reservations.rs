//! Who may register and who may reserve what: HTTP.sys's rules for URL reservations.
//!
//! The longest reservation that covers a prefix decides who may register it, for operators too. Who may add or delete a
//! reservation, the closest one above it decides, except for operators: they own the file in which all of them are.

use std::net::IpAddr;

use narthex_proto::prefix::{PrefixHost, UrlPrefix};
use narthex_proto::routing::{Conflict, Table};
use narthex_proto::wire::{Principal, RefusalCode};

use super::state::Refusal;
use crate::admin::{Grant, LoopbackRule};
use crate::config::accounts::{self, Groups};
use crate::config::{Reserved, Settings};
use crate::snapshot::Reservation;

/// Ports up to here are not for everybody, as in HTTP.sys.
const LAST_PRIVILEGED_PORT: u16 = 1024;

/// Who asks, as the kernel and the user database say.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
    pub(crate) groups: Vec<u32>,
}

impl Caller {
    /// The user of a connection with these credentials.
    pub(crate) fn new(uid: u32, gid: u32, groups: &mut Groups) -> Self {
        Self { uid, groups: groups.of(uid, gid) }
    }

    /// A user who has not connected, to say what it would meet.
    pub(crate) fn of_user(uid: u32, groups: &mut Groups) -> Self {
        Self::new(uid, accounts::primary_group(uid), groups)
    }

    /// Root, and the user whose host it is.
    pub(crate) fn is_operator(&self) -> bool {
        is_operator(self.uid)
    }

    fn is(&self, principal: Principal) -> bool {
        match principal {
            Principal::User(uid) => self.uid == uid,
            Principal::Group(gid) => self.groups.contains(&gid),
            Principal::Everyone => true,
        }
    }

    fn has(&self, grants: &[Grant], right: impl Fn(&Grant) -> bool) -> bool {
        grants.iter().any(|grant| right(grant) && self.is(grant.principal))
    }

    fn described(&self) -> String {
        accounts::described(Principal::User(self.uid))
    }

    /// Refuses what is the operator's alone.
    pub(crate) fn check_operator(&self, what: &str) -> Result<(), Refusal> {
        if self.is_operator() {
            return Ok(());
        }
        let message =
            format!("{what} is for the operator, and you are {}: run this as root or as the host's own user", self.described());
        Err(Refusal::new(RefusalCode::AccessDenied, message))
    }
}

/// Whether this is root, or the user whose host it is.
pub(crate) fn is_operator(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Whether `caller` may register `prefix`. That it is free is another question.
pub(crate) fn may_register<V>(
    table: &Table<Reservation, V>,
    caller: &Caller,
    prefix: &UrlPrefix,
    settings: &Settings,
) -> Result<(), Refusal> {
    let denied = |message: String| Err(Refusal::new(RefusalCode::AccessDenied, format!("cannot register {prefix}: {message}")));
    if let Some((reserved, Reservation { grants })) = table.covering_reservation(prefix) {
        if caller.has(grants, |grant| grant.listen) {
            return Ok(());
        }
        let which = if reserved == prefix { "it".to_owned() } else { reserved.to_string() };
        let whose = users(grants, |grant| grant.listen);
        return denied(format!("{which} is reserved for {whose} (narthex show urlacl url={reserved})"));
    }
    if caller.is_operator() || loopback_rule(table, prefix, settings) == LoopbackRule::Applies {
        return Ok(());
    }
    let user = quoted(&accounts::name_or_number(Principal::User(caller.uid)));
    denied(format!(
        "no reservation lets {} register it; an operator can: narthex add urlacl url={} user={user}",
        caller.described(),
        quoted(prefix.as_str()),
    ))
}

/// The loopback rule: a convenience for developers, which ends where somebody reserves something on the port.
pub(crate) fn loopback_rule<V>(table: &Table<Reservation, V>, prefix: &UrlPrefix, settings: &Settings) -> LoopbackRule {
    let loopback = match prefix.host() {
        PrefixHost::Name(name) => &**name == "localhost",
        PrefixHost::Ip(IpAddr::V4(ip)) => ip.is_loopback(),
        PrefixHost::Ip(IpAddr::V6(ip)) => ip.is_loopback(),
        PrefixHost::Strong | PrefixHost::Weak => false,
    };
    match () {
        () if !loopback => LoopbackRule::OtherHost,
        () if !settings.loopback_rule => LoopbackRule::Off,
        () if prefix.port().get() <= LAST_PRIVILEGED_PORT => LoopbackRule::PrivilegedPort,
        () if table.has_reservations_on(prefix.port()) => LoopbackRule::PortReserved,
        () => LoopbackRule::Applies,
    }
}

/// Whether `caller` may reserve `prefix`, and it is free.
pub(crate) fn may_add<V>(table: &Table<Reservation, V>, caller: &Caller, prefix: &UrlPrefix) -> Result<(), Refusal> {
    may_change(table, caller, prefix, "reserve")?;
    if let Some((existing, _)) = table.reservation(prefix) {
        let message = format!(
            "{prefix} is reserved already (narthex show urlacl url={existing}): to change who may register it, delete that \
             reservation first (narthex delete urlacl url={existing})"
        );
        return Err(Refusal::new(RefusalCode::AlreadyRegistered, message));
    }
    Ok(())
}

/// Whether `caller` may end the reservation of `prefix`, and there is one.
pub(crate) fn may_delete<V>(table: &Table<Reservation, V>, caller: &Caller, prefix: &UrlPrefix) -> Result<(), Refusal> {
    may_change(table, caller, prefix, "delete the reservation of")?;
    if table.reservation(prefix).is_none() {
        return Err(not_reserved(prefix));
    }
    Ok(())
}

pub(crate) fn not_reserved(prefix: &UrlPrefix) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("{prefix} is not reserved (narthex show urlacl lists what is)"))
}

/// Changes are decided one level up: an entry says nothing about itself.
fn may_change<V>(table: &Table<Reservation, V>, caller: &Caller, prefix: &UrlPrefix, what: &str) -> Result<(), Refusal> {
    if caller.is_operator() {
        return Ok(());
    }
    let reason = match parent(prefix).and_then(|parent| table.covering_reservation(&parent)) {
        Some((_, Reservation { grants })) if caller.has(grants, |grant| grant.delegate) => return Ok(()),
        Some((reserved, Reservation { grants })) => {
            let whose = users(grants, |grant| grant.delegate);
            format!(
                "only an operator and who has the delegate right of {reserved} may: {whose} (narthex show urlacl url={reserved})"
            )
        }
        None => "only an operator may, since no reservation above it has a delegate right".to_owned(),
    };
    let message = format!("{} cannot {what} {prefix}: {reason}; run this as root or as the host's own user", caller.described());
    Err(Refusal::new(RefusalCode::AccessDenied, message))
}

/// The prefix of the path one segment shorter.
fn parent(prefix: &UrlPrefix) -> Option<UrlPrefix> {
    let (above, _) = prefix.path().strip_suffix('/')?.rsplit_once('/')?;
    let origin = prefix.as_str().strip_suffix(prefix.path())?;
    format!("{origin}{above}/").parse().ok()
}

fn users(grants: &[Grant], right: impl Fn(&Grant) -> bool) -> String {
    let users: Vec<String> =
        grants.iter().filter(|grant| right(grant)).map(|grant| accounts::described(grant.principal)).collect();
    if users.is_empty() { "nobody".to_owned() } else { users.join(", ") }
}

/// A value as a shell takes it.
pub(crate) fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:+@%,=".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// The table with exactly these reservations, and the registrations that it has.
pub(crate) fn replaced<V: Clone>(
    table: &Table<Reservation, V>,
    reserved: &[Reserved],
) -> Result<Table<Reservation, V>, Conflict> {
    let mut table = table.clone();
    let old: Vec<UrlPrefix> = table.reservations().map(|(prefix, _)| prefix.clone()).collect();
    for prefix in &old {
        table.unreserve(prefix);
    }
    for Reserved { prefix, grants } in reserved {
        table.reserve(prefix.clone(), Reservation { grants: grants.clone() })?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod two_users;
