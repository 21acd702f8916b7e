//! The engine on real sockets: what clients get, what the journal is told, and when.

mod client;
mod journal;
mod server;
