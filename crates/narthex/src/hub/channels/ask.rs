//! Requests to clients.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Speaks;
use super::protocol::{Incoming, Outgoing};
use super::rejection::Rejection;
use crate::hub::outbox::{Item, What};
use crate::hub::peer::Peer;

/// The most requests that one peer is asked at a time.
const MOST: usize = 128;

/// The requests whose replies a peer owes.
#[derive(Default)]
pub(in crate::hub) struct Asked {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<Box<RawValue>, Rejection>>>,
}

/// Why a request to a client has no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The peer does not speak the channel protocol over a WebSocket.
    #[error("the peer cannot be asked: it does not speak the channel protocol over a WebSocket")]
    NotSpoken,
    /// The request cannot be written as JSON.
    #[error("the request cannot be written as JSON: {0}")]
    Unwritable(serde_json::Error),
    /// It could not be sent.
    #[error("the request could not be sent: the peer has left, or its queue is full")]
    NotSent,
    /// The peer owes too many replies.
    #[error("the peer owes {MOST} replies: wait for some of them")]
    Busy,
    /// Nothing came in time.
    #[error("no reply came in time")]
    TimedOut,
    /// The peer left first.
    #[error("the peer left before it replied")]
    Left,
    /// The client says no.
    #[error("the client refused: {0}")]
    Rejected(Rejection),
    /// The reply is not what was expected.
    #[error("the reply is not what was expected: {0}")]
    Unreadable(serde_json::Error),
}

impl Peer {
    /// Asks a client that speaks the channel protocol, and gives its reply. It may be used in a handler: reading goes on meanwhile.
    ///
    /// Dropping the future forgets the request; a reply that comes later is ignored.
    ///
    /// # Errors
    /// If there is no reply within `limit`, and for what [`RequestError`] lists.
    pub async fn request<A: DeserializeOwned>(
        &self,
        name: &str,
        data: impl Serialize,
        limit: Duration,
    ) -> Result<A, RequestError> {
        if self.speaks() != Speaks::Channels {
            return Err(RequestError::NotSpoken);
        }
        let data = to_raw_value(&data).map_err(RequestError::Unwritable)?;
        let (reply, replied) = oneshot::channel();
        let id = {
            let mut about = self.about();
            let asked = about.asked.get_or_insert_default();
            if asked.waiting.len() >= MOST {
                return Err(RequestError::Busy);
            }
            asked.last += 1;
            let id = asked.last;
            asked.waiting.insert(id, reply);
            id
        };
        let _owed = Owed { peer: self, id };
        let request = Outgoing::Request { id, name, data: &data };
        if !self.push(Item::new(What::Message(request.text().into()))).is_queued() {
            return Err(RequestError::NotSent);
        }
        match timeout(limit, replied).await {
            Ok(Ok(Ok(data))) => serde_json::from_str(data.get()).map_err(RequestError::Unreadable),
            Ok(Ok(Err(rejection))) => Err(RequestError::Rejected(rejection)),
            Ok(Err(_)) => Err(RequestError::Left),
            Err(_) => Err(RequestError::TimedOut),
        }
    }
}

/// A reply that is waited for. Dropped, it is not any more.
struct Owed<'a> {
    peer: &'a Peer,
    id: u64,
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        let about = &mut *self.peer.about();
        if let Some(asked) = &mut about.asked {
            asked.waiting.remove(&self.id);
            if asked.waiting.is_empty() && asked.last > u64::from(u32::MAX) {
                // Clients count in doubles.
                about.asked = None;
            }
        }
    }
}

/// Gives a reply to who waits for it, past the handlers that may be the ones who wait. Returns whether that was one.
pub(in crate::hub) fn take_reply(peer: &Peer, text: &str) -> bool {
    let nobody_waits = peer.about().asked.as_ref().is_none_or(|asked| asked.waiting.is_empty());
    if nobody_waits {
        return false;
    }
    let Ok(mut incoming) = Incoming::parse(text) else { return false };
    let reply = match &*incoming.op {
        "reply" => Ok(incoming.data()),
        "error" => Err(Rejection::coded(incoming.code.take().unwrap_or_default(), incoming.text.take().unwrap_or_default())),
        _ => return false,
    };
    let waiting = incoming.id.and_then(|id| peer.about().asked.as_mut()?.waiting.remove(&id));
    let Some(waiting) = waiting else { return false };
    // Whoever waited may have gone just now.
    let _ = waiting.send(reply);
    true
}
