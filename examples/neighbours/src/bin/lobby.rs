//! The one of two programs on a port that has what the other has not: `http://localhost:8888/`. See `shop`.

use axum::Router;

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt::init();
    let app = Router::new().fallback(async || format!("the lobby, process {}\n", std::process::id()));
    narthex::serve("http://+:8888/", app).await
}
