//! The host's state for people and programs.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::admin::{GroupState, ListenerState, QueueState, ServiceState, SessionState, TimeoutState};
use narthex_http::Timeouts;
use narthex_proto::prefix::Scheme;
use narthex_proto::wire::Activity;

use super::Shared;
use crate::metrics::Counted;
use crate::worker::tag;

pub(super) async fn service_state(shared: &Shared) -> ServiceState {
    let reports = shared.reports().await;
    let mut counted = Counted::default();
    reports.iter().for_each(|report| counted.merge(&report.counted));
    let state = shared.state.borrow();
    let queues = state.snapshot.queues.iter().enumerate().filter_map(|(index, slot)| Some((index, slot.as_ref()?)));
    let queues = queues.map(|(index, entry)| QueueState {
        id: entry.queue.id,
        name: entry.queue.name.clone(),
        state: activity(entry.in_force().active),
        verbosity: entry.rules.verbosity,
        length_limit: u32::try_from(entry.rules.length).unwrap_or(u32::MAX),
        waiting: entry.queue.waiting() as u64,
        in_progress: reports.iter().filter_map(|report| report.in_progress.get(index)).sum::<usize>() as u64,
        rejected: entry.queue.rejected.load(Ordering::Relaxed),
        processes: entry.apps.iter().filter_map(|app| state.apps.get(app)).map(|app| app.pid).collect(),
    });
    let queue_id = |index: usize| state.snapshot.queues.get(index).and_then(Option::as_ref).map_or(0, |entry| entry.queue.id);
    let sessions = state.apps.iter().map(|(id, app)| SessionState {
        id: *id,
        name: app.name.clone(),
        pid: app.pid,
        uid: app.caller.uid,
        state: app.session.state.unwrap_or_default(),
        properties: app.session.clone(),
        groups: app
            .groups
            .iter()
            .filter_map(|group| Some((group, state.snapshot.group(group.index)?)))
            .map(|(group, resolved)| GroupState {
                id: group.id,
                state: activity(resolved.active),
                properties: group.own.clone(),
                connections: resolved.counters.connections.load(Ordering::Relaxed) as u64,
                queue: queue_id(group.queue),
                timeouts: resolved.timeouts.as_ref().map(timeout_state),
                urls: group.urls.iter().map(|url| url.prefix.to_string()).collect(),
                traffic: counted.group(tag(resolved)),
            })
            .collect(),
    });
    let schemes: BTreeMap<u16, Scheme> =
        state.snapshot.routes.listening_ports().map(|(port, scheme)| (port.get(), scheme)).collect();
    let scheme = |port| schemes.get(&port).map_or("http", |scheme| scheme.as_str()).to_owned();
    let mut listeners: Vec<_> =
        state.ports.open().map(|address| ListenerState { address, scheme: scheme(address.port()) }).collect();
    listeners.sort_by_key(|listener| (listener.address.port(), listener.address.ip()));
    ServiceState {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_seconds: shared.means.started.elapsed().as_secs(),
        workers: u32::try_from(shared.workers.len()).unwrap_or(u32::MAX),
        listeners,
        connections: reports.iter().map(|report| report.counts.connections as u64).sum(),
        requests: reports.iter().map(|report| report.counts.requests).sum(),
        refusals: reports.iter().map(|report| report.counts.refusals).sum(),
        sessions: sessions.collect(),
        queues: queues.collect(),
        logs: shared.means.logs.report(),
        log_directory: shared.means.logs.directory().display().to_string(),
        log_lines_lost: shared.means.logs.lost(),
        cache_bytes: shared.means.cache.used(),
        traffic: counted.total(),
        refused: counted.refusals(),
    }
}

fn activity(active: bool) -> Activity {
    if active { Activity::Active } else { Activity::Inactive }
}

fn timeout_state(timeouts: &Timeouts) -> TimeoutState {
    let seconds = |limit: Option<std::time::Duration>| limit.map_or(0, |limit| limit.as_secs());
    TimeoutState {
        idle_connection: seconds(timeouts.idle_connection),
        header_wait: seconds(timeouts.header_wait),
        entity_body: seconds(timeouts.entity_body),
        drain_entity_body: seconds(timeouts.drain_entity_body),
        request_queue: seconds(timeouts.request_queue),
        min_send_rate: timeouts.min_send_rate,
    }
}
