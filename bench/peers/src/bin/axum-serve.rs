//! `axum::serve` as its documentation shows it, on tokio's current-thread runtime. Also the upstream behind nginx.

use anyhow::Result;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bench_peers::{BODY, Listen, Listener, MEDIA_TYPE};
use bytes::Bytes;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let megabyte = Bytes::from(vec![b'x'; 1 << 20]);
    let app = Router::new()
        .route("/", get(async || ([(CONTENT_TYPE, MEDIA_TYPE)], BODY)))
        .route("/megabyte", get(move || std::future::ready(megabyte.clone())));
    let listener = Listen::from_command_line()?.bind()?.into_nonblocking()?;
    bench_peers::ready();
    match listener {
        Listener::Tcp(listener) => {
            axum::serve(tokio::net::TcpListener::from_std(listener)?, app).await?;
        }
        Listener::Unix(listener) => {
            axum::serve(tokio::net::UnixListener::from_std(listener)?, app).await?;
        }
    }
    Ok(())
}
