//! Where an embedded server listens, with which certificates, and what its workers know of it.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use narthex_http::{Acceptor, listen_udp};
use narthex_proto::prefix::{PrefixSpec, Scheme, UrlPrefix};

use super::ports::{Opened, Ports};
use crate::error::{Error, Result};
use crate::lifetime::{Answer, What};
use crate::live::{Running, Update};
use crate::tls::{Certificates, TlsSettings};

/// The listeners of a server that runs.
pub(super) struct Listening {
    ports: Ports,
    /// Accepts for all workers, if they do not do it themselves.
    acceptor: Option<Acceptor>,
    running: Running,
    certificates: Certificates,
    /// HTTP/3 may be served.
    quic_allowed: bool,
    quic: BTreeSet<SocketAddr>,
}

impl Listening {
    pub(super) fn new(
        workers: usize,
        acceptor: Option<Acceptor>,
        running: Running,
        tls: TlsSettings,
        quic_allowed: bool,
    ) -> Self {
        let ports = Ports::new(if acceptor.is_some() { 1 } else { workers });
        Self { ports, acceptor, running, certificates: Certificates::new(tls), quic_allowed, quic: BTreeSet::new() }
    }

    pub(super) fn prefixes(&self) -> Vec<UrlPrefix> {
        self.ports.prefixes()
    }

    pub(super) async fn fulfil(&mut self, what: &What) -> Answer {
        match what {
            What::Change(change) => self.running.change(change).await.map(|()| None),
            What::AddPrefix(spec) => self.add(std::slice::from_ref(spec)).await.map(|added| added.into_iter().next()),
            What::RemovePrefix(prefix) => self.remove(prefix).await.map(|()| None),
        }
    }

    /// Serves all of `specs` too, or none. Returns them with their ports when clients can connect.
    pub(super) async fn add(&mut self, specs: &[PrefixSpec]) -> Result<Vec<UrlPrefix>> {
        if let Some(secure) = specs.iter().find(|spec| spec.scheme() == Scheme::Https)
            && !self.certificates.can_be_had()
        {
            return Err(Error::NoCertificate(secure.to_string()));
        }
        let before = self.ports.prefixes().len();
        let opened = self.ports.add(specs)?;
        let added = self.ports.prefixes().split_off(before);
        let secure = added.iter().filter(|prefix| prefix.scheme() == Scheme::Https);
        if let Err(error) = self.certificates.load(secure.map(|prefix| prefix.port().get())) {
            self.ports.undo(before);
            return Err(error);
        }
        self.show_certificates().await?;
        // What is not routed yet nobody can connect for.
        self.publish_routes().await?;
        let quic = self.quic_for(&opened);
        for Opened { address, scheme, listeners } in opened {
            let mut listeners = listeners.into_iter();
            match &self.acceptor {
                Some(acceptor) => listeners.for_each(|listener| acceptor.listen(address, listener, scheme)),
                None => {
                    let listen = |listener| Update::Listen { address, listener, scheme };
                    self.running.tell(|_| listeners.next().map(listen)).await?;
                }
            }
        }
        for (address, socket) in quic {
            self.quic.insert(address);
            let mut socket = Some(socket);
            // A connection that migrates is to stay on its worker.
            self.running.tell(|_| socket.take().map(|socket| Update::ListenQuic { address, socket })).await?;
        }
        self.tell_of_quic().await?;
        Ok(added)
    }

    /// Serves a prefix no more, and closes what nobody needs then.
    pub(super) async fn remove(&mut self, prefix: &UrlPrefix) -> Result<()> {
        let closed = self.ports.remove(prefix)?;
        self.publish_routes().await?;
        for address in closed {
            match &self.acceptor {
                Some(acceptor) => acceptor.close(address).await,
                None => self.running.tell(|_| Some(Update::Close(address))).await?,
            }
            self.ports.close(address);
            if self.quic.remove(&address) {
                self.running.tell(|worker| (worker == 0).then_some(Update::Close(address))).await?;
            }
        }
        self.tell_of_quic().await?;
        self.forget_certificates();
        self.show_certificates().await
    }

    pub(super) fn has_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// Shows renewed certificates.
    pub(super) async fn follow_files(&mut self) -> Result<()> {
        if self.certificates.follow_files() { self.show_certificates().await } else { Ok(()) }
    }

    /// Waits until the accepting thread tells of a listener that broke. Cancel safe.
    pub(super) async fn listener_broke(&mut self) -> (SocketAddr, io::Error) {
        match &mut self.acceptor {
            Some(acceptor) => acceptor.listener_broke().await,
            None => std::future::pending().await,
        }
    }

    /// Ends the accepting thread; workers that accept themselves stop when they drain.
    pub(super) async fn accept_no_more(&mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.stop().await;
        }
    }

    /// Frees the ports, whatever the workers do.
    pub(super) fn close(self) {
        self.ports.close_all();
    }

    async fn publish_routes(&self) -> Result<()> {
        let routes = Arc::new(self.ports.routes.clone());
        self.running.tell(|_| Some(Update::Routes(Arc::clone(&routes)))).await
    }

    async fn show_certificates(&mut self) -> Result<()> {
        if !self.certificates.have_changed() {
            return Ok(());
        }
        self.running.set_tls(self.certificates.bindings()).await
    }

    fn forget_certificates(&mut self) {
        let prefixes = self.ports.prefixes();
        let secure = prefixes.iter().filter(|prefix| prefix.scheme() == Scheme::Https);
        let ports: BTreeSet<u16> = secure.map(|prefix| prefix.port().get()).collect();
        self.certificates.keep_only(&ports);
    }

    /// A UDP socket for each new address where HTTP/3 is to be served. Where there is none, clients have HTTP/2.
    fn quic_for(&self, opened: &[Opened]) -> Vec<(SocketAddr, std::net::UdpSocket)> {
        if !self.quic_allowed || self.certificates.is_empty() {
            return Vec::new();
        }
        let bindings = self.certificates.bindings();
        let secure = opened.iter().filter(|opened| opened.scheme == Scheme::Https).map(|opened| opened.address);
        let mut sockets = Vec::new();
        for address in secure.filter(|address| bindings.offers_http3(*address)) {
            match listen_udp(address) {
                Ok(socket) => sockets.push((address, socket)),
                Err(error) => tracing::warn!("HTTP/3 is not served: {error}"),
            }
        }
        sockets
    }

    async fn tell_of_quic(&self) -> Result<()> {
        let ports: BTreeSet<u16> = self.quic.iter().map(SocketAddr::port).collect();
        let ports = Vec::from_iter(ports);
        self.running.tell(|_| Some(Update::AltSvc(ports.clone()))).await
    }
}
