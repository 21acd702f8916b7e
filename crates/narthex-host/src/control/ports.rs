//! The addresses that the host listens on: opened with the first registration that needs them, closed with the last.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::num::NonZeroU16;

use narthex_http::ListenError;
use narthex_proto::prefix::{PrefixHost, PrefixSpec, Scheme, UrlPrefix};
use narthex_proto::wire::RefusalCode;

use super::state::Refusal;

/// Sockets that a change has opened and addresses that it has closed.
#[derive(Default)]
pub(crate) struct PortChange {
    pub(crate) opened: Vec<Opened>,
    pub(crate) closed: Vec<SocketAddr>,
}

/// An address that is open now, with a socket for each thread that accepts. Whether it speaks TLS, its first registration says:
/// the routing table takes none of another scheme on the port.
pub(crate) struct Opened {
    pub(crate) address: SocketAddr,
    pub(crate) scheme: Scheme,
    pub(crate) listeners: Vec<TcpListener>,
}

/// What is open.
pub(crate) struct Ports {
    /// How many sockets each address has: one for every thread that accepts.
    sockets: usize,
    /// The only addresses to listen on (`iplisten`), except for prefixes that name one or `localhost`. Empty: as each prefix
    /// says.
    pub(crate) iplisten: Vec<IpAddr>,
    /// How many registrations need each address.
    users: HashMap<SocketAddr, usize>,
    /// The ports that are open for CAs, what they speak, and for how many questions. No registration is there to say it.
    doors: HashMap<u16, (Scheme, usize)>,
    /// What the host before this one was listening on, for those who register there again.
    inherited: RefCell<HashMap<SocketAddr, Vec<TcpListener>>>,
    /// What was open before the host, and stays so whether somebody registers there or not: clients wait in it.
    kept_open: HashMap<SocketAddr, TcpListener>,
}

/// Addresses that are open because a CA is to come to them.
#[derive(Debug)]
pub(crate) struct Door {
    port: u16,
    addresses: Vec<SocketAddr>,
}

impl Ports {
    pub(crate) fn new(sockets: usize, iplisten: Vec<IpAddr>) -> Self {
        Self {
            sockets,
            iplisten,
            users: HashMap::new(),
            doors: HashMap::new(),
            inherited: RefCell::default(),
            kept_open: HashMap::new(),
        }
    }

    /// Sockets that were open before the host.
    pub(crate) fn keep_open(&mut self, listeners: Vec<(SocketAddr, TcpListener)>) {
        self.kept_open.extend(listeners);
    }

    /// Sockets of another host, to be used where they are asked for.
    pub(crate) fn inherit(&self, listeners: Vec<(SocketAddr, TcpListener)>) {
        let mut inherited = self.inherited.borrow_mut();
        for (address, listener) in listeners {
            inherited.entry(address).or_default().push(listener);
        }
    }

    /// Closes what was inherited and nobody has asked for. Returns where.
    pub(crate) fn disinherit(&self) -> Vec<SocketAddr> {
        self.inherited.take().into_keys().collect()
    }

    /// Opens an address, or takes its inherited sockets.
    fn listen(&self, ip: IpAddr, port: u16, beside_own: bool) -> Result<Vec<TcpListener>, ListenError> {
        let address = SocketAddr::new(ip, port);
        if let Some(open) = self.kept_open.get(&address) {
            // One socket for all threads: another one beside it would have to be opened with the rights that the host may lack.
            let copies = (0..self.sockets.max(1)).map(|_| open.try_clone()).collect::<io::Result<_>>();
            return copies.map_err(|error| ListenError::Other(address, error));
        }
        let inherited = self.inherited.borrow_mut().remove(&address);
        let Some(mut listeners) = inherited else {
            let listen = if beside_own { narthex_http::listen_beside_own } else { narthex_http::listen };
            return listen(ip, port, self.sockets);
        };
        // One for each thread that accepts; there may be more of them than there were.
        let missing = self.sockets.saturating_sub(listeners.len());
        if missing > 0
            && let Ok(more) = narthex_http::listen_beside_own(ip, port, missing)
        {
            listeners.extend(more);
        }
        Ok(listeners)
    }

    /// One thread accepts for all.
    pub(crate) fn one_socket_each(&mut self) {
        self.sockets = 1;
    }

    /// Where the host listens.
    pub(crate) fn open(&self) -> impl Iterator<Item = SocketAddr> {
        self.users.keys().copied()
    }

    pub(crate) fn take(&mut self, address: SocketAddr) {
        *self.users.entry(address).or_default() += 1;
    }

    /// One user of an address less. Whether it was the last.
    pub(crate) fn release(&mut self, address: SocketAddr) -> bool {
        release(&mut self.users, address)
    }

    /// The addresses that a prefix is to be heard on.
    pub(crate) fn wanted(&self, host: &PrefixHost, port: u16) -> Vec<SocketAddr> {
        let wanted = narthex_http::addresses(host);
        // Everybody may register `localhost`: that must not open the addresses of a network.
        let says_itself = wanted.iter().all(IpAddr::is_loopback) || matches!(host, PrefixHost::Ip(_));
        let ips = if self.iplisten.is_empty() || says_itself { wanted } else { self.iplisten.clone() };
        ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
    }

    /// Those open addresses on which a prefix is heard, `change` included.
    pub(crate) fn heard(&self, prefix: &UrlPrefix, change: &PortChange) -> Vec<SocketAddr> {
        let wanted = self.wanted(prefix.host(), prefix.port().get());
        wanted.into_iter().filter_map(|address| self.open_at(address, change)).collect()
    }

    /// The open address, be it by what `change` has opened, where connections to `address` arrive: itself, or every
    /// interface of its family.
    fn open_at(&self, address: SocketAddr, change: &PortChange) -> Option<SocketAddr> {
        let open = |at: &SocketAddr| self.users.contains_key(at) || change.opened.iter().any(|opened| opened.address == *at);
        let every: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        [address, SocketAddr::new(every, address.port())].into_iter().find(open)
    }

    /// Whether an address of one interface, of the family of `every`, is open on this port.
    fn has_literal_on(&self, port: u16, every: IpAddr, change: &PortChange) -> bool {
        let open = self.users.keys().chain(change.opened.iter().map(|opened| &opened.address));
        open.into_iter().any(|address| address.port() == port && address.is_ipv4() == every.is_ipv4())
    }

    /// Opens what a CA needs that comes to a prefix's host and port, beside what is open.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(crate) fn open_door(&mut self, spec: &PrefixSpec, change: &mut PortChange) -> Result<Door, String> {
        let prefix = self.settle(spec, change)?;
        let door = Door { port: spec.port(), addresses: self.heard(&prefix, change) };
        for address in &door.addresses {
            self.take(*address);
        }
        self.doors.entry(door.port).or_insert((spec.scheme(), 0)).1 += 1;
        Ok(door)
    }

    /// The CA has come.
    pub(crate) fn close_door(&mut self, door: &Door) -> PortChange {
        if let Some((_, questions)) = self.doors.get_mut(&door.port) {
            *questions = questions.saturating_sub(1);
            if *questions == 0 {
                self.doors.remove(&door.port);
            }
        }
        let closed = door.addresses.iter().copied().filter(|address| self.release(*address)).collect();
        PortChange { closed, ..PortChange::default() }
    }

    /// Opens what a prefix needs and is not open yet, and settles its port if any would do.
    pub(crate) fn open_for(&self, spec: &PrefixSpec, change: &mut PortChange) -> Result<UrlPrefix, Refusal> {
        let unavailable = |error| Refusal::new(RefusalCode::PortUnavailable, format!("cannot register {spec}: {error}"));
        self.settle(spec, change).map_err(unavailable)
    }

    fn settle(&self, spec: &PrefixSpec, change: &mut PortChange) -> Result<UrlPrefix, String> {
        let mut port = spec.port();
        let mut failed = None;
        let mut heard = false;
        if self.doors.get(&port).is_some_and(|(scheme, _)| *scheme != spec.scheme()) {
            return Err("a CA is being answered on the port in the other scheme; register again in a minute".to_owned());
        }
        for ip in self.wanted(spec.host(), port).iter().map(SocketAddr::ip) {
            let address = SocketAddr::new(ip, port);
            if port != 0 && self.open_at(address, change).is_some() {
                heard = true;
                continue;
            }
            let beside_own = port != 0 && ip.is_unspecified() && self.has_literal_on(port, ip, change);
            match self.listen(ip, port, beside_own) {
                Ok(listeners) => {
                    port = listeners.first().and_then(|first| first.local_addr().ok()).map_or(port, |address| address.port());
                    change.opened.push(Opened { address: SocketAddr::new(ip, port), scheme: spec.scheme(), listeners });
                    heard = true;
                }
                // A machine without IPv6 is not a reason to serve nobody.
                Err(ListenError::NoSuchAddress(_) | ListenError::Other(..)) if ip.is_ipv6() && heard => {}
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error.to_string());
        }
        let port = NonZeroU16::new(port).ok_or_else(|| "no port is free".to_owned())?;
        Ok(spec.with_port(port))
    }
}

/// Takes one user of an address away. Whether it was the last.
pub(crate) fn release(users: &mut HashMap<SocketAddr, usize>, address: SocketAddr) -> bool {
    let Some(count) = users.get_mut(&address) else { return false };
    *count = count.saturating_sub(1);
    let last = *count == 0;
    if last {
        users.remove(&address);
    }
    last
}
