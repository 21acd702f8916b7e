//! Access logs and the error log. Workers format lines into buffers of their own, one thread writes them, and a disk that is
//! slow or full costs lines, never a request.
//!
//! A worker hands its buffers over when they have 8 KiB, else 250 ms after the first line, and the thread writes them at once.
//! What dies with a host that is killed is what was not handed over yet: normally less than half a second of lines, about one
//! second if the disk is busy. Nothing is synced to the disk itself: a power failure takes what the OS still had in memory.
//!
//! `formats.md` beside this file has the formats, the fields and the file names.

mod clock;
mod fields;
mod file;
mod head;
mod lines;
mod logs;
mod names;
mod spec;
mod state;
mod text;
mod worker;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use logs::{ErrorLogOptions, LogOptions, Logs};

pub(crate) use spec::{LogError, check};
pub(crate) use state::Log;
pub(crate) use worker::WorkerLogs;
