//! The client's side of TLS: the same suite and group for every server, and no verification, which would be the client's time.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bench_tls::BODY;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, NamedGroup, SignatureScheme};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Protocol, http1, http2, http3};

/// Session tickets that have arrived, each to be used once.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    unused: VecDeque<Tls13ClientSessionValue>,
    arrived: u64,
    resume: bool,
}

/// More are not kept.
const MOST_TICKETS: usize = 4;

impl Tickets {
    pub(crate) fn new(resume: bool) -> Self {
        Self(Mutex::new(Held { resume, ..Held::default() }))
    }

    /// How many have arrived in all.
    pub(crate) fn arrived(&self) -> u64 {
        self.held().arrived
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut held = self.held();
        held.arrived += 1;
        if held.resume {
            held.unused.push_back(value);
            if held.unused.len() > MOST_TICKETS {
                held.unused.pop_front();
            }
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.held().unused.pop_front()
    }
}

#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256]
    }
}

/// TLS 1.3 with what OpenSSL's clients, wrk and h2load, choose by themselves.
pub(crate) fn config(protocol: &[u8], tickets: &Arc<Tickets>) -> Result<ClientConfig> {
    let provider = CryptoProvider {
        cipher_suites: vec![TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate)).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::store(Arc::clone(tickets) as Arc<dyn ClientSessionStore>);
    Ok(config)
}

/// For a QUIC client.
pub(crate) fn quic_config() -> Result<quinn::ClientConfig> {
    let tls = config(b"h3", &Arc::default())?;
    // The first packets are under this suite whatever is negotiated (RFC 9001 section 5.2).
    let initial = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite()).context("no suite for QUIC")?;
    Ok(quinn::ClientConfig::new(Arc::new(QuicClientConfig::with_initial(Arc::new(tls), initial)?)))
}

pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST))
}

pub(crate) async fn connect(port: u16, config: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    stream.set_nodelay(true)?;
    Ok(TlsConnector::from(config).connect(server_name(), stream).await?)
}

/// Long enough for a server that valgrind runs.
const CHECK: Duration = Duration::from_secs(20);

/// What is negotiated, on a connection that answers as it must.
pub(crate) async fn check(port: u16, protocol: Protocol) -> Result<String> {
    tokio::time::timeout(CHECK, async {
        match protocol {
            Protocol::H1 => check_tcp(port, b"http/1.1").await,
            Protocol::H2 => check_tcp(port, b"h2").await,
            Protocol::H3 => {
                expect(&http3::get(port).await?)?;
                Ok("TLSv1_3 TLS13_AES_256_GCM_SHA384 X25519 h3, the client offers nothing else".to_owned())
            }
        }
    })
    .await
    .context("no answer")?
}

async fn check_tcp(port: u16, protocol: &[u8]) -> Result<String> {
    let tickets = Arc::new(Tickets::new(true));
    let config = Arc::new(config(protocol, &tickets)?);
    let negotiated = |stream: &TlsStream<TcpStream>| {
        let (_, session) = stream.get_ref();
        let version = session.protocol_version().context("no version")?;
        let suite = session.negotiated_cipher_suite().context("no suite")?.suite();
        let group = session.negotiated_key_exchange_group().context("no group")?.name();
        let agreed = session.alpn_protocol().unwrap_or_default();
        if agreed != protocol {
            bail!("the server chose {:?}", String::from_utf8_lossy(agreed));
        }
        anyhow::Ok(format!("{version:?} {suite:?} {group:?} {}", String::from_utf8_lossy(agreed)))
    };
    let stream = connect(port, Arc::clone(&config)).await?;
    let line = negotiated(&stream)?;
    if protocol == b"h2" {
        expect(&http2::get(port, stream).await?)?;
    } else {
        expect(&http1::get(port, stream).await?)?;
    }
    // They came before the first byte of the answer.
    let full = tickets.arrived();
    let mut again = connect(port, config).await?;
    let kind = again.get_ref().1.handshake_kind().context("no handshake")?;
    let before = tickets.arrived();
    let _ = tokio::time::timeout(Duration::from_millis(30), again.read(&mut [0; 1])).await;
    Ok(format!("{line}; {full} tickets, then {kind:?} with {}", tickets.arrived() - before))
}

fn expect(body: &[u8]) -> Result<()> {
    if body != BODY.as_bytes() {
        bail!("answered with the body {:?}", String::from_utf8_lossy(body));
    }
    Ok(())
}
