//! Opening ports: one listening socket per worker, and a clear answer when the port belongs to somebody else.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;

use narthex_proto::prefix::PrefixHost;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

#[cfg(target_os = "linux")]
use crate::h1::deadlines::SEND_STEP;
use crate::holder::PortHolder;

/// Connections that the kernel completes before they are accepted. The kernel caps it (`somaxconn`).
const BACKLOG: i32 = 4096;
/// Bytes of packets that may wait at a UDP socket.
const UDP_BUFFER: usize = 2 << 20;

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program listens there.
    #[error("cannot listen on {0}: the port is taken by {1}. Choose another port, or stop what has this one")]
    InUse(SocketAddr, PortHolder),
    /// The OS keeps this port for privileged programs, or a security policy forbids it.
    #[error("cannot listen on {0}: {1}")]
    Denied(SocketAddr, Remedy),
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
            io::ErrorKind::AddrInUse => Self::InUse(address, PortHolder::find(address)),
            io::ErrorKind::PermissionDenied => Self::Denied(address, Remedy::new(address.port())),
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress(address),
            _ => Self::Other(address, error),
        }
    }
}

/// What helps against a port that the OS forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// The port is one of those that need a privilege.
    Privilege {
        /// The port.
        port: u16,
        /// The first port that needs none.
        first_free: u16,
        /// The program that lacks it: this one.
        program: Option<PathBuf>,
    },
    /// The port needs no privilege, so something else forbids it.
    Policy,
}

impl Remedy {
    fn new(port: u16) -> Self {
        let first_free = first_unprivileged();
        if port >= first_free {
            return Self::Policy;
        }
        Self::Privilege { port, first_free, program: std::env::current_exe().ok() }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Privilege { port, first_free, program } if cfg!(target_os = "linux") => {
                let program = program.as_ref().map_or("PROGRAM".into(), |path| quoted(&path.display().to_string()));
                write!(
                    f,
                    "ports below {first_free} need a privilege; grant it to this program (`sudo setcap \
                     cap_net_bind_service=+ep {program}`), or let all programs open ports from {port} up (`sudo sysctl \
                     net.ipv4.ip_unprivileged_port_start={port}`), or choose port {first_free} or above"
                )
            }
            Self::Privilege { first_free, .. } => {
                write!(f, "ports below {first_free} need a privilege; choose port {first_free} or above, or run it as root")
            }
            Self::Policy => f.write_str(
                "the system forbids it, as a security policy or a service's sandbox does; allow it there, or choose another port",
            ),
        }
    }
}

/// The first port that any program may listen on.
fn first_unprivileged() -> u16 {
    const USUAL: u16 = 1024;
    if !cfg!(target_os = "linux") {
        return USUAL;
    }
    let setting = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    setting.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(USUAL)
}

/// As a shell reads it back.
fn quoted(path: &str) -> String {
    let is_plain = |char: char| char.is_alphanumeric() || "/._-+".contains(char);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
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
    if port != 0 {
        probe(SocketAddr::new(ip, port))?;
    }
    listen_beside_own(ip, port, workers)
}

/// As [`listen`], for a port on which this process listens at another address already: every interface beside one of them.
/// Another program of this user that shares its ports is not noticed then.
///
/// # Errors
/// As for [`listen`].
pub fn listen_beside_own(ip: IpAddr, port: u16, workers: usize) -> Result<Vec<TcpListener>, ListenError> {
    let mut address = SocketAddr::new(ip, port);
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

/// Opens `address` for QUIC. It is on one worker alone: see [`Worker::accept_quic`](crate::Worker::accept_quic).
///
/// # Errors
/// If the port is taken, forbidden, or the address is not this machine's.
pub fn listen_udp(address: SocketAddr) -> Result<UdpSocket, ListenError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // A burst of packets is to find room. The kernel caps it; that is no reason not to serve.
        let _ = (socket.set_recv_buffer_size(UDP_BUFFER), socket.set_send_buffer_size(UDP_BUFFER));
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    open().map_err(|error| ListenError::new(address, error))
}

/// Makes a socket refuse clients whoever else holds it, and whatever its holder does: a thread that hangs cannot close it. Once
/// all that share the port do so, it can be opened again. Only on Linux; elsewhere the socket goes when its last holder does.
pub fn refuse_connections(listener: &TcpListener) {
    // It fails where a listener cannot be shut down, and for one that is.
    let _ = SockRef::from(listener).shutdown(Shutdown::Both);
}

/// What opening `address` would meet. Nothing is opened that a client could connect to.
///
/// # Errors
/// If the port is taken, forbidden, or the address is not this machine's.
pub fn look(address: SocketAddr) -> Result<(), ListenError> {
    bound(address, false).map(drop).map_err(|error| ListenError::new(address, error))
}

/// Two programs of one user that both ask for `SO_REUSEPORT` would silently share the port's connections, so the port is
/// first tried without.
fn probe(address: SocketAddr) -> Result<(), ListenError> {
    open(address, false).map(drop).map_err(|error| ListenError::new(address, error))
}

fn open(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = bound(address, share)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bound(address: SocketAddr, share: bool) -> io::Result<Socket> {
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
    Ok(socket)
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
        assert!(matches!(error, ListenError::InUse(..)), "{error}");
        assert!(error.to_string().contains(&port.to_string()));
    }

    #[test]
    fn a_look_at_a_port_finds_its_holder_and_holds_nothing() {
        let held = listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap();
        let address = held[0].local_addr().unwrap();
        assert!(matches!(look(address), Err(ListenError::InUse(..))));
        drop(held);
        assert!(look(address).is_ok() && look(address).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_that_refuses_connections_is_free_though_somebody_holds_its_sockets() {
        let held = listen(Ipv4Addr::LOCALHOST.into(), 0, 2).unwrap();
        let address = held[0].local_addr().unwrap();
        held.iter().for_each(refuse_connections);
        assert!(std::net::TcpStream::connect(address).is_err());
        let anew = listen(address.ip(), address.port(), 2).unwrap();
        assert!(std::net::TcpStream::connect(address).is_ok());
        drop((held, anew));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_of_this_process_is_said_to_be() {
        let pid = std::process::id();
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv4Addr::UNSPECIFIED.into()] {
            let held = TcpListener::bind((ip, 0)).unwrap();
            let port = held.local_addr().unwrap().port();
            let error = listen(Ipv4Addr::LOCALHOST.into(), port, 1).unwrap_err();
            assert!(matches!(error, ListenError::InUse(_, PortHolder::Itself { pid: holder, .. }) if holder == pid), "{error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_of_another_program_is_an_error_that_names_it() {
        use std::process::{Command, Stdio};
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        // The child has the socket as its standard input, and then nobody else has.
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::from(std::os::fd::OwnedFd::from(held))).spawn().unwrap();
        let listening = listen(Ipv4Addr::LOCALHOST.into(), port, 1);
        let id = child.id();
        child.kill().unwrap();
        child.wait().unwrap();
        let expected = format!(
            "cannot listen on 127.0.0.1:{port}: the port is taken by another program: it is sleep with process id {id}. \
             Choose another port, or stop what has this one"
        );
        assert_eq!(listening.unwrap_err().to_string(), expected);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_forbidden_port_comes_with_the_commands_that_allow_it() {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
        let remedy = Remedy::Privilege { port: 80, first_free: 1024, program: Some("/opt/my app/server".into()) };
        let text = ListenError::Denied(address, remedy).to_string();
        for part in [
            "cannot listen on 0.0.0.0:80",
            "`sudo setcap cap_net_bind_service=+ep '/opt/my app/server'`",
            "`sudo sysctl net.ipv4.ip_unprivileged_port_start=80`",
            "port 1024 or above",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_port_that_needs_no_privilege_is_not_blamed_on_one() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let error = ListenError::new((Ipv4Addr::LOCALHOST, u16::MAX).into(), denied());
        assert!(matches!(error, ListenError::Denied(_, Remedy::Policy)), "{error}");
    }
}
