//! An HTTP/3 connection's task.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h3::error::Code;
use h3::ext::Protocol;
use h3::server::{self, RequestResolver};
use http::Method;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connecting, ConnectionError, VarInt, ZeroRttAccepted};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{sleep_until, timeout};

use crate::h1::head::Version;
use crate::h3::carrier::Carrier;
use crate::h3::endpoint::Handshake;
use crate::mux::{self, Connection, Incoming, Tunnel, carrier};
use crate::reason::Reason;
use crate::request::{Handler, TlsInfo};

/// Without a limit of the worker's.
const FAR: Duration = Duration::from_secs(30 * 86_400);
/// After GOAWAY and the last response, the client gets so long to acknowledge it.
const LINGER: Duration = Duration::from_secs(2);

type H3 = server::Connection<h3_quinn::Connection, Bytes>;
type Resolver = RequestResolver<h3_quinn::Connection, Bytes>;

/// Serves a connection until it ends.
pub(super) async fn serve<H: Handler>(
    connection: Rc<Connection>,
    connecting: Connecting,
    early_data: bool,
    handshake: Handshake,
    handler: Rc<H>,
) {
    let limit = connection.worker.timeouts().header_wait.unwrap_or(FAR);
    let begun = tokio::select! {
        begun = timeout(limit, begin(connecting, early_data)) => begun,
        () = connection.killed() => return,
    };
    drop(handshake);
    let (quic, accepted) = match begun {
        Ok(Ok(begun)) => begun,
        Ok(Err(error)) => return tracing::debug!(%error, peer = %connection.info.peer, "a QUIC handshake failed"),
        Err(_) => return mux::refused(&connection, Reason::TimerHeaderWait),
    };
    connection.set_tls(tls_info(&quic));
    let max_head = connection.worker.limits().max_head as u64;
    let mut builder = server::builder();
    builder.max_field_section_size(max_head).enable_extended_connect(true);
    let h3 = match builder.build(h3_quinn::Connection::new(quic.clone())).await {
        Ok(h3) => h3,
        Err(error) => return tracing::debug!(%error, "an HTTP/3 connection did not begin"),
    };
    let complete = completion(accepted);
    Task { connection, quic, h3, handler, complete }.run().await;
}

async fn begin(
    connecting: Connecting,
    early_data: bool,
) -> Result<(quinn::Connection, Option<ZeroRttAccepted>), ConnectionError> {
    if !early_data {
        return Ok((connecting.await?, None));
    }
    match connecting.into_0rtt() {
        Ok((quic, accepted)) => Ok((quic, Some(accepted))),
        Err(connecting) => Ok((connecting.await?, None)),
    }
}

/// Tells when the handshake is complete. What arrives before may be a replay.
fn completion(accepted: Option<ZeroRttAccepted>) -> watch::Receiver<bool> {
    let (complete, completed) = watch::channel(accepted.is_none());
    if let Some(accepted) = accepted {
        spawn_local(async move {
            accepted.await;
            let _ = complete.send(true);
        });
    }
    completed
}

fn tls_info(quic: &quinn::Connection) -> TlsInfo {
    let data = quic.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    TlsInfo {
        version: rustls::ProtocolVersion::TLSv1_3,
        cipher_suite: None,
        server_name: data.and_then(|data| data.server_name).map(Into::into),
        client_certificate: None,
    }
}

struct Task<H> {
    connection: Rc<Connection>,
    quic: quinn::Connection,
    h3: H3,
    handler: Rc<H>,
    complete: watch::Receiver<bool>,
}

impl<H: Handler> Task<H> {
    async fn run(mut self) {
        let connection = Rc::clone(&self.connection);
        let now = || connection.worker.clock().now();
        let (mut told, mut idle_since) = (false, now());
        loop {
            if connection.is_killed() {
                break;
            }
            if connection.worker.is_draining() && !told {
                told = self.tell().await;
                idle_since = now();
            }
            let limit = if told { Some(LINGER) } else { connection.worker.timeouts().idle_connection };
            let deadline = if connection.streams() > 0 { None } else { limit.map(|limit| idle_since + limit) };
            let deadline = deadline.unwrap_or_else(|| now() + FAR);
            tokio::select! {
                accepted = self.h3.accept() => match accepted {
                    Ok(Some(resolver)) => self.open(resolver),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, peer = %connection.info.peer, "an HTTP/3 connection broke");
                        break;
                    }
                },
                () = connection.changed() => {}
                () = sleep_until(deadline) => {
                    if told {
                        break;
                    }
                    told = self.tell().await;
                    idle_since = now();
                }
            }
            if connection.streams() > 0 {
                idle_since = now();
            }
        }
        let code = u32::try_from(Code::H3_NO_ERROR.value()).unwrap_or(0);
        self.quic.close(VarInt::from_u32(code), b"");
    }

    /// Tells the client that no new requests are welcome (RFC 9114 section 5.2). Those that are open go on.
    async fn tell(&mut self) -> bool {
        if let Err(error) = self.h3.shutdown(0).await {
            tracing::debug!(%error, "GOAWAY cannot be sent");
        }
        true
    }

    fn open(&self, resolver: Resolver) {
        let (connection, quic, handler) = (Rc::clone(&self.connection), self.quic.clone(), Rc::clone(&self.handler));
        let complete = self.complete.clone();
        spawn_local(async move { request(&connection, quic, &*handler, resolver, complete).await });
    }
}

async fn request<H: Handler>(
    connection: &Rc<Connection>,
    quic: quinn::Connection,
    handler: &H,
    resolver: Resolver,
    mut complete: watch::Receiver<bool>,
) {
    let limit = connection.worker.timeouts().header_wait.unwrap_or(FAR);
    let (request, stream) = match timeout(limit, resolver.resolve_request()).await {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => return tracing::debug!(%error, "an HTTP/3 request is malformed"),
        Err(_) => return mux::refused(connection, Reason::TimerHeaderWait),
    };
    // RFC 8470 section 3: what must not happen twice waits until it cannot be a replay.
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    if !is_safe && complete.wait_for(|complete| *complete).await.is_err() {
        return;
    }
    let (mut head, ()) = request.into_parts();
    let tunnel = head.extensions.remove::<Protocol>().map(|protocol| Tunnel(protocol.as_str().into()));
    let (send, receive) = stream.split();
    let mut stream = Carrier::new(send, receive, quic);
    let incoming = Incoming { ended: tunnel.is_none() && stream.has_ended(), head, tunnel };
    mux::open(connection, handler, &incoming, Version::Http3, carrier::Carrier::Http3(Box::new(stream)));
}
