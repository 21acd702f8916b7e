//! Connection caps, shared by the workers of a server. Touched when a connection opens and closes, never per request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::ConnectionCaps;

/// Counts connections against [`ConnectionCaps`].
#[derive(Debug)]
pub struct Admission {
    total: AtomicUsize,
    /// `usize::MAX` for no limit.
    per_client: AtomicUsize,
    open: AtomicUsize,
    clients: Mutex<HashMap<IpAddr, usize>>,
}

impl Admission {
    /// Admits connections within `caps`.
    #[must_use]
    pub fn new(caps: ConnectionCaps) -> Arc<Self> {
        let unset = || AtomicUsize::new(usize::MAX);
        let admission = Self { total: unset(), per_client: unset(), open: AtomicUsize::new(0), clients: Mutex::default() };
        admission.set_caps(caps);
        Arc::new(admission)
    }

    /// Admits within `caps` from now on. Connections beyond them stay. Those that were admitted while clients had no limit are
    /// not counted against their clients.
    pub fn set_caps(&self, caps: ConnectionCaps) {
        self.total.store(caps.total, Ordering::Relaxed);
        self.per_client.store(caps.per_client.unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// A place for one more connection from `client`, or `None` if a cap is reached.
    pub(crate) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Permit> {
        self.admit_unknown().and_then(|permit| permit.of(client))
    }

    /// A place for one more connection, whose client is not known yet, or `None` if the cap on all of them is reached.
    pub(crate) fn admit_unknown(self: &Arc<Self>) -> Option<Permit> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.total.load(Ordering::Relaxed) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit { admission: Arc::clone(self), client: None })
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One admitted connection.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    client: Option<IpAddr>,
}

impl Permit {
    /// Counts it against `client`. `None` if that one has no place left.
    pub(crate) fn of(mut self, client: IpAddr) -> Option<Self> {
        let most = self.admission.per_client.load(Ordering::Relaxed);
        if most != usize::MAX {
            let mut clients = self.admission.clients();
            let count = clients.entry(client).or_default();
            if *count >= most {
                return None;
            }
            *count += 1;
            self.client = Some(client);
        }
        Some(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else { return };
        let mut clients = self.admission.clients();
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_count_all_connections_and_those_of_one_client() {
        let admission = Admission::new(ConnectionCaps { total: 3, per_client: Some(2) });
        let [one, two] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(IpAddr::from);
        let first = admission.admit(one).unwrap();
        let _second = admission.admit(one).unwrap();
        assert!(admission.admit(one).is_none(), "the client's cap");
        let _third = admission.admit(two).unwrap();
        assert!(admission.admit(two).is_none(), "the total cap");
        drop(first);
        assert!(admission.admit(one).is_some());
    }

    #[test]
    fn caps_can_be_changed_while_connections_are_open() {
        let admission = Admission::new(ConnectionCaps { total: 1, per_client: None });
        let client = IpAddr::from([127, 0, 0, 1]);
        let _first = admission.admit(client).unwrap();
        assert!(admission.admit(client).is_none());
        admission.set_caps(ConnectionCaps { total: 9, per_client: Some(1) });
        let _second = admission.admit(client).unwrap();
        assert!(admission.admit(client).is_none());
    }
}
