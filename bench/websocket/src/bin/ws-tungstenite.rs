//! tokio-tungstenite on tokio's current-thread runtime.

use anyhow::Result;
use bench_websocket::{BROADCAST, Everybody};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(bench_websocket::listen()?)?;
    let everybody = Everybody::default();
    bench_websocket::ready();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let everybody = everybody.clone();
        tokio::spawn(async move {
            // A client that resets its connection is not worth a line in a benchmark.
            let _ = serve(stream, everybody).await;
        });
    }
}

async fn serve(stream: TcpStream, everybody: Everybody) -> Result<()> {
    let mut broadcasts = false;
    // The type of the error is the library's.
    #[allow(clippy::result_large_err)]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        broadcasts = request.uri().path() == BROADCAST;
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, look).await?;
    if broadcasts { broadcast(socket, everybody).await } else { echo(socket).await }
}

async fn echo(mut socket: WebSocketStream<TcpStream>) -> Result<()> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_binary() || message.is_text() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn broadcast(socket: WebSocketStream<TcpStream>, everybody: Everybody) -> Result<()> {
    let (_member, mut mine) = everybody.enter();
    let (mut sink, mut source) = socket.split();
    tokio::spawn(async move {
        while let Some(message) = mine.recv().await {
            if sink.send(Message::Binary(message)).await.is_err() {
                break;
            }
        }
    });
    while let Some(message) = source.next().await {
        if let Message::Binary(message) = message? {
            everybody.send(&message);
        }
    }
    Ok(())
}
