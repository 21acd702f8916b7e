//! actix-ws with one worker and no middleware.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use actix_ws::{Message, MessageStream, Session};
use anyhow::Result;
use bench_websocket::{BROADCAST, ECHO, Everybody, TEXT};
use futures_util::StreamExt;

#[actix_web::main]
async fn main() -> Result<()> {
    let listener = bench_websocket::listen()?;
    let everybody = Everybody::default();
    let app = move || {
        let everybody = web::Data::new(everybody.clone());
        App::new()
            .app_data(everybody)
            .route(ECHO, web::get().to(echo))
            .route(TEXT, web::get().to(echo))
            .route(BROADCAST, web::get().to(broadcast))
    };
    // Its own signal handling would wait for connections before it ends. Its limit of connections is below what idle here.
    let server = HttpServer::new(app)
        .workers(1)
        .max_connections(200_000)
        .backlog(4096)
        .client_disconnect_timeout(std::time::Duration::ZERO)
        .disable_signals()
        .listen(listener)?
        .run();
    bench_websocket::ready();
    server.await?;
    Ok(())
}

fn accept(request: &HttpRequest, body: web::Payload) -> actix_web::Result<(HttpResponse, Session, MessageStream)> {
    let (response, session, stream) = actix_ws::handle(request, body)?;
    // Above 64 KiB with its header: by default, it takes no more.
    Ok((response, session, stream.max_frame_size(1 << 20)))
}

async fn echo(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut stream) = accept(&request, body)?;
    actix_web::rt::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            let sent = match message {
                Message::Binary(bytes) => session.binary(bytes).await,
                Message::Text(text) => session.text(text).await,
                Message::Close(reason) => {
                    let _ = session.close(reason).await;
                    return;
                }
                _ => Ok(()),
            };
            if sent.is_err() {
                break;
            }
        }
    });
    Ok(response)
}

async fn broadcast(request: HttpRequest, body: web::Payload, everybody: web::Data<Everybody>) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut stream) = accept(&request, body)?;
    let (member, mut mine) = everybody.enter();
    actix_web::rt::spawn(async move {
        while let Some(message) = mine.recv().await {
            if session.binary(message).await.is_err() {
                break;
            }
        }
    });
    actix_web::rt::spawn(async move {
        let _member = member;
        while let Some(Ok(message)) = stream.next().await {
            if let Message::Binary(bytes) = message {
                everybody.send(&bytes);
            }
        }
    });
    Ok(response)
}
