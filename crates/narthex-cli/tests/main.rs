//! The command line, as people type it. One program: each more links everything again.
#![cfg(unix)]

mod support;

mod demo;
mod doctor;
mod explain;
mod forward;
mod service;
mod verbs;
