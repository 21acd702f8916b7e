//! Taking a PROXY header off a connection, on the listeners where connections begin with one.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::header::{Header, Parsed, parse};

/// What is looked at in one step. Most headers are shorter.
const WINDOW: usize = 256;

/// The listeners on which connections begin with a PROXY header. Default: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyProtocol(Expected);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Expected {
    #[default]
    Nowhere,
    Everywhere,
    At(Vec<SocketAddr>),
}

impl ProxyProtocol {
    /// On all listeners.
    #[must_use]
    pub fn everywhere() -> Self {
        Self(Expected::Everywhere)
    }

    /// At these addresses. `0.0.0.0` and `[::]` stand for all IPv4 and all IPv6 addresses.
    pub fn at(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(Expected::At(addresses.into_iter().collect()))
    }

    /// Whether a connection that arrived at `local` has to begin with a header.
    #[must_use]
    pub fn is_expected_at(&self, local: SocketAddr) -> bool {
        let is = |address: &SocketAddr| {
            let any = address.ip().is_unspecified() && address.is_ipv4() == local.is_ipv4();
            address.port() == local.port() && (any || address.ip() == local.ip())
        };
        match &self.0 {
            Expected::Nowhere => false,
            Expected::Everywhere => true,
            Expected::At(addresses) => addresses.iter().any(is),
        }
    }

    /// Whether a listener at `address`, which may stand for all addresses, has connections that begin with a header.
    #[must_use]
    pub fn concerns(&self, address: SocketAddr) -> bool {
        match &self.0 {
            Expected::At(addresses) if address.ip().is_unspecified() => {
                addresses.iter().any(|one| one.port() == address.port() && one.is_ipv4() == address.is_ipv4())
            }
            _ => self.is_expected_at(address),
        }
    }
}

/// Why a connection has no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("it does not begin with a PROXY header")]
    Malformed,
    #[error("it ended before its PROXY header did")]
    Ended,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes the header off, and nothing of what comes after it.
pub(crate) async fn take_header(stream: &mut TcpStream) -> Result<Header, HeaderError> {
    let mut begun = Vec::with_capacity(WINDOW);
    let mut window = [0; WINDOW];
    loop {
        let seen = stream.peek(&mut window).await?;
        let before = begun.len();
        begun.extend_from_slice(window.get(..seen).unwrap_or_default());
        let (parsed, its) = match parse(&begun) {
            _ if seen == 0 => return Err(HeaderError::Ended),
            Parsed::Malformed => return Err(HeaderError::Malformed),
            Parsed::Incomplete => (None, seen),
            Parsed::Complete(header) => (Some(header), header.length.saturating_sub(before)),
        };
        // They are there, so this does not wait.
        stream.read_exact(window.get_mut(..its).unwrap_or_default()).await?;
        if let Some(header) = parsed {
            return Ok(header);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn exactly_the_header_is_taken_however_it_comes() {
        let long = [b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x10\x00", &[7; 4096][..]].concat();
        for header in [b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(), long] {
            for piece in [1, 7, 300, usize::MAX] {
                let (mut client, mut server) = pair().await;
                let sent = [&header[..], b"GET"].concat();
                let sending = tokio::spawn(async move {
                    for piece in sent.chunks(piece) {
                        client.write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    client
                });
                assert_eq!(take_header(&mut server).await.unwrap().length, header.len());
                let mut client = sending.await.unwrap();
                client.shutdown().await.unwrap();
                let mut rest = Vec::new();
                server.read_to_end(&mut rest).await.unwrap();
                assert_eq!(rest, b"GET");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_and_what_ends_early_is_an_error() {
        for (sent, malformed) in [(&b"GET / HTTP/1.1\r\n"[..], true), (b"PROXY TCP4 1", false), (b"", false)] {
            let (mut client, mut server) = pair().await;
            client.write_all(sent).await.unwrap();
            client.shutdown().await.unwrap();
            let error = take_header(&mut server).await.unwrap_err();
            assert_eq!(matches!(error, HeaderError::Malformed), malformed, "{error}");
        }
    }

    #[test]
    fn a_listener_is_found_by_its_address_or_by_all_of_its_family() {
        let at = |texts: &[&str]| ProxyProtocol::at(texts.iter().map(|text| text.parse().unwrap()));
        let expected = |protocol: &ProxyProtocol, local: &str| protocol.is_expected_at(local.parse().unwrap());
        let some = at(&["0.0.0.0:443", "127.0.0.1:8080"]);
        for (local, is) in [
            ("192.0.2.1:443", true),
            ("127.0.0.1:8080", true),
            ("192.0.2.1:8080", false),
            ("[::1]:443", false),
            ("127.0.0.1:80", false),
        ] {
            assert_eq!(expected(&some, local), is, "{local}");
            assert!(expected(&ProxyProtocol::everywhere(), local) && !expected(&ProxyProtocol::default(), local));
        }
        assert!(some.concerns("0.0.0.0:8080".parse().unwrap()) && !some.concerns("[::]:443".parse().unwrap()));
    }
}
