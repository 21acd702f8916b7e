//! Connections, and who makes them.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, RecvStream, SendStream, TransportConfig, VarInt, ZeroRttAccepted};
use tokio::sync::watch;

use super::frame::{self, GOAWAY, HEADERS, SETTINGS};
use super::{Stream, qpack};
use crate::h2::Answer;
use crate::transport::client_config;

/// Who makes connections: a browser, say. It remembers sessions.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: quinn::Endpoint,
}

impl Client {
    /// One that trusts this authority. It needs a runtime around it.
    ///
    /// # Panics
    /// When there is no socket left.
    pub fn new(authority: &Path) -> Self {
        let mut tls = client_config(authority, &[b"h3"]);
        tls.enable_early_data = true;
        let tls = QuicClientConfig::try_from(tls).expect("there are cipher suites for QUIC");
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        let mut transport = TransportConfig::default();
        // A client that is stopped in a debugger for a while is still there.
        transport.max_idle_timeout(None);
        config.transport_config(Arc::new(transport));
        let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("there is a free port");
        endpoint.set_default_client_config(config);
        Self { endpoint }
    }

    /// Its address.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().expect("a socket has an address")
    }

    /// Gets another address, as a phone does that leaves the house.
    ///
    /// # Panics
    /// When there is no socket left.
    pub fn move_elsewhere(&self) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        self.endpoint.rebind(socket).expect("a socket can be exchanged");
    }

    /// Connects.
    ///
    /// # Errors
    /// When the server does not want it, or is not there.
    pub async fn connect(&self, address: SocketAddr) -> Result<Connection, ConnectionError> {
        let connecting = self.endpoint.connect(address, "localhost").expect("it is an address");
        Ok(Connection::begin(connecting.await?, address).await)
    }

    /// Begins with early data. `None` if the server has not allowed it before. The other value tells whether the server took it.
    ///
    /// # Panics
    /// When it is no address.
    pub async fn connect_early(&self, address: SocketAddr) -> Option<(Connection, ZeroRttAccepted)> {
        let (quic, accepted) = self.endpoint.connect(address, "localhost").expect("it is an address").into_0rtt().ok()?;
        Some((Connection::begin(quic, address).await, accepted))
    }
}

/// What the server has said on its control stream.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Its settings; `None` before they have come.
    pub settings: Option<HashMap<u64, u64>>,
    /// The first request that it does not take any more.
    pub goaway: Option<u64>,
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    /// The transport.
    pub quic: quinn::Connection,
    control: SendStream,
    authority: String,
    said: watch::Receiver<Said>,
}

impl Connection {
    async fn begin(quic: quinn::Connection, address: SocketAddr) -> Self {
        let mut control = quic.open_uni().await.expect("a client may have a control stream");
        // The type of the stream, and no settings.
        let begun = [&[0][..], &frame::frame(SETTINGS, [])].concat();
        control.write_all(&begun).await.expect("there is room for a few bytes");
        let (saying, said) = watch::channel(Said::default());
        let accepting = quic.clone();
        tokio::spawn(async move {
            let saying = Arc::new(saying);
            while let Ok(stream) = accepting.accept_uni().await {
                tokio::spawn(read(stream, Arc::clone(&saying)));
            }
        });
        Self { quic, control, authority: address.to_string(), said }
    }

    /// What goes into `:authority`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The server's certificate.
    ///
    /// # Panics
    /// When the handshake is not complete.
    pub fn certificate(&self) -> Vec<u8> {
        let shown = self.quic.peer_identity().expect("a server shows a certificate");
        let chain = shown.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().expect("rustls shows a chain");
        chain[0].to_vec()
    }

    /// Opens a stream that is to send frames of the test's own making.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn stream(&self) -> Result<Stream, ConnectionError> {
        let (send, receive) = self.quic.open_bi().await?;
        Ok(Stream::new(send, receive))
    }

    /// Sends a request's head, with further fields; its body may follow.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn open(&self, method: &str, path: &str, more: &[(&str, &str)]) -> Result<Stream, ConnectionError> {
        let head = [(":method", method), (":scheme", "https"), (":authority", &self.authority), (":path", path)];
        self.send_head(head.iter().chain(more).copied()).await
    }

    /// Asks for a tunnel for WebSocket (RFC 9220).
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn open_web_socket(&self, path: &str) -> Result<Stream, ConnectionError> {
        self.open("CONNECT", path, &[(":protocol", "websocket"), ("sec-websocket-version", "13")]).await
    }

    /// Sends a request's head, whatever it is.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_head<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Stream, ConnectionError> {
        let mut stream = self.stream().await?;
        // That the server does not take it is seen when reading.
        let _ = stream.request.write(&frame::frame(HEADERS, qpack::block(fields))).await;
        Ok(stream)
    }

    /// The answer to a request without a body.
    ///
    /// # Panics
    /// When none comes.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    /// The answer to a request with these fields, and without a body.
    ///
    /// # Panics
    /// When none comes.
    pub async fn ask(&self, method: &str, path: &str, more: &[(&str, &str)]) -> Answer {
        let mut stream = self.open(method, path, more).await.expect("the connection is there");
        stream.answer().await.unwrap_or_else(|end| panic!("{method} {path} is not answered: {end:?}"))
    }

    /// Sends bytes on the control stream.
    ///
    /// # Panics
    /// When the server does not take them.
    pub async fn control(&mut self, bytes: &[u8]) {
        self.control.write_all(bytes).await.expect("the server reads its clients' control streams");
    }

    /// Waits until the server has said what is looked for.
    ///
    /// # Panics
    /// When the connection ends before.
    pub async fn said(&mut self, wanted: impl Fn(&Said) -> bool) -> Said {
        self.said.wait_for(wanted).await.expect("the connection ended before the server said it").clone()
    }

    /// Waits until the connection ends. The server's code, if the server has ended it.
    pub async fn closed(&self) -> Option<u64> {
        match self.quic.closed().await {
            ConnectionError::ApplicationClosed(close) => Some(VarInt::into_inner(close.error_code)),
            _ => None,
        }
    }

    /// Leaves.
    pub fn leave(&self) {
        self.quic.close(VarInt::from_u32(0x100), b"");
    }
}

/// Reads a stream of the server's own.
async fn read(mut stream: RecvStream, saying: Arc<watch::Sender<Said>>) {
    let mut kind = [0];
    // Only the control stream says something.
    if stream.read_exact(&mut kind).await.is_err() || kind != [0] {
        return;
    }
    let (mut buffer, mut chunk) = (Vec::new(), [0; 1024]);
    while let Ok(Some(count)) = stream.read(&mut chunk).await {
        buffer.extend_from_slice(&chunk[..count]);
        let mut rest = &buffer[..];
        while let Some((kind, payload)) = frame::take_frame(&mut rest) {
            saying.send_modify(|said| note(said, kind, &payload));
        }
        buffer.drain(..buffer.len() - rest.len());
    }
}

fn note(said: &mut Said, kind: u64, mut payload: &[u8]) {
    match kind {
        SETTINGS => {
            let mut settings = HashMap::new();
            while let (Some(name), Some(value)) = (frame::take_number(&mut payload), frame::take_number(&mut payload)) {
                settings.insert(name, value);
            }
            said.settings = Some(settings);
        }
        GOAWAY => said.goaway = frame::take_number(&mut payload),
        _ => {}
    }
}
