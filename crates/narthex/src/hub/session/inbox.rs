//! What has come from the client and waits for its handler.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::hub::handlers::{Disconnected, PeerError};
use crate::hub::message::{Fragment, Message};

/// While so much waits, no more is read.
const MOST: usize = 16;
const MOST_BYTES: usize = 64 * 1024;

pub(super) enum Inbound {
    Open,
    Message(Message),
    Fragment(Fragment),
    /// A ping (`true`) or a pong.
    Control(bool, Bytes),
    Error(PeerError),
    Disconnected(Disconnected),
}

impl Inbound {
    fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Fragment(fragment) => fragment.data.len(),
            _ => 0,
        }
    }
}

#[derive(Default)]
pub(super) struct Inbox {
    waiting: VecDeque<Inbound>,
    bytes: usize,
}

impl Inbox {
    pub(super) fn push(&mut self, inbound: Inbound) {
        self.bytes += inbound.len();
        self.waiting.push_back(inbound);
    }

    /// Before what waits.
    pub(super) fn push_error(&mut self, error: PeerError) {
        self.waiting.push_front(Inbound::Error(error));
    }

    pub(super) fn pop(&mut self) -> Option<Inbound> {
        let inbound = self.waiting.pop_front()?;
        self.bytes -= inbound.len();
        if self.waiting.is_empty() {
            // A connection that rests holds no memory for it.
            self.waiting = VecDeque::new();
        }
        Some(inbound)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST || self.bytes >= MOST_BYTES
    }
}
