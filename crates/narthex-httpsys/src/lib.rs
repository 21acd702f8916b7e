//! Windows' own HTTP.sys as the third place where Narthex's apps get requests from: the HTTP Server API 2.0.
//!
//! * [`Api`] and [`Queue`] are the seam: the calls of the HTTP Server API in plain Rust types. Two implementations: `system` (on
//!   Windows, the only `unsafe` code of the project) and `fake` (in memory, on every OS).
//! * [`Server`] holds what a program has of HTTP.sys: a server session, URL groups, a request queue.
//! * [`Intake`] takes requests from the queue, whatever their size; [`Exchange`] is one request and its response.
//!
//! Everything above the seam is the same on every OS and is tested against the fake. docs/windows.md says what was run under Wine,
//! and that nothing was ever run on a real Windows.

mod api;
mod code;
pub mod configuration;
mod error;
mod exchange;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod fields;
mod framing;
mod intake;
#[cfg_attr(not(any(windows, test)), expect(dead_code, reason = "only HTTP.sys itself has numbers for names"))]
mod names;
mod operation;
mod property;
mod request;
mod response;
mod server;
#[cfg(windows)]
#[allow(unsafe_code, reason = "the one module that calls Windows; each block says why it may")]
mod system;

pub use api::{Api, ConnectionId, Feature, GroupId, Open, Queue, Received, RequestId, SessionId};
pub use code::Code;
pub use error::{Error, Result};
pub use exchange::{BodyFailure, Closed, Exchange};
pub use fields::Fields;
pub use intake::Intake;
pub use operation::{Cancel, Operation};
pub use property::{GroupProperty, QueueProperty, Timeouts, Verbosity};
pub use request::{Facts, Request, Version};
pub use response::{CachePolicy, Chunk, Head, Length, Sending};
pub use server::{Server, Settings};
#[cfg(windows)]
pub use system::HttpSys;
