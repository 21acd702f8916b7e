//! HTTP/2: streams of a connection send their requests independently.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use crate::client::{self, Tickets};
use crate::tally::{Bound, Tally};

/// As large as those of h2load are set to.
const STREAM_WINDOW: u32 = 1 << 22;
const CONNECTION_WINDOW: u32 = 1 << 24;

pub(crate) async fn run(port: u16, connections: usize, streams: usize, path: &str, bound: Bound) -> Result<Tally> {
    let opening = Instant::now();
    let config = Arc::new(client::config(b"h2", &Arc::new(Tickets::default()))?);
    let uri = format!("https://127.0.0.1:{port}{path}");
    let mut open = Vec::new();
    for _ in 0..connections {
        let stream = client::connect(port, Arc::clone(&config)).await?;
        open.push(begin(stream).await?);
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
                    let (next, outcome) = exchange(sender, &uri, |_| {}).await;
                    let failed = outcome.is_err();
                    tally.add(start, outcome);
                    match next {
                        Some(next) if !failed => sender = next,
                        _ => break,
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
    Ok(all.lasted(start.elapsed()))
}

/// The body of `GET /`.
pub(crate) async fn get(port: u16, stream: TlsStream<TcpStream>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let sender = begin(stream).await?;
    let (_, outcome) = exchange(sender, &format!("https://127.0.0.1:{port}/"), |part| body.extend_from_slice(part)).await;
    outcome?;
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

/// The length of the answer's body, and the sender again.
async fn exchange(
    sender: SendRequest<Bytes>,
    uri: &str,
    mut part: impl FnMut(&[u8]),
) -> (Option<SendRequest<Bytes>>, Result<usize>) {
    let mut sender = match sender.ready().await {
        Ok(sender) => sender,
        Err(error) => return (None, Err(error.into())),
    };
    let outcome = async {
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
    };
    let outcome = outcome.await;
    (Some(sender), outcome)
}
