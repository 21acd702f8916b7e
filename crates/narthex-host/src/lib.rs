//! The Narthex host: one daemon that owns the ports and gives each app its own requests.
//!
//! Control flows one way: a verb changes the control thread's state, which publishes a new snapshot, which the workers
//! read. Requests never wait for it.

#![cfg(unix)]

mod acme;
mod activation;
pub mod admin;
mod cache;
pub mod config;
mod control;
mod examine;
mod host;
mod log;
mod metrics;
mod snapshot;
mod socket;
mod succession;
mod token;
mod trace;
mod worker;

pub use activation::PassedSockets;
pub use examine::{Examined, examine};
pub use host::{Host, HostOptions, StartError};
pub use token::random_token;
