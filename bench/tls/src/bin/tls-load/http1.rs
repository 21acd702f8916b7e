//! HTTP/1.1 over TLS: a request, all of its answer, the next request.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::client::{self, Tickets};
use crate::lanes::{self, Lane};
use crate::tally::{Bound, Tally};

struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

struct Asking {
    connection: Connection,
    request: Arc<str>,
}

impl Lane for Asking {
    async fn exchange(&mut self) -> Result<usize> {
        self.connection.exchange(&self.request, |_| {}).await
    }
}

pub(crate) async fn run(port: u16, connections: usize, path: &str, bound: Bound) -> Result<Tally> {
    let opening = Instant::now();
    let config = Arc::new(client::config(b"http/1.1", &Arc::new(Tickets::default()))?);
    let request: Arc<str> = request(port, path).into();
    let mut open = Vec::new();
    for _ in 0..connections {
        let stream = client::connect(port, Arc::clone(&config)).await?;
        let connection = Connection { stream, buffer: Vec::with_capacity(64 * 1024) };
        open.push(Asking { connection, request: Arc::clone(&request) });
    }
    lanes::run(open, bound, opening).await
}

/// The body of `GET /`.
pub(crate) async fn get(port: u16, stream: TlsStream<TcpStream>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut connection = Connection { stream, buffer: Vec::with_capacity(16 * 1024) };
    connection.exchange(&request(port, "/"), |bytes| body.extend_from_slice(bytes)).await?;
    Ok(body)
}

fn request(port: u16, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n")
}

impl Connection {
    /// The length of the answer's body.
    async fn exchange(&mut self, request: &str, mut body: impl FnMut(&[u8])) -> Result<usize> {
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let (head, length) = loop {
            self.fill().await?;
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break (end + 4, content_length(&self.buffer[..end])?);
            }
        };
        let mut arrived = 0;
        loop {
            let part = if arrived == 0 { &self.buffer[head..] } else { &self.buffer[..] };
            arrived += part.len();
            body(part);
            if arrived >= length {
                break;
            }
            self.buffer.clear();
            self.fill().await?;
        }
        if arrived > length {
            bail!("there is more than the answer");
        }
        Ok(length)
    }

    async fn fill(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection without an answer");
        }
        Ok(())
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head)?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("answered with {head}");
    }
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Ok(length.context("answered without a content-length")?.1.trim().parse()?)
}
