//! Serve any axum app, or other tower service, on a port that many programs share.
//!
//! ```no_run
//! #[tokio::main]
//! async fn main() -> narthex::Result<()> {
//!     let app = axum::Router::new().route("/ping", axum::routing::get(|| async { "pong" }));
//!     narthex::serve("http://+:8888/MyApp/", app).await
//! }
//! ```
//!
//! If a Narthex host runs on the machine (`narthex host`), the app gets its requests through it, next to other programs
//! on the same port. Else it opens the port itself. On Windows, HTTP.sys is what the host is elsewhere. See [`Provider`]. With
//! settings, use [`Server`].
//!
//! The app sees paths relative to its prefix: a request for `/MyApp/ping` is `/ping` to it. In the request's extensions are
//! [`PathBase`] (`/MyApp`), with the default feature `axum` what axum's extractors `OriginalUri` and
//! `ConnectInfo<SocketAddr>` look for, and if wanted [`ConnectionInfo`] and [`RequestControl`]. WebSockets work as with
//! `axum::serve`.
//!
//! With the feature `forward`, an app can be a reverse proxy: see the module of that name.
//!
//! # Errors that clients see
//!
//! What a part of this crate answers in the place of a handler ([`OpaqueErrors`], [`blocking()`], uploads and forwarding) is one
//! JSON object, `{"error":"Payload Too Large"}`: the name of the status as it is registered (RFC 9110), or a text that the app
//! has chosen, and never why. From 500 on it has `Cache-Control: no-store`, and with 503 `Retry-After`. The layers that guard an
//! app, files and hubs answer with a line of plain text, which people look at.

#[cfg(feature = "api-keys")]
pub mod api_keys;
#[cfg(feature = "auth")]
pub mod auth;
mod bindings;
mod blocking;
mod body;
mod cache;
mod call;
mod change;
#[cfg(any(feature = "api-keys", all(test, feature = "auth")))]
mod clock;
#[cfg(any(feature = "auth", feature = "sessions"))]
mod cookies;
mod delegation;
mod downstream;
mod embedded;
mod error;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "forward")]
pub mod forward;
mod fragments;
#[cfg(feature = "guards")]
#[cfg_attr(
    not(all(feature = "api-keys", feature = "auth", feature = "rate-limit", feature = "sessions")),
    allow(dead_code, reason = "each feature uses its own part")
)]
mod guard;
#[cfg(any(windows, test))]
mod httpsys;
pub mod hub;
#[cfg(feature = "guards")]
#[cfg_attr(
    not(all(feature = "api-keys", feature = "auth", feature = "rate-limit", feature = "sessions")),
    allow(dead_code, reason = "each feature uses its own part")
)]
mod identity;
mod json_error;
pub mod layers;
mod lifecycle;
mod lifetime;
#[cfg(feature = "rate-limit")]
pub mod limits;
mod live;
mod logging;
mod offer;
mod origins;
mod panic_text;
mod plan;
mod provider;
mod request;
mod request_control;
#[cfg(feature = "guards")]
#[cfg_attr(
    not(all(feature = "api-keys", feature = "auth", feature = "rate-limit", feature = "sessions")),
    allow(dead_code, reason = "each feature uses its own part")
)]
mod secret;
mod server;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "sessions")]
pub mod sessions;
mod settings;
#[cfg(unix)]
mod shared;
mod successor;
mod supervisor;
mod tls;
#[cfg(feature = "trace")]
pub mod trace;
mod tuning;
#[cfg(feature = "ui")]
pub mod ui;
mod upgrade;
#[cfg(feature = "uploads")]
pub mod uploads;
mod watchdog;

pub use bindings::Bindings;
pub use blocking::{Blocking, BlockingPool, Overloaded, blocking};
pub use body::{Body, BodyError};
pub use cache::CachePolicy;
pub use change::Change;
#[cfg(any(feature = "auth", feature = "sessions"))]
pub use cookies::CrossSite;
pub use delegation::Delegation;
pub use error::{BoxError, Error, Result};
pub use fragments::{Composed, FallbackTooShort, FragmentPart};
#[cfg(feature = "guards")]
pub use guard::Guarded;
#[cfg(feature = "guards")]
pub use identity::{Identity, Scheme as IdentityScheme};
pub use layers::{OpaqueErrors, SecurityHeaders};
pub use lifetime::ServerHandle;
pub use logging::{Logging, Rollover};
pub use narthex_http::tls::{ClientCertificates, Demand, MinVersion, PeerCertificate, SecurityLevel};
pub use narthex_http::{Limits, ListenError, PortHolder, Remedy, RequestId, RequestIds};
pub use narthex_proto::prefix::{PrefixError, PrefixHost, PrefixSpec, Scheme, UrlPrefix};
pub use narthex_proto::routing::Conflict;
pub use narthex_proto::wire::{Principal, ProtocolError, RefusalCode, Verbosity as Http503Verbosity};
pub use provider::Provider;
pub use request::{ConnectionInfo, PathBase};
pub use request_control::{NotInformed, RequestControl};
#[cfg(feature = "guards")]
pub use secret::Secret;
pub use server::Server;
pub use settings::{RequestQueue, Timeouts};
pub use successor::Successor;
pub use tls::Tls;
pub use tuning::{FineTune, OperatingMode};
pub use watchdog::Watchdog;

use http::{Request, Response};
use tower_service::Service;

/// Serves `app` under `prefix` until SIGTERM or SIGINT (Ctrl-C).
///
/// `axum::serve(listener, app)` becomes:
///
/// ```no_run
/// # #[tokio::main]
/// # async fn main() -> narthex::Result<()> {
/// # let app = axum::Router::new();
/// narthex::serve("http://+:8888/MyApp/", app).await
/// # }
/// ```
///
/// The app runs behind the machine's host if one answers, else on a listener of its own; one log line (`tracing`, level
/// info) says which and why. When told to stop, it finishes the requests that run, for at most 5 seconds. [`Server`] has the
/// settings.
///
/// # Errors
/// If the prefix is not one, or is somebody else's, or its port cannot be opened: see [`Error`].
pub async fn serve<S, B>(prefix: impl AsRef<str>, app: S) -> Result<()>
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>> + Clone + Send + 'static,
    B: http_body::Body<Error: Into<BoxError>> + 'static,
{
    Server::new(app).prefix(prefix).run().await
}
