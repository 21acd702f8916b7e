//! fastwebsockets on hyper, as its own example has it, on tokio's current-thread runtime.

use anyhow::Result;
use bench_websocket::{BROADCAST, Everybody};
use bytes::Bytes;
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

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

async fn serve(stream: TcpStream, everybody: Everybody) -> Result<(), hyper::Error> {
    let service = service_fn(move |request| accept(request, everybody.clone()));
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await
}

async fn accept(mut request: Request<Incoming>, everybody: Everybody) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let broadcasts = request.uri().path() == BROADCAST;
    let (response, upgraded) = upgrade(&mut request)?;
    tokio::spawn(async move {
        if broadcasts {
            let _ = broadcast(upgraded, everybody).await;
        } else {
            // As in its example: without tokio's budget for a task.
            let _ = tokio::task::unconstrained(echo(upgraded)).await;
        }
    });
    Ok(response)
}

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn broadcast(upgraded: UpgradeFut, everybody: Everybody) -> Result<(), WebSocketError> {
    let (_member, mut mine) = everybody.enter();
    let (read, mut write) = upgraded.await?.split(tokio::io::split);
    let mut read = FragmentCollectorRead::new(read);
    tokio::spawn(async move {
        while let Some(message) = mine.recv().await {
            if write.write_frame(Frame::binary(Payload::Borrowed(&message))).await.is_err() {
                break;
            }
        }
    });
    loop {
        // What it would answer by itself (a Close, a pong) is dropped: the load has neither.
        let frame = read.read_frame(&mut |_| async { Ok::<_, WebSocketError>(()) }).await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Binary => everybody.send(&Bytes::copy_from_slice(&frame.payload)),
            _ => {}
        }
    }
}
