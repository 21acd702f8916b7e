//! What an app has of the crate, on every provider. One program: each more links everything again.

#[macro_use]
mod client;

mod blocking;
mod change;
mod channels;
mod delegation;
mod embedded;
mod files;
mod forward;
mod fragments;
mod guards;
mod handle;
mod hub;
mod prefixes;
mod providers;
mod request_control;
mod security_headers;
mod shared;
mod tuning;
mod typings;
mod uploads;
mod watchdog;
mod wire;
