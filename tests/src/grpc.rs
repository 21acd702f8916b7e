//! A gRPC service by tonic with one method of each kind. Messages are bytes as they are, so that nothing has to be generated.

use std::pin::Pin;
use std::time::Duration;

use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, BufMut, Bytes};
use http::StatusCode;
use tokio_stream::{Stream, StreamExt};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{ClientStreamingService, Grpc, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Status, Streaming};

/// Messages as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send>>;
type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// Says what it was told; `fail` is an error.
struct Echo;
/// Says ten times what it was told, with pauses.
struct Repeat;
/// Says how many bytes it was told.
struct Count;
/// Says each message as it comes.
struct Chat;

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Answer<Bytes>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        Box::pin(async move {
            match request.into_inner() {
                told if told == "fail" => Err(Status::failed_precondition("as you asked")),
                told => Ok(tonic::Response::new(told)),
            }
        })
    }
}

impl ServerStreamingService<Bytes> for Repeat {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Answer<Messages>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let told = request.into_inner();
        Box::pin(async move {
            let all = tokio_stream::iter(0..10).then(move |_| {
                let told = told.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    Ok(told)
                }
            });
            Ok(tonic::Response::new(Box::pin(all) as Messages))
        })
    }
}

impl ClientStreamingService<Bytes> for Count {
    type Response = Bytes;
    type Future = Answer<Bytes>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let mut told = request.into_inner();
        Box::pin(async move {
            let mut count = 0;
            while let Some(message) = told.message().await? {
                count += message.len();
            }
            Ok(tonic::Response::new(count.to_string().into()))
        })
    }
}

impl StreamingService<Bytes> for Chat {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Answer<Messages>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(async move { Ok(tonic::Response::new(Box::pin(request.into_inner()) as Messages)) })
    }
}

/// The service as a handler of axum's.
pub async fn serve(Path(method): Path<String>, request: Request) -> Response {
    let mut grpc = Grpc::new(Raw);
    let response = match method.as_str() {
        "Echo" => grpc.unary(Echo, request).await,
        "Repeat" => grpc.server_streaming(Repeat, request).await,
        "Count" => grpc.client_streaming(Count, request).await,
        "Chat" => grpc.streaming(Chat, request).await,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    response.map(axum::body::Body::new)
}
