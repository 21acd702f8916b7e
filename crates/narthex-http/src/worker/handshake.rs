//! TLS: which binding answers, the handshake, and what it has settled.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::request::TlsInfo;
use crate::tls::Bindings;

/// What a client has agreed to speak (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
    /// Nothing: the handshake itself was an ACME server's question (RFC 8737).
    Challenge,
}

/// Shakes hands. What fails was told to the client by an alert.
pub(super) async fn shake_hands(
    stream: TcpStream,
    local: SocketAddr,
    bindings: Option<Arc<Bindings>>,
) -> io::Result<(TlsStream<TcpStream>, TlsInfo, Spoken)> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let config = bindings.and_then(|bindings| bindings.select(local, &start.client_hello()));
    let config = config.unwrap_or_else(|| {
        tracing::debug!(%local, name = start.client_hello().server_name(), "no TLS binding answers to this name");
        nobody()
    });
    let stream = start.into_stream(config).await?;
    let (_, session) = stream.get_ref();
    let spoken = match session.alpn_protocol() {
        Some(b"h2") => Spoken::Http2,
        Some(b"acme-tls/1") => Spoken::Challenge,
        _ => Spoken::Http1,
    };
    let unsettled = || io::Error::from(io::ErrorKind::InvalidData);
    let info = TlsInfo {
        version: session.protocol_version().ok_or_else(unsettled)?,
        cipher_suite: session.negotiated_cipher_suite().ok_or_else(unsettled)?.suite().into(),
        server_name: session.server_name().map(Into::into),
        client_certificate: session.peer_certificates().and_then(<[_]>::first).map(|leaf| Bytes::copy_from_slice(leaf)),
    };
    Ok((stream, info, spoken))
}

/// Has no certificate for anybody, which the client learns by an alert.
#[derive(Debug)]
struct Nobody;

impl ResolvesServerCert for Nobody {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

static NOBODY: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let builder = ServerConfig::builder_with_provider(crate::tls::provider()).with_safe_default_protocol_versions();
    // The versions and the suites are the provider's own.
    let builder = builder.expect("a provider has what its own defaults need");
    Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(Nobody)))
});

/// By which all handshakes fail.
pub(crate) fn nobody() -> Arc<ServerConfig> {
    Arc::clone(&NOBODY)
}
