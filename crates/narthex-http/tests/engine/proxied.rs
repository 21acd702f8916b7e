//! TLS behind a proxy of connections: the PROXY header comes first, then the handshake.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use narthex_http::tls::development::Authority;
use narthex_http::tls::{Binding, Bindings, Source, TlsOptions};
use narthex_http::{BodyLength, ConnectionCaps, Exchange, ProxyProtocol, Request, TrustedProxies, Worker};
use narthex_proto::prefix::Scheme;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::engine::server::{Handling, Server, Work, serve_with};

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n";

/// Answers with what it knows of the client, and with the port that it reached.
fn told(request: &Request<'_>, exchange: &Exchange) -> Work {
    let connection = request.connection;
    let text = format!("{} {} {}", connection.peer, connection.secure, connection.local.port());
    let _ = exchange.start(200, [(&b"connection"[..], &b"close"[..])].into_iter(), BodyLength::Exact(text.len() as u64));
    let _ = exchange.data(text.as_bytes().into(), true);
    None
}

struct Made {
    _directory: TempDir,
    authority: Authority,
    _server: Server,
    address: SocketAddr,
}

impl Made {
    fn new(trusted: &'static [&'static str]) -> Self {
        let directory = TempDir::new().unwrap();
        let authority = Authority::in_directory(directory.path()).unwrap();
        let listener = narthex_http::listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap().remove(0);
        let address = listener.local_addr().unwrap();
        let issued = authority.issue(&["a.test"]).unwrap();
        let source = Source::PemText { certificate: issued.certificate.as_bytes().into(), key: issued.key.as_bytes().into() };
        let at = format!("127.0.0.1:{}", address.port()).parse().unwrap();
        let binding = Arc::new(Binding::new(at, &source, TlsOptions::default()).unwrap());
        let prepare = move |worker: &Rc<Worker>| {
            worker.set_tls(Some(Arc::new(Bindings::new(vec![binding]))));
            worker.set_proxy_protocol(Arc::new(ProxyProtocol::at([address])));
            worker.set_trusted_proxies(Arc::new(TrustedProxies::parse(trusted).unwrap()));
            let worker = Rc::clone(worker);
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::task::spawn_local(async move { worker.accept(listener, Scheme::Https, Rc::new(Handling(told))).await });
        };
        let server = serve_with(|_| {}, ConnectionCaps::default(), prepare, told);
        Self { _directory: directory, authority, _server: server, address }
    }

    /// What a client gets that sends `header` before the handshake, and `lines` in its request.
    async fn ask(&self, header: &[u8], lines: &str) -> std::io::Result<String> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.authority.certificate_file()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(header).await?;
        let mut stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("a.test").unwrap(), stream).await?;
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.rsplit("\r\n").next().unwrap_or_default().to_owned())
    }
}

#[tokio::test]
async fn the_header_comes_before_the_handshake_and_only_the_clients_address_is_taken_from_it() {
    let made = Made::new(&[]);
    let port = made.address.port();
    assert_eq!(made.ask(HEADER, "").await.unwrap(), format!("192.0.2.1:4711 true {port}"));
    assert!(made.ask(b"", "").await.is_err(), "a handshake is no header");
}

#[tokio::test]
async fn a_client_without_tls_of_a_proxy_with_it_is_not_secure() {
    let made = Made::new(&["127.0.0.1", "192.0.2.1"]);
    let port = made.address.port();
    let lines = "X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-Proto: http\r\n";
    assert_eq!(made.ask(HEADER, lines).await.unwrap(), format!("203.0.113.1:0 false {port}"));
}
