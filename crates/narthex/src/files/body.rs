//! The body of a response that is a file, or parts of one.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::error::BoxError;
use crate::offer::{self, FilePart, Offered, Offering, Outcome};

/// What is read of a file at a time.
const STEP: u64 = 128 * 1024;

type Other = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>;

/// The body of a response made by [`SendFile`](super::SendFile) or [`StaticDir`](super::StaticDir).
///
/// Where the file lies on a local disk and no other body changes what this one says, the file itself is sent: by the machine's host,
/// which gets its descriptor, or by the app's own server, on plain HTTP/1.1 connections without copying it. (Only on Linux a disk is
/// known to be local.)
///
/// Otherwise the file is read in pieces of 128 KiB by tokio's threads for blocking work, one piece ahead of the client, so that neither a
/// slow disk keeps a worker nor a slow client memory: a body holds at most two pieces, however large its file is.
///
/// If the file turns out shorter than it was when the response began, the body fails, and with it the response: what was
/// promised is never padded.
pub struct FileBody(Kind);

enum Kind {
    Parts(Parts),
    Other(Other),
}

/// A part of a body.
pub(super) enum Part {
    Bytes(Bytes),
    /// Not empty.
    File(Range<u64>),
}

/// Whether the file is passed on as it is.
enum Passing {
    /// It is offered when the body is asked first.
    Possible,
    Offered(Offered),
    /// Its bytes are sent.
    No,
}

struct Parts {
    file: Option<Arc<File>>,
    parts: VecDeque<Part>,
    left: u64,
    /// What the provider may do with it.
    passing: Passing,
    /// The piece that comes next.
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    pub(super) fn empty() -> Self {
        Self::of(None, VecDeque::new(), Passing::No)
    }

    pub(super) fn text(text: &'static str) -> Self {
        Self::of(None, VecDeque::from([Part::Bytes(Bytes::from_static(text.as_bytes()))]), Passing::No)
    }

    /// `local`: a worker may read the file itself, so it can be passed on.
    pub(super) fn new(file: Arc<File>, parts: VecDeque<Part>, local: bool) -> Self {
        let is_one = matches!(parts.iter().collect::<Vec<_>>()[..], [Part::File(_)]);
        let passing = if local && is_one { Passing::Possible } else { Passing::No };
        Self::of(Some(file), parts, passing)
    }

    fn of(file: Option<Arc<File>>, parts: VecDeque<Part>, passing: Passing) -> Self {
        let left = parts.iter().map(Part::len).fold(0, u64::saturating_add);
        Self(Kind::Parts(Parts { file, parts, left, passing, reading: None }))
    }

    pub(super) fn other<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self(Kind::Other(Box::pin(ErrorsBoxed(Box::pin(body)))))
    }
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(range) => range.end - range.start,
        }
    }
}

impl Parts {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        match std::mem::replace(&mut self.passing, Passing::No) {
            Passing::No => {}
            Passing::Possible => {
                if let Some(frame) = self.offer() {
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
            Passing::Offered(offered) => match offered.outcome() {
                // Whoever has taken the offer asks again when that is known; somebody else may only be asking too early.
                Outcome::Open => {
                    self.passing = Passing::Offered(offered);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Outcome::Sent => {
                    self.parts.clear();
                    self.left = 0;
                }
                Outcome::Refused => {}
            },
        }
        if self.reading.is_none() {
            self.read_ahead();
        }
        let bytes = match &mut self.reading {
            Some(reading) => {
                let read = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                let bytes = match read.map_err(io::Error::other).and_then(|read| read) {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        self.parts.clear();
                        self.left = 0;
                        return Poll::Ready(Some(Err(error)));
                    }
                };
                // The disk works while the client takes this.
                self.read_ahead();
                bytes
            }
            None => match self.parts.pop_front() {
                Some(Part::Bytes(bytes)) => bytes,
                _ => return Poll::Ready(None),
            },
        };
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Poll::Ready(Some(Ok(bytes)))
    }

    /// Offers the file to the provider, if it is the one who asks.
    fn offer(&mut self) -> Option<Bytes> {
        let (Some(file), Some(Part::File(range))) = (&self.file, self.parts.front()) else { return None };
        let part = || FilePart { file: Arc::clone(file), offset: range.start, length: range.end - range.start };
        let (frame, offered) = offer::make(|| Offering::File(part()))?;
        self.passing = Passing::Offered(offered);
        Some(frame)
    }

    /// Begins to read the next piece, if it is the file's turn.
    fn read_ahead(&mut self) {
        let (Some(file), Some(Part::File(range))) = (&self.file, self.parts.front_mut()) else { return };
        let (file, offset) = (Arc::clone(file), range.start);
        let length = STEP.min(range.end - range.start);
        range.start += length;
        if range.is_empty() {
            self.parts.pop_front();
        }
        self.reading = Some(spawn_blocking(move || read(&file, offset, length)));
    }
}

fn read(file: &File, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match narthex_http::read_at(file, rest, offset + done as u64) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter while it was sent")),
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes.into())
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Parts(parts) => parts.poll(cx).map(|polled| polled.map(|read| read.map(Frame::data).map_err(BoxError::from))),
            Kind::Other(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Parts(parts) => parts.left == 0,
            Kind::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Parts(parts) => SizeHint::with_exact(parts.left),
            Kind::Other(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody").field("size", &http_body::Body::size_hint(self).exact()).finish_non_exhaustive()
    }
}

/// Another service's body, whatever its errors are.
struct ErrorsBoxed<B>(Pin<Box<B>>);

impl<B: http_body::Body<Data = Bytes, Error: Into<BoxError>>> http_body::Body for ErrorsBoxed<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http_body_util::BodyExt;

    use super::*;

    fn of_file(bytes: &[u8], parts: impl Into<VecDeque<Part>>) -> (FileBody, Arc<File>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let file = Arc::new(file);
        (FileBody::new(Arc::clone(&file), parts.into(), true), file)
    }

    #[tokio::test]
    async fn parts_of_the_file_and_what_is_between_them_come_in_order() {
        let (body, _) = of_file(b"0123456789", [Part::File(7..9), Part::Bytes("-".into()), Part::File(0..1)]);
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(4));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "78-0");
    }

    #[tokio::test]
    async fn a_large_file_comes_in_pieces() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        let (mut body, _) = of_file(&bytes, [Part::File(1..300_000)]);
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() as u64 <= STEP);
            got.extend_from_slice(&piece);
        }
        assert!(got == bytes[1..]);
        assert!(http_body::Body::is_end_stream(&body));
    }

    #[tokio::test]
    async fn a_file_is_offered_once_if_it_is_all_of_the_body() {
        let ask = |body: &mut FileBody| {
            let poll = || http_body::Body::poll_frame(Pin::new(body), &mut Context::from_waker(std::task::Waker::noop()));
            let (polled, offer) = offer::watch(poll);
            let Poll::Ready(Some(Ok(frame))) = polled else { return (None, offer) };
            (frame.into_data().ok(), offer)
        };
        let (mut body, _) = of_file(b"0123456789", [Part::File(2..5)]);
        let (frame, offer) = ask(&mut body);
        let claim = offer.unwrap().take(&frame.unwrap()).unwrap();
        assert!(matches!(claim.what(), Offering::File(part) if (part.offset, part.length) == (2, 3)));
        assert!(ask(&mut body).0.is_none(), "nobody knows yet");
        claim.settle(true);
        assert!(http_body::Body::is_end_stream(&body) || body.frame().await.is_none());
        let (mut body, _) = of_file(b"0123456789", [Part::File(2..5)]);
        assert!(ask(&mut body).1.is_some());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "234", "nobody took it");
        let (mut body, _) = of_file(b"0123456789", [Part::Bytes("-".into()), Part::File(2..5)]);
        assert!(ask(&mut body).1.is_none());
    }

    #[tokio::test]
    async fn a_file_that_has_become_shorter_breaks_the_body() {
        let (body, file) = of_file(&[1; 1000], [Part::File(0..1000)]);
        file.set_len(500).unwrap();
        assert!(body.collect().await.is_err());
    }
}
