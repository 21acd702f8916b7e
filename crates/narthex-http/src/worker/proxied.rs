//! Clients behind proxies: connections that begin with a PROXY header, and requests that come from elsewhere than their
//! connection does.

use std::rc::Rc;

use narthex_proto::prefix::Scheme;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::acceptor::Counted;
use crate::mux;
use crate::proxy::{HeaderError, take_header};
use crate::reason::Reason;
use crate::request::{ConnectionInfo, Handler};
use crate::transport::Transport;
use crate::worker::Worker;
use crate::worker::connect::{Served, serve_http1, serve_tls, within};

impl Worker {
    /// Serves a connection of which `info` says only what the socket does.
    pub(super) fn adopt_proxied<H: Handler>(
        self: &Rc<Self>,
        stream: TcpStream,
        info: ConnectionInfo,
        counted: Option<Counted>,
        handler: Rc<H>,
    ) {
        // Until its client is known it takes a place of the server's, but of no client's: all come from the same few proxies.
        let Some(permit) = self.admission.admit_unknown() else { return self.turn_away(&stream, &info) };
        let worker = Rc::clone(self);
        let unknown = mux::Connection::new(Rc::clone(self), info, None);
        let registered = self.register(Served::Streams(Rc::clone(&unknown)));
        spawn_local(async move {
            let Some((stream, info)) = introduced(stream, &unknown).await else { return };
            let Some(permit) = permit.of(info.peer.ip()) else { return worker.turn_away(&stream, &info) };
            let registered = registered.counted(permit, counted);
            if info.scheme == Scheme::Https {
                let connection = mux::Connection::new(worker, info, None);
                registered.becomes(Served::Streams(Rc::clone(&connection)));
                return serve_tls(stream, connection, registered, handler).await;
            }
            let conn = worker.http1(Transport::from(stream), info, None);
            registered.becomes(Served::Http1(Rc::clone(&conn)));
            serve_http1(conn, registered, handler).await;
        });
    }

    /// Who this request is really from, if a trusted proxy that sent it says so.
    #[inline]
    pub(crate) fn client_of(&self, info: &ConnectionInfo, headers: &[httparse::Header<'_>]) -> Option<Rc<ConnectionInfo>> {
        if self.trusted_proxies.borrow().is_none() { None } else { self.ask_proxies(info, headers) }
    }

    #[cold]
    fn ask_proxies(&self, info: &ConnectionInfo, headers: &[httparse::Header<'_>]) -> Option<Rc<ConnectionInfo>> {
        let proxies = self.trusted_proxies.borrow();
        let client = proxies.as_ref()?.client(info.peer, headers.iter().map(|header| (header.name, header.value)))?;
        Some(Rc::new(ConnectionInfo { peer: client.address, secure: client.secure.unwrap_or(info.secure), ..*info }))
    }
}

/// Waits for the PROXY header. `None` if there is none to be believed: whose connection it is must not be guessed then.
async fn introduced(mut stream: TcpStream, connection: &mux::Connection) -> Option<(TcpStream, ConnectionInfo)> {
    let (worker, mut info) = (&connection.worker, connection.info);
    let trusted = worker.trusted_proxies.borrow().as_ref().is_none_or(|proxies| proxies.trusts(info.peer.ip()));
    if !trusted {
        tracing::debug!(peer = %info.peer, local = %info.local, "a connection that has to come from a trusted proxy does not");
        mux::refused(connection, Reason::BadRequest);
        return None;
    }
    let over = async {
        while !connection.is_killed() && !worker.is_draining() {
            connection.changed().await;
        }
    };
    let taken = tokio::select! {
        taken = within(worker.timeouts().header_wait, take_header(&mut stream)) => taken,
        () = over => return None,
    };
    match taken {
        Some(Ok(header)) => {
            if let Some((client, _)) = header.addresses {
                info.peer = super::connect::canonical(client);
            }
            // A proxy that only passes TLS on says that it has none itself.
            info.secure |= header.tls == Some(true);
            Some((stream, info))
        }
        Some(Err(error)) => {
            tracing::debug!(%error, peer = %info.peer, local = %info.local, "a connection without a PROXY header is closed");
            if matches!(error, HeaderError::Malformed) {
                mux::refused(connection, Reason::BadRequest);
            }
            None
        }
        None => {
            mux::refused(connection, Reason::TimerHeaderWait);
            None
        }
    }
}
