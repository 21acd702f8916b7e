//! URLs that are given back: by an app, by its end, and for the next process of a queue.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use narthex_proto::prefix::{PrefixSpec, UrlPrefix};

use super::{App, State};
use crate::control::ports::{PortChange, release};
use crate::control::queues;
use crate::snapshot::{AppId, Routes, trim_gaps};

impl State {
    /// Gives URLs back. Those that the app does not have are passed over. A group goes with its last URL.
    pub(crate) fn unregister(&mut self, app: AppId, urls: &[UrlPrefix]) -> PortChange {
        let urls: HashSet<&UrlPrefix> = urls.iter().collect();
        self.give_back(app, |_, prefix| urls.contains(prefix))
    }

    /// The app's connection has ended: everything it had is free, except for what is kept for the next process of a queue of which
    /// it was the last. Until when that may come, it says, too.
    pub(crate) fn app_left(&mut self, app: AppId) -> (PortChange, Option<Duration>) {
        let Some(owner) = self.apps.get(&app) else { return <_>::default() };
        let graces = owner.groups.iter().filter_map(|group| Some((group.queue, self.grace(group.queue, app)?)));
        let graces: HashMap<usize, Duration> = graces.collect();
        if graces.is_empty() {
            return (self.remove_app(app), None);
        }
        let change = self.give_back(app, |queue, _| !graces.contains_key(&queue));
        if let Some(owner) = self.apps.get_mut(&app) {
            owner.has_left = true;
        }
        (change, graces.into_values().max())
    }

    /// How long a queue waits for another process, if `app` was the last.
    fn grace(&self, queue: usize, app: AppId) -> Option<Duration> {
        let entry = self.snapshot.queue(queue)?;
        let grace = entry.in_force().restart_grace;
        (!grace.is_zero() && entry.apps == [app]).then_some(grace)
    }

    /// Nobody has come for what was kept of an app.
    pub(crate) fn remove_app(&mut self, app: AppId) -> PortChange {
        let change = self.give_back(app, |_, _| true);
        self.apps.remove(&app);
        change
    }

    /// A process has come to a queue: it has taken over what was kept of those that have left.
    pub(super) fn succeed(&mut self, queue: usize) {
        self.forget_left(|owner| owner.groups.iter().any(|group| group.queue == queue), |of, _| of == queue);
    }

    /// Takes the URLs from apps that have left, where the process that registers them does not come to their queue. It has to be of
    /// their user, or an operator's: the others wait until nobody can come any more.
    pub(super) fn push_aside(&mut self, app: AppId, urls: &[String], queue: Option<&str>) {
        let Some(caller) = self.apps.get(&app).map(|owner| owner.caller.clone()) else { return };
        let urls: HashSet<UrlPrefix> = urls.iter().filter_map(|url| url.parse::<PrefixSpec>().ok()?.resolve()).collect();
        let names: HashMap<usize, Option<String>> = self
            .snapshot
            .queues
            .iter()
            .enumerate()
            .filter_map(|(at, slot)| Some((at, slot.as_ref()?.queue.name.clone())))
            .collect();
        let may = |owner: &App| owner.caller.uid == caller.uid || caller.is_operator();
        let elsewhere = |of| names.get(&of).is_none_or(|name| name.as_deref() != queue);
        self.forget_left(may, |of, prefix| urls.contains(prefix) && elsewhere(of));
    }

    /// Gives up what is kept of apps that have left, all but the addresses: who comes may need them.
    fn forget_left(&mut self, of: impl Fn(&App) -> bool, gives: impl Fn(usize, &UrlPrefix) -> bool) {
        let left: Vec<AppId> = self.apps.iter().filter(|(_, owner)| owner.has_left && of(owner)).map(|(id, _)| *id).collect();
        for app in left {
            let mut addresses = self.take_back(app, &gives);
            self.unneeded.append(&mut addresses);
            if self.apps.get(&app).is_some_and(|owner| owner.groups.is_empty()) {
                self.apps.remove(&app);
            }
        }
    }

    /// Closes the addresses of those that were pushed aside, if nobody else needs them.
    pub(crate) fn release_unneeded(&mut self, change: &mut PortChange) {
        let unneeded = std::mem::take(&mut self.unneeded);
        change.closed.extend(unneeded.into_iter().filter(|address| self.ports.release(*address)));
    }

    fn give_back(&mut self, app: AppId, gives: impl Fn(usize, &UrlPrefix) -> bool) -> PortChange {
        let addresses = self.take_back(app, gives);
        let closed = addresses.into_iter().filter(|address| self.ports.release(*address)).collect();
        PortChange { closed, ..PortChange::default() }
    }

    /// Takes URLs away from an app. Returns the addresses that they needed.
    fn take_back(&mut self, app: AppId, gives: impl Fn(usize, &UrlPrefix) -> bool) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        let Some(owner) = self.apps.get_mut(&app) else { return addresses };
        for group in &mut owner.groups {
            let queue = group.queue;
            for url in group.urls.extract_if(.., |url| gives(queue, &url.prefix)) {
                give_up(&mut self.snapshot.routes, &mut self.co_owners, &url.prefix, group.index);
                for address in url.addresses {
                    release(&mut owner.addresses, address);
                    addresses.push(address);
                }
            }
        }
        for group in owner.groups.extract_if(.., |group| group.urls.is_empty()) {
            if let Some(slot) = self.snapshot.groups.get_mut(group.index) {
                *slot = None;
            }
        }
        trim_gaps(&mut self.snapshot.groups);
        self.leave_unused_queues(app);
        addresses
    }

    pub(super) fn leave_unused_queues(&mut self, app: AppId) {
        let Some(owner) = self.apps.get(&app) else { return };
        let used: Vec<usize> = owner.groups.iter().map(|group| group.queue).collect();
        queues::leave_unused(&mut self.snapshot, app, &used);
    }
}

/// Ends the registration of `prefix` for one group; another process of its queue that has registered it too goes on with it.
fn give_up(routes: &mut Routes, co_owners: &mut HashMap<UrlPrefix, Vec<(AppId, usize)>>, prefix: &UrlPrefix, group: usize) {
    let owns = routes.registration(prefix).is_some_and(|(_, registration)| registration.group == group);
    let Some(others) = co_owners.get_mut(prefix) else {
        if owns {
            routes.unregister(prefix);
        }
        return;
    };
    if !owns {
        others.retain(|(_, other)| *other != group);
    } else if let Some(registration) = routes.registration_mut(prefix)
        && !others.is_empty()
    {
        registration.group = others.remove(0).1;
    }
    if others.is_empty() {
        co_owners.remove(prefix);
    }
}
