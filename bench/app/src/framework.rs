//! Apps as their authors write them: an axum router, and a function as a tower service.

use std::convert::Infallible;

use axum::body::Body;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use narthex::{CachePolicy, Provider, Server};
use tower::{Service, service_fn};

use crate::Knobs;

pub(crate) fn axum() -> axum::Router {
    // The peers' text/plain has no charset, and neither has this.
    axum::Router::new().route("/", get(|| async { ([(CONTENT_TYPE, "text/plain")], "Hello, World!") }))
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

/// Serves, on one worker as the peers do unless `knobs` says otherwise.
pub(crate) fn serve<S>(app: S, provider: Provider, port: u16, knobs: &Knobs) -> anyhow::Result<()>
where
    S: Service<Request<narthex::Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = Server::new(app).prefix(format!("http://127.0.0.1:{port}/")).provider(provider);
    let server = server.workers(knobs.workers).fine_tune(knobs.fine_tune());
    runtime.block_on(server.on_ready(|_| println!("ready")).run())?;
    Ok(())
}
