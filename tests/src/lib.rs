//! What the black-box suites are made of: the app under test, the processes to run it in, and a client that speaks
//! raw bytes. Only `wire_app` shares code with the server that it tests: the wire protocol.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

pub mod app;
pub mod browser;
pub mod case;
pub mod client;
pub mod grpc;
#[cfg(doctest)]
mod guides;
pub mod h2;
pub mod h3;
pub mod load;
pub mod matrix;
pub mod pki;
pub mod process;
pub mod responses;
pub mod secure;
pub mod subject;
pub mod transport;
pub mod web_socket;
pub mod wire_app;

pub use client::{Client, Ending, Framing, PATIENCE, ReadError, Response};
pub use process::Process;
pub use secure::{Secure, Setup};
pub use subject::{App, AppOptions, Host, Provider, Subject};
