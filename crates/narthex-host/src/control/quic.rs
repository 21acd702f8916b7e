//! The UDP sockets of HTTP/3: one for each address where `https` is served and a binding offers it, on one worker.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use narthex_http::listen_udp;
use narthex_proto::prefix::Scheme;

use super::{Shared, settings};
use crate::worker::Command;

/// What the workers know of HTTP/3.
#[derive(Default)]
pub(super) struct Quic {
    open: BTreeSet<SocketAddr>,
    /// The ports that clients are told of.
    told: BTreeSet<u16>,
}

impl Shared {
    /// Opens and closes what the ports and the bindings ask for now. An address that cannot be opened is tried again with the
    /// next change; until then its clients have HTTP/2.
    pub(super) fn follow_quic(&self) {
        let wanted = self.wanted();
        let mut quic = self.quic.borrow_mut();
        let Quic { open, told } = &mut *quic;
        for address in open.difference(&wanted).copied() {
            self.tell(|| Command::CloseQuic { address });
        }
        open.retain(|address| wanted.contains(address));
        for address in wanted {
            if open.contains(&address) {
                continue;
            }
            match listen_udp(address) {
                Ok(socket) => {
                    let at = usize::from(address.port()) % self.workers.len().max(1);
                    if let Some(worker) = self.workers.get(at) {
                        let _ = worker.send(Command::ListenQuic { address, socket });
                        open.insert(address);
                    }
                }
                Err(error) => tracing::warn!("HTTP/3 is not served: {error}"),
            }
        }
        let tells = self.configuration.borrow().current().settings.alt_svc;
        let ports: BTreeSet<u16> = open.iter().filter(|_| tells).map(SocketAddr::port).collect();
        if ports != *told {
            self.tell(|| Command::AltSvc(ports.iter().copied().collect()));
            *told = ports;
        }
    }

    fn wanted(&self) -> BTreeSet<SocketAddr> {
        let state = self.state.borrow();
        let bindings = state.certificates.bindings();
        let proxied = settings::proxy_protocol(self.configuration.borrow().current());
        // No proxy of connections is there for QUIC: its clients would come past the proxy.
        let offers = |address: &SocketAddr| bindings.offers_http3(*address) && !proxied.concerns(*address);
        let mut wanted: BTreeSet<_> = state.ports.open().filter(offers).collect();
        // There may be very many registrations, and this is asked with each change.
        if !wanted.is_empty() {
            let prefixes = state.snapshot.routes.registrations().map(|(prefix, _)| prefix);
            let secure = prefixes.filter(|prefix| prefix.scheme() == Scheme::Https);
            let secure: BTreeSet<u16> = secure.map(|prefix| prefix.port().get()).collect();
            wanted.retain(|address| secure.contains(&address.port()));
        }
        wanted
    }
}
