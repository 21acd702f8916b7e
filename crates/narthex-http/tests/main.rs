//! The engine, from outside. One program: each more links everything again.

mod engine;
mod files;
mod http3;
mod timers;
