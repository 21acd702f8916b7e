//! HTTP/3: as HTTP/2, over QUIC.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::{Result, bail};
use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use http::Request;
use quinn::Endpoint;
use tokio::task::JoinSet;

use crate::client;
use crate::tally::{Bound, Tally};

type Sender = SendRequest<h3_quinn::OpenStreams, Bytes>;

pub(crate) async fn run(port: u16, connections: usize, streams: usize, path: &str, bound: Bound) -> Result<Tally> {
    let opening = Instant::now();
    let uri = format!("https://127.0.0.1:{port}{path}");
    let endpoint = endpoint()?;
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(begin(&endpoint, port).await?);
    }
    let bound = bound.restarted(opening);
    let start = Instant::now();
    let mut lanes = JoinSet::new();
    for sender in &open {
        for _ in 0..streams {
            let (mut sender, uri) = (sender.clone(), uri.clone());
            lanes.spawn(async move {
                let mut tally = Tally::default();
                while bound.goes_on(&tally) {
                    let start = Instant::now();
                    let outcome = exchange(&mut sender, &uri, |_| {}).await;
                    let failed = outcome.is_err();
                    tally.add(start, outcome);
                    if failed {
                        break;
                    }
                }
                tally
            });
        }
    }
    let mut all = Tally::default();
    while let Some(lane) = lanes.join_next().await {
        all.merge(lane?);
    }
    let elapsed = start.elapsed();
    endpoint.close(0x100u32.into(), b"");
    Ok(all.lasted(elapsed))
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
