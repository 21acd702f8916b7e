//! One of two programs on a port, for what the other does not have: `http://localhost:8888/`. See `shop`.

use axum::Router;

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt::init();
    let prefix = std::env::args().nth(1).unwrap_or_else(|| "http://+:8888/".to_owned());
    let app = Router::new().fallback(async || format!("the lobby, process {}\n", std::process::id()));
    narthex::serve(prefix, app).await
}
