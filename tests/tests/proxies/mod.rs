//! Clients behind proxies, by every provider: who an app and a log think that they are.

mod headers;
mod operators;
mod requests;
mod stage;
