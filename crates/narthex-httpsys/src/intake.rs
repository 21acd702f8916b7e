//! Taking requests from a queue, whatever their size.

use std::sync::Arc;

use crate::Code;
use crate::api::{Queue, Received, RequestId};
use crate::error::{Error, Result};
use crate::request::Request;

/// What a request's head and HTTP.sys's own structures fit into, nearly always.
const ROOM: usize = 4096;
/// HTTP.sys takes heads of 16 MiB at most (`MaxRequestBytes`), and its structures need some room besides.
const MOST_ROOM: usize = 32 << 20;

/// One receive at a time from a queue. Many of them wait at the same queue: whichever waits longest gets the next request.
pub struct Intake {
    queue: Arc<dyn Queue>,
}

impl Intake {
    /// Nothing is asked for yet.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self { queue }
    }

    /// The next request; `None` when `stop` has completed or the queue is closed, and no request has come before.
    ///
    /// To be polled to its end: a request that comes while nobody polls would be lost.
    ///
    /// # Errors
    /// If HTTP.sys fails.
    pub async fn next(&self, stop: impl Future<Output = ()>) -> Result<Option<Request>> {
        tokio::pin!(stop);
        loop {
            let mut receiving = self.queue.receive(None, ROOM);
            let received = tokio::select! {
                biased;
                received = &mut receiving => received,
                () = &mut stop => {
                    receiving.cancel();
                    receiving.await
                }
            };
            match received {
                Ok(Received::Request(request)) => return Ok(Some(request)),
                Ok(Received::TooLong { id, needed }) => {
                    if let Some(request) = self.again(id, needed).await? {
                        return Ok(Some(request));
                    }
                }
                Ok(Received::Unreadable { id }) => self.reject(id, "it is not what HTTP.sys documents"),
                Err(code) if code.is_cancelled() => return Ok(None),
                // The client left before its request was taken.
                Err(code) if code.is_disconnected() => {}
                Err(code) => return Err(Error::Failed { what: "receive requests", code }),
            }
        }
    }

    /// Receives a request that needed more room. `None` if it is gone meanwhile.
    async fn again(&self, id: RequestId, needed: usize) -> Result<Option<Request>> {
        let mut room = needed.max(2 * ROOM);
        while room <= MOST_ROOM {
            match self.queue.receive(Some(id), room).await {
                Ok(Received::Request(request)) => return Ok(Some(request)),
                Ok(Received::TooLong { needed, .. }) => room = needed.max(2 * room),
                Ok(Received::Unreadable { id }) => {
                    self.reject(id, "it is not what HTTP.sys documents");
                    return Ok(None);
                }
                Err(code) if code.is_disconnected() || code.is_cancelled() => return Ok(None),
                Err(code) => return Err(Error::Failed { what: "receive a long request", code }),
            }
        }
        self.reject(id, "its head needs more room than HTTP.sys's largest");
        Ok(None)
    }

    fn reject(&self, id: RequestId, why: &str) {
        tracing::error!("a request is broken off: {why}");
        if let Err(code) = self.queue.cancel(id)
            && code != Code::CONNECTION_INVALID
        {
            tracing::warn!(%code, "it cannot be broken off");
        }
    }
}
