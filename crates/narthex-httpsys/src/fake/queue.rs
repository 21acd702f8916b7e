//! A handle to a request queue.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Fake;
use super::state::{Done, Receive};
use crate::Code;
use crate::api::{ConnectionId, GroupId, Queue, Received, RequestId};
use crate::operation::{Cancel, Operation};
use crate::property::QueueProperty;
use crate::response::{Chunk, Sending};

pub(super) struct FakeQueue {
    fake: Fake,
    id: u64,
    handle: u64,
}

impl FakeQueue {
    pub(super) fn new(fake: Fake, id: u64) -> Self {
        let handle = fake.state().next_id();
        Self { fake, id, handle }
    }
}

/// A receive that can be cancelled.
struct Pending {
    fake: Fake,
    queue: u64,
    number: u64,
}

impl Cancel for Pending {
    fn cancel(&self) {
        let mut state = self.fake.state();
        let Some(queue) = state.queues.get_mut(&self.queue) else { return };
        let at = queue.receives.iter().position(|receive| receive.number == self.number);
        if let Some(receive) = at.and_then(|at| queue.receives.remove(at)) {
            let _ = receive.done.send(Err(Code::OPERATION_ABORTED));
        }
    }
}

/// A wait for a client to go that can be cancelled.
struct Waiting {
    fake: Fake,
    connection: ConnectionId,
}

impl Cancel for Waiting {
    fn cancel(&self) {
        let mut state = self.fake.state();
        let waits = std::mem::take(&mut state.waits);
        let (cancelled, left) = waits.into_iter().partition(|(connection, _)| *connection == self.connection);
        state.waits = left;
        for (_, done) in cancelled as Vec<(ConnectionId, Done<()>)> {
            let _ = done.send(Err(Code::OPERATION_ABORTED));
        }
    }
}

impl Queue for FakeQueue {
    fn bind(&self, group: GroupId) -> Result<(), Code> {
        let mut state = self.fake.state();
        state.groups.get_mut(&group).ok_or(Code::INVALID_PARAMETER)?.queue = Some(self.id);
        Ok(())
    }

    fn set(&self, property: QueueProperty) -> Result<(), Code> {
        let mut state = self.fake.state();
        if state.like_wine {
            return Err(Code::CALL_NOT_IMPLEMENTED);
        }
        state.queues.get_mut(&self.id).ok_or(Code::INVALID_HANDLE)?.properties.push(property);
        Ok(())
    }

    fn receive(&self, id: Option<RequestId>, room: usize) -> Operation<Received> {
        let mut state = self.fake.state();
        if let Some(id) = id {
            return Operation::done(state.receive_again(id, room));
        }
        let (done, result) = oneshot::channel();
        let number = state.next_id();
        state.receive(self.id, Receive { number, handle: self.handle, room, done });
        let cancel = Pending { fake: self.fake.clone(), queue: self.id, number };
        Operation::pending(result, Some(Arc::new(cancel)))
    }

    fn receive_body(&self, id: RequestId, room: usize) -> Operation<Option<Bytes>> {
        let mut state = self.fake.state();
        let Some(exchanged) = state.requests.get_mut(&id) else { return Operation::done(Err(Code::CONNECTION_INVALID)) };
        exchanged.continued = true;
        let (done, result) = oneshot::channel();
        exchanged.body_wanted = Some((room, done));
        exchanged.feed();
        Operation::pending(result, None)
    }

    fn send(&self, id: RequestId, sending: Sending) -> Operation<()> {
        let mut state = self.fake.state();
        let state = &mut *state;
        let Some(exchanged) = state.requests.get_mut(&id) else { return Operation::done(Err(Code::CONNECTION_INVALID)) };
        if state.gone.contains(&exchanged.connection) {
            return Operation::done(Err(Code::CONNECTION_INVALID));
        }
        let fields = sending.head.iter().flat_map(|head| head.fields.iter());
        if fields.into_iter().any(|(_, value)| value.len() > u16::MAX.into()) {
            return Operation::done(Err(Code::INVALID_PARAMETER));
        }
        exchanged.body_ended &= !sending.opaque;
        exchanged.reply.take(sending);
        if !state.holding {
            return Operation::done(Ok(()));
        }
        let (done, result) = oneshot::channel();
        state.held.push(done);
        Operation::pending(result, None)
    }

    fn disconnected(&self, connection: ConnectionId) -> Operation<()> {
        let mut state = self.fake.state();
        if state.like_wine {
            return Operation::done(Err(Code::CALL_NOT_IMPLEMENTED));
        }
        if state.gone.contains(&connection) {
            return Operation::done(Ok(()));
        }
        let (done, result) = oneshot::channel();
        state.waits.push((connection, done));
        Operation::pending(result, Some(Arc::new(Waiting { fake: self.fake.clone(), connection })))
    }

    fn cancel(&self, id: RequestId) -> Result<(), Code> {
        let mut state = self.fake.state();
        if state.like_wine {
            return Err(Code::CALL_NOT_IMPLEMENTED);
        }
        let exchanged = state.requests.get_mut(&id).ok_or(Code::CONNECTION_INVALID)?;
        exchanged.reply.broken_off = true;
        Ok(())
    }

    fn close(&self) {
        let mut state = self.fake.state();
        let Some(queue) = state.queues.get_mut(&self.id) else { return };
        let receives = std::mem::take(&mut queue.receives);
        let (mine, others): (Vec<_>, Vec<_>) = receives.into_iter().partition(|receive| receive.handle == self.handle);
        queue.receives = others.into();
        queue.open = queue.open.saturating_sub(1);
        if queue.open == 0 {
            state.queues.remove(&self.id);
        }
        for receive in mine {
            let _ = receive.done.send(Err(Code::OPERATION_ABORTED));
        }
    }
}

impl super::client::Reply {
    fn take(&mut self, sending: Sending) {
        let Sending { head, chunks, more, disconnect, opaque, cache } = sending;
        self.calls += 1;
        self.chunks = chunks.len();
        self.head = head.or_else(|| self.head.take());
        for chunk in chunks {
            match chunk {
                Chunk::Memory(bytes) => self.body.extend_from_slice(&bytes),
                Chunk::File { length, .. } => self.from_files += length,
                Chunk::Trailers(trailers) => self.trailers = Some(trailers),
            }
        }
        self.complete = !more;
        self.closes = disconnect;
        self.opaque |= opaque;
        self.cache = cache.or(self.cache);
    }
}
