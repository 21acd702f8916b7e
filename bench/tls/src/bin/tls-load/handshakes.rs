//! Connections that do nothing but shake hands.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{self, Tickets};
use crate::tally::{Bound, Tally};

/// One may take so long, also under valgrind.
const LONGEST: Duration = Duration::from_secs(20);

pub(crate) async fn run(port: u16, resumed: bool, lanes: usize, bound: Bound) -> Result<Tally> {
    let mut running = JoinSet::new();
    let start = Instant::now();
    for lane in 0..lanes {
        running.spawn(shake_on(lane, port, resumed, bound));
    }
    let mut all = Tally::default();
    while let Some(lane) = running.join_next().await {
        all.merge(lane??);
    }
    Ok(all.lasted(start.elapsed()))
}

async fn shake_on(lane: usize, port: u16, resumed: bool, bound: Bound) -> Result<Tally> {
    let tickets = Arc::new(Tickets::new(resumed));
    let config = Arc::new(client::config(b"http/1.1", &tickets)?);
    let mut tally = Tally::default();
    if resumed {
        // The first has no ticket, and does not count.
        shake(lane, port, &config, &tickets, HandshakeKind::Full).await?;
    }
    let before = tickets.arrived();
    let kind = if resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
    while bound.goes_on(&tally) {
        let start = Instant::now();
        let shaken = timeout(LONGEST, shake(lane, port, &config, &tickets, kind)).await;
        tally.add(start, shaken.context("a handshake takes too long").flatten().map(|()| 0));
    }
    tally.add_tickets(tickets.arrived() - before);
    Ok(tally)
}

async fn shake(lane: usize, port: u16, config: &Arc<ClientConfig>, tickets: &Tickets, kind: HandshakeKind) -> Result<()> {
    let stream = connect(lane, port).await?;
    let before = tickets.arrived();
    let mut stream = TlsConnector::from(Arc::clone(config)).connect(client::server_name(), stream).await?;
    if stream.get_ref().1.handshake_kind() != Some(kind) {
        bail!("a handshake is {:?}, not {kind:?}", stream.get_ref().1.handshake_kind());
    }
    // The server sends tickets when it has the client's last message: then the handshake is over for both.
    ticket(&mut stream, tickets, before).await?;
    stream.shutdown().await?;
    Ok(())
}

/// Each lane has an address of its own, so that ports do not run out.
async fn connect(lane: usize, port: u16) -> Result<TcpStream> {
    let lane = u16::try_from(lane)?.to_be_bytes();
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 1, lane[0], lane[1]), 0)))?;
    Ok(socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?)
}

async fn ticket(stream: &mut TlsStream<TcpStream>, tickets: &Tickets, before: u64) -> Result<()> {
    poll_fn(|cx| {
        let mut byte = [0; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        let read = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
        if tickets.arrived() > before {
            return Poll::Ready(Ok(()));
        }
        match read {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Ready(Ok(())) => Poll::Ready(Err(anyhow::anyhow!("the server closed without a ticket"))),
        }
    })
    .await
}
