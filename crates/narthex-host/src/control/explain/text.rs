//! An explanation for people: the first line is the answer, the others are the reasons.

use std::net::SocketAddr;

use narthex_proto::explain::{Match, Overlap};
use narthex_proto::wire::{Activity, Principal};

use super::registering::addresses;
use crate::admin::{
    Answered, CookingRules, Explained, Holder, LoopbackRule, NamedGrant, ObstacleKind, PortState, Process, Registering, User,
};
use crate::control::names::{self, MOST_OF_URL};

/// Of the entries that a prefix has URLs in common with.
const MOST_LINES: usize = 10;

pub(super) fn of(explained: &Explained) -> String {
    let mut lines = vec![format!("{} {}", explained.url, headline(explained))];
    lines.extend(reasons(explained).into_iter().map(|reason| format!("  {reason}")));
    if let Some(registering) = &explained.registering {
        lines.push(String::new());
        lines.push(verdict(registering, &explained.url));
        lines.extend(findings(registering).into_iter().map(|finding| format!("  {finding}")));
    }
    lines.join("\n") + "\n"
}

pub(super) fn rules(rules: CookingRules) -> &'static str {
    match rules {
        CookingRules::Strict => "strict",
        CookingRules::HttpSys => "httpsys",
    }
}

pub(super) fn user(user: &User) -> String {
    if user.name == user.uid.to_string() { format!("user {}", user.uid) } else { format!("user {:?}", user.name) }
}

/// `shop (process 12, user "web")`
pub(super) fn process(process: &Process) -> String {
    format!("{} (process {}, {})", process.name, process.pid, user(&process.user))
}

fn holder(holder: &Holder) -> String {
    match &holder.app {
        Some(app) => format!("{} of {}", entry(&holder.entry), process(app)),
        None if holder.entry.is_live() => entry(&holder.entry),
        None => format!("{} for {}", entry(&holder.entry), whose(&holder.grants)),
    }
}

fn entry(entry: &Match) -> String {
    format!("the {} {}", entry.kind, entry.prefix)
}

fn whose(grants: &[NamedGrant]) -> String {
    let principal = |named: &NamedGrant| match named.grant.principal {
        Principal::User(uid) => user(&User { uid, name: named.name.clone() }),
        Principal::Group(gid) if named.name == gid.to_string() => format!("group {gid}"),
        Principal::Group(_) => format!("group {:?}", named.name),
        Principal::Everyone => "everyone".to_owned(),
    };
    let users: Vec<String> = grants.iter().filter(|named| named.grant.listen).map(principal).collect();
    if users.is_empty() { "nobody".to_owned() } else { users.join(", ") }
}

fn headline(explained: &Explained) -> String {
    let Explained { local, reason, unheard, .. } = explained;
    let prefix = explained.decided_by.as_ref().map_or_else(String::new, |holder| holder.entry.prefix.to_string());
    let app = explained.decided_by.as_ref().and_then(|holder| holder.app.as_ref()).map_or("an app".to_owned(), process);
    let token = reason.as_deref().unwrap_or_default();
    let gets = match explained.status {
        Some(status) => format!("gets {status} ({token})"),
        None => format!("gets its connection reset ({token})"),
    };
    match explained.answered {
        Answered::Served => format!("goes to {app}, which has registered {prefix}"),
        Answered::Reserved => {
            let whose = explained.decided_by.as_ref().map_or_else(String::new, |holder| whose(&holder.grants));
            format!("{gets}: {prefix} is reserved for {whose}, and no app has registered it")
        }
        Answered::Disabled if explained.group.is_some_and(|group| group.state == Activity::Inactive) => {
            format!("{gets}: the URL group of {prefix} is inactive; it belongs to {app}")
        }
        Answered::Disabled => format!("{gets}: the request queue of {prefix} is inactive; it belongs to {app}"),
        Answered::QueueFull => format!("{gets} as long as the request queue of {app} is full"),
        Answered::NoPath => {
            let path = names::shown(&explained.path, MOST_OF_URL);
            format!("{gets}: port {} knows the host, but nothing is registered for {path}", local.port())
        }
        Answered::NoHost => match &explained.host {
            Some(host) => format!("{gets}: nothing on port {} is registered for the host {host}", local.port()),
            None => format!("{gets}: nothing on port {} is registered for every host", local.port()),
        },
        Answered::TooLong if token == "URL_Length" => {
            format!("{gets}: it is longer than the setting max_url_length allows")
        }
        Answered::TooLong => {
            format!("{gets}: the settings url_segment_max_length and url_segment_max_count do not allow so long a path")
        }
        Answered::WrongScheme => {
            format!("gets no answer that it understands: port {} does not speak {}", local.port(), explained.scheme)
        }
        Answered::NoHandshake => {
            let failure = explained.tls.as_ref().and_then(|tls| tls.failure.as_deref()).unwrap_or_default();
            format!("gets no answer, its TLS handshake fails: {failure}")
        }
        Answered::NotListening => {
            let more = unheard.as_ref().map_or_else(String::new, |more| format!("; {more}"));
            format!("finds nobody, its connection is refused: this host does not listen on {local}{more}")
        }
        Answered::OtherProgram => {
            let holder = unheard.as_deref().unwrap_or("another program");
            format!("does not reach this host: {local} is taken by {holder}")
        }
    }
}

fn reasons(explained: &Explained) -> Vec<String> {
    let mut lines = Vec::new();
    let heard = !matches!(explained.answered, Answered::NotListening | Answered::OtherProgram);
    if heard && explained.host.is_none() {
        lines.push("that is for requests whose host no registration names".to_owned());
    }
    if heard {
        lines.extend(arrives(explained));
    }
    lines.extend(handshake(explained, heard));
    if explained.path != explained.typed_path {
        let (path, typed) = (names::shown(&explained.path, MOST_OF_URL), names::shown(&explained.typed_path, MOST_OF_URL));
        lines.push(format!("its canonical path is {path} (typed {typed})"));
    }
    match &explained.decided_by {
        Some(decided) if heard => lines.push(format!("the {} bucket decides, by its longest path", decided.entry.bucket)),
        Some(decided) => lines.push(format!("if it did, {} would decide", holder(decided))),
        None => {}
    }
    if let (Some(group), Some(queue)) = (&explained.group, &explained.queue) {
        let name = queue
            .name
            .as_ref()
            .map_or_else(|| "a request queue without name".to_owned(), |name| format!("request queue {name:?}"));
        let pids: Vec<String> = queue.processes.iter().map(|process| process.pid.to_string()).collect();
        lines.push(format!(
            "URL group {} is {}; {name} is {}, {} of {} places taken, served by process {}",
            group.id,
            activity(group.state),
            activity(queue.state),
            queue.waiting,
            queue.length_limit,
            pids.join(", ")
        ));
    }
    lines.extend(explained.shadowed.iter().map(|lost| format!("not to {}: {}", holder(&lost.holder), lost.why)));
    lines.extend(would_go_to(explained));
    lines.extend(other_reading(explained));
    lines
}

/// Which certificate the client gets, or, where that is not the answer already, why it would get none.
fn handshake(explained: &Explained, heard: bool) -> Option<String> {
    let tls = explained.tls.as_ref().filter(|_| explained.answered != Answered::WrongScheme)?;
    let (Some(binding), None) = (&tls.binding, &tls.failure) else {
        return tls
            .failure
            .as_ref()
            .filter(|_| !heard)
            .map(|failure| format!("if it did, its TLS handshake would fail: {failure}"));
    };
    let mut line = format!("the TLS binding {} answers its handshake", binding.key);
    if let Some(certificate) = &binding.certificate {
        let until = certificate.not_after.split('T').next().unwrap_or_default();
        let (subject, left) = (&certificate.subject, certificate.days_left);
        line += &match left {
            ..0 => format!(" with the certificate of {subject}, which expired on {until}"),
            _ => format!(" with the certificate of {subject}, valid until {until} ({left} days left)"),
        };
    }
    if let Some(problem) = &binding.problem {
        line += &format!("; its renewal failed: {problem}");
    }
    Some(line)
}

/// Unless any address would do.
fn arrives(explained: &Explained) -> Option<String> {
    let Explained { local, local_assumed, differs_on, port, .. } = explained;
    let is_localhost = explained.host.as_ref().is_some_and(|host| host.eq_ignore_ascii_case("localhost"));
    let mut line = format!("it arrives on {local}");
    if let Some(other) = differs_on.first() {
        let other = SocketAddr::new(*other, local.port());
        line += &format!(" (assumed; on {} another entry decides: --local {other} tells)", other.ip());
    } else if *local_assumed && !is_localhost {
        return None;
    }
    if *port != local.port() {
        line += &format!("; the port of the URL, {port}, does not route");
    }
    if let Some(unheard) = &explained.unheard {
        line += &format!("; {unheard}: behind a NAT or a mapped port, name the one that it arrives on with --local");
    }
    Some(line)
}

fn would_go_to(explained: &Explained) -> Option<String> {
    let (decided, instead) = (explained.decided_by.as_ref()?, explained.would_go_to.as_ref()?);
    let before = explained.shadowed.iter().map(|lost| &lost.holder).take_while(|lost| *lost != instead);
    let reservations: Vec<String> = std::iter::once(decided).chain(before).map(|holder| entry(&holder.entry)).collect();
    Some(format!("without {} it would have gone to {}", reservations.join(" and "), holder(instead)))
}

fn other_reading(explained: &Explained) -> Option<String> {
    let reading = explained.other_reading.as_ref()?;
    let cooking = rules(reading.cooking);
    let read = match (&reading.path, &reading.refused) {
        (Some(path), _) => format!("with cooking = {cooking} its path is {}", names::shown(path, MOST_OF_URL)),
        (None, Some(refused)) => format!("with cooking = {cooking}, {refused}"),
        (None, None) => return None,
    };
    let to = match &reading.decided_by {
        Some(decided) => format!(", which {} decides", entry(decided)),
        None if reading.path.is_some() => ", which nothing matches".to_owned(),
        None => String::new(),
    };
    match reading.routes_differently {
        true => Some(format!("warning: {read}{to}")),
        // Only those who asked for it read it as HTTP.sys does.
        false if reading.cooking == CookingRules::Strict => Some(read),
        false => None,
    }
}

fn activity(state: Activity) -> &'static str {
    match state {
        Activity::Active => "active",
        Activity::Inactive => "inactive",
    }
}

fn verdict(registering: &Registering, url: &str) -> String {
    let who = user(&registering.user);
    let what = registering.prefix.as_ref().map_or_else(|| url.to_owned(), ToString::to_string);
    match registering.obstacles.first() {
        None => format!("{who} can register {what}"),
        Some(obstacle) => format!("{who} cannot register {what}: {}", obstacle.text),
    }
}

fn findings(registering: &Registering) -> Vec<String> {
    let mut lines: Vec<String> = registering.obstacles.iter().skip(1).map(|obstacle| format!("and {}", obstacle.text)).collect();
    let denied = registering.obstacles.iter().any(|obstacle| obstacle.kind == ObstacleKind::AccessDenied);
    lines.extend(who_decides(registering, denied));
    let port = registering.prefix.as_ref().map_or(0, |prefix| prefix.port().get());
    if !addresses(&registering.ports, PortState::Open).is_empty() {
        lines.push(format!("port {port} is open already"));
    } else if !addresses(&registering.ports, PortState::Free).is_empty() {
        lines.push(format!("port {port} is free, and would be opened"));
    }
    let lists = [(&registering.shadows, "take requests from"), (&registering.shadowed_by, "lose requests to")];
    for (overlaps, what) in lists {
        lines.extend(overlaps.iter().take(MOST_LINES).map(|overlap| overlapping(overlap, what)));
    }
    let shown: usize = lists.iter().map(|(overlaps, _)| overlaps.len().min(MOST_LINES)).sum();
    let all = registering.shadows.len() + registering.shadowed_by.len() + registering.more;
    if all > shown {
        lines.push(format!("and {} more of these (--json has up to 100 of each)", all - shown));
    }
    lines
}

fn overlapping(overlap: &Overlap, what: &str) -> String {
    let extent = if overlap.whole { "all of them" } else { "those that both match" };
    format!("it would {what} {}: {extent}", entry(&overlap.entry))
}

/// Why the user may or may not, unless the obstacle has said so.
fn who_decides(registering: &Registering, denied: bool) -> Option<String> {
    let who = user(&registering.user);
    match (&registering.reservation, registering.loopback_rule) {
        (Some(reserved), _) if reserved.lets_in => {
            Some(format!("the reservation {} for {} allows it", reserved.prefix, whose(&reserved.grants)))
        }
        (Some(_), _) | (None, None) => None,
        (None, Some(LoopbackRule::Applies)) => Some("the loopback rule lets everybody register it".to_owned()),
        (None, Some(rule)) if denied => match rule {
            LoopbackRule::Off => Some("the loopback rule does not help: the setting loopback_rule is off".to_owned()),
            LoopbackRule::PrivilegedPort => Some("the loopback rule does not help: it is for ports above 1024".to_owned()),
            LoopbackRule::PortReserved => Some("the loopback rule does not help: the port has reservations".to_owned()),
            LoopbackRule::OtherHost | LoopbackRule::Applies => None,
        },
        (None, Some(_)) => Some(format!("no reservation decides, and {who} is an operator")),
    }
}
