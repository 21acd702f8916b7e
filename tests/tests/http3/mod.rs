//! HTTP/3 as clients see it, by every provider: what it has in common with the other versions, and what it has for itself.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod apps;
mod cancellations;
mod certificates;
mod early_data;
mod endings;
mod fields;
mod frames;
mod messages;
mod offers;
mod proxies;
mod requests;
mod stage;
