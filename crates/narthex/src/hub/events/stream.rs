//! The body of a response that is a stream of events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::query::Query;
use crate::hub::Inner;
use crate::hub::channels::Position;
use crate::hub::message::Message;
use crate::hub::outbox::{Ending, Shared, What};
use crate::hub::peer::{Peer, count};

/// What is gathered before it is given to the transport.
const GATHER: usize = 16 * 1024;

/// The body of an [`EventsService`](super::EventsService)'s response: events, or the text of a refusal.
#[derive(Debug)]
pub struct EventsBody(Kind);

#[derive(Debug)]
enum Kind {
    Text(Option<Bytes>),
    Events(Events),
}

impl EventsBody {
    pub(super) fn text(text: String) -> Self {
        Self(Kind::Text(Some(text.into())))
    }

    pub(super) fn events(events: Events) -> Self {
        Self(Kind::Events(events))
    }
}

impl Body for EventsBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.0 {
            Kind::Text(text) => Poll::Ready(text.take()),
            Kind::Events(events) => events.poll(cx),
        };
        next.map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Text(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Kind::Events(_) => SizeHint::default(),
        }
    }
}

/// A peer's queue, as events. The peer leaves when this is dropped.
pub(super) struct Events {
    hub: Arc<Inner>,
    peer: Peer,
    /// How long the client is to wait before it connects again. Told first.
    retry: Option<Duration>,
    beat: Duration,
    silence: Pin<Box<Sleep>>,
    /// How far the client has come in each channel: the id of its next event.
    positions: Vec<(String, Option<Position>)>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(hub: &Arc<Inner>, peer: &Peer, query: &Query) -> Self {
        let (retry, beat) = hub.protocol.as_ref().map_or_else(Default::default, |channels| (channels.retry, channels.beat));
        Self {
            hub: Arc::clone(hub),
            peer: peer.clone(),
            retry: Some(retry),
            beat,
            silence: Box::pin(sleep(beat)),
            positions: query.channels.iter().map(|(channel, _)| (channel.clone(), None)).collect(),
        }
    }

    /// `None`: the stream has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut out = String::new();
        if let Some(retry) = self.retry.take() {
            // In milliseconds, as the standard says.
            out.push_str(&format!("retry: {}\n\n", retry.as_millis()));
        }
        let has_ended = self.drain(&mut out, cx);
        if out.is_empty() && has_ended {
            return Poll::Ready(None);
        }
        if out.is_empty() && self.silence.as_mut().poll(cx).is_ready() {
            out.push_str(":\n\n");
        }
        if out.is_empty() {
            return Poll::Pending;
        }
        self.silence.as_mut().reset(Instant::now() + self.beat);
        count(&self.peer.0.counters.bytes_sent, out.len() as u64);
        Poll::Ready(Some(out.into()))
    }

    /// Writes what waits. Returns whether that was all that there will ever be.
    fn drain(&mut self, out: &mut String, cx: &Context<'_>) -> bool {
        while out.len() < GATHER {
            let mut outbox = self.peer.outbox();
            if outbox.ending == Ending::Cut {
                return true;
            }
            let Some(item) = outbox.pop() else {
                outbox.waker = Some(cx.waker().clone());
                return outbox.over || outbox.ending != Ending::No;
            };
            drop(outbox);
            self.write(&item.what, out);
            if let Some(done) = item.done {
                let _ = done.send(());
            }
        }
        false
    }

    fn write(&mut self, what: &What, out: &mut String) {
        let text = match what {
            What::Shared(Shared::Envelope(envelope)) => {
                if let Some(at) = &envelope.at {
                    self.advance(at.channel(), at.position(), out);
                }
                std::str::from_utf8(envelope.frames.data()).unwrap_or_default()
            }
            What::Message(Message::Text(text)) => text,
            What::Ping(_) => return out.push_str(":\n\n"),
            // Events are text.
            What::Message(Message::Binary(_))
            | What::Frames(_)
            | What::Shared(Shared::Message(_))
            | What::Begin(..)
            | What::Append(..) => return,
        };
        // JSON has line ends between its tokens only; to the standard, each is the end of a field.
        for line in text.split(['\n', '\r']) {
            out.push_str("data: ");
            out.push_str(line);
            out.push('\n');
        }
        out.push('\n');
        count(&self.peer.0.counters.messages_sent, 1);
    }

    /// The id of an event has the positions of all channels, so that the last one that a client has seen says all.
    fn advance(&mut self, channel: &str, position: Position, out: &mut String) {
        let Some((_, at)) = self.positions.iter_mut().find(|(known, _)| known == channel) else { return };
        *at = Some(position);
        out.push_str("id: ");
        for (number, (_, at)) in self.positions.iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            if let Some(at) = at {
                out.push_str(&at.to_string());
            }
        }
        out.push('\n');
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.hub.exit(&self.peer);
    }
}
