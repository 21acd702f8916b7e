//! Who is there and who has registered what. Changed only here, by the control thread; published as snapshots.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use narthex_http::{ListenError, Timeouts};
use narthex_proto::prefix::{PrefixHost, PrefixSpec, Scheme, UrlPrefix};
use narthex_proto::routing::Conflict;
use narthex_proto::wire::{self, GroupSettings, RefusalCode};

use crate::snapshot::{AppId, MaxBody, Queue, QueueEntry, Registration, Snapshot};

/// Registrations of one app that can hold a worker's memory. Far beyond what programs need.
const MOST_URLS: usize = 100_000;
/// HTTP.sys's own upper bound for the length of a queue.
const MOST_QUEUED: u32 = 65_535;

/// A process that has greeted the host.
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) token: String,
    pub(crate) groups: Vec<Group>,
}

/// A URL group of an app.
pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) queue: usize,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) urls: Vec<UrlPrefix>,
}

/// Sockets that a change has opened and addresses that it has closed.
#[derive(Default)]
pub(crate) struct PortChange {
    pub(crate) opened: Vec<(SocketAddr, Vec<TcpListener>)>,
    pub(crate) closed: Vec<SocketAddr>,
}

/// Why a registration is refused. Nothing has changed then.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: RefusalCode,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

pub(crate) struct State {
    workers: usize,
    listen: Vec<IpAddr>,
    queue_length: usize,
    timeouts: Timeouts,
    pub(crate) snapshot: Snapshot,
    pub(crate) apps: BTreeMap<AppId, App>,
    /// How many registrations need each address.
    pub(crate) listeners: HashMap<SocketAddr, usize>,
    next: u64,
    next_registration: u32,
}

impl State {
    pub(crate) fn new(workers: usize, listen: Vec<IpAddr>, queue_length: usize, timeouts: Timeouts) -> Self {
        Self {
            workers,
            listen,
            queue_length,
            timeouts,
            snapshot: Snapshot::empty(),
            apps: BTreeMap::new(),
            listeners: HashMap::new(),
            next: 1,
            next_registration: 0,
        }
    }

    fn next_id(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }

    pub(crate) fn add_app(&mut self, name: String, pid: u32, uid: u32, token: String) -> AppId {
        let id = self.next_id();
        self.apps.insert(id, App { name, pid, uid, token, groups: Vec::new() });
        id
    }

    /// Registers all of `urls` as one group, or none.
    pub(crate) fn register(
        &mut self,
        app: AppId,
        settings: &GroupSettings,
        urls: &[String],
    ) -> Result<(Vec<(UrlPrefix, u32)>, PortChange), Refusal> {
        let queue_length = queue_length(settings.queue_length, self.queue_length)?;
        let timeouts = timeouts(&settings.timeouts, &self.timeouts);
        let held: usize = self.apps.get(&app).map_or(0, |app| app.groups.iter().map(|group| group.urls.len()).sum());
        if held + urls.len() > MOST_URLS {
            return Err(Refusal::new(RefusalCode::LimitReached, format!("one app may register at most {MOST_URLS} URLs")));
        }
        let mut change = PortChange::default();
        let mut prefixes = Vec::new();
        let mut routes = self.snapshot.routes.clone();
        let (queue, entry) = self.queue_for(app, settings, queue_length)?;
        let max_body = settings.max_body.map_or(MaxBody::Inherited, MaxBody::Most);
        for url in urls {
            let spec: PrefixSpec = url.parse().map_err(|error: narthex_proto::prefix::PrefixError| {
                Refusal::new(RefusalCode::Invalid, format!("cannot register {url}: {error}"))
            })?;
            if spec.scheme() == Scheme::Https {
                let advice = "this host has no TLS certificates yet; register an http:// prefix";
                return Err(Refusal::new(RefusalCode::Invalid, format!("cannot register {url}: {advice}")));
            }
            let prefix = self.open_port(&spec, &mut change)?;
            let id = self.next_registration;
            self.next_registration = self.next_registration.wrapping_add(1);
            let registration = Registration { id, app, queue, max_body, timeouts: timeouts.clone() };
            routes.register(prefix.clone(), Arc::new(registration)).map_err(|conflict| self.conflict(&conflict))?;
            prefixes.push((prefix, id));
        }
        self.snapshot.routes = routes;
        self.put_queue(queue, entry);
        let id = self.next_id();
        for (prefix, _) in &prefixes {
            for address in self.addresses(prefix.host(), prefix.port().get()) {
                // An address that could not be opened (no IPv6 on this machine) is not in use either.
                if change.opened.iter().any(|(opened, _)| *opened == address) || self.listeners.contains_key(&address) {
                    *self.listeners.entry(address).or_default() += 1;
                }
            }
        }
        if let Some(app) = self.apps.get_mut(&app) {
            app.groups.push(Group { id, queue, timeouts, urls: prefixes.iter().map(|(prefix, _)| prefix.clone()).collect() });
        }
        Ok((prefixes, change))
    }

    /// Gives URLs back. Those that the app does not have are passed over.
    pub(crate) fn unregister(&mut self, app: AppId, urls: &[UrlPrefix]) -> PortChange {
        let mut change = PortChange::default();
        let Some(entry) = self.apps.get_mut(&app) else { return change };
        let mut gone = Vec::new();
        for group in &mut entry.groups {
            group.urls.retain(|prefix| {
                let keep = !urls.contains(prefix);
                if !keep {
                    gone.push(prefix.clone());
                }
                keep
            });
        }
        for prefix in gone {
            self.snapshot.routes.unregister(&prefix);
            for address in self.addresses(prefix.host(), prefix.port().get()) {
                let Some(users) = self.listeners.get_mut(&address) else { continue };
                *users -= 1;
                if *users == 0 {
                    self.listeners.remove(&address);
                    change.closed.push(address);
                }
            }
        }
        change
    }

    /// The app's connection has ended: everything it had is free.
    pub(crate) fn remove_app(&mut self, app: AppId) -> PortChange {
        let urls: Vec<_> =
            self.apps.get(&app).into_iter().flat_map(|app| &app.groups).flat_map(|group| group.urls.clone()).collect();
        let change = self.unregister(app, &urls);
        self.apps.remove(&app);
        for slot in &mut self.snapshot.queues {
            if let Some(entry) = slot {
                entry.apps.retain(|other| *other != app);
                if entry.apps.is_empty() {
                    *slot = None;
                }
            }
        }
        change
    }

    /// The queue that a group of `app` gets, with `app` on it: the named one if some process of this user has it open.
    fn queue_for(&mut self, app: AppId, settings: &GroupSettings, length: usize) -> Result<(usize, QueueEntry), Refusal> {
        let uid = self.apps.get(&app).map_or(u32::MAX, |app| app.uid);
        if let Some(name) = &settings.queue_name {
            let found = self.snapshot.queues.iter().enumerate().find_map(|(index, slot)| {
                let entry = slot.as_ref()?;
                (entry.queue.name.as_ref() == Some(name)).then(|| (index, entry.clone()))
            });
            if let Some((index, mut entry)) = found {
                if entry.queue.uid != uid {
                    let message = format!("the request queue {name:?} belongs to another user; choose another name");
                    return Err(Refusal::new(RefusalCode::AccessDenied, message));
                }
                if !entry.apps.contains(&app) {
                    entry.apps.push(app);
                }
                return Ok((index, entry));
            }
        }
        let free = self.snapshot.queues.iter().position(Option::is_none).unwrap_or(self.snapshot.queues.len());
        let queue = Queue::new(self.next_id(), settings.queue_name.clone(), uid, length);
        Ok((free, QueueEntry { queue: Arc::new(queue), apps: vec![app] }))
    }

    fn put_queue(&mut self, index: usize, entry: QueueEntry) {
        if index >= self.snapshot.queues.len() {
            self.snapshot.queues.resize(index + 1, None);
        }
        if let Some(slot) = self.snapshot.queues.get_mut(index) {
            *slot = Some(entry);
        }
    }

    fn addresses(&self, host: &PrefixHost, port: u16) -> Vec<SocketAddr> {
        let wanted = narthex_http::addresses(host);
        let ips = if self.listen.is_empty() || matches!(host, PrefixHost::Ip(_)) { wanted } else { self.listen.clone() };
        ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
    }

    /// Opens what a prefix needs and is not open yet, and settles its port if any would do.
    fn open_port(&self, spec: &PrefixSpec, change: &mut PortChange) -> Result<UrlPrefix, Refusal> {
        let mut port = spec.port();
        let mut failed = None;
        let mut heard = false;
        for ip in self.addresses(spec.host(), port).iter().map(SocketAddr::ip) {
            let address = SocketAddr::new(ip, port);
            let open = self.listeners.contains_key(&address) || change.opened.iter().any(|(opened, _)| *opened == address);
            if open && port != 0 {
                heard = true;
                continue;
            }
            match narthex_http::listen(ip, port, self.workers) {
                Ok(listeners) => {
                    port = listeners.first().and_then(|first| first.local_addr().ok()).map_or(port, |address| address.port());
                    change.opened.push((SocketAddr::new(ip, port), listeners));
                    heard = true;
                }
                // A machine without IPv6 is not a reason to serve nobody.
                Err(ListenError::NoSuchAddress(_) | ListenError::Other(..)) if ip.is_ipv6() && heard => {}
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(Refusal::new(RefusalCode::PortUnavailable, format!("cannot register {spec}: {error}")));
        }
        let port = NonZeroU16::new(port)
            .ok_or_else(|| Refusal::new(RefusalCode::PortUnavailable, format!("cannot register {spec}: no port is free")))?;
        Ok(spec.with_port(port))
    }

    fn conflict(&self, conflict: &Conflict) -> Refusal {
        let code = match conflict {
            Conflict::Registered { .. } => RefusalCode::AlreadyRegistered,
            _ => RefusalCode::Invalid,
        };
        let owner =
            self.snapshot.routes.registration(conflict.existing()).and_then(|(_, registration)| self.apps.get(&registration.app));
        let owner = owner.map_or(String::new(), |app| format!(" (it is {} with process id {})", app.name, app.pid));
        Refusal::new(code, format!("cannot register {}: {conflict}{owner}", conflict.prefix()))
    }
}

fn queue_length(asked: Option<u32>, inherited: usize) -> Result<usize, Refusal> {
    match asked {
        None => Ok(inherited),
        Some(length @ 1..=MOST_QUEUED) => Ok(length as usize),
        Some(length) => {
            let message = format!("a request queue cannot hold {length} requests: choose 1 to {MOST_QUEUED}");
            Err(Refusal::new(RefusalCode::Invalid, message))
        }
    }
}

/// The group's timers, if it has any of its own. 0 switches one off.
fn timeouts(asked: &wire::Timeouts, inherited: &Timeouts) -> Option<Timeouts> {
    if *asked == wire::Timeouts::default() {
        return None;
    }
    let seconds = |asked: Option<u32>, inherited| match asked {
        None => inherited,
        Some(0) => None,
        Some(seconds) => Some(Duration::from_secs(seconds.into())),
    };
    let mut timeouts = inherited.clone();
    timeouts.idle_connection = seconds(asked.idle_connection, timeouts.idle_connection);
    timeouts.header_wait = seconds(asked.header_wait, timeouts.header_wait);
    timeouts.entity_body = seconds(asked.entity_body, timeouts.entity_body);
    timeouts.drain_entity_body = seconds(asked.drain_entity_body, timeouts.drain_entity_body);
    timeouts.request_queue = seconds(asked.request_queue, timeouts.request_queue);
    timeouts.min_send_rate = asked.min_send_rate.unwrap_or(timeouts.min_send_rate);
    Some(timeouts)
}
