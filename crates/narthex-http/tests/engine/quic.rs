//! Which QUIC clients are let in, by the address that they connect to and the name that they ask for.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;

use narthex_http::ConnectionCaps;
use narthex_http::tls::development::Authority;
use narthex_http::tls::{Binding, Bindings, Source, TlsOptions};
#[cfg(target_os = "linux")]
use narthex_http::tls::{ClientCertificates, Demand};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use crate::engine::client::PATIENCE;
use crate::engine::server::{Handling, Server, ok, serve_with};

struct Made {
    _directory: TempDir,
    authority: Authority,
}

impl Made {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let authority = Authority::in_directory(directory.path()).unwrap();
        Self { _directory: directory, authority }
    }

    fn binding(&self, at: String, name: &str, options: TlsOptions) -> Arc<Binding> {
        let issued = self.authority.issue(&[name]).unwrap();
        let source = Source::PemText { certificate: issued.certificate.as_bytes().into(), key: issued.key.as_bytes().into() };
        Arc::new(Binding::new(at.parse().unwrap(), &source, options).unwrap())
    }

    async fn connect(&self, to: SocketAddr, name: &str) -> Result<(), String> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.authority.certificate_file()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let endpoint = quinn::Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let connecting = endpoint.connect_with(config, to, name).unwrap();
        let connected = tokio::time::timeout(PATIENCE, connecting).await.map_err(|_| "nothing came".to_owned())?;
        connected.map(drop).map_err(|error| error.to_string())
    }
}

/// Every interface, and what the bindings of its port are.
fn serve(bindings: impl FnOnce(u16) -> Vec<Arc<Binding>>) -> (Server, u16) {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let bindings = Arc::new(Bindings::new(bindings(port)));
    let app = |_: &narthex_http::Request<'_>, exchange: &narthex_http::Exchange| {
        ok(exchange);
        None
    };
    let prepare = move |worker: &Rc<narthex_http::Worker>| {
        worker.set_tls(Some(bindings));
        let worker = Rc::clone(worker);
        tokio::task::spawn_local(async move { worker.accept_quic(socket, Rc::new(Handling(app))).await });
    };
    (serve_with(|_| {}, ConnectionCaps::default(), prepare, app), port)
}

fn loopback(last: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, last), port).into()
}

// Elsewhere 127.0.0.1 is the only loopback address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stricter_binding_of_the_address_is_not_passed_by_over_quic() {
    let made = Made::new();
    let rules = ClientCertificates::new(Demand::Required).authorities(made.authority.certificate_file());
    let mut strict = TlsOptions::default();
    strict.client_certificates = rules;
    let (_server, port) = serve(|port| {
        vec![
            made.binding(format!("127.0.0.1:{port}"), "lax.test", strict),
            made.binding(format!("0.0.0.0:{port}"), "lax.test", TlsOptions::default()),
            made.binding(format!("named.test:{port}"), "named.test", TlsOptions::default()),
        ]
    });
    assert!(made.connect(loopback(1, port), "lax.test").await.is_err());
    assert_eq!(made.connect(loopback(2, port), "lax.test").await, Ok(()));
    assert_eq!(made.connect(loopback(1, port), "named.test").await, Ok(()));
}

#[tokio::test]
async fn a_binding_without_the_suite_of_the_first_packets_offers_http3_all_the_same() {
    let made = Made::new();
    let mut options = TlsOptions::default();
    options.cipher_suites = vec!["TLS_AES_256_GCM_SHA384".parse().unwrap()];
    let (_server, port) = serve(|port| vec![made.binding(format!("0.0.0.0:{port}"), "a.test", options)]);
    assert_eq!(made.connect(loopback(1, port), "a.test").await, Ok(()));
}
