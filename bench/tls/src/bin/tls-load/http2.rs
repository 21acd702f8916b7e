//! HTTP/2: streams of a connection send their requests independently.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::Request;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::client::{self, Tickets};
use crate::lanes::{self, Lane};
use crate::tally::{Bound, Tally};

/// As large as those of h2load are set to.
const STREAM_WINDOW: u32 = 1 << 22;
const CONNECTION_WINDOW: u32 = 1 << 24;

struct Stream {
    sender: SendRequest<Bytes>,
    uri: Arc<str>,
}

impl Lane for Stream {
    async fn exchange(&mut self) -> Result<usize> {
        exchange(&mut self.sender, &self.uri, |_| {}).await
    }
}

pub(crate) async fn run(port: u16, connections: usize, streams: usize, path: &str, bound: Bound) -> Result<Tally> {
    let opening = Instant::now();
    let config = Arc::new(client::config(b"h2", &Arc::new(Tickets::default()))?);
    let uri: Arc<str> = format!("https://127.0.0.1:{port}{path}").into();
    let mut lanes = Vec::new();
    for _ in 0..connections {
        let sender = begin(client::connect(port, Arc::clone(&config)).await?).await?;
        lanes.extend((0..streams).map(|_| Stream { sender: sender.clone(), uri: Arc::clone(&uri) }));
    }
    lanes::run(lanes, bound, opening).await
}

/// The body of `GET /`.
pub(crate) async fn get(port: u16, stream: TlsStream<TcpStream>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut sender = begin(stream).await?;
    exchange(&mut sender, &format!("https://127.0.0.1:{port}/"), |part| body.extend_from_slice(part)).await?;
    Ok(body)
}

async fn begin(stream: TlsStream<TcpStream>) -> Result<SendRequest<Bytes>> {
    let mut builder = Builder::new();
    builder.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW).enable_push(false);
    let (sender, connection) = builder.handshake(stream).await?;
    tokio::spawn(async move {
        // What ends it, the streams are told.
        let _ = connection.await;
    });
    Ok(sender)
}

/// The length of the answer's body.
async fn exchange(sender: &mut SendRequest<Bytes>, uri: &str, mut part: impl FnMut(&[u8])) -> Result<usize> {
    poll_fn(|cx| sender.poll_ready(cx)).await?;
    let (response, _) = sender.send_request(Request::get(uri).body(())?, true)?;
    let response = response.await?;
    if response.status() != 200 {
        bail!("answered with {}", response.status());
    }
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(bytes) = body.data().await {
        let bytes = bytes?;
        part(&bytes);
        length += bytes.len();
        body.flow_control().release_capacity(bytes.len())?;
    }
    Ok(length)
}
