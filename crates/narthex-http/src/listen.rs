//! Opening ports: one listening socket per worker, and a clear answer when the port belongs to somebody else.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use narthex_proto::prefix::PrefixHost;
use socket2::{Domain, Protocol, Socket, Type};

use crate::h1::deadlines::SEND_STEP;

/// Connections that the kernel completes before they are accepted. The kernel caps it (`somaxconn`).
const BACKLOG: i32 = 4096;

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program listens there.
    #[error(
        "cannot listen on {0}: another program has this port; stop it or choose another port (on Linux, `ss -ltnp` names it)"
    )]
    InUse(SocketAddr),
    /// The OS keeps this port for privileged programs.
    #[error(
        "cannot listen on {0}: ports below 1024 need the right CAP_NET_BIND_SERVICE \
         (`setcap cap_net_bind_service+ep`, or a systemd unit with AmbientCapabilities); choose a port above 1023 otherwise"
    )]
    Denied(SocketAddr),
    /// No interface of this machine has the address.
    #[error("cannot listen on {0}: this machine does not have that address")]
    NoSuchAddress(SocketAddr),
    /// Anything else that the OS said.
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, #[source] io::Error),
}

impl ListenError {
    fn new(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::PermissionDenied => Self::Denied(address),
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress(address),
            _ => Self::Other(address, error),
        }
    }
}

/// The addresses that a prefix's host needs to be heard on: an IP literal, the loopback ones for `localhost`, all else every
/// interface.
#[must_use]
pub fn addresses(host: &PrefixHost) -> Vec<IpAddr> {
    match host {
        PrefixHost::Ip(ip) => vec![*ip],
        PrefixHost::Name(name) if name.eq_ignore_ascii_case("localhost") => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        PrefixHost::Name(_) | PrefixHost::Strong | PrefixHost::Weak => {
            vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
        }
    }
}

/// Opens `ip:port` once for each of `workers`. Port 0 takes any free port, the same for all.
///
/// # Errors
/// If the port is taken, forbidden, or the address is not this machine's.
pub fn listen(ip: IpAddr, port: u16, workers: usize) -> Result<Vec<TcpListener>, ListenError> {
    let mut address = SocketAddr::new(ip, port);
    if port != 0 {
        probe(address)?;
    }
    let mut listeners = Vec::with_capacity(workers);
    for _ in 0..workers.max(1) {
        let listener = match listeners.first() {
            // Elsewhere than on Linux, sharing a port by SO_REUSEPORT does not spread connections: the socket is shared.
            Some(first) if !cfg!(target_os = "linux") => TcpListener::try_clone(first),
            _ => open(address, true),
        }
        .map_err(|error| ListenError::new(address, error))?;
        if address.port() == 0 {
            address = listener.local_addr().map_err(|error| ListenError::new(address, error))?;
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Two programs of one user that both ask for `SO_REUSEPORT` would silently share the port's connections, so the port is
/// first tried without.
fn probe(address: SocketAddr) -> Result<(), ListenError> {
    open(address, false).map(drop).map_err(|error| ListenError::new(address, error))
}

fn open(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // The IPv4 side has a socket of its own: whether `[::]` covers it depends on a system setting otherwise.
        socket.set_only_v6(true)?;
    }
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    if share {
        socket.set_reuse_port(true)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = share;
    // Accepted sockets inherit these, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(SEND_STEP)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_gets_a_socket_on_the_same_free_port() {
        let listeners = listen(Ipv4Addr::LOCALHOST.into(), 0, 3).unwrap();
        let ports: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert_eq!(ports, [ports[0]; 3]);
        assert_ne!(ports[0], 0);
    }

    #[test]
    fn a_port_of_another_listener_is_in_use_even_if_it_would_share() {
        let first = listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap();
        let port = first[0].local_addr().unwrap().port();
        let error = listen(Ipv4Addr::LOCALHOST.into(), port, 1).unwrap_err();
        assert!(matches!(error, ListenError::InUse(_)), "{error}");
        assert!(error.to_string().contains(&port.to_string()));
    }
}
