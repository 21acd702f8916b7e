//! An app's own small page: how its servers go, what has failed lately, and buttons to stop and start them.
//!
//! It is for who develops or looks after an app on its machine. [`Server::ui`](crate::Server::ui) opens it, and so does `my-app run --ui` for an app whose
//! `main` is a `Service`'s (feature `service`). It has a loopback port of its own, whatever the app serves and by whichever provider, so that it
//! is there while the app is stopped; the link to it is printed on standard error.
//!
//! Who is on the machine may look. Whoever has the link, which ends with `#token=…`, may also stop, start and restart, and see what has
//! failed and the end of the log: these are for the page's own script, which shows the token in a header field that no other page can
//! send. The page answers to `localhost` and loopback addresses only, so that no other name can be made to mean it.
//!
//! The log is there if the app gives [`log_tail`] to its `tracing` subscriber:
//!
//! ```
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! let subscriber = tracing_subscriber::registry().with(tracing_subscriber::fmt::layer()).with(narthex::ui::log_tail());
//! # drop(subscriber);
//! ```
//!
//! Requests are counted only while there is a page; without one, it costs nothing.

mod counted;
mod page;
mod run;
mod tail;

use std::net::SocketAddr;
use std::sync::OnceLock;

pub use tail::{LogTail, log_tail};

pub(crate) use run::run;

/// Where the page is if nobody says: any free port.
#[cfg(feature = "service")]
pub(crate) const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// What was typed, for the servers that the program makes.
static ASKED_FOR: OnceLock<SocketAddr> = OnceLock::new();

/// The program's servers get a page.
#[cfg(feature = "service")]
pub(crate) fn ask_for(address: SocketAddr) {
    // Typed once.
    let _ = ASKED_FOR.set(address);
}

pub(crate) fn asked_for() -> Option<SocketAddr> {
    ASKED_FOR.get().copied()
}
