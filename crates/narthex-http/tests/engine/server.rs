//! A server whose handler is a function, and what its journal was told.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use narthex_http::{Admission, ConnectionCaps, Exchange, Handler, Journal, Piece, Reason, Request, Settings, Worker};
use narthex_proto::prefix::Scheme;

use crate::engine::client::PATIENCE;

pub(crate) type Work = Option<Pin<Box<dyn Future<Output = ()>>>>;
pub(crate) type App = fn(&Request<'_>, &Exchange) -> Work;

/// What [`narthex_http::Ended`] says, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) tag: u32,
    pub(crate) record: String,
    pub(crate) status: u16,
    pub(crate) reason: Option<Reason>,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) taken: Duration,
}

/// What [`narthex_http::Refused`] says, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) status: Option<u16>,
    pub(crate) line: String,
    pub(crate) tag: Option<u32>,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    ended: Receiver<End>,
    refused: Receiver<Refusal>,
    _stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Server {
    /// The next end of a noted exchange.
    pub(crate) fn end(&self) -> End {
        self.ended.recv_timeout(PATIENCE).expect("the end of an exchange is told")
    }

    pub(crate) fn refusal(&self) -> Refusal {
        self.refused.recv_timeout(PATIENCE).expect("a refusal is told")
    }

    /// Everything that was told until the worker had nothing left to do.
    pub(crate) fn finish(mut self) -> (Vec<End>, Vec<Refusal>) {
        drop(self._stop.take());
        (self.ended.iter().collect(), self.refused.iter().collect())
    }
}

/// [`App`] as a handler.
pub(crate) struct Handling(pub(crate) App);

impl Handler for Handling {
    type Future = Pin<Box<dyn Future<Output = ()>>>;

    fn handle(&self, request: Request<'_>, exchange: Exchange) -> Option<Self::Future> {
        (self.0)(&request, &exchange)
    }
}

/// A server that lives until its [`Server`] is finished or its process ends.
pub(crate) fn serve(app: App) -> Server {
    serve_with(|_| {}, ConnectionCaps::default(), |_| {}, app)
}

pub(crate) fn serve_with(
    change: impl FnOnce(&mut Settings) + Send + 'static,
    caps: ConnectionCaps,
    prepare: impl FnOnce(&Rc<Worker>) + Send + 'static,
    app: App,
) -> Server {
    let listener = narthex_http::listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let (ended_to, ended) = channel();
    let (refused_to, refused) = channel();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let _detached = narthex_http::spawn_worker("worker".to_owned(), move || async move {
        let mut settings = Settings::default();
        change(&mut settings);
        let worker = Worker::new(settings, Admission::new(caps));
        worker.set_journal(journal(ended_to, refused_to));
        prepare(&worker);
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let accepting = worker.accept(listener, Scheme::Http, Rc::new(Handling(app)));
        tokio::select! { _ = accepting => {}, _ = stopped => {} }
    })
    .unwrap();
    Server { address, ended, refused, _stop: Some(stop) }
}

fn journal(ended: Sender<End>, refused: Sender<Refusal>) -> Journal {
    Journal {
        ended: Box::new(move |end| {
            let _ = ended.send(End {
                tag: end.tag,
                record: String::from_utf8_lossy(end.record).into_owned(),
                status: end.status,
                reason: end.reason,
                sent: end.sent,
                received: end.received,
                taken: end.taken,
            });
        }),
        refused: Box::new(move |refusal| {
            let _ = refused.send(Refusal {
                reason: refusal.reason,
                status: refusal.status,
                line: String::from_utf8_lossy(refusal.request_line).into_owned(),
                tag: refusal.tag,
            });
        }),
    }
}

/// Notes the exchange under its target and tags it 7.
pub(crate) fn note(request: &Request<'_>, exchange: &Exchange) {
    exchange.tag(7);
    exchange.note(|record| record.extend_from_slice(request.target.as_bytes()));
}

pub(crate) fn ok(exchange: &Exchange) {
    let _ = exchange.send(200, std::iter::empty(), Piece::Slice(b"ok"));
}

/// Keeps the exchange open for ever.
pub(crate) fn hold(exchange: &Exchange) -> Work {
    let exchange = exchange.clone();
    Some(Box::pin(async move {
        std::future::pending::<()>().await;
        drop(exchange);
    }))
}
