//! The HTTP connections of Narthex: sockets in, requests out.
//!
//! One engine serves both the host, which relays requests to apps, and an embedded app, which answers them itself. Both are
//! a [`Handler`]; an [`Exchange`] is one request and its response. Everything here runs on a worker's own thread
//! ([`spawn_worker`]) and takes no lock on the request path.

mod acceptor;
mod admission;
mod bandwidth;
mod clock;
#[cfg(unix)]
pub mod descriptor;
mod exchange;
pub mod fields;
mod file;
mod h1;
mod h2;
mod h3;
mod holder;
mod journal;
mod limits;
#[cfg(unix)]
mod link;
mod listen;
mod mux;
mod piece;
mod proxy;
#[cfg(target_os = "linux")]
mod reactor;
mod reason;
pub mod rendezvous;
mod request;
mod request_id;
mod stamp;
mod target;
mod telling;
mod threads;
pub mod tls;
mod transport;
mod upgraded;
mod worker;

pub use acceptor::{Acceptor, Inbox};
pub use admission::Admission;
pub use bandwidth::Bandwidth;
pub use clock::roughly_now;
pub use exchange::{Exchange, ExchangeClosed, Rules};
pub use file::{is_local, read_at};
pub use h1::head::{BodyLength, Version};
pub use holder::PortHolder;
pub use journal::{Ended, Journal, Refused};
pub use limits::{ConnectionCaps, Limits, Timeouts};
#[cfg(unix)]
pub use link::Link;
pub use listen::{ListenError, Remedy, addresses, listen, listen_beside_own, listen_udp, look, refuse_connections};
pub use piece::Piece;
pub use proxy::{Client, NotANetwork, ProxyProtocol, TrustedProxies};
pub use reason::Reason;
pub use request::{ConnectionInfo, Handler, Request, TlsInfo};
pub use request_id::{RequestId, RequestIds};
pub use stamp::{Stamp, Watched};
pub use threads::{default_workers, spawn_worker};
pub use upgraded::{Continuation, Upgraded};
pub use worker::{Counts, Settings, Worker};
