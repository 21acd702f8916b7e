//! Whole bodies, for functions that cannot wait for them.

use std::pin::pin;

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as HttpBody;

use crate::BoxError;
use crate::body::BodyError;

/// The whole body, or the status of the answer instead.
pub(super) async fn collected<B>(body: B, limit: usize) -> Result<Bytes, StatusCode>
where
    B: HttpBody<Error: Into<BoxError>>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut body = pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(mut data) = frame.map_err(|error| status_of(&error.into()))?.into_data() else { continue };
        if data.remaining() > limit - whole.len() {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        whole.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    Ok(whole.freeze())
}

fn status_of(error: &BoxError) -> StatusCode {
    match BodyError::within(error.as_ref()) {
        Some(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        Some(BodyError::TimedOut) => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, Limited};

    use super::*;

    #[tokio::test]
    async fn a_body_is_collected_up_to_the_limit_and_a_layers_limit_is_one_too() {
        let body = || Full::new(Bytes::from_static(b"0123456789"));
        assert_eq!(collected(body(), 10).await.unwrap(), "0123456789");
        assert_eq!(collected(body(), 9).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(collected(Limited::new(body(), 9), 100).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }
}
