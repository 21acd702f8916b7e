//! A TCP connection, with or without TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::PATIENCE;

/// What bytes go over.
#[derive(Debug)]
pub enum Transport {
    /// As they are.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Transport {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Plain(stream))
    }

    /// Begins TLS, as a client that trusts this authority and speaks this protocol.
    ///
    /// # Errors
    /// When the handshake fails.
    ///
    /// # Panics
    /// When it has begun already, or the server speaks another protocol.
    pub fn with_tls(self, authority: &Path, protocol: &[u8]) -> io::Result<Self> {
        let Self::Plain(mut tcp) = self else { panic!("it is encrypted already") };
        tcp.set_read_timeout(Some(PATIENCE))?;
        let config = Arc::new(client_config(authority, &[protocol]));
        let name = ServerName::from(tcp.peer_addr()?.ip());
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        assert_eq!(tls.alpn_protocol(), Some(protocol), "the server speaks something else");
        Ok(Self::Tls(Box::new(StreamOwned::new(tls, tcp))))
    }

    /// The socket.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.sock,
        }
    }

    /// A second handle, to send with while this one reads.
    ///
    /// # Errors
    /// When the process has no more descriptors, or with TLS.
    pub fn sender(&self) -> io::Result<TcpStream> {
        match self {
            Self::Plain(tcp) => tcp.try_clone(),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Ends the sending side.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            tls.conn.send_close_notify();
            tls.flush()?;
        }
        self.tcp().shutdown(Shutdown::Write)
    }
}

impl Read for Transport {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(bytes),
            Self::Tls(tls) => tls.read(bytes),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => {
                let written = tls.write(bytes)?;
                // What is only encrypted would wait for the next write.
                tls.flush()?;
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// A client that trusts this authority and speaks these protocols, over TLS 1.3.
///
/// # Panics
/// When the authority cannot be read.
pub fn client_config(authority: &Path, protocols: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority).expect("the authority has a certificate");
    roots.add(certificate).expect("it is the certificate of an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).expect("there is TLS 1.3");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}
