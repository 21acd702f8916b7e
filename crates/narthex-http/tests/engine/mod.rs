//! The engine on real sockets: what clients get, what the journal is told, and when.

mod bandwidth;
mod client;
mod connection;
mod journal;
mod paused;
mod proxied;
mod quic;
mod reasons;
mod server;
mod stored;
mod timers;
mod upgraded;
