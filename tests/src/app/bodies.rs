//! Bodies made while they are sent, so that their size costs no memory, and a reader that keeps nothing.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

const PATTERN: &[u8] = &[b'x'; 64 * 1024];

/// `remaining` bytes of `x` in frames of at most `frame` bytes.
#[derive(Debug)]
pub struct Counted {
    remaining: u64,
    frame: u64,
    length_known: bool,
    trailers: Option<HeaderMap>,
}

impl Counted {
    /// A body whose length the server is not told.
    pub fn new(total: u64, frame: u64) -> Self {
        Self { remaining: total, frame: frame.clamp(1, PATTERN.len() as u64), length_known: false, trailers: None }
    }

    /// Tells the server the length.
    #[must_use]
    pub fn with_length(mut self) -> Self {
        self.length_known = true;
        self
    }

    /// Ends the body with trailers.
    #[must_use]
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.remaining.min(self.frame);
        if next == 0 {
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        self.remaining -= next;
        let size = usize::try_from(next).unwrap_or(PATTERN.len());
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PATTERN[..size])))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0 && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.length_known { SizeHint::with_exact(self.remaining) } else { SizeHint::default() }
    }
}

/// Fixed bytes whose length the server is not told, so that only headers could reveal it.
pub(super) struct Raw(Option<Bytes>);

impl Raw {
    pub(super) fn new(text: &str) -> Self {
        Self(Some(Bytes::copy_from_slice(text.as_bytes())))
    }
}

impl HttpBody for Raw {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Pieces of `x` with a pause before each but the first; instead of an end, it may break off.
pub(super) struct Dripping {
    remaining: u64,
    size: usize,
    pause: Duration,
    breaks_off: bool,
    pausing: Pin<Box<Sleep>>,
}

impl Dripping {
    pub(super) fn new(pieces: u64, size: u64, pause: Duration) -> Self {
        let size = usize::try_from(size).unwrap_or(PATTERN.len()).clamp(1, PATTERN.len());
        Self { remaining: pieces, size, pause, breaks_off: false, pausing: Box::pin(sleep(Duration::ZERO)) }
    }

    /// Fails after the last piece's pause.
    pub(super) fn breaking_off(mut self) -> Self {
        self.breaks_off = true;
        self
    }
}

impl HttpBody for Dripping {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.remaining == 0 && !self.breaks_off {
            return Poll::Ready(None);
        }
        std::task::ready!(self.pausing.as_mut().poll(cx));
        if self.remaining == 0 {
            return Poll::Ready(Some(Err(std::io::Error::other("this body breaks off on purpose"))));
        }
        self.remaining -= 1;
        self.pausing = Box::pin(sleep(self.pause));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PATTERN[..self.size])))))
    }
}

/// Reads a body to its end, keeping only its length and its trailers.
///
/// # Errors
/// The body's own, when it ends too early or breaks the protocol.
pub async fn drain(mut body: Body) -> Result<(u64, HeaderMap), axum::Error> {
    let mut length = 0;
    let mut trailers = HeaderMap::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => length += data.len() as u64,
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok((length, trailers))
}
