//! A client that wants to connect.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};

/// A handshake that has nothing wrong with it. [`Hub::on_connect`](super::Hub::on_connect) gives it back to accept it, or refuses.
#[derive(Debug)]
pub struct Connect {
    pub(super) parts: Parts,
    pub(super) peer: Option<SocketAddr>,
    pub(super) protocol: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) data: Option<Arc<dyn Any + Send + Sync>>,
    pub(super) channels: Vec<String>,
}

impl Connect {
    /// The request: target, header fields, and what middleware and the server have put into its extensions.
    #[must_use]
    pub fn request(&self) -> &Parts {
        &self.parts
    }

    /// A header field of the request, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The client's address, as far as the server knows it.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The sub-protocol that will be spoken.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Adds a header field to the response, such as a cookie. Those of the handshake itself cannot be changed.
    pub fn add_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.append(name, value);
    }

    /// What [`Peer::data`](super::Peer::data) will give.
    pub fn set_data<T: Any + Send + Sync>(&mut self, data: T) {
        self.data = Some(Arc::new(data));
    }

    /// Subscribes the peer to a channel as soon as it is connected.
    pub fn subscribe(&mut self, channel: impl Into<String>) {
        self.channels.push(channel.into());
    }

    /// What refuses the client. Text is what people see who look at the response.
    #[must_use]
    pub fn refuse(self, status: StatusCode, text: impl Into<String>) -> Refusal {
        Refusal::new(status, text)
    }
}

/// A response that refuses a client.
// Boxed, since every handler of the app returns it beside what it mostly returns.
#[derive(Debug)]
pub struct Refusal(pub(super) Box<Response<String>>);

impl Refusal {
    /// A response with this status. One that is informational or successful would accept, and becomes 403.
    #[must_use]
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let mut response = Response::new(text.into());
        let refuses = !status.is_informational() && !status.is_success();
        *response.status_mut() = if refuses { status } else { StatusCode::FORBIDDEN };
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
        Self(Box::new(response))
    }

    /// Adds a header field, such as `WWW-Authenticate`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().append(name, value);
        self
    }
}
