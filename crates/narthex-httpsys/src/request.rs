//! A request as HTTP.sys gives it.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::api::{ConnectionId, RequestId};
use crate::fields::Fields;

/// The version of HTTP that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0, and what is older.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

/// What a request is made of.
#[derive(Clone, Debug)]
pub struct RequestParts<'a> {
    /// Names it to HTTP.sys.
    pub id: RequestId,
    /// Names its connection to HTTP.sys.
    pub connection: ConnectionId,
    /// What its prefix was registered with.
    pub context: u64,
    /// The client's.
    pub version: Version,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that the client reached.
    pub local: SocketAddr,
    /// The connection is encrypted.
    pub secure: bool,
    /// What the client has shown in the handshake, DER.
    pub certificate: Option<Bytes>,
    /// There is a body to be received.
    pub has_body: bool,
    /// The method.
    pub method: &'a [u8],
    /// The target as it was sent.
    pub target: &'a [u8],
}

/// A request: its head, copied out of HTTP.sys's buffer in one piece.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names it to HTTP.sys.
    pub id: RequestId,
    /// Names its connection to HTTP.sys.
    pub connection: ConnectionId,
    /// What its prefix was registered with.
    pub context: u64,
    /// The client's.
    pub version: Version,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that the client reached.
    pub local: SocketAddr,
    /// The connection is encrypted.
    pub secure: bool,
    /// What the client has shown in the handshake, DER.
    pub certificate: Option<Bytes>,
    /// There is a body to be received.
    pub has_body: bool,
    method: usize,
    target: usize,
    fields: Fields,
}

impl Request {
    /// A request without header fields.
    #[must_use]
    pub fn new(parts: RequestParts<'_>) -> Self {
        let RequestParts { id, connection, context, version, peer, local, secure, certificate, has_body, method, target } = parts;
        let fields = Fields::behind([method, target].concat());
        let (method, target) = (method.len(), target.len());
        Self { id, connection, context, version, peer, local, secure, certificate, has_body, method, target, fields }
    }

    /// Adds a header field.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.fields.push(name, value);
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.head().get(..self.method).unwrap_or_default()
    }

    /// The target as it was sent.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.head().get(self.method..self.method + self.target).unwrap_or_default()
    }

    /// The header fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The memory in which method, target and fields are.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        self.fields.bytes()
    }

    /// The body's length, if the client has said it.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        if !self.has_body {
            return Some(0);
        }
        if self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"transfer-encoding")) {
            return None;
        }
        std::str::from_utf8(self.fields.only("content-length")?).ok()?.trim().parse().ok()
    }
}
