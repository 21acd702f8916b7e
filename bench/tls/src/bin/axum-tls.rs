//! An axum app over TLS as it is served without Narthex: tokio-rustls and hyper for HTTP/1.1 and HTTP/2 (what `axum-server` does),
//! quinn and h3 for HTTP/3.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bench_tls::{BODY, MEDIA_TYPE, MEGABYTE, MEGABYTE_PATH};
use bytes::Bytes;
use clap::Parser;
use h3::server::RequestResolver;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

#[derive(Parser)]
struct Args {
    /// The port on 127.0.0.1, for TCP and UDP.
    #[arg(long)]
    port: u16,
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    key: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let app = app();
    let quic = QuicServerConfig::try_from(tls(&args, &[b"h3"])?)?;
    let endpoint = quinn::Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(quic)), address)?;
    tokio::spawn(serve_quic(endpoint, app.clone()));

    let acceptor = TlsAcceptor::from(Arc::new(tls(&args, &[b"h2", b"http/1.1"])?));
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("ready");
    let _ = std::io::stdout().flush();
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, acceptor.clone(), app.clone()));
    }
}

fn app() -> Router {
    let megabyte = Bytes::from(vec![b'x'; MEGABYTE]);
    Router::new()
        .route("/", get(async || ([(CONTENT_TYPE, MEDIA_TYPE)], BODY)))
        .route(MEGABYTE_PATH, get(move || std::future::ready(megabyte.clone())))
}

/// The same rules as Narthex has: sessions are resumed by tickets that the server does not remember.
fn tls(args: &Args, protocols: &[&[u8]]) -> Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&args.certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&args.key)?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.ticketer = Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// A client that resets its connection is not worth a line in a benchmark: errors end what they are about.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor, app: Router) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = TowerToHyperService::new(app);
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

async fn serve_quic(endpoint: quinn::Endpoint, app: Router) {
    while let Some(incoming) = endpoint.accept().await {
        let app = app.clone();
        tokio::spawn(async move {
            let quic = incoming.await?;
            let mut connection = h3::server::Connection::<_, Bytes>::new(h3_quinn::Connection::new(quic)).await?;
            while let Some(resolver) = connection.accept().await? {
                let app = app.clone();
                tokio::spawn(async move { answer(resolver, app).await });
            }
            anyhow::Ok(())
        });
    }
}

async fn answer(resolver: RequestResolver<h3_quinn::Connection, Bytes>, app: Router) -> Result<()> {
    let (request, mut stream) = resolver.resolve_request().await?;
    let (head, ()) = request.into_parts();
    let response = app.oneshot(Request::from_parts(head, Body::empty())).await?;
    let (head, mut body) = response.into_parts();
    stream.send_response(http::Response::from_parts(head, ())).await?;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            stream.send_data(data).await?;
        }
    }
    stream.finish().await?;
    Ok(())
}
