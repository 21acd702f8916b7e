//! What an operator does with a running host, with the real `narthex` command: every verb, what outlives the host, and who
//! may do what.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod accounts;
mod acme;
mod certificates;
mod crashes;
mod dump;
mod file;
mod iplisten;
mod limits;
mod logs;
mod machine;
mod openssl;
mod page;
mod pebble;
mod reservations;
mod users;
mod verbs;
