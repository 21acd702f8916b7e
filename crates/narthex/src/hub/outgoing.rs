//! Bytes on their way to the transport.

use std::cell::Cell;

use bytes::Bytes;
use tokio::sync::oneshot;

/// What is gathered before it is given to the transport.
pub(super) const GATHER: usize = 16 * 1024;

thread_local! {
    /// Lent to a session until the transport has taken what is in it: one that rests holds no memory for what it sends.
    static SPARE: Cell<Option<Box<Outgoing>>> = const { Cell::new(None) };
}

/// Bytes that the transport has not taken.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Frames that are written together.
    pub(super) bytes: Vec<u8>,
    pub(super) sent: usize,
    /// A frame that is not copied, after `bytes`.
    pub(super) large: Bytes,
    /// To be told when all of it is with the transport.
    pub(super) flushed: Vec<oneshot::Sender<()>>,
    /// Messages in `bytes` that were framed by who sent them.
    pub(super) messages: u64,
}

impl Outgoing {
    pub(super) fn spare() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    /// It is for the thread's next session. One that has grown large is not kept.
    pub(super) fn give_back(self: Box<Self>) {
        if self.bytes.capacity() <= 4 * GATHER {
            SPARE.set(Some(self));
        }
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent == self.bytes.len() && self.large.is_empty()
    }

    /// Everything is with the transport.
    pub(super) fn renew(&mut self) {
        for flushed in self.flushed.drain(..) {
            let _ = flushed.send(());
        }
        self.bytes.clear();
        (self.sent, self.messages) = (0, 0);
    }
}
