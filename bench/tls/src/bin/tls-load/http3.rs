//! HTTP/3: as HTTP/2, over QUIC.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use http::Request;
use quinn::Endpoint;

use crate::client;
use crate::lanes::{self, Lane};
use crate::tally::{Bound, Tally};

type Sender = SendRequest<h3_quinn::OpenStreams, Bytes>;

struct Stream {
    sender: Sender,
    uri: Arc<str>,
}

impl Lane for Stream {
    async fn exchange(&mut self) -> Result<usize> {
        exchange(&mut self.sender, &self.uri, |_| {}).await
    }
}

pub(crate) async fn run(port: u16, connections: usize, streams: usize, path: &str, bound: Bound) -> Result<Tally> {
    let opening = Instant::now();
    let uri: Arc<str> = format!("https://127.0.0.1:{port}{path}").into();
    let endpoint = endpoint()?;
    let mut lanes = Vec::new();
    for _ in 0..connections {
        let sender = begin(&endpoint, port).await?;
        lanes.extend((0..streams).map(|_| Stream { sender: sender.clone(), uri: Arc::clone(&uri) }));
    }
    let tally = lanes::run(lanes, bound, opening).await;
    endpoint.close(0x100u32.into(), b"");
    tally
}

/// The body of `GET /`.
pub(crate) async fn get(port: u16) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let endpoint = endpoint()?;
    let mut sender = begin(&endpoint, port).await?;
    exchange(&mut sender, &format!("https://127.0.0.1:{port}/"), |part| body.extend_from_slice(part)).await?;
    endpoint.close(0x100u32.into(), b"");
    Ok(body)
}

fn endpoint() -> Result<Endpoint> {
    let mut endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    endpoint.set_default_client_config(client::quic_config()?);
    Ok(endpoint)
}

async fn begin(endpoint: &Endpoint, port: u16) -> Result<Sender> {
    let quic = endpoint.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "127.0.0.1")?.await?;
    let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(quic)).await?;
    tokio::spawn(async move {
        // What ends it, the streams are told.
        let _ = poll_fn(|cx| driver.poll_close(cx)).await;
    });
    Ok(sender)
}

/// The length of the answer's body.
async fn exchange(sender: &mut Sender, uri: &str, mut part: impl FnMut(&[u8])) -> Result<usize> {
    let mut stream = sender.send_request(Request::get(uri).body(())?).await?;
    stream.finish().await?;
    let response = stream.recv_response().await?;
    if response.status() != 200 {
        bail!("answered with {}", response.status());
    }
    let mut length = 0;
    while let Some(mut bytes) = stream.recv_data().await? {
        while bytes.has_remaining() {
            let chunk = bytes.chunk();
            part(chunk);
            length += chunk.len();
            let taken = chunk.len();
            bytes.advance(taken);
        }
    }
    Ok(length)
}
