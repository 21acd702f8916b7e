//! `narthex run`: Node and Python programs behind a host, started, killed, replaced, put to sleep and stopped while clients ask.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod changes;
mod deaths;
mod demand;
mod neighbours;
mod requests;
mod stage;
