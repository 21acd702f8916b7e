//! A message in parts.

use narthex_ws::{CloseCode, Kind};

use super::outbox::{Item, Sent, What};
use super::peer::Peer;

/// Writes one message part by part ([`Peer::writer`]). Its end is [`finish`](Self::finish): a writer that is dropped before has left
/// half a message behind, which nobody must take for a whole one, so the connection is closed with 1011.
#[derive(Debug)]
#[must_use = "a writer that is dropped without `finish` closes the connection"]
pub struct MessageWriter {
    peer: Peer,
    kind: Kind,
    begun: bool,
    finished: bool,
}

/// One message at a time can be written in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another message of this peer is being written in parts: finish that first")]
pub struct WriterBusy;

impl MessageWriter {
    pub(super) fn new(peer: Peer, kind: Kind) -> Result<Self, WriterBusy> {
        if std::mem::replace(&mut peer.outbox().has_writer, true) {
            return Err(WriterBusy);
        }
        Ok(Self { peer, kind, begun: false, finished: false })
    }

    /// Sends a part. Parts of text may end inside a character; together they must be UTF-8.
    pub fn write(&mut self, part: impl AsRef<[u8]>) -> Sent {
        self.send(part.as_ref(), false)
    }

    /// Sends the last part, which may be empty.
    pub fn finish(mut self, part: impl AsRef<[u8]>) -> Sent {
        if !self.begun {
            let sent = self.send(b"", false);
            if !sent.is_queued() {
                return sent;
            }
        }
        self.send(part.as_ref(), true)
    }

    fn send(&mut self, part: &[u8], last: bool) -> Sent {
        let what = if self.begun { What::Append(part.into(), last) } else { What::Begin(self.kind, part.into()) };
        let sent = self.peer.push(Item::new(what));
        self.begun |= sent.is_queued();
        self.finished |= last && sent.is_queued();
        sent
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        self.peer.outbox().has_writer = false;
        if self.begun && !self.finished {
            self.peer.close(CloseCode::INTERNAL_ERROR, "a message was not finished");
        }
    }
}
