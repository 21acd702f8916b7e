//! The other of two programs on a port: `http://localhost:8888/shop/`.
//!
//! On Windows they share it by HTTP.sys, elsewhere by `narthex host`. `wine.sh` shows them on the HTTP.sys of Wine.

use axum::{Router, routing::get};

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt::init();
    let basket = get(async || format!("the shop's basket, process {}\n", std::process::id()));
    narthex::serve("http://+:8888/shop/", Router::new().route("/basket", basket)).await
}
