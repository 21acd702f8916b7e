//! What clients get and what the error log says for every failure that the host decides about, its timers and its limits.
//! The statement of it is the table in `crates/narthex-http/src/reason.rs`.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod bandwidth;
mod conditions;
mod connections;
mod queues;
mod requests;
mod scene;
mod settings;
mod stage;
mod timers;
mod verbosity;
