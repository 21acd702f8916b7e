//! What can be told of a request afterwards: its id in logs, app and answer, and its spans at a collector, by every provider.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod collector;
mod ids;
mod stage;
mod traces;
