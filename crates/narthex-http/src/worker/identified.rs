//! Which id a request has, and whether its response says so.

use crate::request::ConnectionInfo;
use crate::request_id::{NAME, RequestId, RequestIds};
use crate::worker::Worker;

impl Worker {
    /// Gives requests ids, or none, from the next request of each connection on.
    pub fn set_request_ids(&self, ids: RequestIds) {
        self.request_ids.set(ids);
    }

    /// The id of a request with these header fields.
    #[inline]
    pub(crate) fn identify(&self, connection: &ConnectionInfo, headers: &[httparse::Header<'_>]) -> Option<RequestId> {
        if self.request_ids.get() == RequestIds::Off {
            return None;
        }
        Some(self.sent_id(connection, headers).unwrap_or_default())
    }

    /// The id that a trusted proxy has given the request. Of several, nobody could tell which one is in the proxy's log.
    fn sent_id(&self, connection: &ConnectionInfo, headers: &[httparse::Header<'_>]) -> Option<RequestId> {
        self.trusted_proxies.borrow().as_ref().filter(|proxies| proxies.trusts(connection.peer.ip()))?;
        let mut ids = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(NAME));
        let only = ids.next().filter(|_| ids.next().is_none())?;
        RequestId::parse(only.value)
    }

    /// What the response to the request with this id says of it.
    #[inline]
    pub(crate) fn answers(&self, id: Option<&RequestId>) -> Option<RequestId> {
        if self.request_ids.get() == RequestIds::Answered { id.cloned() } else { None }
    }
}
