//! Every bug that an attack on a running host and its apps has found, as the behaviour that was missing.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod echoes;
mod forgeries;
mod memory;
mod offenders;
mod pauses;
mod pipelining;
mod queues;
mod registrations;
mod shared_queues;
mod stage;
mod timers;
mod truncations;

use narthex_tests::wire_app;
