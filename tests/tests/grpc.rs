//! gRPC by tonic, as it is: calls of all four kinds, by every provider.

use bytes::Bytes;
use http::uri::PathAndQuery;
use narthex_tests::grpc::Raw;
use narthex_tests::{Provider, Subject};
use tokio_stream::StreamExt;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, IntoRequest, IntoStreamingRequest};

async fn connect(subject: &Subject) -> Grpc<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", subject.app.address)).expect("it is an address");
    Grpc::new(endpoint.connect().await.expect("the server speaks HTTP/2"))
}

/// A channel has to be asked before each call.
async fn ready(grpc: &mut Grpc<Channel>) -> &mut Grpc<Channel> {
    grpc.ready().await.expect("the server is there");
    grpc
}

fn path(method: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(method)
}

async fn calls(provider: Provider) {
    let subject = Subject::start(provider);
    let mut grpc = connect(&subject).await;
    let hello = Bytes::from_static(b"hello");
    let echoed: Bytes = ready(&mut grpc)
        .await
        .unary(hello.clone().into_request(), path("/test.Echo/Echo"), Raw)
        .await
        .expect("unary")
        .into_inner();
    assert_eq!(echoed, hello);
    let error =
        ready(&mut grpc).await.unary(Bytes::from_static(b"fail").into_request(), path("/test.Echo/Echo"), Raw).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::FailedPrecondition, "as you asked"), "trailers alone");
    let streamed = ready(&mut grpc).await.server_streaming(hello.clone().into_request(), path("/test.Echo/Repeat"), Raw).await;
    let streamed: Vec<_> = streamed.expect("server streaming").into_inner().collect().await;
    assert_eq!(streamed.len(), 10);
    assert!(streamed.into_iter().all(|message: Result<Bytes, _>| message.is_ok_and(|message| message == hello)));
    // More than a window.
    let large = Bytes::from(vec![7; 10_000]);
    let many = || tokio_stream::iter(vec![large.clone(); 100]);
    let counted = ready(&mut grpc).await.client_streaming(many().into_streaming_request(), path("/test.Echo/Count"), Raw).await;
    let counted: Bytes = counted.expect("client streaming").into_inner();
    assert_eq!(counted, "1000000");
    let chat = ready(&mut grpc).await.streaming(many().into_streaming_request(), path("/test.Echo/Chat"), Raw).await;
    let chat: Vec<_> = chat.expect("both streaming").into_inner().collect().await;
    assert_eq!(chat.len(), 100);
    assert!(chat.into_iter().all(|message: Result<Bytes, _>| message.is_ok_and(|message| message == large)));
    let missing =
        ready(&mut grpc).await.unary::<Bytes, Bytes, _>(hello.into_request(), path("/test.Echo/None"), Raw).await.unwrap_err();
    assert_eq!(missing.code(), Code::Unimplemented);
}

#[tokio::test]
async fn calls_of_all_kinds_work_embedded() {
    calls(Provider::Embedded).await;
}

#[tokio::test]
async fn calls_of_all_kinds_work_behind_a_host() {
    calls(Provider::Shared).await;
}
