//! Bodies that are put together from bytes and from fragments.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::offer::{self, Offered, Offering, Outcome, Part};

/// A response body made of bytes and of fragments that the host keeps.
///
/// [`ServerHandle::store_fragment`](crate::ServerHandle::store_fragment) has it keep them.
///
/// Behind a host, fragments are sent from its memory to the client. Where there is no host, where the host does not have the
/// fragment (any more), and where another body between this one and the server changes what passes through it (compression,
/// say), the fallback's bytes are sent. The client gets the same in all cases.
///
/// ```
/// use narthex::Composed;
/// # fn menu() -> &'static [u8] { b"" }
///
/// let body = Composed::new().bytes("<html>").fragment("/menu", ..).or_else(menu).bytes("</html>");
/// ```
///
/// The response has a `Content-Length` if all parts have a known length: give a fragment's range an end if you can.
///
/// A middleware that looks at the bytes without changing them, to count or to hash them, does not see those of fragments that
/// the host sends: an empty frame passes in their place.
#[derive(Default)]
#[must_use]
pub struct Composed {
    parts: VecDeque<Piece>,
    /// The first part was offered to the provider.
    offered: Option<Offered>,
}

enum Piece {
    Bytes(Bytes),
    Fragment { part: Part, fallback: Fallback },
}

type Fallback = Box<dyn FnOnce() -> Bytes + Send>;

/// A fragment's fallback has fewer bytes than the part of the fragment that was asked for. The response is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fallback of a fragment has only {has} bytes, and the range needs {needs}: let it return the whole fragment")]
pub struct FallbackTooShort {
    /// How many bytes it has.
    has: u64,
    /// Where the range ends.
    needs: u64,
}

impl Composed {
    /// An empty body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if !bytes.is_empty() {
            self.parts.push_back(Piece::Bytes(bytes));
        }
        self
    }

    /// Adds these bytes of the fragment `name`: a path below the server's first prefix, or a URL, as it was stored. What to
    /// send if it cannot be had comes next: [`FragmentPart::or_else`].
    pub fn fragment(self, name: impl AsRef<str>, range: impl RangeBounds<u64>) -> FragmentPart {
        let offset = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => Some(last.saturating_add(1)),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => None,
        };
        let length = end.map(|end| end.saturating_sub(offset));
        FragmentPart { before: self, part: Part { name: Arc::from(name.as_ref()), offset, length } }
    }
}

impl fmt::Debug for Composed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Composed").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

/// A fragment that is about to be a part of a [`Composed`] body.
#[derive(Debug)]
#[must_use = "a fragment may be gone at any time: say with or_else what to send then"]
pub struct FragmentPart {
    before: Composed,
    part: Part,
}

impl FragmentPart {
    /// What to send if the fragment cannot be had: `whole` returns the whole fragment, and the range is taken from that. It is
    /// called only then, on a thread that serves requests, so it should not block.
    pub fn or_else<B: Into<Bytes>>(self, whole: impl FnOnce() -> B + Send + 'static) -> Composed {
        let Self { mut before, part } = self;
        if part.length != Some(0) {
            before.parts.push_back(Piece::Fragment { part, fallback: Box::new(|| whole().into()) });
        }
        before
    }
}

impl http_body::Body for Composed {
    type Data = Bytes;
    type Error = FallbackTooShort;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FallbackTooShort>>> {
        let this = &mut *self;
        let mut refused = false;
        match this.offered.as_ref().map(Offered::outcome) {
            None => {}
            // Whoever has taken the offer asks again when that is known; somebody else may only be asking too early.
            Some(Outcome::Open) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Outcome::Sent) => {
                this.offered = None;
                this.parts.pop_front();
            }
            Some(Outcome::Refused) => {
                this.offered = None;
                refused = true;
            }
        }
        if !refused
            && let Some(Piece::Fragment { part, .. }) = this.parts.front()
            && let Some((frame, offered)) = offer::make(|| Offering::Fragment(part.clone()))
        {
            this.offered = Some(offered);
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        Poll::Ready(this.parts.pop_front().map(|piece| piece.into_bytes().map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let known = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => Some(bytes.len() as u64),
            Piece::Fragment { part, .. } => part.length,
        };
        let least = self.parts.iter().filter_map(known).fold(0, u64::saturating_add);
        if self.parts.iter().all(|piece| known(piece).is_some()) {
            return SizeHint::with_exact(least);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(least);
        hint
    }
}

impl Piece {
    fn into_bytes(self) -> Result<Bytes, FallbackTooShort> {
        let (part, whole) = match self {
            Self::Bytes(bytes) => return Ok(bytes),
            Self::Fragment { part, fallback } => (part, fallback()),
        };
        let has = whole.len() as u64;
        let needs = part.length.map_or(part.offset, |length| part.offset.saturating_add(length));
        let range = usize::try_from(part.offset).ok().zip(usize::try_from(part.length.map_or(has, |_| needs)).ok());
        match range.filter(|_| needs <= has) {
            Some((start, end)) => Ok(whole.slice(start..end)),
            None => Err(FallbackTooShort { has, needs }),
        }
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for Composed {
    fn into_response(self) -> axum::response::Response {
        axum::response::Response::new(axum::body::Body::new(self))
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::offer::watch;

    fn whole() -> &'static [u8] {
        b"0123456789"
    }

    async fn text(body: Composed) -> String {
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn without_a_provider_the_fallbacks_bytes_are_in_the_body() {
        let body = || Composed::new().bytes("a").fragment("/x", 2..=4).or_else(whole).bytes("b");
        assert_eq!(body().size_hint().exact(), Some(5));
        assert_eq!(text(body()).await, "a234b");
        let rest = Composed::new().fragment("/x", 7..).or_else(whole).bytes("b");
        assert_eq!((rest.size_hint().lower(), rest.size_hint().exact()), (1, None));
        assert_eq!(text(rest).await, "789b");
        let nothing = Composed::new().bytes("").fragment("/x", 3..3).or_else(|| -> Bytes { panic!("nobody needs it") });
        assert!(nothing.is_end_stream());
    }

    #[tokio::test]
    async fn a_fallback_that_is_too_short_breaks_the_body() {
        for (range, needs) in [((0, Some(11)), 11), ((11, None), 11), ((1, Some(u64::MAX)), u64::MAX)] {
            let end = range.1.map_or(Bound::Unbounded, Bound::Excluded);
            let body = Composed::new().fragment("/x", (Bound::Included(range.0), end)).or_else(whole);
            assert_eq!(body.collect().await.unwrap_err(), FallbackTooShort { has: 10, needs });
        }
    }

    #[tokio::test]
    async fn an_offer_that_is_taken_stands_for_the_bytes() {
        for (sent, left) in [(true, "b"), (false, "0123456789b")] {
            let mut body = Composed::new().fragment("/x", ..).or_else(whole).bytes("b");
            let poll = |body: &mut Composed| Pin::new(body).poll_frame(&mut Context::from_waker(std::task::Waker::noop()));
            let (Poll::Ready(Some(Ok(frame))), Some(offer)) = watch(|| poll(&mut body)) else { panic!("no offer") };
            let claim = offer.take(&frame.into_data().unwrap()).unwrap();
            let Offering::Fragment(part) = claim.what() else { panic!("it offers a file") };
            assert_eq!((&*part.name, part.offset, part.length), ("/x", 0, None));
            assert!(poll(&mut body).is_pending(), "nobody knows yet");
            claim.settle(sent);
            assert_eq!(text(body).await, left);
        }
    }

    #[tokio::test]
    async fn an_offer_that_nobody_takes_is_followed_by_the_bytes() {
        let mut body = Composed::new().fragment("/x", ..).or_else(whole);
        let (polled, offer) = watch(|| Pin::new(&mut body).poll_frame(&mut Context::from_waker(std::task::Waker::noop())));
        assert!(polled.is_ready() && offer.is_some());
        assert_eq!(text(body).await, "0123456789");
    }
}
