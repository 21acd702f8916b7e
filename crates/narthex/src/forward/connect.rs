//! From a server's address to a connection that speaks HTTP.

use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::address::Place;
use super::pool::{Activity, Lease, Sender, drive};
use super::server::Server;
use super::upstream::Inner;
use crate::BoxError;

/// Of a response's head. More is an error of the server's.
const LONGEST_HEAD: usize = 64 * 1024;
/// How often an HTTP/2 connection is asked for a sign of life while requests run, and how long that may take.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("it does not answer in time")]
    TimedOut,
    #[error(transparent)]
    Failed(BoxError),
}

/// A new connection. `only_http1`: it is for an upgrade.
pub(super) async fn connect(upstream: &Inner, server: &Arc<Server>, only_http1: bool) -> Result<Lease, ConnectError> {
    let limit = upstream.settings.connect_timeout;
    match timeout(limit, connected(upstream, server, only_http1)).await {
        Ok(connected) => connected.map_err(ConnectError::Failed),
        Err(_) => Err(ConnectError::TimedOut),
    }
}

async fn connected(upstream: &Inner, server: &Arc<Server>, only_http1: bool) -> Result<Lease, BoxError> {
    let settings = &upstream.settings;
    let http2_at_once = settings.http2_only && !only_http1;
    match &server.address.place {
        Place::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            if !server.address.tls {
                return speak(upstream, server, stream, http2_at_once).await;
            }
            let trust = upstream.trust()?;
            let connector = if only_http1 { &trust.http1 } else { &trust.usual };
            let name = settings.server_name.as_ref().unwrap_or(host);
            let name = ServerName::try_from(name.clone())?;
            let stream = connector.connect(name, stream).await?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            speak(upstream, server, stream, http2 || http2_at_once).await
        }
        #[cfg(unix)]
        Place::Unix(path) => {
            let stream = tokio::net::UnixStream::connect(path).await?;
            speak(upstream, server, stream, http2_at_once).await
        }
        #[cfg(not(unix))]
        Place::Unix(_) => Err(std::io::Error::from(std::io::ErrorKind::Unsupported).into()),
    }
}

async fn speak<T>(upstream: &Inner, server: &Arc<Server>, stream: T, http2: bool) -> Result<Lease, BoxError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::new(upstream.settings.keep_alive));
    let stream = TokioIo::new(stream);
    let sender = if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).keep_alive_timeout(PING_TIMEOUT);
        builder.max_header_list_size(u32::try_from(LONGEST_HEAD).unwrap_or(u32::MAX));
        let (sender, connection) = builder.handshake(stream).await?;
        tokio::spawn(drive(connection, Arc::clone(&activity)));
        Sender::Http2(sender)
    } else {
        let mut builder = http1::Builder::new();
        builder.max_header_size(LONGEST_HEAD);
        let (mut sender, connection) = builder.handshake(stream).await?;
        tokio::spawn(drive(connection.with_upgrades(), Arc::clone(&activity)));
        sender.ready().await?;
        Sender::Http1(sender)
    };
    Ok(Lease::new(Arc::clone(server), sender, activity))
}
