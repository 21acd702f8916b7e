//! The smallest app on Narthex: `cargo run -p hello`, then open `http://localhost:8888/MyApp/ping`.

use axum::{Router, routing::get};

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt::init();
    let app = Router::new().route("/ping", get(|| async { "pong" }));
    narthex::serve("http://+:8888/MyApp/", app).await
}
