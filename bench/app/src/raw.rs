//! A handler on the engine itself: what the engine costs, without a framework.

use std::future::Ready;
use std::net::Ipv4Addr;
use std::rc::Rc;

use anyhow::Context;
use narthex_http::{Admission, ConnectionCaps, Exchange, Handler, Piece, Request, Settings, Worker};
use narthex_proto::prefix::Scheme;

struct Hello;

impl Handler for Hello {
    type Future = Ready<()>;

    fn handle(&self, _request: Request<'_>, exchange: Exchange) -> Option<Ready<()>> {
        let headers = [(&b"content-type"[..], &b"text/plain"[..])];
        let _ = exchange.send(200, headers.into_iter(), Piece::Slice(b"Hello, World!"));
        None
    }
}

pub(crate) fn embedded(port: u16) -> anyhow::Result<()> {
    let mut listeners = narthex_http::listen(Ipv4Addr::LOCALHOST.into(), port, 1)?;
    let listener = listeners.pop().context("no listener")?;
    let worker = narthex_http::spawn_worker("worker".to_owned(), move || async move {
        let worker = Worker::new(Settings::default(), Admission::new(ConnectionCaps::default()));
        let listener = tokio::net::TcpListener::from_std(listener)?;
        println!("ready");
        worker.accept(listener, Scheme::Http, Rc::new(Hello)).await
    })?;
    worker.join().map_err(|_| anyhow::anyhow!("the worker panicked"))??;
    Ok(())
}
