//! From events to the app's handlers, one at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use narthex_ws::CloseCode;

use super::Session;
use super::inbox::Inbound;
use crate::hub::channels::{self, Speaks};
use crate::hub::handlers::{PeerError, Started};
use crate::hub::message::Message;
use crate::hub::peer::Peer;
use crate::panic_text::panic_text;

impl Session {
    /// Runs handlers, one after the other. Returns whether anything has happened.
    #[inline]
    pub(super) fn poll_handlers(&mut self, cx: &mut Context<'_>) -> bool {
        (self.running.is_some() || !self.inbox.is_empty()) && self.go_on_handling(cx)
    }

    fn go_on_handling(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progressed = false;
        loop {
            if let Some(running) = &mut self.running {
                let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
                let outcome = match polled {
                    Ok(Poll::Pending) => return progressed,
                    Ok(Poll::Ready(Ok(()))) => None,
                    Ok(Poll::Ready(Err(error))) => Some(PeerError::Handler(error)),
                    Err(panic) => Some(PeerError::Panicked(panic_text(&*panic).to_owned())),
                };
                self.running = None;
                if let Some(error) = outcome {
                    self.failed(error);
                }
            }
            let Some(inbound) = self.inbox.pop() else { return progressed };
            progressed = true;
            self.handle(inbound, cx);
            if self.running.is_some() {
                return true;
            }
        }
    }

    pub(super) fn handle(&mut self, inbound: Inbound, cx: &mut Context<'_>) {
        self.failing = matches!(inbound, Inbound::Error(_));
        match catch_unwind(AssertUnwindSafe(|| self.start(inbound, cx))) {
            Ok(Started::Done(Ok(()))) => {}
            Ok(Started::Done(Err(error))) => self.failed(PeerError::Handler(error)),
            Ok(Started::Running(running)) => self.running = Some(running),
            Err(panic) => self.failed(PeerError::Panicked(panic_text(&*panic).to_owned())),
        }
    }

    /// Begins with what handles it, if anything does.
    pub(super) fn start(&self, inbound: Inbound, cx: &mut Context<'_>) -> Started {
        let (handlers, peer) = (&self.hub.handlers, || self.peer.clone());
        let started = match inbound {
            Inbound::Open => handlers.open.get().map(|handler| handler(peer(), (), cx)),
            Inbound::Message(Message::Text(text)) if self.peer.speaks() == Speaks::Channels => {
                Some(Started::now(channels::serve(&self.hub, peer(), text), cx))
            }
            Inbound::Message(Message::Text(text)) => match handlers.message.get() {
                Some(handler) => Some(handler(peer(), text, cx)),
                None => self.unsupported("this server takes no text messages"),
            },
            Inbound::Message(Message::Binary(data)) => match handlers.binary.get() {
                Some(handler) => Some(handler(peer(), data, cx)),
                None => self.unsupported("this server takes no binary messages"),
            },
            Inbound::Fragment(fragment) => handlers.fragment.get().map(|handler| handler(peer(), fragment, cx)),
            Inbound::Control(true, payload) => handlers.ping.get().map(|handler| handler(peer(), payload, cx)),
            Inbound::Control(false, payload) => handlers.pong.get().map(|handler| handler(peer(), payload, cx)),
            Inbound::Error(error) => match handlers.error.get() {
                Some(handler) => Some(handler(peer(), error, cx)),
                None => {
                    log(&self.peer, &error);
                    None
                }
            },
            Inbound::Disconnected(how) => handlers.disconnect.get().map(|handler| handler(peer(), how, cx)),
        };
        started.unwrap_or(Started::Done(Ok(())))
    }

    fn unsupported(&self, reason: &str) -> Option<Started> {
        self.peer.close(CloseCode::UNSUPPORTED_DATA, reason);
        None
    }

    fn failed(&mut self, error: PeerError) {
        if matches!(error, PeerError::Panicked(_)) {
            self.peer.close(CloseCode::INTERNAL_ERROR, "");
        }
        if self.failing {
            // The handler of errors has failed itself.
            log(&self.peer, &error);
        } else {
            self.inbox.push_error(error);
        }
    }
}

fn log(peer: &Peer, error: &PeerError) {
    match error {
        PeerError::Handler(_) | PeerError::Panicked(_) => tracing::error!(peer = %peer.id(), %error, "a WebSocket failed"),
        _ => tracing::debug!(peer = %peer.id(), %error, "a WebSocket failed"),
    }
}
