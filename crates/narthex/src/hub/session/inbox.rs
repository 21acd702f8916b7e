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

/// It is nearly always empty, and takes 8 bytes then.
#[derive(Default)]
pub(super) struct Inbox(Option<Box<Waiting>>);

#[derive(Default)]
struct Waiting {
    inbounds: VecDeque<Inbound>,
    bytes: usize,
}

impl Inbox {
    pub(super) fn push(&mut self, inbound: Inbound) {
        let waiting = self.0.get_or_insert_default();
        waiting.bytes += inbound.len();
        waiting.inbounds.push_back(inbound);
    }

    /// Before what waits.
    pub(super) fn push_error(&mut self, error: PeerError) {
        self.0.get_or_insert_default().inbounds.push_front(Inbound::Error(error));
    }

    pub(super) fn pop(&mut self) -> Option<Inbound> {
        let waiting = self.0.as_mut()?;
        let inbound = waiting.inbounds.pop_front()?;
        waiting.bytes -= inbound.len();
        if waiting.inbounds.is_empty() {
            self.0 = None;
        }
        Some(inbound)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.as_ref().is_some_and(|waiting| waiting.inbounds.len() >= MOST || waiting.bytes >= MOST_BYTES)
    }
}
