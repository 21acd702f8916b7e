//! The request body as the app reads it, and the connection's end of it.
//!
//! The two ends may be on different threads: connections belong to a worker, the app may move a body where it likes. So a
//! body that exists is a small locked slot, filled when the reader asks and not before: nothing is buffered here. A
//! request without a body has no slot.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use http_body_util::LengthLimitError;

use crate::downstream::Downstream;

/// The body of a request.
///
/// Bytes are read from the client when this is polled, and not before: a client that sent `Expect: 100-continue` is told
/// to go on by the first poll, and one that sends faster than the app reads is slowed down by its own TCP connection.
/// Dropping it, read or not, is fine.
#[derive(Default)]
pub struct Body {
    slot: Option<Arc<Slot>>,
    /// What is left, if the length was announced.
    left: Option<u64>,
}

/// Why a request body ended early. The client's answer, if it can still get one, is already on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client, or the host between it and the app, closed the connection; or the response was complete before the body.
    #[error("the connection ended before the request body did")]
    Disconnected,
    /// The body is larger than `max_body` allows. The client gets 413.
    #[error("the request body is larger than this server allows")]
    TooLarge,
    /// The body stopped arriving. The client gets 408.
    #[error("the request body stopped arriving")]
    TimedOut,
    /// The body's framing or its trailers break HTTP. The client gets 400.
    #[error("the request body is not valid HTTP")]
    Malformed,
}

impl BodyError {
    /// What became of a body that cannot be read on, if that is known. Layers wrap its error in their own.
    pub(crate) fn within(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(known) = error.downcast_ref() {
                return Some(*known);
            }
            if error.is::<LengthLimitError>() {
                return Some(Self::TooLarge);
            }
            cause = error.source();
        }
        None
    }
}

enum Item {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    Failed(BodyError),
}

#[derive(Default)]
struct State {
    item: Option<Item>,
    wanted: bool,
    /// It was ever wanted.
    begun: bool,
    /// The reader has seen the end, or has gone.
    reader_done: bool,
    feed_gone: bool,
    reader: Option<Waker>,
    feed: Option<Waker>,
}

#[derive(Default)]
struct Slot(Mutex<State>);

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body {
    /// No body. Allocates nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self { slot: None, left: Some(0) }
    }

    /// A body and the end that fills it. `length` if it was announced.
    pub(crate) fn channel(length: Option<u64>) -> (Self, Feed) {
        let slot = Arc::new(Slot::default());
        (Self { slot: Some(Arc::clone(&slot)), left: length }, Feed(slot))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(slot) = &self.slot else { return Poll::Ready(None) };
        let mut state = slot.state();
        if state.reader_done {
            return Poll::Ready(None);
        }
        let item = match state.item.take() {
            Some(item) => item,
            None if state.feed_gone => Item::Failed(BodyError::Disconnected),
            None => {
                keep_waker(&mut state.reader, cx);
                state.wanted = true;
                state.begun = true;
                // If both ends run in the same task, the feed looks here when the reader has returned.
                let feed = state.feed.as_ref().filter(|feed| !feed.will_wake(cx.waker())).cloned();
                drop(state);
                if let Some(feed) = feed {
                    feed.wake();
                }
                return Poll::Pending;
            }
        };
        state.reader_done = !matches!(item, Item::Data(_));
        drop(state);
        Poll::Ready(match item {
            Item::Data(bytes) => {
                self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
                Some(Ok(Frame::data(bytes)))
            }
            Item::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Item::End => None,
            Item::Failed(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.slot.as_ref().is_none_or(|slot| self.left == Some(0) || slot.state().reader_done)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.slot, self.left) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            let mut state = slot.state();
            state.reader_done = true;
            state.item = None;
            state.reader = None;
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("empty", &self.slot.is_none()).field("left", &self.left).finish()
    }
}

/// The end of a body that a connection fills. Dropped early, it fails the body.
pub(crate) struct Feed(Arc<Slot>);

impl Feed {
    /// Whether the reader has asked for anything.
    pub(crate) fn was_read(&self) -> bool {
        self.0.state().begun
    }

    /// Passes on one piece, if the reader has asked for one and it is there. `true`: the reader is in this task and is to
    /// be polled again.
    pub(crate) fn pump(&self, cx: &mut Context<'_>, downstream: &impl Downstream) -> bool {
        let mut state = self.0.state();
        if state.reader_done {
            return false;
        }
        keep_waker(&mut state.feed, cx);
        if !state.wanted {
            return false;
        }
        drop(state);
        let Poll::Ready(piece) = downstream.poll_body(cx) else { return false };
        let item = match piece {
            Some(Ok(bytes)) => Item::Data(bytes),
            Some(Err(error)) => Item::Failed(error),
            None => match downstream.take_trailers().map(|lines| trailers(&lines)) {
                None => Item::End,
                Some(Some(trailers)) => Item::Trailers(trailers),
                Some(None) => Item::Failed(BodyError::Malformed),
            },
        };
        let mut state = self.0.state();
        state.wanted = false;
        state.item = Some(item);
        let reader = state.reader.take();
        drop(state);
        match reader {
            Some(reader) if !reader.will_wake(cx.waker()) => {
                reader.wake();
                false
            }
            _ => true,
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.feed_gone = true;
        state.feed = None;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

fn keep_waker(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

/// Reads `name: value\r\n` lines.
fn trailers(lines: &[u8]) -> Option<HeaderMap> {
    let mut trailers = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let (name, value) = line.split_at_checked(line.iter().position(|&byte| byte == b':')?)?;
        let value = value.get(1..)?.trim_ascii();
        trailers.try_append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?).ok()?;
    }
    Some(trailers)
}
