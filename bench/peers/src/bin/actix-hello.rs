//! actix-web with one worker and no middleware.

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Result;
use bench_peers::{BODY, Listen, Listener, MEDIA_TYPE};

async fn hello() -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))).body(BODY)
}

#[actix_web::main]
async fn main() -> Result<()> {
    let listener = Listen::from_command_line()?.bind()?;
    // Its own signal handling would wait for idle keep-alive connections before it ends.
    let server = HttpServer::new(|| App::new().route("/", web::get().to(hello))).workers(1).disable_signals();
    let server = match listener {
        Listener::Tcp(listener) => server.listen(listener)?,
        Listener::Unix(listener) => server.listen_uds(listener)?,
    };
    let server = server.run();
    bench_peers::ready();
    server.await?;
    Ok(())
}
