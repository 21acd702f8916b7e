//! Who is there and who has registered what. Changed only here, by the control thread; published as snapshots.

mod leaving;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;

use narthex_proto::prefix::{PrefixSpec, UrlPrefix};
use narthex_proto::routing::Conflict;
use narthex_proto::wire::{GroupSettings, Logging, Owner, Properties, QueueSettings, RefusalCode};
use tokio::sync::{Semaphore, mpsc};

use super::allowance::Taken;
use super::certificates::Certificates;
use super::names::{self, MOST_OF_NAME, MOST_OF_URL};
use super::ports::{PortChange, Ports};
use super::queues::{self, Found, Opener};
use super::reservations::{self, Caller};
use super::restart::Saying;
use super::settings::{self, Defaults, LogOf};
use crate::config::Config;
use crate::log::{Log, LogError, Logs};
use crate::snapshot::{AppId, GroupCounters, Registration, Snapshot, fill_gap, first_gap};

/// Registrations of one app that can hold a worker's memory. Far beyond what programs need.
pub(super) const MOST_URLS: usize = 100_000;
/// URL groups of one app, and so its queues.
pub(super) const MOST_GROUPS: usize = 1_000;
/// Addresses that one app may have opened; and all apps of a user who is no operator. Each is a socket per worker.
pub(super) const MOST_ADDRESSES: usize = 256;
/// Characters of an app's name that are the name of its log's folder, which also has the user's number.
const MOST_OF_FOLDER: usize = 48;
/// Logs that the apps of a user who is no operator may have. A host has some hundred.
const MOST_LOGS_OF_USER: usize = 32;
/// A program says itself how many workers it has, and by that how many data connections it may open.
const MOST_APP_WORKERS: usize = 1_024;
/// For data connections that are new while their predecessors are not known to be broken.
const SPARE_SESSIONS: usize = 16;

/// A process that has greeted the host: what HTTP.sys calls a server session.
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) caller: Caller,
    pub(crate) token: String,
    /// What its groups inherit.
    pub(crate) session: Properties,
    pub(crate) groups: Vec<Group>,
    /// One permit for each data connection that it may have.
    pub(crate) sessions: Arc<Semaphore>,
    /// How many of its registrations need each address.
    addresses: HashMap<SocketAddr, usize>,
    /// To its control connection.
    pub(crate) says: Option<mpsc::UnboundedSender<Saying>>,
    /// The process has left. What is kept of it waits for the next one of its queues.
    pub(crate) has_left: bool,
}

/// A URL group of an app.
pub(crate) struct Group {
    pub(crate) id: u64,
    /// Where it is in the snapshot.
    pub(crate) index: usize,
    pub(crate) queue: usize,
    pub(crate) own: Properties,
    pub(crate) urls: Vec<Held>,
    counters: Arc<GroupCounters>,
}

/// A URL that an app has.
pub(crate) struct Held {
    pub(crate) prefix: UrlPrefix,
    /// The addresses that it keeps open. One that could not be opened (no IPv6 on this machine) is not among them, even if
    /// another registration opens it later.
    addresses: Vec<SocketAddr>,
}

/// What a registration has come to.
pub(crate) struct Registered {
    pub(crate) group: u64,
    pub(crate) urls: Vec<(UrlPrefix, u32)>,
    pub(crate) change: PortChange,
}

/// Why something is refused. Nothing has changed then.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: RefusalCode,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn app_has_left() -> Self {
        Self::new(RefusalCode::NotFound, "the app has left")
    }
}

pub(crate) struct State {
    workers: usize,
    pub(crate) ports: Ports,
    listen: Vec<IpAddr>,
    defaults: Defaults,
    pub(crate) config: Arc<Config>,
    pub(crate) logs: Logs,
    pub(crate) certificates: Certificates,
    pub(crate) snapshot: Snapshot,
    pub(crate) apps: BTreeMap<AppId, App>,
    /// Prefixes that several processes of one queue have registered: those beside the one in the routes, and their groups'
    /// places in the snapshot. When that one leaves, the next takes its place.
    co_owners: HashMap<UrlPrefix, Vec<(AppId, usize)>>,
    /// Addresses that were taken from apps that have left, until they are released.
    unneeded: Vec<SocketAddr>,
    next: u64,
    next_registration: u32,
}

impl State {
    /// `listen`, if it is not empty, stands before the configuration's `iplisten`.
    pub(crate) fn new(workers: usize, listen: Vec<IpAddr>, config: Arc<Config>, logs: Logs) -> Self {
        let mut state = Self {
            workers,
            ports: Ports::new(workers, listen.clone()),
            listen,
            defaults: Defaults::of(&config),
            config: Arc::default(),
            logs,
            certificates: Certificates::new(PathBuf::new()),
            snapshot: Snapshot::empty(),
            apps: BTreeMap::new(),
            co_owners: HashMap::new(),
            unneeded: Vec::new(),
            next: 1,
            next_registration: 0,
        };
        // With nobody there, there is nothing that could be in the way.
        let _ = state.configure(config);
        state
    }

    /// Puts a configuration in force.
    ///
    /// # Errors
    /// A reservation contradicts what is registered. Nothing has changed then.
    pub(crate) fn configure(&mut self, config: Arc<Config>) -> Result<PortChange, Conflict> {
        self.snapshot.routes = reservations::replaced(&self.snapshot.routes, &config.reservations)?;
        self.defaults = Defaults::of(&config);
        let mut change = PortChange::default();
        if self.listen.is_empty() && self.ports.iplisten != config.iplisten {
            self.ports.iplisten.clone_from(&config.iplisten);
            change = self.listen_anew();
        }
        for entry in self.snapshot.queues.iter_mut().flatten() {
            if entry.inherits_length {
                entry.rules.length = self.defaults.queue_length as usize;
            }
            if entry.inherits_grace {
                entry.rules.restart_grace = self.defaults.restart_grace;
            }
        }
        self.config = config;
        self.resolve_groups(None);
        Ok(change)
    }

    /// Moves all registrations to the addresses that they are to be heard on now. What cannot be opened is logged.
    fn listen_anew(&mut self) -> PortChange {
        let mut change = PortChange::default();
        let mut taken = Vec::new();
        for url in self.apps.values().flat_map(|app| &app.groups).flat_map(|group| &group.urls) {
            if let Err(refusal) = self.ports.open_for(&PrefixSpec::from(&url.prefix), &mut change) {
                tracing::error!("{}", refusal.message);
            }
            taken.push(self.ports.heard(&url.prefix, &change));
        }
        let mut taken = taken.into_iter();
        for app in self.apps.values_mut() {
            app.addresses.clear();
            for url in app.groups.iter_mut().flat_map(|group| &mut group.urls) {
                let now = taken.next().unwrap_or_default();
                for address in &now {
                    *app.addresses.entry(*address).or_default() += 1;
                    self.ports.take(*address);
                }
                for address in std::mem::replace(&mut url.addresses, now) {
                    if self.ports.release(address) {
                        change.closed.push(address);
                    }
                }
            }
        }
        change
    }

    fn next_id(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }

    pub(crate) fn add_app(&mut self, name: &str, workers: u32, pid: u32, caller: Caller, token: String) -> AppId {
        let id = self.next_id();
        let name = match name.trim() {
            "" => "unnamed".to_owned(),
            name => names::shown(name, MOST_OF_NAME),
        };
        let workers = usize::try_from(workers).unwrap_or(usize::MAX).clamp(1, MOST_APP_WORKERS);
        let sessions = 4 * workers * self.workers.max(1) + SPARE_SESSIONS;
        let sessions = Arc::new(Semaphore::new(sessions.min(Semaphore::MAX_PERMITS)));
        let (session, groups, addresses) = (Properties::default(), Vec::new(), HashMap::new());
        self.apps.insert(id, App { name, pid, caller, token, session, groups, sessions, addresses, says: None, has_left: false });
        id
    }

    /// Registers all of `urls`, as a new group or in addition to those of the group `into`; or none.
    pub(crate) fn register(
        &mut self,
        app: AppId,
        settings: &GroupSettings,
        urls: &[String],
        into: Option<u64>,
    ) -> Result<Registered, Refusal> {
        let (group_id, queue_id) = (self.next_id(), self.next_id());
        let owner = self.apps.get(&app).ok_or_else(Refusal::app_has_left)?;
        check_room(owner, urls, into.is_none())?;
        self.push_aside(app, urls, settings.queue.name.as_deref());
        let owner = self.apps.get(&app).ok_or_else(Refusal::app_has_left)?;
        let mut taken = self.taken_by_user(owner);
        taken.check_urls(urls, into.is_none())?;
        let present = into.map(|id| owner.group(id)).transpose()?;
        let (mut found, mut log) = (None, None);
        if present.is_none() {
            settings::check(&settings.properties, Owner::Group(group_id))?;
            settings::check_queue(&settings.queue)?;
            log = self.open_log(&settings.properties, owner)?;
            self.check_logs(owner, log.as_ref())?;
            found = Some(queues::find(&self.snapshot, &settings.queue, owner.opener(), queue_id, &self.defaults)?);
        }
        let queue = match (&found, present) {
            (Some(Found::Open(queue)), _) => Some(*queue),
            (_, Some(group)) => Some(group.queue),
            _ => None,
        };
        let index = present.map_or_else(|| first_gap(&self.snapshot.groups), |group| group.index);
        let mut change = PortChange::default();
        let mut held: Vec<Held> = Vec::new();
        let mut registered = Vec::new();
        let mut fresh = HashSet::new();
        let mut routes = self.snapshot.routes.clone();
        let mut next = self.next_registration;
        let mut joined = Vec::new();
        for url in urls {
            let cannot = |reason: &str| {
                Refusal::new(RefusalCode::Invalid, format!("cannot register {}: {reason}", names::shown(url, MOST_OF_URL)))
            };
            let spec: PrefixSpec = url.parse().map_err(|error: narthex_proto::prefix::PrefixError| cannot(&error.to_string()))?;
            // Before a port is opened for somebody who may not have it.
            if let Some(port) = NonZeroU16::new(spec.port()) {
                self.may_register(owner, &spec.with_port(port))?;
                self.certificates.check(&spec).map_err(|reason| cannot(&reason))?;
            }
            let prefix = self.ports.open_for(&spec, &mut change)?;
            if spec.port() == 0 {
                self.may_register(owner, &prefix)?;
                self.certificates.check(&PrefixSpec::from(&prefix)).map_err(|reason| cannot(&reason))?;
            }
            let addresses = self.ports.heard(&prefix, &change);
            fresh.extend(addresses.iter().filter(|address| !owner.addresses.contains_key(address)).copied());
            if owner.addresses.len() + fresh.len() > MOST_ADDRESSES {
                let message = format!("one app may listen on at most {MOST_ADDRESSES} addresses: register fewer ports");
                return Err(Refusal::new(RefusalCode::LimitReached, message));
            }
            taken.add_addresses(&addresses)?;
            let registration = Registration { id: next, group: index };
            match routes.register(prefix.clone(), registration) {
                Ok(()) => {
                    registered.push((prefix.clone(), next));
                    next = next.wrapping_add(1);
                }
                Err(conflict) => {
                    let present = self.of_same_queue(app, &prefix, queue).filter(|_| !joined.contains(&prefix));
                    let present = present.ok_or_else(|| self.conflict(&conflict))?;
                    registered.push((prefix.clone(), present.id));
                    joined.push(prefix.clone());
                }
            }
            held.push(Held { prefix, addresses });
        }
        self.next_registration = next;
        self.snapshot.routes = routes;
        for prefix in joined {
            self.co_owners.entry(prefix).or_default().push((app, index));
        }
        let queue = found.map(|found| queues::join(&mut self.snapshot, found, app));
        let owner = self.apps.get_mut(&app).ok_or_else(Refusal::app_has_left)?;
        for address in held.iter().flat_map(|url| &url.addresses) {
            *owner.addresses.entry(*address).or_default() += 1;
            self.ports.take(*address);
        }
        let group = match queue {
            None => into.unwrap_or_default(),
            Some(queue) => {
                let (own, counters) = (settings.properties.clone(), Arc::default());
                let resolved = settings::resolve((group_id, app, queue), &own, &owner.session, &self.defaults, &counters, log);
                let index = fill_gap(&mut self.snapshot.groups, Arc::new(resolved));
                owner.groups.push(Group { id: group_id, index, queue, own, urls: Vec::new(), counters });
                group_id
            }
        };
        if let Some(owned) = owner.groups.iter_mut().find(|owned| owned.id == group) {
            owned.urls.append(&mut held);
        }
        if let Some(queue) = queue {
            self.succeed(queue);
        }
        Ok(Registered { group, urls: registered, change })
    }

    /// The registration of `prefix` that a process of the same named queue has: processes that share a queue may share its
    /// URLs. None if it is this app's own.
    fn of_same_queue(&self, app: AppId, prefix: &UrlPrefix, queue: Option<usize>) -> Option<Registration> {
        let queue = queue?;
        self.snapshot.queue(queue)?.queue.name.as_ref()?;
        let (_, registration) = self.snapshot.routes.registration(prefix)?;
        let group = self.snapshot.group(registration.group).filter(|group| group.queue == queue)?;
        let others = self.co_owners.get(prefix).map_or(&[][..], Vec::as_slice);
        let held_already = group.app == app || others.iter().any(|(other, _)| *other == app);
        (!held_already).then_some(*registration)
    }

    /// Changes settings of an app's session, or of one of its groups and that group's queue; all or nothing.
    pub(crate) fn set(&mut self, app: AppId, of: Owner, change: &Properties, queue: &QueueSettings) -> Result<(), Refusal> {
        settings::check(change, of)?;
        settings::check_queue(queue)?;
        if let Some(owner) = self.apps.get(&app) {
            let log = self.open_log(change, owner)?;
            self.check_logs(owner, log.as_ref())?;
        }
        let queue_id = self.next_id();
        let owner = self.apps.get_mut(&app).ok_or_else(Refusal::app_has_left)?;
        match of {
            Owner::Session if !queue.is_empty() => {
                return Err(Refusal::new(RefusalCode::Invalid, "a session has no request queue: name the URL group whose it is"));
            }
            Owner::Session => settings::merge(&mut owner.session, change),
            Owner::Group(id) => {
                let index = owner.group(id)?.queue;
                if !queue.is_empty() {
                    let bound = self.set_queue(app, index, queue, queue_id)?;
                    if let Some(group) = self.apps.get_mut(&app).and_then(|owner| owner.group_mut(id)) {
                        group.queue = bound;
                    }
                }
                if let Some(group) = self.apps.get_mut(&app).and_then(|owner| owner.group_mut(id)) {
                    settings::merge(&mut group.own, change);
                }
            }
        }
        self.resolve_groups(Some(app));
        self.leave_unused_queues(app);
        Ok(())
    }

    /// An operator stops a queue, or lets it go on.
    pub(super) fn stop_queue(&mut self, id: u64, stopped: bool) -> Result<(), Refusal> {
        let found = self.snapshot.queues.iter_mut().flatten().find(|entry| entry.queue.id == id);
        let entry = found.ok_or_else(|| {
            Refusal::new(RefusalCode::NotFound, format!("there is no request queue {id} (narthex show servicestate lists them)"))
        })?;
        entry.stopped = stopped;
        Ok(())
    }

    /// Changes the queue of a group, or binds the group to another one, which it returns.
    fn set_queue(&mut self, app: AppId, index: usize, change: &QueueSettings, id: u64) -> Result<usize, Refusal> {
        let owner = self.apps.get(&app).ok_or_else(Refusal::app_has_left)?;
        let present = self.snapshot.queue(index);
        let bound = match &change.name {
            Some(name) if present.and_then(|entry| entry.queue.name.as_ref()) != Some(name) => {
                let found = queues::find(&self.snapshot, change, owner.opener(), id, &self.defaults)?;
                queues::join(&mut self.snapshot, found, app)
            }
            _ => {
                if present.is_some_and(|entry| entry.queue.uid != owner.caller.uid) {
                    let message = "only processes of the user who made the request queue may change it";
                    return Err(Refusal::new(RefusalCode::AccessDenied, message));
                }
                index
            }
        };
        if bound == index
            && let Some(Some(entry)) = self.snapshot.queues.get_mut(index)
        {
            entry.rules = settings::changed_rules(entry.rules, change);
            entry.inherits_length &= change.length.is_none();
            entry.inherits_grace &= change.restart_grace.is_none();
            if !change.openers.is_empty() {
                entry.openers = change.openers.as_slice().into();
            }
        }
        Ok(bound)
    }

    /// Works out anew what the groups of an app, or of all apps, have of their own and inherit.
    fn resolve_groups(&mut self, only: Option<AppId>) {
        let apps = self.apps.iter().filter(|(id, _)| only.is_none_or(|only| only == **id));
        for (app, owner) in apps {
            for group in &owner.groups {
                let ids = (group.id, *app, group.queue);
                let log = self.open_log(&group.own, owner).unwrap_or_else(|refusal| {
                    tracing::error!(app, "requests are not logged: {}", refusal.message);
                    None
                });
                let resolved = settings::resolve(ids, &group.own, &owner.session, &self.defaults, &group.counters, log);
                if let Some(slot) = self.snapshot.groups.get_mut(group.index) {
                    *slot = Some(Arc::new(resolved));
                }
            }
        }
    }

    /// The access log that a group with these properties has.
    fn open_log(&self, own: &Properties, owner: &App) -> Result<Option<Arc<Log>>, Refusal> {
        let Some(log) = settings::logging(own, &owner.session, &self.defaults) else { return Ok(None) };
        // Users do not write into each other's folders, whatever they call themselves.
        let of_user = |site: &str| match owner.caller.is_operator() {
            true => site.to_owned(),
            false => format!("{}-{site}", owner.caller.uid),
        };
        let site = of_user(&folder_of(&owner.name));
        let logging = match log {
            LogOf::Host(logging) => logging,
            LogOf::App(logging) => Logging { site: logging.site.as_deref().map(of_user), ..logging },
        };
        let invalid = |error: LogError| Refusal::new(RefusalCode::Invalid, error.to_string());
        self.logs.open(&logging, &site).map_err(invalid)
    }

    /// Whether the user of an app may have this log besides those that the user's apps have.
    fn check_logs(&self, owner: &App, log: Option<&Arc<Log>>) -> Result<(), Refusal> {
        let Some(log) = log.filter(|_| !owner.caller.is_operator()) else { return Ok(()) };
        let groups = self.apps_of_user(owner).flat_map(|app| &app.groups);
        let has: HashSet<*const Log> =
            groups.filter_map(|group| self.snapshot.group(group.index)?.log.as_ref()).map(Arc::as_ptr).collect();
        if has.contains(&Arc::as_ptr(log)) || has.len() < MOST_LOGS_OF_USER {
            return Ok(());
        }
        let message = format!("the apps of one user may have at most {MOST_LOGS_OF_USER} logs: let groups share one by its site");
        Err(Refusal::new(RefusalCode::LimitReached, message))
    }

    fn apps_of_user(&self, owner: &App) -> impl Iterator<Item = &App> {
        let uid = owner.caller.uid;
        self.apps.values().filter(move |app| app.caller.uid == uid)
    }

    /// What the apps of the user of `owner` have together. A program can connect as often as it likes, so what one app may
    /// have does not bound it. Nothing for operators: theirs is the machine.
    fn taken_by_user(&self, owner: &App) -> Taken {
        let mut taken = Taken { unbounded: owner.caller.is_operator(), ..Taken::default() };
        if taken.unbounded {
            return taken;
        }
        for app in self.apps_of_user(owner) {
            taken.addresses.extend(app.addresses.keys());
            taken.groups += app.groups.len();
            for url in app.groups.iter().flat_map(|group| &group.urls) {
                taken.urls += 1;
                taken.bytes += url.prefix.as_str().len();
            }
        }
        taken
    }

    fn may_register(&self, owner: &App, prefix: &UrlPrefix) -> Result<(), Refusal> {
        reservations::may_register(&self.snapshot.routes, &owner.caller, prefix, &self.config.settings)
    }

    /// The app that a group is of.
    pub(crate) fn app_of(&self, group: usize) -> Option<&App> {
        self.apps.get(&self.snapshot.group(group)?.app)
    }

    fn conflict(&self, conflict: &Conflict) -> Refusal {
        let code = match conflict {
            Conflict::Registered { .. } => RefusalCode::AlreadyRegistered,
            _ => RefusalCode::Invalid,
        };
        let owner = self.snapshot.routes.registration(conflict.existing());
        let owner = owner.and_then(|(_, registration)| self.app_of(registration.group));
        let owner = owner.map_or(String::new(), |app| format!(" (it is {} with process id {})", app.name, app.pid));
        Refusal::new(code, format!("cannot register {}: {conflict}{owner}", conflict.prefix()))
    }
}

impl App {
    fn opener(&self) -> Opener<'_> {
        Opener { uid: self.caller.uid, gids: &self.caller.groups }
    }

    fn group(&self, id: u64) -> Result<&Group, Refusal> {
        let found = self.groups.iter().find(|group| group.id == id);
        found.ok_or_else(|| Refusal::new(RefusalCode::NotFound, format!("the app has no URL group {id}: register URLs first")))
    }

    fn group_mut(&mut self, id: u64) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.id == id)
    }
}

/// The folder of an app's log that names none. Programs call themselves what they like, and an operator who switches logs on
/// must not keep them from registering.
fn folder_of(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let folder: String = name.chars().take(MOST_OF_FOLDER).map(plain).collect();
    let usable = !folder.is_empty() && !folder.starts_with('.') && !folder.eq_ignore_ascii_case("httperr");
    if usable { folder } else { format!("_{folder}") }
}

fn check_room(owner: &App, urls: &[String], new_group: bool) -> Result<(), Refusal> {
    if urls.is_empty() {
        return Err(Refusal::new(RefusalCode::Invalid, "a registration has to name at least one URL prefix"));
    }
    if new_group && owner.groups.len() >= MOST_GROUPS {
        let message = format!("one app may have at most {MOST_GROUPS} URL groups: register more URLs at a time");
        return Err(Refusal::new(RefusalCode::LimitReached, message));
    }
    let held: usize = owner.groups.iter().map(|group| group.urls.len()).sum();
    if held.saturating_add(urls.len()) > MOST_URLS {
        return Err(Refusal::new(RefusalCode::LimitReached, format!("one app may register at most {MOST_URLS} URLs")));
    }
    Ok(())
}
