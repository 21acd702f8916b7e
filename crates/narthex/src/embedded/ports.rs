//! The addresses that an embedded server listens on: opened with the first prefix that needs them, closed with the last.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::num::NonZeroU16;

use narthex_http::{ListenError, addresses, listen, listen_beside_own, refuse_connections};
use narthex_proto::prefix::{PrefixHost, PrefixSpec, Scheme, UrlPrefix};
use narthex_proto::routing::Conflict;

use super::Prefixes;
use crate::error::{Error, Result};

/// How often a port that is free for one address family may turn out to be taken for the other.
const ATTEMPTS: usize = 16;

/// What is open, and for what.
pub(super) struct Ports {
    /// How many sockets each address has: one for every thread that accepts.
    sockets: usize,
    /// In the order in which they came, with the addresses where they are heard.
    served: Vec<(UrlPrefix, Vec<SocketAddr>)>,
    pub(super) routes: Prefixes,
    /// The sockets once more, so that they can be closed though a thread hangs that has them.
    open: BTreeMap<SocketAddr, Vec<TcpListener>>,
}

/// An address that is open now, with a socket for each thread that accepts.
pub(super) struct Opened {
    pub(super) address: SocketAddr,
    pub(super) scheme: Scheme,
    pub(super) listeners: Vec<TcpListener>,
}

impl Ports {
    pub(super) fn new(sockets: usize) -> Self {
        Self { sockets, served: Vec::new(), routes: Prefixes::new(), open: BTreeMap::new() }
    }

    /// What is served, in the order in which it came.
    pub(super) fn prefixes(&self) -> Vec<UrlPrefix> {
        self.served.iter().map(|(prefix, _)| prefix.clone()).collect()
    }

    /// Adds all of `specs` or none, and opens what they need beyond what is open.
    pub(super) fn add(&mut self, specs: &[PrefixSpec]) -> Result<Vec<Opened>> {
        let mut routes = self.routes.clone();
        for prefix in specs.iter().filter_map(PrefixSpec::resolve) {
            register(&mut routes, prefix)?;
        }
        let mut opened = Vec::new();
        let mut served = vec![None; specs.len()];
        // Every interface first: that covers each of them.
        let order = |spec: &PrefixSpec| (spec.port() == 0, !addresses(spec.host()).iter().any(IpAddr::is_unspecified));
        let mut indexed: Vec<_> = specs.iter().zip(&mut served).collect();
        indexed.sort_by_key(|(spec, _)| order(spec));
        for (spec, place) in indexed {
            let prefix = match spec.resolve() {
                Some(prefix) => prefix,
                None => {
                    let prefix = spec.with_port(self.any_port(spec, &mut opened)?);
                    register(&mut routes, prefix.clone())?;
                    prefix
                }
            };
            let heard = self.hear(prefix.host(), prefix.port().get(), prefix.scheme(), &mut opened)?;
            *place = Some((prefix, heard));
        }
        let mut own = Vec::new();
        for Opened { address, listeners, .. } in &opened {
            let again = listeners.iter().map(TcpListener::try_clone).collect::<Result<_, _>>();
            own.push((*address, again.map_err(Error::io("share a listening socket between threads"))?));
        }
        self.open.extend(own);
        self.routes = routes;
        self.served.extend(served.into_iter().flatten());
        Ok(opened)
    }

    /// Serves a prefix no more, and returns the addresses that nobody needs now. They are to be [closed](Self::close) when the
    /// threads have done so.
    pub(super) fn remove(&mut self, prefix: &UrlPrefix) -> Result<Vec<SocketAddr>> {
        let Some(at) = self.served.iter().position(|(served, _)| served == prefix) else {
            return Err(Error::NoSuchPrefix { prefix: prefix.to_string(), prefixes: self.prefixes() });
        };
        if self.served.len() == 1 {
            return Err(Error::LastPrefix(prefix.to_string()));
        }
        Ok(self.give_up(at))
    }

    /// Undoes the additions after the first `kept` prefixes, of which nobody has heard.
    pub(super) fn undo(&mut self, kept: usize) {
        while self.served.len() > kept {
            for address in self.give_up(kept) {
                self.close(address);
            }
        }
    }

    fn give_up(&mut self, at: usize) -> Vec<SocketAddr> {
        let (prefix, heard) = self.served.remove(at);
        self.routes.unregister(&prefix);
        let needed = |address: &SocketAddr| self.served.iter().any(|(_, heard)| heard.contains(address));
        heard.into_iter().filter(|address| !needed(address)).collect()
    }

    /// The threads have closed their sockets of this address.
    pub(super) fn close(&mut self, address: SocketAddr) {
        self.open.remove(&address);
    }

    /// Clients are refused from now on, also where a thread that hangs does not close its socket.
    pub(super) fn close_all(self) {
        self.open.values().flatten().for_each(refuse_connections);
    }

    /// Has a host heard on a port, and returns the open addresses where it is. A machine without IPv6 is served over IPv4 alone.
    fn hear(
        &self,
        host: &PrefixHost,
        port: u16,
        scheme: Scheme,
        opened: &mut Vec<Opened>,
    ) -> Result<Vec<SocketAddr>, ListenError> {
        let mut heard = Vec::new();
        for ip in addresses(host) {
            let address = SocketAddr::new(ip, port);
            if let Some(open) = self.open_at(address, opened) {
                heard.push(open);
                continue;
            }
            let beside_own = ip.is_unspecified() && self.has_literal_on(address, opened);
            let listen = if beside_own { listen_beside_own } else { listen };
            match listen(ip, port, self.sockets) {
                Ok(listeners) => {
                    opened.push(Opened { address, scheme, listeners });
                    heard.push(address);
                }
                Err(error @ (ListenError::NoSuchAddress(_) | ListenError::Other(..))) if ip.is_ipv6() && !heard.is_empty() => {
                    tracing::debug!(%error, "serving over IPv4 alone");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(heard)
    }

    /// Opens any port that is free on all addresses of a prefix's host.
    fn any_port(&self, spec: &PrefixSpec, opened: &mut Vec<Opened>) -> Result<NonZeroU16> {
        let first = addresses(spec.host()).into_iter().next().unwrap_or(Ipv4Addr::LOCALHOST.into());
        let mut attempt = 1;
        loop {
            let listeners = listen(first, 0, self.sockets)?;
            let address = listeners.first().map(TcpListener::local_addr).transpose().ok().flatten();
            let none = || Error::io("find out the port")(std::io::ErrorKind::AddrNotAvailable.into());
            let address = address.ok_or_else(none)?;
            let before = opened.len();
            opened.push(Opened { address, scheme: spec.scheme(), listeners });
            match self.hear(spec.host(), address.port(), spec.scheme(), opened) {
                Ok(_) => return NonZeroU16::new(address.port()).ok_or_else(none),
                Err(ListenError::InUse(..)) if attempt < ATTEMPTS => {
                    opened.truncate(before);
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The open address where connections to `address` arrive: itself, or every interface of its family.
    fn open_at(&self, address: SocketAddr, opened: &[Opened]) -> Option<SocketAddr> {
        let every: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let open = |at: &SocketAddr| self.open.contains_key(at) || opened.iter().any(|opened| opened.address == *at);
        [address, SocketAddr::new(every, address.port())].into_iter().find(open)
    }

    /// Whether an address of one interface is open on the port of `every`.
    fn has_literal_on(&self, every: SocketAddr, opened: &[Opened]) -> bool {
        let open = self.open.keys().chain(opened.iter().map(|opened| &opened.address));
        open.into_iter().any(|address| address.port() == every.port() && address.is_ipv4() == every.is_ipv4())
    }
}

/// A port has TLS or has not, and a prefix is there once.
fn register(routes: &mut Prefixes, prefix: UrlPrefix) -> Result<()> {
    routes.register(prefix, ()).map_err(|conflict| match conflict {
        Conflict::Scheme { prefix, .. } => Error::OtherScheme(prefix.to_string(), prefix.port().get()),
        conflict => conflict.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(specs: &[&str]) -> (Ports, Vec<Opened>) {
        let mut ports = Ports::new(1);
        let specs: Vec<PrefixSpec> = specs.iter().map(|spec| spec.parse().unwrap()).collect();
        let opened = ports.add(&specs).unwrap();
        (ports, opened)
    }

    fn add(ports: &mut Ports, prefix: &str) -> Result<Vec<SocketAddr>> {
        let opened = ports.add(&[prefix.parse().unwrap()])?;
        Ok(opened.into_iter().map(|opened| opened.address).collect())
    }

    #[test]
    fn a_wildcard_covers_the_other_addresses_of_its_family_whatever_the_order() {
        let free = listen(Ipv4Addr::UNSPECIFIED.into(), 0, 1).unwrap().remove(0).local_addr().unwrap().port();
        let prefixes = [format!("http://127.0.0.1:{free}/a/"), format!("http://+:{free}/b/")];
        let (mut ports, opened) = ports(&[&prefixes[0], &prefixes[1]]);
        assert!(opened.iter().all(|opened| opened.address.ip().is_unspecified()));
        assert_eq!(ports.prefixes().iter().map(ToString::to_string).collect::<Vec<_>>(), prefixes);
        drop(opened);
        let every = SocketAddr::from((Ipv4Addr::UNSPECIFIED, free));
        let closed = ports.remove(&prefixes[1].parse().unwrap()).unwrap();
        assert!(!closed.contains(&every), "the other prefix is heard there");
        assert_eq!(add(&mut ports, &format!("http://127.0.0.1:{free}/c/")).unwrap(), []);
    }

    #[test]
    fn a_port_is_closed_with_its_last_prefix() {
        let (mut ports, opened) = ports(&["http://127.0.0.1:0/", "http://127.0.0.1:0/"]);
        let (address, prefix) = (opened[0].address, ports.prefixes()[0].clone());
        drop(opened);
        let other = format!("http://127.0.0.1:{}/other/", address.port());
        assert_eq!(add(&mut ports, &other).unwrap(), [], "it is open");
        assert_eq!(ports.remove(&prefix).unwrap(), []);
        assert!(matches!(ports.remove(&prefix), Err(Error::NoSuchPrefix { .. })));
        assert_eq!(ports.remove(&other.parse().unwrap()).unwrap(), [address]);
        ports.close(address);
        assert_eq!(add(&mut ports, prefix.as_str()).unwrap(), [address], "it was free");
    }

    #[test]
    fn what_cannot_be_added_leaves_everything_as_it_was() {
        let (mut ports, opened) = ports(&["http://127.0.0.1:0/"]);
        let other = listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap();
        let taken = format!("http://127.0.0.1:{}/", other[0].local_addr().unwrap().port());
        assert!(matches!(add(&mut ports, &taken), Err(Error::Listen(ListenError::InUse(..)))));
        let port = opened[0].address.port();
        assert!(matches!(add(&mut ports, &format!("http://127.0.0.1:{port}/")), Err(Error::Conflict(_))));
        assert!(matches!(add(&mut ports, &format!("https://127.0.0.1:{port}/x/")), Err(Error::OtherScheme(..))));
        assert!(matches!(ports.remove(&ports.prefixes()[0].clone()), Err(Error::LastPrefix(_))));
        assert_eq!((ports.served.len(), ports.open.len(), ports.routes.registrations().count()), (1, 1, 1));
    }
}
