//! Where connections go, and from where.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::ClientConfig;

/// Generous, since the server may run under valgrind; bounded all the same.
const PATIENCE: Duration = Duration::from_secs(20);

/// So many connections to one port of a server come from one address: the kernel has 28 000 ports to give by default.
const PER_ADDRESS: usize = 20_000;

/// The ports of the further addresses are chosen here, between those of most services and those that the kernel chooses.
const FIRST_PORT: usize = 12_000;

/// A path of a server on 127.0.0.1.
pub(crate) struct Target {
    port: u16,
    /// The handshake, as it is sent.
    pub(crate) request: Vec<u8>,
    tls: Option<Arc<ClientConfig>>,
    /// Permessage-deflate is offered, and has to be accepted.
    pub(crate) deflate: bool,
}

impl Target {
    pub(crate) fn new(port: u16, path: &str) -> Self {
        Self { port, request: request(port, path, ""), tls: None, deflate: false }
    }

    pub(crate) fn compressed(port: u16, path: &str) -> Self {
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
        Self { request: request(port, path, offer), deflate: true, ..Self::new(port, path) }
    }

    pub(crate) fn over(self, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { tls, ..self }
    }

    pub(crate) fn tls(&self) -> Option<&Arc<ClientConfig>> {
        self.tls.as_ref()
    }

    /// A socket whose calls wait, but not for ever.
    pub(crate) fn connect_waiting(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port).into(), PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// A socket whose calls do not wait, and that may still be connecting. `index` is its number among those to this target.
    pub(crate) fn connect(&self, index: usize) -> io::Result<TcpStream> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        if index >= PER_ADDRESS {
            // Others that were bound to the same port before may linger.
            set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &source(index)?)?;
        }
        match connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port)) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn request(port: u16, path: &str, further: &str) -> Vec<u8> {
    // The key is that of RFC 6455 section 1.3.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{further}\r\n"
    );
    request.into_bytes()
}

/// All of 127.0.0.0/8 is this machine.
fn source(index: usize) -> io::Result<SocketAddrV4> {
    let address = u8::try_from(1 + index / PER_ADDRESS).map_err(io::Error::other)?;
    let port = u16::try_from(FIRST_PORT + index % PER_ADDRESS).map_err(io::Error::other)?;
    Ok(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, address), port))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn no_two_connections_of_100_000_have_the_same_source() {
        let sources: std::collections::HashSet<_> = (PER_ADDRESS..100_000).map(|index| source(index).unwrap()).collect();
        assert_eq!(sources.len(), 80_000);
    }

    #[test]
    fn connections_beyond_what_one_address_has_ports_for_come_from_the_next() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = Target::new(listener.local_addr().unwrap().port(), "/");
        let _first = target.connect(0).unwrap();
        let _beyond = target.connect(PER_ADDRESS).unwrap();
        let from = [listener.accept().unwrap().1, listener.accept().unwrap().1].map(|peer| peer.ip().to_string());
        assert_eq!(from, ["127.0.0.1", "127.0.0.2"]);
    }
}
