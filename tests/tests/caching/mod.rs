//! The response cache, seen by clients and operators of a real host with real apps.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod apps;
mod clients;
mod conditions;
mod freshness;
mod gate;
mod operators;
mod requests;
mod room;
mod stage;
mod storms;
mod streams;
