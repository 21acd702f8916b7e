//! The HTTP client that posts spans: one connection for each batch, and everything bounded, since what answers may be anything.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For one batch, from the first packet to the answer's last.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of an answer, in bytes. A collector says little.
const LONGEST: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Client;

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answered = timeout(PATIENCE, exchange(request)).await;
        answered.map_err(|_| format!("it does not answer within {} s", PATIENCE.as_secs()))?
    }
}

async fn exchange(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut request = request.map(Full::new);
    let uri = request.uri().clone();
    let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else { return Err("its URL has no host".into()) };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender.
    tokio::spawn(connection);
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    *request.uri_mut() = uri.path_and_query().map_or(Uri::from_static("/"), |path| Uri::from(path.clone()));
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, LONGEST).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}
