//! Who is there and who has registered what. Changed only here, by the control thread; published as snapshots.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use narthex_http::{ListenError, Timeouts};
use narthex_proto::prefix::{PrefixHost, PrefixSpec, Scheme, UrlPrefix};
use narthex_proto::routing::Conflict;
use narthex_proto::wire::{self, GroupSettings, RefusalCode};

use tokio::sync::Semaphore;

use super::names::{self, MOST_OF_NAME, MOST_OF_URL};
use crate::snapshot::{AppId, MaxBody, Queue, QueueEntry, Registration, Snapshot};

/// Registrations of one app that can hold a worker's memory. Far beyond what programs need.
const MOST_URLS: usize = 100_000;
/// HTTP.sys's own upper bound for the length of a queue.
const MOST_QUEUED: u32 = 65_535;
/// URL groups of one app, and so its queues.
const MOST_GROUPS: usize = 1_000;
/// Addresses that one app may have opened. Each is a socket per worker.
const MOST_ADDRESSES: usize = 256;
/// Characters, as in HTTP.sys.
const LONGEST_QUEUE_NAME: usize = 260;
/// A program says itself how many workers it has, and by that how many data connections it may open.
const MOST_APP_WORKERS: usize = 1_024;
/// For data connections that are new while their predecessors are not known to be broken.
const SPARE_SESSIONS: usize = 16;

/// A process that has greeted the host.
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) token: String,
    pub(crate) groups: Vec<Group>,
    /// One permit for each data connection that it may have.
    pub(crate) sessions: Arc<Semaphore>,
    /// How many of its registrations need each address.
    addresses: HashMap<SocketAddr, usize>,
}

/// A URL group of an app.
pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) queue: usize,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) urls: Vec<Held>,
}

/// A URL that an app has.
pub(crate) struct Held {
    pub(crate) prefix: UrlPrefix,
    /// The addresses that it keeps open. One that could not be opened (no IPv6 on this machine) is not among them, even if
    /// another registration opens it later.
    addresses: Vec<SocketAddr>,
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

    pub(crate) fn add_app(&mut self, name: &str, workers: u32, pid: u32, uid: u32, token: String) -> AppId {
        let id = self.next_id();
        let name = match name.trim() {
            "" => "unnamed".to_owned(),
            name => names::shown(name, MOST_OF_NAME),
        };
        let workers = usize::try_from(workers).unwrap_or(usize::MAX).clamp(1, MOST_APP_WORKERS);
        let sessions = 4 * workers * self.workers.max(1) + SPARE_SESSIONS;
        let sessions = Arc::new(Semaphore::new(sessions.min(Semaphore::MAX_PERMITS)));
        self.apps.insert(id, App { name, pid, uid, token, groups: Vec::new(), sessions, addresses: HashMap::new() });
        id
    }

    /// Registers all of `urls` as one group, or none.
    pub(crate) fn register(
        &mut self,
        app: AppId,
        settings: &GroupSettings,
        urls: &[String],
    ) -> Result<(Vec<(UrlPrefix, u32)>, PortChange), Refusal> {
        let queue_length = queue_length(settings.queue.length, self.queue_length)?;
        check_queue_name(settings.queue.name.as_deref())?;
        let timeouts = timeouts(&settings.properties.timeouts, &self.timeouts);
        let (group_id, queue_id) = (self.next_id(), self.next_id());
        let Some(owner) = self.apps.get(&app) else {
            return Err(Refusal::new(RefusalCode::NotFound, "the app has left"));
        };
        check_room(owner, urls)?;
        let mut change = PortChange::default();
        let mut held: Vec<Held> = Vec::new();
        let mut registered = Vec::new();
        let mut fresh = HashSet::new();
        let mut routes = self.snapshot.routes.clone();
        let (queue, entry) = self.queue_for(app, owner.uid, settings, queue_id, queue_length)?;
        let max_body = settings.properties.max_body.map_or(MaxBody::Inherited, MaxBody::Most);
        for url in urls {
            let cannot = |reason: &str| {
                Refusal::new(RefusalCode::Invalid, format!("cannot register {}: {reason}", names::shown(url, MOST_OF_URL)))
            };
            let spec: PrefixSpec = url.parse().map_err(|error: narthex_proto::prefix::PrefixError| cannot(&error.to_string()))?;
            if spec.scheme() == Scheme::Https {
                return Err(cannot("this host has no TLS certificates yet; register an http:// prefix"));
            }
            let prefix = self.open_port(&spec, &mut change)?;
            let mut addresses = self.addresses(prefix.host(), prefix.port().get());
            addresses.retain(|address| self.is_open(address, &change));
            fresh.extend(addresses.iter().filter(|address| !owner.addresses.contains_key(address)).copied());
            if owner.addresses.len() + fresh.len() > MOST_ADDRESSES {
                let message = format!("one app may listen on at most {MOST_ADDRESSES} addresses: register fewer ports");
                return Err(Refusal::new(RefusalCode::LimitReached, message));
            }
            let id = self.next_registration;
            self.next_registration = self.next_registration.wrapping_add(1);
            let registration = Registration { id, app, queue, max_body, timeouts: timeouts.clone() };
            routes.register(prefix.clone(), Arc::new(registration)).map_err(|conflict| self.conflict(&conflict))?;
            registered.push((prefix.clone(), id));
            held.push(Held { prefix, addresses });
        }
        self.snapshot.routes = routes;
        self.put_queue(queue, entry);
        if let Some(owner) = self.apps.get_mut(&app) {
            for address in held.iter().flat_map(|url| &url.addresses) {
                *owner.addresses.entry(*address).or_default() += 1;
                *self.listeners.entry(*address).or_default() += 1;
            }
            owner.groups.push(Group { id: group_id, queue, timeouts, urls: held });
        }
        Ok((registered, change))
    }

    /// Gives URLs back. Those that the app does not have are passed over. A group goes with its last URL.
    pub(crate) fn unregister(&mut self, app: AppId, urls: &[UrlPrefix]) -> PortChange {
        let urls: HashSet<&UrlPrefix> = urls.iter().collect();
        self.give_back(app, |prefix| urls.contains(prefix))
    }

    /// The app's connection has ended: everything it had is free.
    pub(crate) fn remove_app(&mut self, app: AppId) -> PortChange {
        let change = self.give_back(app, |_| true);
        self.apps.remove(&app);
        change
    }

    fn give_back(&mut self, app: AppId, gives: impl Fn(&UrlPrefix) -> bool) -> PortChange {
        let mut change = PortChange::default();
        let Some(owner) = self.apps.get_mut(&app) else { return change };
        for group in &mut owner.groups {
            for url in group.urls.extract_if(.., |url| gives(&url.prefix)) {
                self.snapshot.routes.unregister(&url.prefix);
                for address in url.addresses {
                    release(&mut owner.addresses, address);
                    if release(&mut self.listeners, address) {
                        change.closed.push(address);
                    }
                }
            }
        }
        owner.groups.retain(|group| !group.urls.is_empty());
        let used: HashSet<usize> = owner.groups.iter().map(|group| group.queue).collect();
        let queues = &mut self.snapshot.queues;
        for (index, slot) in queues.iter_mut().enumerate() {
            let Some(entry) = slot.as_mut().filter(|_| !used.contains(&index)) else { continue };
            entry.apps.retain(|other| *other != app);
            if entry.apps.is_empty() {
                *slot = None;
            }
        }
        let last = queues.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        queues.truncate(last);
        change
    }

    /// The queue that a group of `app` gets, with `app` on it: the named one if some process of this user has it open.
    fn queue_for(
        &self,
        app: AppId,
        uid: u32,
        settings: &GroupSettings,
        id: u64,
        length: usize,
    ) -> Result<(usize, QueueEntry), Refusal> {
        if let Some(name) = &settings.queue.name {
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
        let queue = Queue::new(id, settings.queue.name.clone(), uid, length);
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

    /// Whether the address is open already, or by what `change` has opened.
    fn is_open(&self, address: &SocketAddr, change: &PortChange) -> bool {
        self.listeners.contains_key(address) || change.opened.iter().any(|(opened, _)| opened == address)
    }

    /// Opens what a prefix needs and is not open yet, and settles its port if any would do.
    fn open_port(&self, spec: &PrefixSpec, change: &mut PortChange) -> Result<UrlPrefix, Refusal> {
        let mut port = spec.port();
        let mut failed = None;
        let mut heard = false;
        for ip in self.addresses(spec.host(), port).iter().map(SocketAddr::ip) {
            let address = SocketAddr::new(ip, port);
            if port != 0 && self.is_open(&address, change) {
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

/// Takes one user of an address away. Whether it was the last.
fn release(users: &mut HashMap<SocketAddr, usize>, address: SocketAddr) -> bool {
    let Some(count) = users.get_mut(&address) else { return false };
    *count = count.saturating_sub(1);
    let last = *count == 0;
    if last {
        users.remove(&address);
    }
    last
}

/// Whether a group of `urls` is something that `owner` may add to what it has.
fn check_room(owner: &App, urls: &[String]) -> Result<(), Refusal> {
    if urls.is_empty() {
        return Err(Refusal::new(RefusalCode::Invalid, "a registration has to name at least one URL prefix"));
    }
    if owner.groups.len() >= MOST_GROUPS {
        let message = format!("one app may have at most {MOST_GROUPS} URL groups: register more URLs at a time");
        return Err(Refusal::new(RefusalCode::LimitReached, message));
    }
    let held: usize = owner.groups.iter().map(|group| group.urls.len()).sum();
    if held.saturating_add(urls.len()) > MOST_URLS {
        return Err(Refusal::new(RefusalCode::LimitReached, format!("one app may register at most {MOST_URLS} URLs")));
    }
    Ok(())
}

/// The name is shown to operators, and is what other processes find the queue by.
fn check_queue_name(name: Option<&str>) -> Result<(), Refusal> {
    let Some(name) = name else { return Ok(()) };
    let length = name.chars().count();
    if (1..=LONGEST_QUEUE_NAME).contains(&length) && !name.contains(names::is_invisible) {
        return Ok(());
    }
    let message =
        format!("a request queue's name has 1 to {LONGEST_QUEUE_NAME} characters, and no control characters: choose another");
    Err(Refusal::new(RefusalCode::Invalid, message))
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

/// The group's timers, if it has any of its own.
fn timeouts(asked: &wire::Timeouts, inherited: &Timeouts) -> Option<Timeouts> {
    if *asked == wire::Timeouts::default() {
        return None;
    }
    let seconds = |asked: Option<u32>, inherited| match asked {
        None | Some(0) => inherited,
        Some(wire::Timeouts::DISABLED) => None,
        Some(seconds) => Some(Duration::from_secs(seconds.into())),
    };
    let mut timeouts = inherited.clone();
    timeouts.idle_connection = seconds(asked.idle_connection, timeouts.idle_connection);
    timeouts.header_wait = seconds(asked.header_wait, timeouts.header_wait);
    timeouts.entity_body = seconds(asked.entity_body, timeouts.entity_body);
    timeouts.drain_entity_body = seconds(asked.drain_entity_body, timeouts.drain_entity_body);
    timeouts.request_queue = seconds(asked.request_queue, timeouts.request_queue);
    timeouts.min_send_rate = match asked.min_send_rate {
        None | Some(0) => timeouts.min_send_rate,
        Some(wire::Timeouts::NO_MIN_SEND_RATE) => 0,
        Some(rate) => rate,
    };
    Some(timeouts)
}
