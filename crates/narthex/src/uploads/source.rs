//! A request body as the parser's source: in pieces, one per poll, counted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::Stream;
use http_body::Body as HttpBody;

use super::error::{Limited, UploadError};
use crate::BoxError;

/// The largest piece. The parser copies what it gets, so that this is what it holds at least.
const PIECE: usize = 64 * 1024;
/// What may come before the content of a part: the header, and before the first one what RFC 2046 calls a preamble.
const LONGEST_HEADER: usize = 16 * 1024;

/// The bytes of a body.
pub(super) struct Source<B> {
    body: Pin<Box<B>>,
    /// What the body has given, and was not passed on yet.
    rest: Bytes,
    /// How long the body may be, and how much of that is left.
    limit: u64,
    left: u64,
    header: HeaderRoom,
    /// The parser asks until nothing is there, and keeps what it gets. So after each piece it is told to come again.
    pause: bool,
}

/// How much more may come before the content of the next part.
///
/// The parser looks for the end of a header in memory, and has no limit of its own for that.
#[derive(Clone, Debug)]
pub(super) struct HeaderRoom(Arc<AtomicUsize>);

impl HeaderRoom {
    /// A header is read from now on.
    pub(super) fn begin(&self) {
        self.0.store(LONGEST_HEADER, Ordering::Relaxed);
    }

    /// Content is read from now on, which has limits of its own.
    pub(super) fn end(&self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> Result<(), UploadError> {
        match self.0.load(Ordering::Relaxed) {
            usize::MAX => Ok(()),
            0 => Err(UploadError::TooLarge { what: Limited::Header, limit: LONGEST_HEADER as u64 }),
            room => {
                self.0.store(room.saturating_sub(bytes), Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

impl<B: HttpBody<Error: Into<BoxError>>> Source<B> {
    /// A body that says itself that it is too long is refused before any of it is read.
    pub(super) fn new(body: B, limit: Option<u64>) -> Result<Self, UploadError> {
        let limit = limit.unwrap_or(u64::MAX);
        if body.size_hint().lower() > limit {
            return Err(UploadError::TooLarge { what: Limited::Total, limit });
        }
        let header = HeaderRoom(Arc::new(AtomicUsize::new(usize::MAX)));
        Ok(Self { body: Box::pin(body), rest: Bytes::new(), limit, left: limit, header, pause: false })
    }

    pub(super) fn header_room(&self) -> HeaderRoom {
        self.header.clone()
    }

    /// The next piece. Cancel safe.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, UploadError> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await.transpose()
    }

    /// Reads to the end: a body that breaks off behind the form is no whole one.
    pub(super) async fn finish(&mut self) -> Result<(), UploadError> {
        self.header.end();
        while self.piece().await?.is_some() {}
        Ok(())
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UploadError>>> {
        while self.rest.is_empty() {
            match ready!(self.body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(UploadError::of_body(&error.into())))),
                Some(Ok(frame)) => {
                    if let Ok(mut data) = frame.into_data() {
                        self.rest = data.copy_to_bytes(data.remaining());
                    }
                }
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        let Some(left) = self.left.checked_sub(piece.len() as u64) else {
            return Poll::Ready(Some(Err(UploadError::TooLarge { what: Limited::Total, limit: self.limit })));
        };
        self.left = left;
        Poll::Ready(Some(self.header.take(piece.len()).map(|()| piece)))
    }
}

impl<B: HttpBody<Error: Into<BoxError>>> Stream for Source<B> {
    type Item = Result<Bytes, UploadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.pause) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.poll_piece(cx);
        self.pause = matches!(polled, Poll::Ready(Some(Ok(_))));
        polled
    }
}
