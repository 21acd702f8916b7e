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

/// What is known of a request besides its head.
#[derive(Clone, Debug)]
pub struct Facts {
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
}

/// A request: its head, copied out of HTTP.sys's buffer in one piece.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is known of it besides.
    pub facts: Facts,
    method: usize,
    target: usize,
    fields: Fields,
}

impl Request {
    /// A request without header fields.
    #[must_use]
    pub fn new(facts: Facts, method: &[u8], target: &[u8]) -> Self {
        let fields = Fields::behind([method, target].concat());
        Self { facts, method: method.len(), target: target.len(), fields }
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
        if !self.facts.has_body {
            return Some(0);
        }
        if self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"transfer-encoding")) {
            return None;
        }
        std::str::from_utf8(self.fields.only("content-length")?).ok()?.trim().parse().ok()
    }
}
