//! Who may send how much: layers that count requests, and lists of addresses. They cost next to nothing, and belong around everything
//! that costs more, such as [`auth`](crate::auth).
//!
//! ```
//! use std::time::Duration;
//! use narthex::limits::{IpFilter, IpList, Limit, RateLimit};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let denied = IpList::new(["192.0.2.0/24", "2001:db8::/32"])?;
//! let limit = RateLimit::per_ip(Limit::bucket(100, Duration::from_secs(10)).burst(200));
//! # #[cfg(feature = "axum")]
//! // The last layer is the first to see a request.
//! let app: axum::Router = axum::Router::new().layer(limit).layer(IpFilter::deny(denied.clone()));
//! denied.add("198.51.100.7")?;
//! # Ok(())
//! # }
//! ```
//!
//! The address is the client's own: behind proxies, the one that [trusted ones](crate::Server::trusted_proxies) tell of.
//!
//! The messages of a WebSocket are not requests. A [`Limiter`] in the hub's handler counts them:
//!
//! ```
//! # use std::time::Duration;
//! use narthex::hub::{Code, Hub};
//! use narthex::limits::{Limit, Limiter};
//!
//! let hub = Hub::new();
//! let limiter = Limiter::new(Limit::bucket(20, Duration::from_secs(1)));
//! hub.on_message(move |peer, text| {
//!     let allowed = limiter.take(&peer.id().to_string(), 1).is_ok();
//!     async move {
//!         if allowed { let _ = peer.send(text); } else { peer.close(Code::POLICY_VIOLATION, "too many messages"); }
//!     }
//! });
//! ```

mod addresses;
mod bucket;
mod layer;
mod limiter;
mod store;
mod window;

pub use addresses::{IpFilter, IpList, NotAnAddress};
pub use layer::RateLimit;
pub use limiter::{Limit, Limiter, Taken, TooMany};
