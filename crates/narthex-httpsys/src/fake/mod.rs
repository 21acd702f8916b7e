//! An HTTP.sys in memory: what this crate relies on, no more, so that its logic can be tested on any OS.
//!
//! It proves that logic only. What HTTP.sys itself does with the same calls is what Wine's shows, and a real Windows.

mod client;
mod queue;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use client::{Client, Reply};

use self::queue::FakeQueue;
use self::state::{Group, State};
use crate::Code;
use crate::api::{Api, Feature, GroupId, Open, Queue, SessionId};
use crate::property::{GroupProperty, QueueProperty};

/// A request with this field is one that cannot be read.
pub const UNREADABLE: &str = "X-Fake-Unreadable";

/// An HTTP.sys in memory. Clones are the same one, as seen by another process.
#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<State>>);

impl Fake {
    /// One that has everything, and nobody uses yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether both are the same one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// One that has only what Wine's has: a URL per group, no properties, no features.
    #[must_use]
    pub fn like_wine() -> Self {
        let fake = Self::new();
        fake.state().like_wine = true;
        fake
    }

    /// Reserves a URL prefix for somebody else.
    pub fn reserve(&self, url: &str) {
        self.state().reserved.push(url.to_owned());
    }

    /// A program without HTTP.sys opens the port.
    pub fn take_port(&self, port: u16) {
        self.state().ports_taken.push(port);
    }

    /// Completes sends only when [`complete_sends`](Self::complete_sends) is called.
    pub fn hold_sends(&self) {
        self.state().holding = true;
    }

    /// Completes the sends that are held. Returns how many.
    pub fn complete_sends(&self) -> usize {
        let held = std::mem::take(&mut self.state().held);
        held.into_iter().filter_map(|done| done.send(Ok(())).ok()).count()
    }

    /// How many receives wait for requests.
    #[must_use]
    pub fn receives(&self) -> usize {
        self.state().queues.values().map(|queue| queue.receives.len()).sum()
    }

    /// How many wait for their client to go.
    #[must_use]
    pub fn disconnect_waits(&self) -> usize {
        self.state().waits.len()
    }

    /// The URL prefixes that are registered.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        let state = self.state();
        let mut urls: Vec<_> = state.groups.values().flat_map(|group| group.urls.iter().map(|(url, _)| url.clone())).collect();
        urls.sort();
        urls
    }

    /// What was set on groups.
    #[must_use]
    pub fn group_properties(&self) -> Vec<GroupProperty> {
        self.state().groups.values().flat_map(|group| group.properties.clone()).collect()
    }

    /// What was set on queues.
    #[must_use]
    pub fn queue_properties(&self) -> Vec<QueueProperty> {
        self.state().queues.values().flat_map(|queue| queue.properties.clone()).collect()
    }

    /// A client's connection to this port.
    #[must_use]
    pub fn connect(&self, port: u16) -> Client {
        Client::new(self.clone(), port)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Api for Fake {
    fn has(&self, _: Feature) -> bool {
        !self.state().like_wine
    }

    fn create_session(&self) -> Result<SessionId, Code> {
        Ok(SessionId(self.state().next_id()))
    }

    fn close_session(&self, session: SessionId) {
        self.state().groups.retain(|_, group| group.session != session);
    }

    fn create_group(&self, session: SessionId) -> Result<GroupId, Code> {
        let mut state = self.state();
        let id = GroupId(state.next_id());
        state.groups.insert(id, Group { session, urls: Vec::new(), queue: None, properties: Vec::new() });
        Ok(id)
    }

    fn close_group(&self, group: GroupId) {
        self.state().groups.remove(&group);
    }

    fn add_url(&self, group: GroupId, url: &str, context: u64) -> Result<(), Code> {
        self.state().add_url(group, url, context)
    }

    fn remove_url(&self, group: GroupId, url: &str) -> Result<(), Code> {
        let mut state = self.state();
        let group = state.groups.get_mut(&group).ok_or(Code::INVALID_PARAMETER)?;
        let before = group.urls.len();
        group.urls.retain(|(known, _)| known != url);
        if group.urls.len() < before { Ok(()) } else { Err(Code::FILE_NOT_FOUND) }
    }

    fn set_group(&self, group: GroupId, property: GroupProperty) -> Result<(), Code> {
        let mut state = self.state();
        if state.like_wine {
            return Err(Code::CALL_NOT_IMPLEMENTED);
        }
        let group = state.groups.get_mut(&group).ok_or(Code::INVALID_PARAMETER)?;
        group.properties.push(property);
        Ok(())
    }

    fn open_queue(&self, name: Option<&str>, open: Open) -> Result<Arc<dyn Queue>, Code> {
        let id = self.state().open_queue(name, open)?;
        Ok(Arc::new(FakeQueue::new(self.clone(), id)))
    }
}
