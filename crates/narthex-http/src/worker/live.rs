//! What of a worker can be changed while it serves, and the journal's memory.

use std::rc::Rc;
use std::sync::Arc;

use narthex_proto::cooked::Cooking;
use narthex_proto::prefix::Scheme;
use tokio::time::Instant;

use crate::bandwidth::{Bandwidth, Whose};
use crate::journal::Journal;
use crate::limits::{Limits, Timeouts};
use crate::proxy::{ProxyProtocol, TrustedProxies};
use crate::request::ConnectionInfo;
use crate::telling::Noted;
use crate::tls::Bindings;
use crate::worker::Worker;

/// Records whose memory is kept for the next ones.
const SPARE: usize = 64;

impl Worker {
    /// Tells `journal` of everything from now on, in the place of an earlier one.
    pub fn set_journal(&self, journal: Journal) {
        self.journaled.set(true);
        *self.journal.borrow_mut() = Some(Rc::new(journal));
    }

    /// Uses these limits from the next request of each connection on.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.borrow_mut() = Rc::new(limits);
    }

    /// Uses these timers where no exchange has set its own. What is being waited for now is waited for as long as it was.
    pub fn set_timeouts(&self, timeouts: Timeouts) {
        let timeouts = Rc::new(timeouts);
        *self.timeouts.borrow_mut() = Rc::clone(&timeouts);
        for conn in self.connections.borrow().iter().filter_map(|(_, served)| served.http1()) {
            conn.worker_timeouts_are(&timeouts);
        }
    }

    /// Makes targets canonical by these rules from the next request of each connection on.
    pub fn set_cooking(&self, cooking: Cooking) {
        self.cooking.set(cooking);
    }

    /// Takes the word of these proxies for who a client is, from the next request of each connection on.
    pub fn set_trusted_proxies(&self, proxies: Arc<TrustedProxies>) {
        *self.trusted_proxies.borrow_mut() = Some(proxies).filter(|proxies| !proxies.is_empty());
    }

    /// Expects PROXY headers there of connections from now on.
    pub fn set_proxy_protocol(&self, protocol: Arc<ProxyProtocol>) {
        *self.proxy_protocol.borrow_mut() = protocol;
    }

    /// Paces the output of all connections of this worker together; to do it for a server, give all its workers the same.
    pub fn set_bandwidth(&self, bandwidth: Option<Arc<Bandwidth>>) {
        for conn in self.connections.borrow().iter().filter_map(|(_, served)| served.http1()) {
            conn.pace(Whose::Server, bandwidth.as_ref());
        }
        *self.bandwidth.borrow_mut() = bandwidth;
    }

    /// Answers TLS handshakes by these bindings from now on. Without any, all fail.
    pub fn set_tls(&self, bindings: Option<Arc<Bindings>>) {
        *self.tls.borrow_mut() = bindings;
    }

    /// Tells clients of TLS on these ports, by HTTP/1.1 and HTTP/2, that HTTP/3 is served there too (`Alt-Svc`). Holds for
    /// connections from now on.
    pub fn set_alt_svc(&self, ports: Vec<u16>) {
        *self.alt_svc.borrow_mut() = ports;
    }

    pub(crate) fn alt_svc(&self, info: &ConnectionInfo) -> Option<u16> {
        let port = info.local.port();
        (info.scheme == Scheme::Https && self.alt_svc.borrow().contains(&port)).then_some(port)
    }

    /// Looks at the bindings without counting one more who has them: that count is one for all workers.
    pub(crate) fn with_tls<T>(&self, look: impl FnOnce(Option<&Bindings>) -> T) -> T {
        look(self.tls.borrow().as_deref())
    }

    pub(crate) fn tls(&self) -> Option<Arc<Bindings>> {
        self.tls.borrow().clone()
    }

    pub(crate) fn bandwidth(&self) -> Option<Arc<Bandwidth>> {
        self.bandwidth.borrow().clone()
    }

    pub(crate) fn is_journaled(&self) -> bool {
        self.journaled.get()
    }

    pub(crate) fn journal(&self) -> Option<Rc<Journal>> {
        self.journal.borrow().clone()
    }

    pub(crate) fn take_noted(&self, now: Instant) -> Box<Noted> {
        match self.spare.borrow_mut().pop() {
            Some(mut noted) => {
                noted.reuse(now);
                noted
            }
            None => Box::new(Noted::new(now)),
        }
    }

    pub(crate) fn return_noted(&self, noted: Box<Noted>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE {
            spare.push(noted);
        }
    }
}
