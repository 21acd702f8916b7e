//! The other of two programs on a port: `http://localhost:8888/shop/`.
//!
//! On Windows they share it by HTTP.sys, elsewhere by `narthex host`. `wine.sh` shows them on the HTTP.sys of Wine.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use tokio_stream::StreamExt;

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt::init();
    let prefix = std::env::args().nth(1).unwrap_or_else(|| "http://+:8888/shop/".to_owned());
    let app = Router::new()
        .route("/basket", get(async || format!("the shop's basket, process {}\n", std::process::id())))
        .route("/order", post(async |order: Bytes| format!("an order of {} bytes\n", order.len())))
        .route("/receipt", get(async || Body::from_stream(receipt())));
    narthex::serve(prefix, app).await
}

/// Line by line, as the cashier types.
fn receipt() -> impl tokio_stream::Stream<Item = Result<&'static str, Infallible>> {
    tokio_stream::iter(["bread\n", "cheese\n", "total\n"]).throttle(Duration::from_millis(50)).map(Ok)
}
