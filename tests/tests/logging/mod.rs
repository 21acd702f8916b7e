//! Access logs of a real host: what its clients did, once each, whoever answered them, and whatever they sent.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod central;
mod endings;
mod files;
mod forgeries;
mod groups;
mod load;
mod refusing_disks;
mod stage;
