//! A UDP socket that QUIC connections arrive at.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use narthex_proto::prefix::Scheme;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use rustls::Tls13CipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use tokio::task::spawn_local;

use crate::h3::serve::serve;
use crate::mux;
use crate::reason::Reason;
use crate::request::{ConnectionInfo, Handler};
use crate::tls::Bindings;
use crate::worker::Worker;

/// Requests that a client may have open at a time, as in HTTP/2.
const MOST_STREAMS: u32 = 100;
/// Its control stream, the two of QPACK, and a few that it may have for itself.
const MOST_OWN_STREAMS: u32 = 8;
/// A client that is silent for so long is gone: one that is there answers what is sent to keep the connection open.
const SILENCE: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Bytes of a request body that a client may send before somebody has read them.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes of all responses of a connection that the client has not acknowledged.
const SEND_WINDOW: u64 = 1 << 20;
/// With so many handshakes in progress, clients have to show first that they get what is sent to them (RFC 9000 section 8.1).
const UNPROVED: usize = 256;

/// Addresses of this machine that configurations are kept for.
const ADDRESSES: usize = 64;

/// Made of these bindings. `None` where they do not offer HTTP/3, or cannot.
#[derive(Default)]
struct Configs {
    of: Weak<Bindings>,
    made: HashMap<IpAddr, Option<Arc<ServerConfig>>>,
}

/// A socket, and what its connections begin with.
struct Door {
    worker: Rc<Worker>,
    local: SocketAddr,
    /// What is right now, by the address that clients have connected to.
    configs: Configs,
    handshakes: Rc<Cell<usize>>,
}

impl Worker {
    /// Accepts QUIC connections at a UDP socket until the returned future is dropped; they go on, but for what needs the socket.
    /// Connections are refused where [`set_tls`](Self::set_tls) has no binding that offers HTTP/3.
    ///
    /// # Errors
    /// If the socket cannot be used.
    pub async fn accept_quic<H: Handler>(self: &Rc<Self>, socket: UdpSocket, handler: Rc<H>) -> io::Result<()> {
        let local = socket.local_addr()?;
        // Without a configuration an endpoint accepts nothing; each connection is given the one that is right then.
        let config = server_config(crate::worker::nobody()).map_err(io::Error::other)?;
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))?;
        let mut door = Door { worker: Rc::clone(self), local, configs: Configs::default(), handshakes: Rc::default() };
        while let Some(incoming) = endpoint.accept().await {
            door.admit(incoming, &handler);
        }
        Ok(())
    }
}

impl Door {
    fn admit<H: Handler>(&mut self, incoming: Incoming, handler: &Rc<H>) {
        let peer = incoming.remote_address();
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let local = incoming.local_ip().map_or(self.local, |ip| SocketAddr::new(ip.to_canonical(), self.local.port()));
        let config = if self.worker.is_retiring() { None } else { self.config(local) };
        let Some(config) = config else { return incoming.refuse() };
        if self.handshakes.get() >= UNPROVED && !incoming.remote_address_validated() {
            // It fails only for those that are validated.
            let _ = incoming.retry();
            return;
        }
        let id = crate::worker::next_connection_id();
        let info = ConnectionInfo { id, peer, local, scheme: Scheme::Https, secure: true };
        let Some(permit) = self.worker.admit(peer.ip()) else {
            incoming.refuse();
            return self.worker.tell_refused(&info, Reason::ConnLimit, None);
        };
        let early_data = self.worker.with_tls(|bindings| bindings.is_some_and(|bindings| bindings.allows_early_data(local)));
        let Ok(connecting) = incoming.accept_with(config) else { return };
        let connection = mux::Connection::new(Rc::clone(&self.worker), info, None);
        let registered = self.worker.register_streams(&connection);
        let handshake = Handshake::new(&self.handshakes);
        let handler = Rc::clone(handler);
        spawn_local(async move {
            let _kept = (permit, registered);
            serve(connection, connecting, early_data, handshake, handler).await;
        });
    }

    /// What is right now at this address: not at that of the socket, which may be every interface, while there are bindings of
    /// one alone that ask more of clients.
    fn config(&mut self, local: SocketAddr) -> Option<Arc<ServerConfig>> {
        let bindings = self.worker.tls()?;
        if self.configs.of.as_ptr() != Arc::as_ptr(&bindings) || self.configs.made.len() >= ADDRESSES {
            self.configs = Configs { of: Arc::downgrade(&bindings), made: HashMap::new() };
        }
        let made = self.configs.made.entry(local.ip()).or_insert_with(|| {
            let made = bindings.quic(local).map_err(|error| error.to_string());
            let made = made.and_then(|tls| tls.map(server_config).transpose().map_err(|error| error.to_string()));
            let made = made.unwrap_or_else(|error| {
                tracing::error!(%local, %error, "HTTP/3 cannot be offered");
                None
            });
            made.map(Arc::new)
        });
        made.clone()
    }
}

fn server_config(tls: Arc<rustls::ServerConfig>) -> Result<ServerConfig, quinn::crypto::rustls::NoInitialCipherSuite> {
    // The first packets are under this suite even where the bindings do not allow it: their keys are known to everybody (RFC 9001
    // section 5.2).
    let initial = TLS13_AES_128_GCM_SHA256.tls13().and_then(Tls13CipherSuite::quic_suite);
    let crypto = match initial {
        Some(initial) => QuicServerConfig::with_initial(tls, initial)?,
        None => QuicServerConfig::try_from(tls)?,
    };
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(MOST_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(STREAM_WINDOW * MOST_STREAMS))
        .send_window(SEND_WINDOW)
        .max_concurrent_uni_streams(VarInt::from_u32(MOST_OWN_STREAMS))
        // One that is there and does nothing is ended by the server's own timer, however long its app takes for an answer.
        .max_idle_timeout(IdleTimeout::try_from(SILENCE).ok())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .datagram_receive_buffer_size(None);
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// One of the handshakes in progress.
pub(super) struct Handshake(Rc<Cell<usize>>);

impl Handshake {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
