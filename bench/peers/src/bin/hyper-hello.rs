//! hyper's HTTP/1.1 server without a framework, on tokio's current-thread runtime.

use std::convert::Infallible;

use anyhow::Result;
use bench_peers::{BODY, Listen, Listener, MEDIA_TYPE};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let listener = Listen::from_command_line()?.bind()?.into_nonblocking()?;
    bench_peers::ready();
    match listener {
        Listener::Tcp(listener) => {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                tokio::spawn(serve(listener.accept().await?.0));
            }
        }
        Listener::Unix(listener) => {
            let listener = tokio::net::UnixListener::from_std(listener)?;
            loop {
                tokio::spawn(serve(listener.accept().await?.0));
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) {
    // A client that resets its connection is not worth a line in a benchmark.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(hello)).await;
}

async fn hello(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    Ok(response)
}
