//! Both sides in one runtime: a worker with an app, and clients.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use narthex_http::tls::development::Authority;
use narthex_http::tls::{Binding, Bindings, Source, TlsOptions};
use narthex_http::{Admission, BodyLength, ConnectionCaps, Exchange, Handler, Piece, Request, Settings, Worker};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::task::{LocalSet, spawn_local};

/// No test waits longer than this for something that is to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Stream = RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) worker: Rc<Worker>,
    /// Futures of `/hold` that are alive.
    pub(crate) held: Rc<Cell<usize>>,
    certificate: CertificateDer<'static>,
}

pub(crate) fn run<F: Future>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async { tokio::time::timeout(PATIENCE, async { test().await }).await.unwrap() };
    LocalSet::new().block_on(&runtime, test);
}

pub(crate) fn serve(change: impl FnOnce(&mut Settings)) -> Server {
    serve_with(change, false)
}

pub(crate) fn serve_with(change: impl FnOnce(&mut Settings), early_data: bool) -> Server {
    let socket = narthex_http::listen_udp((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let authority = Authority::in_directory(directory.path()).unwrap();
    let issued = authority.issue(&["localhost"]).unwrap();
    let certificate = CertificateDer::from_pem_file(authority.certificate_file()).unwrap();
    let source = Source::PemText { certificate: issued.certificate.as_bytes().into(), key: issued.key.as_bytes().into() };
    let mut options = TlsOptions::default();
    options.early_data = early_data;
    let binding = Binding::new(address.to_string().parse().unwrap(), &source, options).unwrap();
    let mut settings = Settings::default();
    change(&mut settings);
    let worker = Worker::new(settings, Admission::new(ConnectionCaps::default()));
    worker.set_tls(Some(Arc::new(Bindings::new(vec![Arc::new(binding)]))));
    let held = Rc::new(Cell::new(0));
    let app = Rc::new(App { held: Rc::clone(&held) });
    let serving = Rc::clone(&worker);
    spawn_local(async move { serving.accept_quic(socket, app).await });
    Server { address, worker, held, certificate }
}

/// One that keeps sessions, so that a second connection can begin with early data.
pub(crate) fn endpoint(server: &Server) -> quinn::Endpoint {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.enable_early_data = true;
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window(STREAM_WINDOW.into());
    config.transport_config(Arc::new(transport));
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    endpoint.set_default_client_config(config);
    endpoint
}

/// What a stream of a client takes that nobody reads.
pub(crate) const STREAM_WINDOW: u32 = 32 * 1024;

pub(crate) struct Client {
    pub(crate) endpoint: quinn::Endpoint,
    pub(crate) quic: quinn::Connection,
    pub(crate) requests: SendRequest<h3_quinn::OpenStreams, Bytes>,
    /// Ends with the connection.
    pub(crate) driver: tokio::task::JoinHandle<h3::error::ConnectionError>,
}

impl Server {
    pub(crate) async fn connect(&self) -> Client {
        let endpoint = endpoint(self);
        let quic = endpoint.connect(self.address, "localhost").unwrap().await.unwrap();
        client(endpoint, quic).await
    }
}

pub(crate) async fn client(endpoint: quinn::Endpoint, quic: quinn::Connection) -> Client {
    let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(quic.clone())).await.unwrap();
    let driver = spawn_local(async move { poll_fn(|cx| driver.poll_close(cx)).await });
    Client { endpoint, quic, requests, driver }
}

impl Client {
    pub(crate) async fn open(&mut self, method: &str, path: &str) -> Stream {
        let uri = format!("https://localhost{path}");
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        self.requests.send_request(request).await.unwrap()
    }

    pub(crate) async fn get(&mut self, path: &str) -> (u16, Vec<u8>) {
        let mut stream = self.open("GET", path).await;
        stream.finish().await.unwrap();
        answer(&mut stream).await
    }
}

pub(crate) async fn answer(stream: &mut Stream) -> (u16, Vec<u8>) {
    let response = stream.recv_response().await.unwrap();
    let mut body = Vec::new();
    while let Some(mut piece) = stream.recv_data().await.unwrap() {
        body.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    (response.status().as_u16(), body)
}

struct App {
    held: Rc<Cell<usize>>,
}

struct Held(Rc<Cell<usize>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Handler for App {
    type Future = std::pin::Pin<Box<dyn Future<Output = ()>>>;

    fn handle(&self, request: Request<'_>, exchange: Exchange) -> Option<Self::Future> {
        let none = std::iter::empty;
        match request.target {
            "/echo" => return Some(Box::pin(echo(exchange))),
            "/hold" => {
                self.held.set(self.held.get() + 1);
                let held = Held(Rc::clone(&self.held));
                return Some(Box::pin(async move {
                    std::future::pending::<()>().await;
                    drop((held, exchange));
                }));
            }
            "/read" => {
                return Some(Box::pin(async move {
                    while let Some(Ok(_)) = poll_fn(|cx| exchange.poll_body(cx)).await {}
                    let _ = exchange.send(200, none(), Piece::EMPTY);
                }));
            }
            "/large" => drop(exchange.send(200, none(), Piece::Shared(vec![7; 4 << 20].into()))),
            "/chat" if request.wants_upgrade => {
                exchange.upgrade(none()).unwrap();
                return Some(Box::pin(relay(exchange)));
            }
            "/who" => {
                let tls = request.tls.and_then(|tls| tls.server_name.clone()).unwrap_or_default();
                let text = format!("{:?} {} {tls} {}", request.version, request.connection.secure, request.host.is_some());
                let _ = exchange.send(200, none(), Piece::Slice(text.as_bytes()));
            }
            _ => drop(exchange.send(200, none(), Piece::Slice(b"hello"))),
        }
        None
    }
}

async fn echo(exchange: Exchange) {
    if exchange.start(200, std::iter::empty(), BodyLength::Unknown).is_err() {
        return;
    }
    relay(exchange).await;
}

async fn relay(exchange: Exchange) {
    while let Some(Ok(piece)) = poll_fn(|cx| exchange.poll_body(cx)).await {
        if poll_fn(|cx| exchange.poll_ready(cx)).await.is_err() || exchange.data(Piece::Shared(piece), false).is_err() {
            return;
        }
    }
    let _ = match exchange.take_trailers() {
        Some(lines) => exchange.trailers(&lines),
        None => exchange.data(Piece::EMPTY, true),
    };
}
