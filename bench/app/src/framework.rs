//! Apps as their authors write them: an axum router, and a function as a tower service.

use std::convert::Infallible;

use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use narthex::{CachePolicy, Provider, Server, Tls};
use tower::{Service, service_fn};

use crate::Args;

pub(crate) fn axum() -> axum::Router {
    let megabyte = Bytes::from(vec![b'x'; 1 << 20]);
    // The peers' text/plain has no charset, and neither has this.
    axum::Router::new()
        .route("/", get(|| async { ([(CONTENT_TYPE, "text/plain")], "Hello, World!") }))
        .route("/megabyte", get(move || std::future::ready(megabyte.clone())))
}

type Answer = std::future::Ready<Result<Response<Body>, Infallible>>;

pub(crate) fn function()
-> impl Service<Request<narthex::Body>, Response = Response<Body>, Error = Infallible, Future = Answer> + Clone + Send {
    service_fn(|_request| {
        let mut response = Response::new(Body::from("Hello, World!"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        std::future::ready(Ok(response))
    })
}

/// The function, with an answer that the host may give again until it is told otherwise.
pub(crate) fn cached()
-> impl Service<Request<narthex::Body>, Response = Response<Body>, Error = Infallible, Future = Answer> + Clone + Send {
    service_fn(|_request| {
        let mut response = Response::new(Body::from("Hello, World!"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response.extensions_mut().insert(CachePolicy::UntilFlushed);
        std::future::ready(Ok(response))
    })
}

/// Serves, on one worker as the peers do unless the knobs say otherwise.
pub(crate) fn serve<S>(app: S, provider: Provider, args: &Args) -> anyhow::Result<()>
where
    S: Service<Request<narthex::Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let scheme = if args.https { "https" } else { "http" };
    let server = Server::new(app).prefix(format!("{scheme}://127.0.0.1:{}/", args.port)).provider(provider);
    let mut server = server.workers(args.knobs.workers).fine_tune(args.knobs.fine_tune()).queue(args.queue());
    if args.directory.is_some() {
        server = server.max_body(None);
    }
    if let (Some(certificate), Some(key)) = (&args.certificate, &args.key) {
        server = server.tls(Tls::pem_files(certificate, key));
    }
    runtime.block_on(server.on_ready(|_| println!("ready")).run())?;
    Ok(())
}
