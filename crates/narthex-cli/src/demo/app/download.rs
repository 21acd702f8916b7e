//! A download that is made while it is sent, so that its size costs no memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// 100 MB.
const SIZE: u64 = 100_000_000;
const PIECE: usize = 64 * 1024;

static PATTERN: [u8; PIECE] = {
    let mut pattern = [0; PIECE];
    let mut at = 0;
    while at < PIECE {
        pattern[at] = at as u8;
        at += 1;
    }
    pattern
};

/// The bytes 0 to 255 again and again. Its exact size hint makes it leave with a Content-Length.
struct Generated {
    left: u64,
}

impl http_body::Body for Generated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = usize::try_from(self.left).map_or(PIECE, |left| left.min(PIECE));
        if length == 0 {
            return Poll::Ready(None);
        }
        self.left -= length as u64;
        let piece = Bytes::from_static(&PATTERN).slice(..length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

pub(super) async fn download() -> Response {
    let headers =
        [(CONTENT_TYPE, "application/octet-stream"), (CONTENT_DISPOSITION, "attachment; filename=\"narthex-100MB.bin\"")];
    (headers, Body::new(Generated { left: SIZE })).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn the_download_has_the_size_that_it_announces() {
        let mut body = Generated { left: 2 * PIECE as u64 + 7 };
        let announced = http_body::Body::size_hint(&body).exact();
        let mut sent = 0;
        while let Some(frame) = body.frame().await {
            sent += frame.unwrap().into_data().unwrap().len() as u64;
        }
        assert_eq!(Some(sent), announced);
    }
}
