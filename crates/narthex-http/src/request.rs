//! What a handler is given, and what it has to be.

use std::net::SocketAddr;

use bytes::Bytes;
use narthex_proto::cooked::CookedTarget;
use narthex_proto::host::RequestHost;
use narthex_proto::prefix::Scheme;

use crate::exchange::Exchange;
use crate::h1::head::{BodyLength, Version};
use crate::request_id::RequestId;

/// Where a connection comes from and where it arrived.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionInfo {
    /// Unique within the process for as long as it runs.
    pub id: u64,
    /// The client's address, as far as trusted proxies tell; a port that they do not tell is 0.
    pub peer: SocketAddr,
    /// This server's own address that the connection arrived at, behind a proxy too: bindings and prefixes go by it.
    pub local: SocketAddr,
    /// `https` when TLS is below.
    pub scheme: Scheme,
    /// The client's own connection is encrypted: TLS is below, or a trusted proxy says that it is there.
    pub secure: bool,
}

/// What TLS has settled for a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The protocol version.
    pub version: rustls::ProtocolVersion,
    /// The cipher suite. Not known of QUIC.
    pub cipher_suite: Option<rustls::CipherSuite>,
    /// The name that the client asked for (SNI).
    pub server_name: Option<Box<str>>,
    /// The certificate that the client has shown and proved to own, DER.
    pub client_certificate: Option<Bytes>,
}

/// A valid request head, borrowed from the connection's buffer: who needs it longer copies what it needs.
#[derive(Debug)]
pub struct Request<'a> {
    /// The head as it came, request line to empty line. Validated: strict line ends, one `Host`, unambiguous framing. What came
    /// over HTTP/2 or HTTP/3 is put as HTTP/1.1 would have it; it has no framing fields then.
    pub raw: &'a [u8],
    /// The method, case preserved.
    pub method: &'a str,
    /// The request target as it came.
    pub target: &'a str,
    /// The target, canonical: what routing and apps are to go by.
    pub cooked: &'a CookedTarget<'a>,
    /// The host that the request is for: the target's authority if it has one, else `Host`; `None` for HTTP/1.0 without.
    pub host: Option<&'a RequestHost<'a>>,
    /// What the client speaks.
    pub version: Version,
    /// How long the body is.
    pub body: BodyLength,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The client asks for an upgrade (`Connection: upgrade`, `Upgrade`, and no body).
    pub wants_upgrade: bool,
    /// Its id, if requests have some.
    pub id: Option<&'a RequestId>,
    /// The connection.
    pub connection: &'a ConnectionInfo,
    /// What is known of its TLS, if it has that.
    pub tls: Option<&'a TlsInfo>,
    pub(crate) headers: &'a [httparse::Header<'a>],
}

impl<'a> Request<'a> {
    /// The header fields in order, names as they came.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.headers.iter().map(|header| (header.name, header.value))
    }
}

/// What a server does with requests. The two of them are the host, which relays, and an embedded app, which answers.
pub trait Handler: 'static {
    /// The work on one request that is left when [`handle`](Self::handle) returns. It runs inside the connection's task and
    /// is dropped when the exchange ends for whatever reason, so that its destructor is the place to undo things.
    type Future: Future<Output = ()>;

    /// Starts on a request. The response goes to `exchange`, from here, from the future, or from another task of the same
    /// worker that was given a clone. `None` if nothing is left to do in the connection's task.
    fn handle(&self, request: Request<'_>, exchange: Exchange) -> Option<Self::Future>;
}
