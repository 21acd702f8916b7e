//! Clients behind proxies: who they really are. A proxy tells it once for a connection (the PROXY protocol), or with every
//! request (`X-Forwarded-For`, `Forwarded`). It is believed only where the operator has said so.

mod connection;
mod forwarded;
mod header;
mod line;
mod trusted;

pub use connection::ProxyProtocol;
pub(crate) use connection::{HeaderError, take_header};
pub use trusted::{Client, NotANetwork, TrustedProxies};
