//! What operators do with the cache and the logs while the host runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use narthex_proto::prefix::UrlPrefix;
use narthex_proto::wire::{Activity, RefusalCode};
use tokio::time::timeout;

use super::answers::sslcert::not_bound;
use super::ports::PortChange;
use super::state::Refusal;
use super::{Shared, all};
use crate::admin::{Answer, BindingKey, BindingOption, CachedState};
use crate::cache::{Flush, Reported, UrlFilter};
use crate::worker::Command;

/// A disk that hangs must not hang the operator.
const FLUSH: Duration = Duration::from_secs(5);

impl Shared {
    pub(super) async fn cachestate(&self, url: Option<&str>) -> Result<Answer, Refusal> {
        let url = self.filter(url, true)?;
        let reports = all(self.ask(|reply| Command::CacheReport { url: url.clone(), reply })).await;
        let mut entries: BTreeMap<u64, Reported> = BTreeMap::new();
        for reported in reports.into_iter().flatten() {
            let hits = reported.state.hits;
            // Every worker counts the hits of its own clients.
            entries.entry(reported.id).and_modify(|entry| entry.state.hits += hits).or_insert(reported);
        }
        let state = self.state.borrow();
        let queues: BTreeMap<u32, Option<String>> = state
            .snapshot
            .routes
            .registrations()
            .filter_map(|(_, registration)| {
                let queue = state.snapshot.queue(state.snapshot.group(registration.group)?.queue)?;
                Some((registration.id, queue.queue.name.clone()))
            })
            .collect();
        let named = |Reported { registration, state, .. }: Reported| CachedState {
            queue_name: queues.get(&registration).cloned().flatten(),
            ..state
        };
        let mut entries: Vec<CachedState> = entries.into_values().map(named).collect();
        entries.sort_by(|one, other| one.url.cmp(&other.url));
        Ok(Answer::Cachestate(entries))
    }

    pub(super) async fn flush_cache(&self, url: Option<&str>, recursive: bool) -> Result<Answer, Refusal> {
        let url = self.filter(url, recursive)?;
        let flush = Flush { url, registrations: None, at: self.means.started.elapsed() };
        let removed = all(self.ask(|done| Command::CacheFlush { flush: flush.clone(), done })).await;
        // The workers have the same entries.
        let removed = removed.into_iter().max().unwrap_or(0);
        let responses = if removed == 1 { "response" } else { "responses" };
        Ok(Answer::Done(format!("{removed} cached {responses} removed")))
    }

    fn filter(&self, url: Option<&str>, recursive: bool) -> Result<Option<UrlFilter>, Refusal> {
        let cooking = self.configuration.borrow().current().settings.cooking;
        let parse = |url| UrlFilter::parse(url, recursive, cooking);
        url.map(parse).transpose().map_err(|error| Refusal::new(RefusalCode::Invalid, error.to_string()))
    }

    pub(super) fn sslcerts(&self, key: Option<&BindingKey>) -> Result<Answer, Refusal> {
        let mut states = self.state.borrow().certificates.states(key);
        for state in &mut states {
            if let (BindingKey::HostnamePort(name), true) = (&state.key, state.options.is_set(BindingOption::Acme)) {
                state.acme = Some(self.acme.state(name.host()));
            }
        }
        match key {
            Some(key) if states.is_empty() => Err(not_bound(key)),
            _ => Ok(Answer::Sslcerts(states)),
        }
    }

    /// Tells the workers by which bindings to answer handshakes; connections that are open go on as they are.
    pub(super) fn publish_bindings(&self) {
        let bindings = Arc::clone(self.state.borrow().certificates.bindings());
        self.tell(|| Command::Tls(Arc::clone(&bindings)));
        self.follow_quic();
    }

    /// Renews those bindings whose files have changed.
    pub(super) async fn follow_certificates(&self) {
        let _one_at_a_time = self.changing.lock().await;
        let renewed = self.state.borrow_mut().certificates.follow_files();
        if renewed {
            self.publish_bindings();
        }
    }

    /// The registrations whose handshakes fail.
    pub(super) fn without_certificate(&self) -> Vec<UrlPrefix> {
        let state = self.state.borrow();
        state.certificates.uncovered(state.snapshot.routes.registrations().map(|(prefix, _)| prefix))
    }

    /// Lets a queue give out requests, or stops it.
    pub(super) async fn update_queue(&self, id: u64, activity: Activity) -> Result<Answer, Refusal> {
        self.state.borrow_mut().stop_queue(id, activity == Activity::Inactive)?;
        self.publish(PortChange::default()).await;
        Ok(Answer::Done("Request queue successfully updated".to_owned()))
    }

    pub(super) async fn flush_logs(&self) -> Result<Answer, Refusal> {
        all(self.ask(|done| Command::HandOverLogs { done })).await;
        match timeout(FLUSH, self.means.logs.flush()).await {
            Ok(()) => Ok(Answer::Done("Log buffers successfully flushed".to_owned())),
            Err(_) => {
                let message = "the logs could not be written within 5 s: the disk may hang (narthex show servicestate)";
                Err(Refusal::new(RefusalCode::LimitReached, message))
            }
        }
    }
}
